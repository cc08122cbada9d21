"""Files of record that programs of lvskit's read: they are written, and nothing in the kernel follows from them directly."""

from __future__ import annotations

from collections.abc import Sequence

from . import files, kinds
from .errors import HostError
from .programs import CommandRunner
from .resource import Resource


class Document(Resource):
    def __init__(self, kind: kinds.Kind, wanted: str, recorded: str, run: CommandRunner) -> None:
        super().__init__(wanted, recorded, run)
        self.title, self.path = kind.title, kind.path

    def prepare(self) -> None:
        """There is no live state."""

    def additions(self) -> list[str]:
        return []

    def removals(self) -> list[str]:
        return []

    def before(self) -> list[str]:
        return []

    def after(self) -> list[str]:
        return []

    def batch(self, commands: Sequence[str]) -> None:
        """Nothing is to be done."""


class KeepalivedConf(Document):
    """The configuration of keepalived's checker."""

    def try_out(self) -> None:
        """Has keepalived read the new file. Only 0 counts: after any other answer it would run with a part of it."""
        path = files.place(self.path) + files.SUFFIX
        code, out, err = self.run(["keepalived", "-t", "-C", "-f", path], None)
        if code:
            said = "; ".join(line.strip() for line in (out + err).splitlines() if line.strip()) or "it says nothing"
            raise HostError(
                f"keepalived of this host does not accept the health checks (exit code {code}): {said}. The file is {self.path}. "
                "Change the service's health_check, or install a newer keepalived"
            )
