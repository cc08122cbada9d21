"""The packets that the firewalls of directors and real servers have to let pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from . import checks
from .families import Address
from .modes import Address as Symbol
from .topology import Entry, Host, RealServer, Service, Topology

_IN, _OUT, _THROUGH = ("prerouting", "input"), ("output", "postrouting"), ("prerouting", "forward", "postrouting")
_ANSWERS = "established", "untracked"
_BY_IPVS = ("ipvs",)  # conntrack has seen the requests, or has not: as net/ipv4/vs/conntrack says
_EXEMPT = ("untracked",)
_TRACKING = "Or say lvs_conntrack: true for {}: nat's replies, and answers to its health checks, are established then."
_EPHEMERAL = 50000  # stands for the port of a check: one of ip_local_port_range, that no service has


@dataclass(frozen=True)
class Passage:
    """A packet that the host's firewall has to let pass; what is not known of it is None or empty.

    `iif` and `oif` are the interfaces that it comes by and leaves by, `states` those that conntrack may give it. `reverse`: whether the route to
    its source uses the interface that it comes by. `accepted`: a rule of the plan does in iptables' table filter. `consequence` has {} for services,
    `service` is the first one. `remedy` is another one than a rule that accepts it.
    """

    hooks: tuple[str, ...]
    family: int
    protocol: str
    source: Address | None = None
    destination: Address | None = None
    sport: int | None = None
    dport: int | None = None
    iif: str = ""
    oif: str = ""
    states: tuple[str, ...] = ("new", "untracked")
    reverse: bool | None = None
    accepted: bool = False
    service: str = field(default="", compare=False)
    consequence: str = field(default="", compare=False)
    remedy: str = field(default="", compare=False)

    def as_argument(self) -> dict[str, Any]:
        always = {name: getattr(self, name) for name in ("family", "protocol", "reverse", "accepted")}
        lists = {"hooks": list(self.hooks), "states": list(self.states)}
        ends = {name: str(address) for name in ("source", "destination") if (address := getattr(self, name))}
        known = {name: value for name in ("sport", "dport", "iif", "oif") if (value := getattr(self, name))}
        return {**always, **lists, **ends, **known}

    def __str__(self) -> str:
        to = [f"to {self.destination}"] if self.destination else []
        ports = [f"sport {self.sport}" if self.sport else f"dport {self.dport}"] if self.sport or self.dport else []
        start = [f"from {self.source}"] if self.source else []
        return " ".join([self.protocol, *start, *to, *ports])


def passages(
    topology: Topology, entry: Entry, director: Host, server: RealServer, client: Address, tracking: bool
) -> Iterator[tuple[Host, Passage]]:
    """What the firewalls of a director and of a real server see of a connection, as far as its addresses are known beforehand.

    `tracking`: the director's conntrack keeps what it has seen.
    """
    service, mode, protocol, port = entry.service, entry.mode, entry.protocol, entry.port
    entrance, real = topology.entrance(entry, director), topology.real_interface(entry, director, server.host)
    asked = Passage(_IN, entry.family.version, protocol, destination=entry.vip, dport=port, service=service.name)
    seen = _EXEMPT if tracking and not mode.reply_through_director else asked.states  # on the director
    back = topology.route(director, client)
    if entrance:
        straight = back.interface.name == entrance.name if back else None
        lost = "requests of {} do not come to IPVS"
        first = replace(asked, iif=entrance.name, reverse=straight, states=seen, consequence=lost)
        yield director, first
        if protocol == "tcp" and not tracking and not service.helper:
            lost = "packets that end connections of {} do not come to IPVS, which keeps these for minutes"
            yield director, replace(first, states=_EXEMPT, accepted=True, consequence=lost)
    onward = director.route_to(real.address) if real else None
    if real is None or onward is None or server.host is director:
        return
    tunnel = topology.tunnel(entry)
    if tunnel:
        carried = {4: "ipencap", 6: "ipv6"}[entry.family.version]
        sent = Passage(_IN, entry.outer.version, carried, destination=real.address, service=service.name)
    elif mode.holds_vip:
        sent = asked
    else:
        sent = replace(asked, destination=real.address, dport=server.at_port(port))
    lost = f"requests of {{}} do not leave {director.name}"
    yield director, replace(sent, hooks=_OUT, oif=onward.interface.name, states=seen, consequence=lost)
    home = topology.route(server.host, client) if mode.request.source is Symbol.CLIENT and not tunnel else None
    straight = home.interface.name == real.name if home else None
    lost = f"requests of {{}} do not come to the application on {server.host.name}"
    yield server.host, replace(sent, iif=real.name, reverse=straight, consequence=lost)
    if tunnel:
        yield server.host, replace(asked, iif=tunnel.device, reverse=False, consequence=lost)
    source, sport = (entry.vip, port) if mode.holds_vip else (real.address, server.at_port(port))
    reply = replace(asked, hooks=_OUT, source=source, sport=sport, destination=None, dport=None, states=_ANSWERS)
    yield server.host, replace(reply, consequence=f"replies of {{}} do not leave {server.host.name}")
    if mode.reply_through_director and back:
        # Source NAT is undone before the hook forward.
        hooks, states = (_THROUGH, _BY_IPVS) if mode.director_is_gateway else (_THROUGH[1:], _ANSWERS[:1])
        states = _ANSWERS[:1] if tracking else states
        through = replace(reply, hooks=hooks, states=states, iif=onward.interface.name, oif=back.interface.name)
        lost = f"replies of {{}} do not pass {director.name}"
        other = "" if tracking or service.group else _TRACKING.format(director.name)
        yield director, replace(through, accepted=True, consequence=lost, remedy=other)


def answers(topology: Topology, service: Service, director: Host) -> Iterator[Passage]:
    """The answers to health checks that conntrack sees no question of."""
    for _, real, questions in checks.of_service(topology, service, director):
        for question in questions:
            sender = checks.source(topology, question.entry, director, real)
            if question.way is None or question.way.tracked or sender is None or real.address in director.addresses:
                continue
            source, port = checks.answer(service, real, question)
            version, asked = question.entry.family.version, service.health_check
            for protocol in asked.kind.protocols if asked else ():
                comes = Passage(_IN, version, protocol, source, sender.address, int(port), _EPHEMERAL, iif=sender.name)
                lost = (
                    "answers to health checks of {} do not come to the director, and all of its real servers are down"
                )
                kept = service.mode.director_is_gateway and service.group is None
                other = _TRACKING.format(director.name) if kept else ""
                yield replace(
                    comes, states=_EXEMPT, accepted=True, service=service.name, consequence=lost, remedy=other
                )
