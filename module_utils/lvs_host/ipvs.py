"""The IPVS table, in the format that `ipvsadm --save --numeric` writes and `ipvsadm --restore` reads (ipvsadm(8))."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from .resource import CommandRunner, HostError, Resource, statements

_SERVICE_FLAGS = {
    "-t": "-t",
    "--tcp-service": "-t",
    "-u": "-u",
    "--udp-service": "-u",
    "-f": "-f",
    "--fwmark-service": "-f",
}
_METHODS = ("-g", "-m", "-i")
_DEFAULT_OPTIONS = {("--tun-type", "ipip"), ("-M", "255.255.255.255"), ("--tun-nocsum",)}

ServiceKey = tuple[str, str]  # flag and address: ("-t", "203.0.113.80:80")


@dataclass
class VirtualService:
    """`options` are what follows the address: scheduler, persistence, flags; `destinations` maps RIP:port to its options."""

    options: str
    destinations: dict[str, str] = field(default_factory=dict)


Table = dict[ServiceKey, VirtualService]


def parse(text: str) -> Table:
    """The table that a saved file describes. Raises HostError for a line that is not ipvsadm's."""
    table: Table = {}
    for line in statements(text):
        words = line.split()
        try:
            command, flag, address = words[0], _SERVICE_FLAGS[words[1]], words[2]
            key = (flag, address)
            if command in ("-A", "--add-service"):
                table[key] = VirtualService(_options(words[3:]))
            elif command in ("-a", "--add-server") and words[3] == "-r":
                table[key].destinations[words[4]] = _options(words[5:])
            else:
                raise KeyError(command)
        except (KeyError, IndexError):
            raise HostError(f"IPVS table: cannot read the line `{line}` of a saved table") from None
    return table


def _options(words: Sequence[str]) -> str:
    """Options in a fixed order, without those that only repeat a default."""
    groups: list[tuple[str, ...]] = []
    for word in words:
        if word.startswith("-"):
            groups.append((word,))
        else:
            groups[-1] += (word,)
    kept = [group for group in groups if group not in _DEFAULT_OPTIONS]
    kept.sort(key=lambda group: (group[0] not in ("-s", *_METHODS), group))
    return " ".join(word for group in kept for word in group)


def render(table: Table) -> str:
    """The table in ipvsadm's format, sorted, so that two equal tables are equal texts."""
    lines = []
    for (flag, address), service in sorted(table.items()):
        lines.append(f"-A {flag} {address} {service.options}".rstrip())
        lines += [f"-a {flag} {address} -r {rip} {options}" for rip, options in sorted(service.destinations.items())]
    return "".join(line + "\n" for line in lines)


def additions(live: Table, wanted: Table) -> list[str]:
    """The commands that add what is missing and alter what differs; an unchanged destination is not touched."""
    commands = []
    for key, service in wanted.items():
        name = " ".join(key)
        here = live.get(key)
        if here is None:
            commands.append(f"-A {name} {service.options}")
        elif here.options != service.options:
            commands.append(f"-E {name} {service.options}")
        for rip, options in service.destinations.items():
            existing = here.destinations.get(rip) if here else None
            if existing is None:
                commands.append(f"-a {name} -r {rip} {options}")
            elif existing != options:
                commands.append(f"-e {name} -r {rip} {options}")
    return commands


def removals(live: Table, wanted: Table, recorded: Table, *, foreign: bool) -> list[str]:
    """The commands that remove destinations and services which the plan does not have.

    A service that lvskit did not record is somebody else's: it goes only when `foreign` says so.
    """
    commands = []
    for key, here in live.items():
        name = " ".join(key)
        if key in wanted:
            gone = [rip for rip in here.destinations if rip not in wanted[key].destinations]
            commands += [f"-d {name} -r {rip}" for rip in gone]
        elif key in recorded or foreign:
            commands.append(f"-D {name}")
    return commands


class IpvsTable(Resource):
    title = "IPVS table"
    path = "/etc/lvskit/ipvs.rules"

    def __init__(
        self, wanted: str, recorded: str, run: CommandRunner, *, installed: bool, purge_foreign: bool = False
    ) -> None:
        super().__init__(wanted, recorded, run)
        self.installed = installed
        self.purge_foreign = purge_foreign
        self.live: Table = {}
        self.table = parse(wanted)

    def prepare(self) -> None:
        if self.installed and os.path.exists("/proc/net/ip_vs"):  # ipvsadm would load the kernel module to look
            self.live = parse(self.output(["ipvsadm", "--save", "--numeric"]))

    @property
    def foreign(self) -> list[str]:
        """Services in the kernel that are neither planned nor recorded, as ipvsadm names them."""
        return [" ".join(key) for key in self._foreign_keys()]

    def _foreign_keys(self) -> list[ServiceKey]:
        known = {**parse(self.recorded), **self.table}
        return [key for key in self.live if key not in known]

    def before(self) -> list[str]:
        return render(self.live).splitlines()

    def after(self) -> list[str]:
        kept = {} if self.purge_foreign else {key: self.live[key] for key in self._foreign_keys()}
        return render({**kept, **self.table}).splitlines()

    def additions(self) -> list[str]:
        return [f"ipvsadm {line}" for line in additions(self.live, self.table)]

    def stale(self) -> list[str]:
        recorded = parse(self.recorded)
        gone: Table = {key: service for key, service in recorded.items() if key in self.live and key not in self.table}
        lines = render(gone).splitlines()
        for key in (key for key in recorded if key in self.live and key in self.table):
            held = self.live[key].destinations
            missing = [
                rip for rip in recorded[key].destinations if rip in held and rip not in self.table[key].destinations
            ]
            lines += [f"-a {' '.join(key)} -r {rip} {held[rip]}" for rip in missing]
        return lines

    def record(self, *, keep_stale: bool) -> str:
        return self.wanted + "".join(f"{line}\n" for line in (self.stale() if keep_stale else []))

    def removals(self) -> list[str]:
        lines = removals(self.live, self.table, parse(self.recorded), foreign=self.purge_foreign)
        return [f"ipvsadm {line}" for line in lines]

    def batch(self, commands: Sequence[str]) -> None:
        if commands:
            self.output(["ipvsadm", "--restore"], "".join(f"{command[len('ipvsadm ') :]}\n" for command in commands))
            self.prepare()
