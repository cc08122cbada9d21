"""The IPVS table, in the format that `ipvsadm --save --numeric` writes and `ipvsadm --restore` reads (ipvsadm(8)).

`--restore` also reads what `--save` leaves out: the thresholds of real servers, which are in the file of record.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from . import files, kinds
from .election import MARKS
from .errors import HostError, damaged
from .ipvs_lines import OPTIONS, ServiceKey, split
from .ipvs_netlink import Interrupted, Unsupported
from .programs import CommandRunner
from .resource import REMEDY, Resource, statements

_PLACES = {option: place for place, option in enumerate(OPTIONS)}
_DEFAULT_OPTIONS = {
    ("--tun-type", "ipip"),
    ("--tun-nocsum",),
    ("-M", "255.255.255.255"),
    ("-M", "128"),
    ("-x", "0"),
    ("-y", "0"),
}

_LISTED_FLAGS = {
    "TCP": "-t",
    "UDP": "-u",
    "SCTP": "--sctp-service",
    "FWM": "-f",
}  # in /proc/net/ip_vs and `ipvsadm --list`
_ADDRESS = re.compile(r"(?:[0-9A-F]{8}|\[[0-9a-f:]{39}\]):[0-9A-F]{4}")  # in /proc/net/ip_vs
_MARK = re.compile(r"[0-9A-F]{8}")
_WEIGHT = re.compile(r"-w \d+")
_THRESHOLD = " -x "
TABLE = "/proc/net/ip_vs"


@dataclass
class VirtualService:
    """`options` are what follows the address: scheduler, persistence, flags; `destinations` maps RIP:port to its options."""

    options: str
    destinations: dict[str, str] = field(default_factory=dict)


Table = dict[ServiceKey, VirtualService]


@lru_cache(maxsize=8)  # wanted, recorded and live
def parse(text: str) -> Table:
    """The table that a saved file describes, to be read only. Raises HostError for a line that is not in ipvsadm's format."""
    table: Table = {}
    for line in statements(text):
        try:
            command, key, rest = split(line)
            if command in ("-A", "--add-service"):
                table[key] = VirtualService(_options(rest))
            elif command in ("-a", "--add-server"):
                option, rip, *options = rest.split(None, 2)
                if option != "-r":
                    raise KeyError(option)
                table[key].destinations[rip] = _options(*options)
            else:
                raise KeyError(command)
        except (KeyError, IndexError, ValueError):
            raise HostError(f"IPVS table: cannot read the line `{line}` of a saved table") from None
    return table


@lru_cache(maxsize=1024)  # many lines have the same options
def _options(text: str = "") -> str:
    """Options in a fixed order, without those that only repeat a default."""
    groups: list[tuple[str, ...]] = []
    for word in text.split():
        if word.startswith("-"):
            groups.append((word,))
        else:
            groups[-1] += (word,)
    kept = [group for group in groups if group not in _DEFAULT_OPTIONS]
    kept.sort(key=lambda group: (_PLACES.get(group[0], len(OPTIONS)), group))
    return " ".join(word for group in kept for word in group)


def by_service(statements: Sequence[str]) -> dict[str, list[str]]:
    """The lines of a saved table for each service, by its flag and address as they are written there."""
    found: dict[str, list[str]] = {}
    start = "\n"  # of the lines of the service that the line before was for
    for line in statements:
        if not line.startswith(start):
            words = line.split(None, 4)[1:4]
            name = " ".join(words if words[2:] == ["-6"] else words[:2])
            start = f"-a {name} -r "
            lines = found.setdefault(name, [])
        lines.append(line)
    return found


def render(table: Table) -> str:
    """The table in ipvsadm's format, sorted, so that equal tables are equal strings."""
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

    A service that lvskit did not record is foreign: it is removed only if `foreign` is set.
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


def going(commands: Sequence[str]) -> set[tuple[str, ...]]:
    """The entries that `removals` removes: flag and address of a service; for a real server also its address."""
    found: set[tuple[str, ...]] = set()
    for command in commands:
        _, key, real_server = split(command)
        found.add((*key, real_server.split()[1]) if real_server else key)
    return found


def quieting(live: Table, removed: set[tuple[str, ...]]) -> list[str]:
    """The commands that stop new connections to entries to be removed (weight 0), so that open connections can end."""
    return [
        f"-e {' '.join(key)} -r {rip} {_WEIGHT.sub('-w 0', options)}"
        for key, service in live.items()
        for rip, options in service.destinations.items()
        if (key in removed or (*key, rip) in removed) and " -w 0 " not in f"{options} "
    ]


