"""iptables and ip6tables rules, in chains of lvskit's own, written with iptables-restore so that rules of other software stay.

A chain is named LVSKIT-<built-in chain> and called from that built-in chain of the same table, before other rules. The
file of record contains the chains only: the calls follow from their names, and must not be added twice at boot.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from . import files, kinds
from .errors import HostError
from .programs import CommandRunner, find
from .resource import Resource, statements

PREFIX = "LVSKIT-"
PASSING = "filter", f"{PREFIX}FORWARD"  # the chain that accepts replies
CONNECTIONS = "/proc/net/nf_conntrack"  # a kernel may have been built without it
TRACKED = "/proc/sys/net/netfilter/nf_conntrack_count"  # exists when connections are tracked
_VRRP = " -p vrrp ", " -p 112 "  # a protocol has a name where the host's /etc/protocols has one
_STATEMENT = re.compile(r"[*:]|-A |COMMIT$")  # how the lines of a file of record begin
_SOURCES = re.compile(r"--to-source (\S+?)(?:-(\S+))?(?=\s|$)")
Chains = dict[tuple[str, str], list[str]]  # table and chain to the rules


def parse(text: str) -> Chains:
    """lvskit's chains, and the calls of them, in the output of iptables-save; skips all other lines."""
    chains: Chains = {}
    table = ""
    for line in statements(text):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(f":{PREFIX}"):
            chains.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith(f"-A {PREFIX}") or (line.startswith("-A ") and line.split()[-1].startswith(PREFIX)):
            chains.setdefault((table, line.split()[1]), []).append(line.replace(*_VRRP))
    return chains


def parse_record(text: str) -> Chains:
    """The chains of a file of record. Raises HostError for a line that iptables-restore would not read, and for a table cut short."""
    lines = statements(text)
    for line in lines:
        if not _STATEMENT.match(line):
            raise HostError(f"iptables rules: cannot read the line `{line}`")
    if sum(line.startswith("*") for line in lines) != lines.count("COMMIT"):
        raise HostError("iptables rules: a table has no COMMIT at its end")
    return parse(text)


def render(chains: Chains) -> list[str]:
    """The lines of a file of record with these chains."""
    lines = []
    for table in dict.fromkeys(table for table, _ in chains):
        own = {chain: rules for (other, chain), rules in chains.items() if other == table}
        heads = [f":{chain} - [0:0]" for chain in own]
        lines += [f"*{table}", *heads, *(rule for rules in own.values() for rule in rules), "COMMIT"]
    return lines


def called(chains: Chains) -> Chains:
    """The same chains with the call of each."""
    calls: Chains = {}
    for table, chain in chains:
        if chain.startswith(PREFIX):
            hook = chain[len(PREFIX) :]
            calls.setdefault((table, hook), []).append(f"-A {hook} -j {chain}")
    return {**chains, **calls}


def sources(text: str) -> Iterator[str]:
    """The source addresses that the rules in an output of iptables-save assign to connections."""
    for first, last in _SOURCES.findall(text):
        kind = IPv6Address if ":" in first else IPv4Address
        yield from (str(kind(number)) for number in range(int(kind(first)), int(kind(last or first)) + 1))


def in_use(addresses: set[str], connections: str) -> bool:
    """Whether the replies of an open connection go to one of the addresses. `connections`: in the kernel's format."""
    lines = (line for line in connections.splitlines() if " ESTABLISHED " in line)
    forms = addresses | {
        ip_address(address).exploded for address in addresses
    }  # the kernel writes IPv6 in full, conntrack(8) does not
    return any(word[4:] in forms for line in lines for word in line.split() if word.startswith("dst="))


