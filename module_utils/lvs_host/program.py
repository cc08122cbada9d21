"""lvskit's own program on a host, /usr/lib/lvskit/lvskit.pyz: this package as a zip file that Python runs."""

from __future__ import annotations

import io
import os
import pkgutil
import zipfile
from collections.abc import Sequence

from . import daemons, files
from .errors import cannot
from .programs import CommandRunner
from .resource import Resource

PATH = "/usr/lib/lvskit/lvskit.pyz"
_PACKAGE = "lvs_host"
_MAIN = f"import sys\nfrom {_PACKAGE}.daemons import {daemons.main.__name__}\nsys.exit(main())\n"
# The modules that the program needs; each imports none but these and Python's own.
MODULES = (
    "daemons",
    "decisions",
    "documents",
    "election",
    "errors",
    "files",
    "formats",
    "governing",
    "governor",
    "history",
    "host",
    "ipvs",
    "ipvs_lines",
    "ipvs_netlink",
    "journal",
    "keeper",
    "kernel_modules",
    "kinds",
    "links",
    "lock",
    "module_options",
    "netfilter",
    "netlink_events",
    "network",
    "program",
    "programs",
    "resource",
    "rival",
    "sysctls",
    "timeouts",
    "unit",
    "verdicts",
)


def content() -> bytes:
    """The zip file; always the same for the same modules."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        texts = {"__main__.py": _MAIN.encode(), f"{_PACKAGE}/__init__.py": b""}
        for name in MODULES:
            source = pkgutil.get_data(__package__, f"{name}.py")
            assert source is not None
            texts[f"{_PACKAGE}/{name}.py"] = source
        for name, text in sorted(texts.items()):
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


class Program(Resource):
    """It is there as long as a unit runs it. `fixed`: the one that is there is right, whatever it holds."""

    title = "lvskit's program"

    def __init__(self, run: CommandRunner, *, wanted: bool, fixed: bool = False) -> None:
        super().__init__("", "", run)
        self.needed = wanted
        self.fixed = fixed
        self.there: bytes | None = None

    def prepare(self) -> None:
        try:
            with open(files.place(PATH), "rb") as file:
                self.there = file.read()
        except FileNotFoundError:
            self.there = None

    @property
    def changed(self) -> bool:
        """Whether another program is to be put in the place of the one that is there."""
        return self.needed and (self.there is None or (not self.fixed and self.there != content()))

    def before(self) -> list[str]:
        return [] if self.there is None else [PATH]

    def after(self) -> list[str]:
        return [PATH] if self.needed else []

    def additions(self) -> list[str]:
        return [f"install {PATH}"] if self.changed else []

    def removals(self) -> list[str]:
        return [] if self.needed or self.there is None else [f"rm {PATH}"]

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            if command.startswith("rm "):
                files.remove(PATH)
                continue
            place = files.place(PATH)
            try:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place + files.SUFFIX, "wb") as file:
                    file.write(content())
                    os.fsync(file.fileno())
                os.chmod(place + files.SUFFIX, 0o755)
                os.replace(place + files.SUFFIX, place)
            except OSError as error:
                raise cannot("write", PATH, error) from error