def active_connections(text: str) -> dict[tuple[str, str, str], int]:
    """The number of open connections, by a service's flag and address and the real server's address.

    `text` is the content of /proc/net/ip_vs, with hexadecimal addresses. UDP has no open connections. The kernel does not tell the
    family of a firewall mark there: the connections are listed for both.
    """
    return {(*key, rip): int(words[4]) for key, rip, words in listed(text)}


def in_order(text: str) -> dict[str, list[str]]:
    """The real servers of each service, as a saved table names both, in the order in which they were added.

    `text` is the content of /proc/net/ip_vs: the kernel puts each new one at the head of its list (__ip_vs_update_dest), and schedulers
    that make a table go through this list. ipvsadm would sort it.
    """
    found: dict[str, list[str]] = {}
    for key, rip, _ in listed(text):
        found.setdefault(" ".join(key), []).insert(0, rip)
    return found


def listed(text: str) -> Iterator[tuple[ServiceKey, str, list[str]]]:
    """The real servers in /proc/net/ip_vs, each with its service before it and with its whole line behind it."""
    keys: list[ServiceKey] = []
    for words in (line.split() for line in text.splitlines()):
        if words[0] != "->":
            keys = _listed_keys(*words[:2])
        elif keys and _ADDRESS.fullmatch(words[1]):
            yield from ((key, _address(words[1]), words) for key in keys)


def _listed_keys(protocol: str, address: str) -> list[ServiceKey]:
    """The keys that a service's line in /proc/net/ip_vs can stand for; none for the lines of the header."""
    flag = _LISTED_FLAGS.get(protocol, "")
    if flag == "-f" and _MARK.fullmatch(address):
        number = int(address, 16)
        return [(flag, str(number)), (flag, f"{number} -6")]
    return [(flag, _address(address))] if flag and _ADDRESS.fullmatch(address) else []


@lru_cache(maxsize=65536)
def _address(text: str) -> str:
    """192.0.2.1:80 for C0000201:0050, and [2001:db8::1]:80 for [2001:0db8:0000:0000:0000:0000:0000:0001]:0050."""
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return f"[{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(host[1:-1].replace(':', '')))}]:{int(port, 16)}"
    return f"{socket.inet_ntop(socket.AF_INET, bytes.fromhex(host))}:{int(port, 16)}"


def with_thresholds(saved: Sequence[str], listing: str) -> list[str]:
    """The lines of a saved table, with the thresholds that `ipvsadm --list --numeric --thresholds` gives for real servers."""
    found: dict[tuple[str, str, str], str] = {}
    key = ("", "")
    for line in listing.splitlines():
        first, *words = line.split()
        if first in _LISTED_FLAGS:
            flag = _LISTED_FLAGS[first]
            _, key, _ = split(f"-A {flag} {words[0]}{' -6' if flag == '-f' and words[1] == 'IPv6' else ''}")
        elif first == "->" and words[1:]:
            limits = zip(("-x", "-y"), words[1:3])
            found[(*key, words[0])] = "".join(f" {option} {limit}" for option, limit in limits if limit != "0")
    lines = []
    for line in saved:
        command, service, rest = split(line)
        lines.append(line + found.get((*service, rest.split()[1]), "") if command == "-a" else line)
    return lines


