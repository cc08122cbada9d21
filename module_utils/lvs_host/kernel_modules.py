"""Kernel modules, recorded in modules-load.d(5). They are loaded when needed and never unloaded: other software may use them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import files, kinds
from .errors import HostError
from .programs import CommandRunner
from .resource import Resource, statements

ROOT = "/sys/module"


class KernelModules(Resource):
    title = kinds.MODULES.title
    path = kinds.MODULES.path

    def __init__(
        self,
        wanted: str,
        recorded: str,
        run: CommandRunner,
        *,
        options: Mapping[str, Sequence[str]] | None = None,
        coming: Sequence[str] = (),
    ) -> None:
        """`options` are parameters for loading. `coming` are modules that this run will install: in check mode they
        are not installed yet.
        """
        super().__init__(wanted, recorded, run)
        self.options = options or {}
        self.coming = coming
        self.missing: list[str] = []

    def prepare(self) -> None:
        self.missing = [name for name in statements(self.wanted) if not loaded(name)]
        for name in list(self.missing):
            found = look(name, self.run)
            if found.obstacle and name not in self.coming:
                raise HostError(found.obstacle)
            if found.builtin:
                self.missing.remove(name)

    def before(self) -> list[str]:
        return [name for name in statements(self.wanted) if name not in self.missing]

    def additions(self) -> list[str]:
        return [" ".join(["modprobe", name, *self.options.get(name, ())]) for name in self.missing]

    def removals(self) -> list[str]:
        return []

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            self.output(command.split())
        self.missing = []


@dataclass(frozen=True)
class Load:
    """The result of loading a module: it is built in, can be loaded, or is not available for a reason."""

    builtin: bool
    obstacle: str


def loaded(name: str) -> bool:
    """Whether the running kernel has a module, or has it built in with parameters."""
    return os.path.isdir(files.place(f"{ROOT}/{name}"))


def look(name: str, run: CommandRunner) -> Load:
    """The output of modprobe for a module that is not loaded."""
    code, plan, err = run(["modprobe", "--show-depends", name], None)
    obstacle = _unavailable(name, os.uname().release, str(err).strip()) if code else ""
    return Load(str(plan).startswith("builtin"), obstacle)


def _unavailable(name: str, release: str, reason: str) -> str:
    if not os.path.isdir(f"/lib/modules/{release}"):
        return (
            f"the running kernel {release} has no modules on disk (it was probably upgraded), so {name} cannot be loaded. "
            "Reboot into the installed kernel."
        )
    return (
        f"the kernel {release} has no module {name} ({reason or 'modprobe does not know it'}). Install a kernel that has it "
        "(on Debian linux-image-amd64 or linux-image-cloud-amd64), or remove the services that need it from this host."
    )
