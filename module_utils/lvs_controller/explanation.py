"""The content of the page of an environment. The template in templates/ renders it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from ansible.module_utils.lvs import modes, rules
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.topology import Host, RealServer, Service, Topology
from ansible.module_utils.lvs.violations import Violation
from ansible.module_utils.lvs.walk import Walk, walk

from . import dependence, drawing, facts, loads, segments
from .environment import described

DRAWN = 40  # services whose walks are drawn by default
HOSTS = 200  # hosts whose load is listed
_OWN = ("local addresses", "ports for connections at the same time")  # facts that services alike need not share


@dataclass(frozen=True)
class Way:
    """One kind of walk that requests to a service take, drawn and as text."""

    heading: str
    picture: str
    hops: tuple[str, ...]


@dataclass(frozen=True)
class Server:
    """One real server of a service, or several alike. `ends` are its addresses with ports, by entries' families."""

    name: str
    ends: str
    weight: int
    drained: bool


@dataclass(frozen=True)
class Row:
    """Services of one part with the same real servers, ports included."""

    services: tuple[Service, ...]
    servers: tuple[Server, ...]

    @property
    def drained(self) -> int:
        """How many real servers of each service are drained."""
        return sum(server.host.drained for server in self.services[0].real_servers)


@dataclass(frozen=True)
class Part:
    """Services whose packets go alike: all that is told of the first one is so for all, but for their VIPs, ports and real servers. `facts` are
    pairs of name and value; without `ways` they are not drawn.
    """

    anchor: str
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]
    ways: tuple[Way, ...]

    @property
    def services(self) -> tuple[Service, ...]:
        return tuple(service for row in self.rows for service in row.services)

    @property
    def service(self) -> Service:
        return self.rows[0].services[0]

    @property
    def servers(self) -> tuple[Server, ...]:
        """The real servers of the first service."""
        return self.rows[0].servers


@dataclass(frozen=True)
class Constraint:
    """A rule and what it says of the environment."""

    id: str
    refuses: str
    reason: str
    messages: tuple[str, ...]


@dataclass
class Page:
    """`given` are the inventories as arguments of ansible-playbook, `date` is the day on which the page was made (UTC)."""

    environment: str
    revision: str
    date: str
    given: str
    client: str
    segments: list[segments.Segment]
    parts: list[Part]
    losses: list[dependence.Loss]
    groups: list[str]
    constraints: list[Constraint]
    loads: list[loads.Load]
    hosts: int
    limits: list[str] = field(default_factory=list)

    @property
    def services(self) -> int:
        return sum(len(part.services) for part in self.parts)

    @property
    def silent(self) -> list[Constraint]:
        """The rules that have found nothing."""
        return [constraint for constraint in self.constraints if not constraint.messages]

    @property
    def warnings(self) -> int:
        return sum(len(constraint.messages) for constraint in self.constraints)

    def html(self) -> str:
        """The page, complete in one file."""
        folder = Path(__file__).parent / "templates"
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.filters["some"] = segments.some
        return environment.get_template("explain.html.j2").render(page=self, walk_style=drawing.STYLE)


def explain(
    topology: Topology,
    warnings: Sequence[Violation],
    only: Sequence[str],
    environment: str,
    revision: str,
    *,
    date: str = "",
    given: str = "-i inventory/NAME",
) -> Page:
    """The page of a valid environment. `only` names the services that are drawn, also where they are like others; the first of each kind if it is
    empty.
    """
    client = next((host for host in topology.clients if host.interfaces), None)
    kinds = _kinds(topology, only)
    drawn = [number for number, own in enumerate(kinds) if own[0].name in only] or list(range(DRAWN))
    parts = [
        Part(
            f"service-{number + 1}",
            tuple(_rows(topology, own)),
            tuple(facts.of_service(topology, own[0])),
            tuple(_ways(topology, own[0], client, f"walk-{number + 1}")) if number in drawn else (),
        )
        for number, own in enumerate(kinds)
    ]
    compiled = plans(topology)
    busy = [name for name, plan in compiled.items() if not plan.empty]
    limits = []
    shown = sum(len(part.services) for part in parts if part.ways)
    if client and shown < len(topology.services):
        limits.append(
            f"The walks of {shown} of {len(topology.services)} services are drawn; -e lvs_explain_services=NAME,NAME chooses which."
        )
    if len(busy) > HOSTS:
        limits.append(f"What hosts carry is listed for the first {HOSTS} of {len(busy)}.")
    if client is None:
        limits.append("No client is in the inventory (group clients), so no walk can be drawn.")
    directors = topology.members("directors")
    busy.sort(key=lambda name: name not in directors)
    return Page(
        environment,
        revision,
        date,
        given,
        client.name if client else "",
        segments.segments(topology),
        parts,
        dependence.losses(topology),
        list(topology.director_groups),
        list(_constraints(topology, warnings)),
        loads.loads(topology, compiled, busy[:HOSTS]),
        len(topology.hosts),
        limits,
    )