class IpvsTable(Resource):
    title = kinds.IPVS.title
    path = kinds.IPVS.path

    def __init__(
        self,
        wanted: str,
        recorded: str,
        run: CommandRunner,
        *,
        installed: bool,
        target: str | None = None,
        purge_foreign: bool = False,
        drain_timeout: int = 0,
        netlink: Callable[[Sequence[str]], list[str]] | None = None,
        away: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`target` is the table that the kernel is to have, where it is not the planned one: that with the governor's decisions.
        `drain_timeout`: seconds to wait for the open connections of removed entries. `netlink` executes commands
        and returns the refused ones; ipvsadm executes them if there is no `netlink`, or if it does not support one. `away`: see
        election.away.
        """
        super().__init__(wanted, recorded, run)
        self.target = wanted if target is None else target
        self.drain_timeout = drain_timeout
        self.away = away
        self.netlink = netlink
        self.installed = installed
        self.purge_foreign = purge_foreign
        # What there is to compare: the lines of the services that differ, in the kernel, in the plan and in the file of record.
        self.found, self.differing, self.known = "", self.target, recorded

    def prepare(self) -> None:
        if self.installed and os.path.exists(
            files.place(TABLE)
        ):  # ipvsadm would load the kernel module to read the table
            found, wanted = self._saved(), statements(self.target)
            if set(found) == set(wanted):  # in any order: the kernel has its own order
                self.found = self.differing = self.known = ""
            else:
                self._leave_out_what_is_the_same(*map(by_service, (found, wanted, statements(self.recorded))))

    def _saved(self) -> list[str]:
        """The kernel's table, with thresholds if lvskit has any: they take a second look at it."""
        saved = statements(self.output(["ipvsadm", "--save", "--numeric"]))
        if _THRESHOLD not in self.wanted and _THRESHOLD not in self.recorded:
            return saved
        return with_thresholds(saved, self.output(["ipvsadm", "--list", "--numeric", "--thresholds"]))

    def _leave_out_what_is_the_same(self, *tables: dict[str, list[str]]) -> None:
        found, wanted, _ = tables
        same = {name for name in found if name in wanted and set(found[name]) == set(wanted[name])}
        self.found, self.differing, self.known = (
            "".join(f"{line}\n" for name, lines in table.items() if name not in same for line in lines)
            for table in tables
        )

    @property
    def live(self) -> Table:
        return parse(self.found)

    @property
    def table(self) -> Table:
        return parse(self.differing)

    @property
    def known_table(self) -> Table:
        try:
            return parse(self.known)
        except HostError as error:
            raise damaged(self.path, error, REMEDY) from error

    @property
    def foreign(self) -> list[str]:
        """Services in the kernel that are neither planned nor recorded, as ipvsadm names them."""
        return [" ".join(key) for key in self._foreign_keys()]

    def _foreign_keys(self) -> list[ServiceKey]:
        known = {**self.known_table, **self.table}
        return [key for key in self.live if key not in known]

    def before(self) -> list[str]:
        return render(self.live).splitlines()

    def after(self) -> list[str]:
        kept = {} if self.purge_foreign else {key: self.live[key] for key in self._foreign_keys()}
        return render({**kept, **self.table}).splitlines()

    def additions(self) -> list[str]:
        return [f"ipvsadm {line}" for line in additions(self.live, self.table)]

    def stale(self) -> list[str]:
        recorded = self.known_table
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
        lines = removals(self.live, self.table, self.known_table, foreign=self.purge_foreign)
        return [f"ipvsadm {line}" for line in lines]

    def quieting(self) -> list[str]:
        removed = self._going()
        return [f"ipvsadm {line}" for line in quieting(self.live, removed)] if removed else []

    def settle(self) -> None:
        """Waits until entries to be removed have no open connection, at most `drain_timeout`. Connections to VIPs of another director are
        copies of its own: they end there.
        """
        removed = self._ending_here(self._going())
        until = time.monotonic() + self.drain_timeout
        while removed and time.monotonic() < until:
            with open(files.place(TABLE), encoding="ascii") as file:
                active = active_connections(file.read())
            if not any(number and self._concerns(key, removed) for key, number in active.items()):
                return
            time.sleep(1)

    def _ending_here(self, removed: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
        """Without those of VIPs that another director carries."""
        away = self.away() if removed and self.drain_timeout else ()
        return {key for key in removed if (MARKS if key[0] == "-f" else _vip(key)) not in away}

    def _concerns(self, key: tuple[str, str, str], removed: set[tuple[str, ...]]) -> bool:
        """Whether a real server of `active_connections` is removed, or its service. Of a firewall mark's two families it has one."""
        service = key[:2]
        return (key in removed or service in removed) and key[2] in self.live[service].destinations

    def _going(self) -> set[tuple[str, ...]]:
        return going([line[len("ipvsadm ") :] for line in self.removals()])

    def batch(self, commands: Sequence[str]) -> None:
        self._restore([command[len("ipvsadm ") :] for command in commands])

    def _restore(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        if not self._by_netlink(lines):
            self.output(["ipvsadm", "--restore"], "".join(f"{line}\n" for line in lines))

    def _by_netlink(self, lines: Sequence[str]) -> bool:
        """Whether netlink could execute the commands. Raises HostError if the kernel refused some."""
        if self.netlink is None:
            return False
        try:
            refused = self.netlink(lines)
        except (Unsupported, OSError):
            return False
        except Interrupted as error:
            raise HostError(
                f"{self.title}: {error}. Some of them may be in force; the next run reads the table and continues"
            ) from error
        if refused:
            others = ", and carried out the others of its batch" if len(lines) > len(refused) else ""
            raise HostError(f"{self.title}: the kernel refused {'; '.join(refused)}{others}")
        return True


def _vip(key: Sequence[str]) -> str:
    """The VIP of a virtual service, by its flag and address as ipvsadm has them."""
    return key[1].rpartition(":")[0].strip("[]")
