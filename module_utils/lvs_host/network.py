"""Addresses, routes and routing rules, in the format that `ip -batch` reads (ip(8)).

Each family has a file of record: in a batch, a rule is of the family that ip(8) was started with. Links are in IPv4's file.

Routes and rules carry a routing protocol number of lvskit's own, which distinguishes them from those of other software;
an address is lvskit's if the file of record contains it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from . import files, kinds
from .errors import HostError
from .links import described
from .programs import CommandRunner, listed
from .resource import Resource, Stateless, statements

PROTOCOL = str(kinds.ROUTE_PROTOCOL)
IPV6 = "/proc/net/if_inet6"  # exists where the kernel has IPv6 and it is not disabled
_WORDS = {"link": 5, "tunnel": 5, "address": 5, "route": 3, "rule": 3}  # of a statement, at least


def parse(text: str) -> list[str]:
    """The statements of a file of record. Raises HostError for a line that is not one."""
    for line in (found := statements(text)):
        words = line.split()
        if words[0] not in _WORDS or len(words) < _WORDS[words[0]]:
            raise HostError(f"addresses and routes: cannot read the line `{line}`")
    return found


def undo(statement: str) -> str:
    """The statement that undoes `statement`."""
    words = statement.split()
    if words[0] == "link":
        return f"link set dev {words[3]} down"
    if words[0] == "tunnel":
        return f"tunnel change {words[2]} mode ip6ip6"  # what the kernel creates it with
    if words[0] == "address":
        return f"address del {words[2]} dev {words[4]}"
    return " ".join([words[0], "del", *words[2:]])


def live_statements(links: str, routes: str, rules: str, family: str) -> set[str]:
    """The kernel's state, in the format of the file of record. The arguments are the JSON output of ip(8), for one family."""
    found = set()
    for link in listed(links):
        name = link.get("ifname")
        if "UP" in link.get("flags", ()):
            found.add(f"link set dev {name} up")
        for address in link.get("addr_info", ()):
            if address.get("family") == family:
                text = f"address replace {address['local']}/{address['prefixlen']} dev {name}"
                found.add(" ".join([text, *_address_options(address)]))
    for route in listed(routes):
        # ip(8) leaves out the protocol that it was asked to filter by; without a family it answers with the routes of both.
        ours = str(route.get("protocol", PROTOCOL)) == PROTOCOL and "gateway" in route
        if ours and (":" in route["gateway"]) == (family == "inet6"):
            destination = f"{route['dst']} via {route['gateway']} dev {route['dev']}"
            found.add(f"route replace {destination} table {route.get('table', 'main')} protocol {PROTOCOL}")
    for rule in listed(rules):
        if str(rule.get("protocol")) == PROTOCOL:
            words = [f"from {rule.get('src')}"]
            words += [f"{word} {rule[word]}" for word in ("ipproto", "sport") if word in rule]
            words.append(f"lookup {rule.get('table')}")
            words += ["suppress_prefixlength 0"] if rule.get("suppress_prefixlen") == 0 else []
            found.add(f"rule add {' '.join(words)} priority {rule.get('priority')} protocol {PROTOCOL}")
    return found


def _address_options(address: Mapping[str, Any]) -> list[str]:
    """The words that follow an address and its device. A deprecated address is never chosen as a source, and `nodad` is an IPv6
    address that is usable at once.
    """
    words = [] if address.get("scope") == "global" else [f"scope {address.get('scope')}"]
    words += ["preferred_lft 0"] if address.get("preferred_life_time") == 0 else []
    return words + (["nodad"] if address.get("nodad") else [])


