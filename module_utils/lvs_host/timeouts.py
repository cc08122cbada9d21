"""The timeouts of IPVS for all of a director's connections, as the option `--set` of ipvsadm(8); `ipvsadm --save` leaves them out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from . import files, kinds
from .errors import HostError, damaged
from .ipvs import TABLE
from .programs import CommandRunner
from .resource import Resource, statements

_SET = re.compile(r"--set \d+ \d+ \d+")
_LISTED = re.compile(r"Timeout \(tcp tcpfin udp\): (\d+ \d+ \d+)")


def parse(text: str) -> str:
    """The one statement of a file of record, empty without one. Raises HostError for anything else."""
    lines = statements(text)
    if len(lines) > 1 or not all(_SET.fullmatch(line) for line in lines):
        raise HostError(f"IPVS timeouts: cannot read the line `{lines[-1]}`")
    return "".join(lines)


class Timeouts(Resource):
    title = kinds.IPVS_TIMEOUTS.title
    path = kinds.IPVS_TIMEOUTS.path
    originals_path = "/var/lib/lvskit/ipvs.timeouts"  # what they were before lvskit changed them

    def __init__(self, wanted: str, recorded: str, run: CommandRunner, *, installed: bool) -> None:
        super().__init__(wanted, recorded, run)
        self.installed = installed
        self.statement = parse(wanted)
        self.original = self.live = ""

    def prepare(self) -> None:
        self.of_record(parse)
        self.original = self._original()
        if self.installed and (self.statement or self.original):
            self.live = self._read()

    def _read(self) -> str:
        """The timeouts in force; empty if the kernel module is not loaded: ipvsadm would load it."""
        if not os.path.exists(files.place(TABLE)):
            return ""
        found = _LISTED.search(self.output(["ipvsadm", "-L", "--timeout"]))
        return f"--set {found[1]}" if found else ""

    def _original(self) -> str:
        remedy = "Remove it and run again; the timeouts of IPVS then keep their present values when the plan no longer has them"
        try:
            return parse(files.read(self.originals_path, remedy) or "")
        except HostError as error:
            raise damaged(self.originals_path, error, remedy) from error

    def before(self) -> list[str]:
        return [self.live] if self.live else []

    def after(self) -> list[str]:
        kept = self.statement or self.original
        return [kept] if kept else []

    def additions(self) -> list[str]:
        return [f"ipvsadm {self.statement}"] if self.statement not in ("", self.live) else []

    def stale(self) -> list[str]:
        recorded = self.of_record(parse)
        return [recorded] if recorded and self.removals() else []

    def removals(self) -> list[str]:
        changed = not self.statement and self.original and self.live not in ("", self.original)
        return [f"ipvsadm {self.original}"] if changed else []

    def add(self) -> None:
        if self.additions() and not self.original:
            self.original = self._read()
            files.stage(self.originals_path, f"{self.original}\n")
            files.keep(self.originals_path)
        super().add()

    def remove(self) -> None:
        super().remove()
        files.remove(self.originals_path)

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            self.output(command.split())
