"""Parameters of the kernel modules that were built for the host, recorded in modprobe.d(5).

Parameters of lvskit's modules can be changed while a module is loaded; most are sets of addresses or endpoints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from . import files, kinds
from .errors import HostError
from .kernel_modules import ROOT
from .programs import CommandRunner
from .resource import Resource, statements

OWN = "lvskit_"  # modules whose parameters may be written at any time
SETS = "/proc/net"  # where modules of lvskit's show their sets, in files of any length
AT_ONCE = 4000  # characters that are written at once: a parameter's file takes a page
MEMBERS = ("lips", "vips", "cip_src_vips", "rips", "services")  # parameters that are sets


def parse(text: str) -> dict[str, str]:
    """Module and parameter, as `lvskit_toa/parameters/lips`, to the value. Raises HostError for any other line."""
    values = {}
    for line in statements(text):
        word, *rest = line.split()
        if word != "options" or not rest:
            raise HostError(f"module parameters: cannot read the line `{line}`")
        module, *settings = rest
        for setting in settings:
            name, _, value = setting.partition("=")
            values[f"{module}/parameters/{name}"] = value
    return values


def by_module(text: str) -> dict[str, list[str]]:
    """The parameters of each module, as modprobe(8) accepts them. ModuleOptions refuses lines that cannot be read."""
    settings: dict[str, list[str]] = {}
    for line in statements(text):
        _, *rest = line.split()
        if rest:
            settings.setdefault(rest[0], []).extend(rest[1:])
    return settings


class ModuleOptions(Resource):
    title = kinds.MODULE_OPTIONS.title
    path = kinds.MODULE_OPTIONS.path

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        super().__init__(wanted, recorded, run)
        self.values: dict[str, str] = {}
        self.live: dict[str, str | None] = {}

    def prepare(self) -> None:
        recorded = self.of_record(parse)
        self.values = parse(self.wanted)
        self.live = {key: _read(key) for key in {**self.values, **recorded} if not _hidden(key)}

    def before(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.live.items() if value]

    def after(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.values.items()]

    def additions(self) -> list[str]:
        """Adds to the present members of a set of lvskit's module: packets for those may still arrive."""
        return [f"{key} = {value}" for key in self.values if (value := self.widened(key)) != self.live.get(key, value)]

    def widened(self, key: str) -> str:
        wanted, live = self.values[key], self.live.get(key)
        if not live or not _is_set(key):
            return wanted
        return _joined(wanted, live) if _lacks(live, wanted) else live

    def removals(self) -> list[str]:
        """A module without services stays loaded, with empty sets."""
        kept = {key: self.values.get(key, "") for key, value in self.live.items() if value and _is_set(key)}
        return [f"{key} = {value}" for key, value in kept.items() if _lacks(value, self.live[key] or "")]

    def stale(self) -> list[str]:
        lines = []
        for key, value in self.of_record(parse).items():
            wanted = self.values.get(key, "")
            if self.live.get(key) and _is_set(key) and _lacks(wanted, value):
                module, _, name = key.split("/")
                lines.append(f"options {module} {name}={_joined(wanted, value)}")
        return lines

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            key, _, value = command.partition(" =")
            try:
                if _hidden(key) or _read(key) == value.strip():
                    continue  # this run has just loaded it with its parameters
                for step in _steps(key, value.strip()):
                    with open(_place(key), "w", encoding="ascii") as file:
                        file.write(f"{step}\n")
            except OSError as error:
                raise HostError(
                    f"module parameters: cannot set {key} to {_shortened(value.strip())}: {error.strerror}. If the module takes it at its "
                    f"start only, unload it (rmmod {key.split('/')[0]}) and run again."
                ) from error


def _steps(key: str, value: str) -> Iterator[str]:
    """What is written one after the other, so that a parameter has a value: the whole, or where that is more than a page, changes of it."""
    if len(value) <= AT_ONCE or not os.path.exists(_set_of(key)):
        yield value
        return
    live = dict.fromkeys(filter(None, (_read(key) or "").split(",")))
    wanted = dict.fromkeys(filter(None, value.split(",")))
    for sign, addresses in (("+", wanted.keys() - live.keys()), ("-", live.keys() - wanted.keys())):
        step = ""
        for address in sorted(addresses):
            if len(step) + len(address) + 2 > AT_ONCE:
                yield sign + step
                step = ""
            step += f",{address}" if step else address
        if step:
            yield sign + step


def _shortened(value: str) -> str:
    return value if len(value) <= 200 else f"{value[:200]}… ({len(value)} characters)"


def _set_of(key: str) -> str:
    module, _, name = key.split("/")
    return files.place(os.path.join(SETS, f"{module}.{name}"))


def _place(key: str) -> str:
    return files.place(os.path.join(ROOT, key))


def _is_set(key: str) -> bool:
    return key.startswith(OWN) and key.split("/")[-1] in MEMBERS


def _lacks(have: str, wanted: str) -> bool:
    """Whether a member of `wanted` is not among those of `have`."""
    return not set(filter(None, wanted.split(","))) <= set(have.split(","))


def _joined(first: str, second: str) -> str:
    return ",".join(dict.fromkeys(filter(None, [*first.split(","), *second.split(",")])))


def _hidden(key: str) -> bool:
    """Whether the module is loaded and does not export the parameter: then it has the value it was loaded with."""
    return os.path.isdir(_place(key.split("/")[0])) and not os.path.exists(_place(key))


def _read(key: str) -> str | None:
    """The live value; None if the module is not loaded."""
    if _is_set(key) and os.path.exists(_set_of(key)):
        with open(_set_of(key), encoding="ascii") as file:
            return ",".join(file.read().split())
    try:
        with open(_place(key), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None