def _kinds(topology: Topology, only: Sequence[str]) -> list[list[Service]]:
    """The services, those together whose packets go alike; one that is named stands for itself."""
    found: dict[tuple[Any, ...], list[Service]] = {}
    for service in topology.services:
        own = service.name if service.name in only else ""
        where = tuple(
            tuple(name for name, network in topology.networks.items() if entry.vip in network)
            for entry in service.by_family
        )
        told = tuple(fact for fact in facts.of_service(topology, service) if fact[0] not in _OWN)
        key = own, service.mode, service.protocols, len(service.vips), where, _farms(topology, service), told
        found.setdefault(key, []).append(service)
    return list(found.values())


def _farms(topology: Topology, service: Service) -> frozenset[tuple[Any, ...]]:
    """Where the real servers of a service are, as far as the way of packets depends on it."""
    return frozenset(
        (
            real and real.network.name,
            way and (way.network.name, way.gateway),
            server.host is director,
            topology.restorer(service, server.host) not in (None, server.host),
        )
        for entry in service.by_family
        for director in service.directors
        for server in service.real_servers
        for real in [topology.real_interface(entry, director, server.host)]
        for way in [server.host.default_interface(entry.family)]
    )


def _rows(topology: Topology, services: Sequence[Service]) -> Iterator[Row]:
    rows: dict[tuple[Any, ...], list[Service]] = {}
    for service in services:
        servers = ((s.host.name, s.weight, s.at_ports(service.ports)) for s in service.real_servers)
        rows.setdefault(tuple(servers), []).append(service)
    for own in rows.values():
        yield Row(tuple(own), tuple(_servers(topology, own[0])))


def _servers(topology: Topology, service: Service) -> Iterator[Server]:
    """The real servers; those together that differ in their addresses alone, where they are many."""
    rows: dict[tuple[str, int, bool], list[tuple[str, str]]] = {}
    for server in service.real_servers:
        ports = server.at_ports(service.ports)
        reals = dict.fromkeys(
            real.bracketed
            for entry in service.by_family
            for director in service.directors
            if (real := topology.real_interface(entry, director, server.host))
        )
        ends = [f"{real}:{ports}" for real in reals]
        group = (
            segments.group_of(topology, server.host) if len(service.real_servers) > segments.NAMED else server.host.name
        )
        rows.setdefault((group, server.weight, server.host.drained), []).append((server.host.name, ", ".join(ends)))
    for (_, weight, drained), own in rows.items():
        if len(own) > segments.NAMED:
            yield Server(segments.some([name for name, _ in own]), f"{own[0][1]} \u2026 {own[-1][1]}", weight, drained)
        else:
            yield from (Server(name, ends, weight, drained) for name, ends in own)


def _ways(topology: Topology, service: Service, client: Host | None, anchor: str) -> Iterator[Way]:
    """One walk of each kind: real servers whose packets pass the same networks and hosts are of one."""
    if client is None:
        return
    kinds: dict[tuple[Any, ...], list[tuple[RealServer, Walk]]] = {}
    for entry in (entry for entry in service.by_family if client.on(entry.family)):
        for director in service.directors:
            for server in service.real_servers:
                found = walk(topology, entry, director, server, client)
                kind = (
                    entry.family.name,
                    *(
                        (hop.leg, hop.network.name, hop.sender.host is None, hop.packet.outer is None)
                        for hop in found.hops
                    ),
                )
                kinds.setdefault(kind, []).append((server, found))
    for number, servers in enumerate(kinds.values(), 1):
        server, found = servers[0]
        others = [name for name in dict.fromkeys(other.host.name for other, _ in servers) if name != server.host.name]
        more = f" and {len(others) - segments.NAMED} more" if len(others) > segments.NAMED else ""
        alike = f" (the same for {', '.join(others[: segments.NAMED])}{more})" if others else ""
        itself = ", the director itself" if server.host.name in [one.name for one in service.directors] else ""
        heading = f"By {server.host.name}{itself}{alike}"
        drawn = [drawing.Drawn(hop, hop.packet) for hop in found.hops]
        title = f"A request to {service.name} that {server.host.name} answers, and its reply"
        hops = tuple(f"{hop.leg}: {hop}" for hop in found.hops)
        yield Way(heading, drawing.walk(drawn, title, f"{anchor}-{number}", standalone=False), hops)


def _constraints(topology: Topology, warnings: Sequence[Violation]) -> Iterator[Constraint]:
    """The rules that concern the environment and its modes, each with its warnings; then the warnings of the inventory's form."""
    used = list(dict.fromkeys(service.mode for service in topology.services))
    absent = {name.upper() for name in modes.NAMES} - {mode.name.upper() for mode in used}
    known: set[str] = set()
    for rule in rules.CATALOGUE:
        if rule.id.partition("-")[0] in absent:
            continue
        names = [rule.id] if rule.when is None else [rule.name(mode) for mode in used if rule.when(mode)]
        for name in dict.fromkeys(names):
            known.add(name)
            messages = tuple(described(warning) for warning in warnings if warning.rule == name)
            yield Constraint(name, rule.refuses, rule.reason, messages)
    for warning in warnings:
        if warning.rule not in known:
            yield Constraint(warning.rule, "", "", (described(warning),))