class Network(Resource):
    title = kinds.NETWORK.title
    path = kinds.NETWORK.path
    family = "inet"
    ip: Sequence[str] = ("ip",)

    def __init__(
        self,
        wanted: str,
        recorded: str,
        run: CommandRunner,
        *,
        interfaces: Mapping[str, Sequence[str]],
        elected: Collection[tuple[str, str]] = (),
    ) -> None:
        """`interfaces`: those that the host must have, with addresses of either family. `elected`: addresses that are keepalived's from now
        on, each with its device: they stay until it takes them.
        """
        super().__init__(wanted, recorded, run)
        self.elected = {f"address replace {address} dev {device}" for address, device in elected}
        self.interfaces = interfaces
        self.live: set[str] = set()

    def prepare(self) -> None:
        links = self.output([*self.ip, "-json", "address", "show"])
        self._read(links)
        present = {
            link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ()) if described(a)}
            for link in listed(links)
        }
        for name, addresses in self.interfaces.items():
            if name not in present:
                raise HostError(
                    f"the inventory says that interface {name} has {' and '.join(addresses)}, but there is no {name} here (found: "
                    f"{', '.join(sorted(present))}). Correct lvs_interfaces, or create the interface."
                )
            if any(address not in present[name] for address in addresses):
                raise HostError(
                    f"the inventory says that interface {name} has {' and '.join(addresses)}, but it has "
                    f"{', '.join(sorted(present[name])) or 'no address'}. Correct lvs_interfaces, or the host's network."
                )

    def _read(self, links: str) -> None:
        routes = self.output([*self.ip, "-json", "route", "show", "table", "all", "protocol", PROTOCOL])
        rules = self.output([*self.ip, "-json", "rule", "show"])
        self.live = live_statements(links, routes, rules, self.family)

    def before(self) -> list[str]:
        return [*(line for line in statements(self.wanted) if line in self.live), *self._gone()]

    def additions(self) -> list[str]:
        return [self._command(line) for line in statements(self.wanted) if line not in self.live]

    def stale(self) -> list[str]:
        return self._gone()

    def removals(self) -> list[str]:
        return [self._command(undo(line)) for line in reversed(self._gone())]

    def _gone(self) -> list[str]:
        """Present statements of lvskit's that are no longer wanted. An address is the same one whatever its options."""
        wanted = set(statements(self.wanted))
        held = {_subject(line) for line in wanted if line.startswith("address ")} | self.elected
        present = {_subject(line) for line in self.live}
        ours = [line for line in self.of_record(parse) if line.split()[0] in ("address", "link", "tunnel")]
        marked = sorted(line for line in self.live if line.split()[0] in ("route", "rule"))
        ours = [line for line in ours if _subject(line) in present and _subject(line) not in held]
        return [line for line in [*ours, *marked] if line not in wanted]

    def _command(self, statement: str) -> str:
        return " ".join([*self.ip, statement])

    def batch(self, commands: Sequence[str]) -> None:
        if commands:
            start = len(self._command(""))
            self.output([*self.ip, "-batch", "-"], "".join(f"{command[start:]}\n" for command in commands))


class Network6(Network):
    title = kinds.NETWORK6.title
    path = kinds.NETWORK6.path
    family = "inet6"
    ip = ("ip", "-6")

    def __init__(
        self, wanted: str, recorded: str, run: CommandRunner, *, elected: Collection[tuple[str, str]] = ()
    ) -> None:
        super().__init__(wanted, recorded, run, interfaces={}, elected=elected)

    def prepare(self) -> None:
        if os.path.exists(files.place(IPV6)):
            self._read(self.output([*self.ip, "-json", "address", "show"]))
            if any(line.startswith("tunnel ") for line in [*self.of_record(parse), *statements(self.wanted)]):
                self.live |= _tunnels(self.output(["ip", "-json", "-details", "link", "show", "type", "ip6tnl"]))
        elif statements(self.wanted):
            raise HostError(
                f"{self.title}: this host has no IPv6 (there is no {IPV6}). Start it without `ipv6.disable=1`, or take the IPv6 "
                "addresses of its services out of the inventory."
            )
        else:
            self.of_record(parse)


class KeptAddresses(Stateless):
    """Addresses that were keepalived's, and are the host's own from now on: keepalived takes them away when it gives them up."""

    title = "addresses of the election"

    def __init__(self, wanted: Sequence[str], *, given_up: Collection[tuple[str, str]], run: CommandRunner) -> None:
        """`wanted`: the files of record of addresses, `given_up`: the addresses that keepalived no longer has, each with its device."""
        super().__init__("", "", run)
        subjects = {f"address replace {address} dev {device}" for address, device in given_up}
        self.kept = [line for text in wanted for line in statements(text) if _subject(line) in subjects]

    def closing(self) -> list[str]:
        return [f"ip {line}" for line in self.kept]


def _tunnels(links: str) -> set[str]:
    """The tunnels in IPv6 that take packets of both families. ip6tnl0, which takes packets from any address, takes IPv6 alone at first."""
    found = {link["ifname"]: link.get("linkinfo", {}).get("info_data", {}) for link in listed(links)}
    return {f"tunnel change {name} mode any" for name, data in found.items() if data.get("proto") == "any"}


def _subject(statement: str) -> str:
    """The address and the device of a statement, without further options."""
    return " ".join(statement.split()[:5])
