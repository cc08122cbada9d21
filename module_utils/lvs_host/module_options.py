"""Parameters of the kernel modules that were built for the host, recorded in modprobe.d(5).

Those of lvskit's own can be changed while a module works.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .resource import CommandRunner, HostError, Resource, statements

ROOT = "/sys/module"


def parse(text: str) -> dict[str, str]:
    """Module and parameter, as `lvskit_toa/parameters/lips`, to the value. Raises HostError for any other line."""
    values = {}
    for line in statements(text):
        word, module, *settings = line.split()
        if word != "options":
            raise HostError(f"module parameters: cannot read the line `{line}`")
        for setting in settings:
            name, _, value = setting.partition("=")
            values[f"{module}/parameters/{name}"] = value
    return values


def by_module(text: str) -> dict[str, list[str]]:
    """The settings of each module, as modprobe(8) takes them."""
    settings: dict[str, list[str]] = {}
    for line in statements(text):
        _, module, *own = line.split()
        settings.setdefault(module, []).extend(own)
    return settings


class ModuleOptions(Resource):
    title = "module parameters"
    path = "/etc/modprobe.d/lvskit.conf"

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        super().__init__(wanted, recorded, run)
        self.values = parse(wanted)
        self.live: dict[str, str | None] = {}

    def prepare(self) -> None:
        self.live = {key: _read(key) for key in {**self.values, **parse(self.recorded)} if not _hidden(key)}

    def before(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.live.items() if value]

    def after(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.values.items()]

    def additions(self) -> list[str]:
        return [
            f"{key} = {value}" for key, value in self.values.items() if key in self.live and self.live[key] != value
        ]

    def removals(self) -> list[str]:
        """A module whose services are gone stays loaded, without an address to act on."""
        return [f"{key} = " for key, value in self.live.items() if value and key not in self.values]

    def stale(self) -> list[str]:
        recorded = parse(self.recorded)
        gone = [key for key, value in self.live.items() if value and key not in self.values and key in recorded]
        return [f"options {key.split('/')[0]} {key.split('/')[2]}={recorded[key]}" for key in gone]

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            key, _, value = command.partition(" =")
            try:
                if _hidden(key) or _read(key) == value.strip():
                    continue  # it was loaded with its parameters just now
                with open(os.path.join(ROOT, key), "w", encoding="ascii") as file:
                    file.write(f"{value.strip()}\n")
            except OSError as error:
                raise HostError(
                    f"module parameters: cannot set {key} to {value.strip()}: {error.strerror}. If the module takes it at its "
                    f"start only, unload it (rmmod {key.split('/')[0]}) and run again."
                ) from error


def _hidden(key: str) -> bool:
    """Whether the module is loaded and does not show the parameter: then it has what it was loaded with."""
    return os.path.isdir(os.path.join(ROOT, key.split("/")[0])) and not os.path.exists(os.path.join(ROOT, key))


def _read(key: str) -> str | None:
    """The live value, or None where the module is not loaded."""
    try:
        with open(os.path.join(ROOT, key), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None