class Netfilter(Resource):
    title = kinds.NETFILTER.title
    path = kinds.NETFILTER.path
    iptables = "iptables"
    connections: Sequence[str] = ("conntrack", "-L")

    def __init__(
        self,
        wanted: str,
        recorded: str,
        run: CommandRunner,
        *,
        installed: bool,
        drain_timeout: int = 0,
        away: Callable[[], set[str]] = set,
    ) -> None:
        """`drain_timeout`: seconds to wait for the open connections of a local address that is to be removed. `away`: see
        election.away.
        """
        super().__init__(wanted, recorded, run)
        self.installed = installed
        self.drain_timeout = drain_timeout
        self.away = away
        self.chains = called(parse(wanted))
        self.live: Chains = {}
        self.leaving: Chains = {}  # what lets packets pass of connections that have to end before

    def prepare(self) -> None:
        recorded = self.of_record(parse_record)
        if not self.installed:
            return
        if tables := {table for table, _ in (*self.chains, *recorded)}:
            saved = parse(self.output([f"{self.iptables}-save"]))
            self.live = {key: rules for key, rules in saved.items() if key[0] in tables}
        known = recorded.get(PASSING, ())
        gone = [
            rule for rule in self.live.get(PASSING, ()) if rule in known and rule not in self.chains.get(PASSING, ())
        ]
        self.leaving = {PASSING: gone} if PASSING in self.chains and gone else {}

    def before(self) -> list[str]:
        return [f"-t {table} {rule}" for (table, _), rules in self.live.items() for rule in rules]

    def after(self) -> list[str]:
        return [f"-t {table} {rule}" for (table, _), rules in self.chains.items() for rule in rules]

    def additions(self) -> list[str]:
        commands = []
        for (table, chain), rules in self.chains.items():
            here = self.live.get((table, chain))
            if not chain.startswith(PREFIX):
                commands += [f"-t {table} -I{rule[2:]}" for rule in rules if rule not in (here or ())]
            elif here != (now := [*rules, *self.leaving.get((table, chain), ())]):
                commands += [f"-t {table} -N {chain}", *(f"-t {table} {rule}" for rule in now)]
        return [f"{self.iptables} {command}" for command in commands]

    def settle(self) -> None:
        """Waits for the open connections of local addresses to be removed, at most `drain_timeout`. New connections use other
        addresses, because the rules have been replaced already.
        """
        leaving = set(sources(self.recorded)) - set(sources(self.wanted))
        leaving -= self.away() if leaving and self.drain_timeout else set()
        until = time.monotonic() + self.drain_timeout
        while leaving and time.monotonic() < until:
            connections = self._connections()
            if connections is None:
                self.notes.append(
                    f"Connections that leave from {', '.join(sorted(leaving))} were not waited for, and open ones were cut: this "
                    f"kernel has no {CONNECTIONS}, and the program conntrack is missing. Install the package conntrack to have them "
                    "waited for."
                )
            if connections is None or not in_use(leaving, connections):
                return
            time.sleep(1)

    def _connections(self) -> str | None:
        """The tracked connections as text, None if they cannot be listed."""
        try:
            with open(files.place(CONNECTIONS), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            if not os.path.exists(files.place(TRACKED)):
                return ""
        return self.output([*self.connections]) if find("conntrack") else None

    def stale(self) -> list[str]:
        recorded = self.of_record(parse_record)
        return render({key: rules for key, rules in recorded.items() if key in self.live and key not in self.chains})

    def removals(self) -> list[str]:
        commands = [f"-t {table} -D {rule[3:]}" for (table, _), rules in self.leaving.items() for rule in rules]
        for (table, chain), rules in self.live.items():
            if not chain.startswith(PREFIX):
                gone = [rule for rule in rules if rule not in self.chains.get((table, chain), ())]
                commands += [f"-t {table} -D {rule.partition(' ')[2]}" for rule in gone]
        for table, chain in self.live:
            if chain.startswith(PREFIX) and (table, chain) not in self.chains:
                commands += [f"-t {table} -F {chain}", f"-t {table} -X {chain}"]
        return [f"{self.iptables} {command}" for command in commands]

    def batch(self, commands: Sequence[str]) -> None:
        """One atomic iptables-restore for each table; declaring a chain there creates or empties it."""
        by_table: dict[str, list[str]] = {}
        for command in commands:
            _, _, table, rest = command.split(" ", 3)
            line = f":{rest[3:]} - [0:0]" if rest.startswith("-N ") else rest
            by_table.setdefault(table, []).append(line)
        for table, lines in by_table.items():
            text = "\n".join([f"*{table}", *lines, "COMMIT", ""])
            try:
                self.output([f"{self.iptables}-restore", "--wait", "--noflush"], text)
            except HostError as error:
                raise HostError(f"{error}. The rules were: {'; '.join(lines)}") from None


class Netfilter6(Netfilter):
    title = kinds.NETFILTER6.title
    path = kinds.NETFILTER6.path
    iptables = "ip6tables"
    connections = ("conntrack", "-L", "-f", "ipv6")
