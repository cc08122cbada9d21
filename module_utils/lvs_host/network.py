"""Addresses, routes and routing rules, in the format that `ip -batch` reads (ip(8)).

Routes and rules carry a routing protocol number of lvskit's own, which distinguishes them from those of other software;
an address is lvskit's if the file of record contains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import kinds
from .errors import HostError
from .programs import CommandRunner, listed
from .resource import Resource, statements

PROTOCOL = str(kinds.ROUTE_PROTOCOL)
_WORDS = {"link": 5, "address": 5, "route": 3, "rule": 3}  # of a statement, at least


def parse(text: str) -> list[str]:
    """The statements of a file of record. Raises HostError for a line that is not one."""
    for line in (found := statements(text)):
        words = line.split()
        if len(words) < _WORDS.get(words[0], len(words) + 1):
            raise HostError(f"addresses and routes: cannot read the line `{line}`")
    return found


def undo(statement: str) -> str:
    """The statement that undoes `statement`."""
    words = statement.split()
    if words[0] == "link":
        return f"link set dev {words[3]} down"
    if words[0] == "address":
        return f"address del {words[2]} dev {words[4]}"
    return " ".join([words[0], "del", *words[2:]])


def live_statements(links: str, routes: str, rules: str) -> set[str]:
    """The kernel's state, in the format of the file of record. The arguments are the JSON output of ip(8)."""
    found = set()
    for link in listed(links):
        name = link.get("ifname")
        if "UP" in link.get("flags", ()):
            found.add(f"link set dev {name} up")
        for address in link.get("addr_info", ()):
            if address.get("family") == "inet":
                text = f"address replace {address['local']}/{address['prefixlen']} dev {name}"
                found.add(text if address.get("scope") == "global" else f"{text} scope {address.get('scope')}")
    for route in listed(routes):
        # ip(8) leaves out the protocol that it was asked to filter by.
        if str(route.get("protocol", PROTOCOL)) == PROTOCOL and "gateway" in route:
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


class Network(Resource):
    title = kinds.NETWORK.title
    path = kinds.NETWORK.path

    def __init__(
        self, wanted: str, recorded: str, run: CommandRunner, *, interfaces: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(wanted, recorded, run)
        self.interfaces = interfaces
        self.live: set[str] = set()

    def prepare(self) -> None:
        links = self.output(["ip", "-json", "address", "show"])
        routes = self.output(["ip", "-json", "route", "show", "table", "all", "protocol", PROTOCOL])
        rules = self.output(["ip", "-json", "rule", "show"])
        self.live = live_statements(links, routes, rules)
        present = {
            link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ())}
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

    def before(self) -> list[str]:
        return [*(line for line in statements(self.wanted) if line in self.live), *self._gone()]

    def additions(self) -> list[str]:
        return [f"ip {line}" for line in statements(self.wanted) if line not in self.live]

    def stale(self) -> list[str]:
        return self._gone()

    def removals(self) -> list[str]:
        return [f"ip {undo(line)}" for line in reversed(self._gone())]

    def _gone(self) -> list[str]:
        """Present statements of lvskit's that are no longer wanted."""
        wanted = set(statements(self.wanted))
        ours = [line for line in self.of_record(parse) if line.split()[0] in ("address", "link")]
        marked = sorted(line for line in self.live if line.split()[0] in ("route", "rule"))
        return [line for line in [*ours, *marked] if line in self.live and line not in wanted]

    def batch(self, commands: Sequence[str]) -> None:
        if commands:
            lines = (command.partition(" ")[2] for command in commands)
            self.output(["ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))
