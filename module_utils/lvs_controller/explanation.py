"""The content of the page of an environment. The template in templates/ renders it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from ansible.module_utils.lvs import modes, rules
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.topology import Host, Network, RealServer, Service, Topology
from ansible.module_utils.lvs.violations import Violation
from ansible.module_utils.lvs.walk import Walk, walk

from . import dependence, drawing, facts
from .environment import described

DRAWN = 40  # services whose walks are drawn by default
HOSTS = 200  # hosts whose load is listed
NAMED = 6  # hosts of one group that are named one by one
_OWN = ("local addresses", "ports for connections at the same time")  # facts that services alike need not share
_COMMON = ("all", "ungrouped", "real_servers", "directors", "clients", "hypervisors")


@dataclass(frozen=True)
class Box:
    """One host, or several of one group, in a network. `kind` is client, director, real server or other."""

    name: str
    kind: str
    note: str


@dataclass(frozen=True)
class Segment:
    """A network and who is in it."""

    network: Network
    boxes: tuple[Box, ...]


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
class Part:
    """Services that differ in their names, VIPs and ports alone: all that is told of the first one is so for all. `facts` are pairs of name and
    value; without `ways` they are not drawn.
    """

    anchor: str
    services: tuple[Service, ...]
    servers: tuple[Server, ...]
    facts: tuple[tuple[str, str], ...]
    ways: tuple[Way, ...]

    @property
    def service(self) -> Service:
        return self.services[0]


@dataclass(frozen=True)
class Constraint:
    """A rule and what it says of the environment."""

    id: str
    refuses: str
    reason: str
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Load:
    """The planned state of hosts that have the same, save their addresses: titles and lines."""

    names: tuple[str, ...]
    roles: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass
class Page:
    """`given` are the inventories as arguments of ansible-playbook, `date` is the day on which the page was made (UTC)."""

    environment: str
    revision: str
    date: str
    given: str
    client: str
    segments: list[Segment]
    parts: list[Part]
    losses: list[dependence.Loss]
    groups: list[str]
    constraints: list[Constraint]
    loads: list[Load]
    hosts: int
    limits: list[str] = field(default_factory=list)

    @property
    def services(self) -> list[tuple[Service, Part, int, int]]:
        """Each service with its part, and the numbers of its real servers and of the drained ones; those in trouble are not before others."""
        return [
            (service, part, len(service.real_servers), sum(server.host.drained for server in service.real_servers))
            for part in self.parts
            for service in part.services
        ]

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
        environment.filters["some"] = some
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
            tuple(own),
            tuple(_servers(topology, own[0])),
            tuple(facts.of_service(topology, own[0])),
            tuple(_ways(topology, own[0], client, f"walk-{number + 1}")) if number in drawn else (),
        )
        for number, own in enumerate(kinds)
    ]
    compiled = plans(topology)
    busy = [name for name, plan in compiled.items() if not plan.empty]
    serving: dict[str, list[str]] = {}
    for service in topology.services:
        for server in service.real_servers:
            ports = ", ".join(str(server.at_port(p.first) if p.single else p) for p in service.ports)
            text = f"{service.name} (port {ports}, weight {server.weight})"
            serving.setdefault(server.host.name, []).append(text)
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
    loads = _alike(
        [_load(topology, topology.hosts[name], compiled[name], serving.get(name, [])) for name in busy[:HOSTS]]
    )
    return Page(
        environment,
        revision,
        date,
        given,
        client.name if client else "",
        [Segment(network, tuple(_boxes(topology, network))) for network in topology.networks.values()],
        parts,
        dependence.losses(topology),
        list(topology.director_groups),
        list(_constraints(topology, warnings)),
        loads,
        len(topology.hosts),
        limits,
    )


def some(names: Sequence[str]) -> str:
    """Names in a row; of many the first and the last one, and how many they are."""
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} \u2026 {names[-1]} ({len(names)} hosts)"


def _kinds(topology: Topology, only: Sequence[str]) -> list[list[Service]]:
    """The services, those together that are alike; one that is named stands for itself."""
    found: dict[tuple[Any, ...], list[Service]] = {}
    for service in topology.services:
        own = service.name if service.name in only else ""
        where = tuple(
            tuple(name for name, network in topology.networks.items() if entry.vip in network)
            for entry in service.by_family
        )
        servers = tuple((s.host.name, s.weight, s.host.drained, s.maps) for s in service.real_servers)
        told = tuple(fact for fact in facts.of_service(topology, service) if fact[0] not in _OWN)
        found.setdefault((own, service.mode, service.protocols, len(service.vips), where, servers, told), []).append(
            service
        )
    return list(found.values())


def _servers(topology: Topology, service: Service) -> Iterator[Server]:
    """The real servers; those together that differ in their addresses alone, where they are many."""
    rows: dict[tuple[str, int, bool], list[tuple[str, str]]] = {}
    for server in service.real_servers:
        ends = []
        for entry in service.by_family:
            real = topology.real_interface(entry, service.directors[0], server.host) if service.directors else None
            if real:
                ports = ", ".join(str(server.at_port(p.first)) if p.single else str(p) for p in service.ports)
                ends.append(f"{real.bracketed}:{ports}")
        group = _group(topology, server.host) if len(service.real_servers) > NAMED else server.host.name
        rows.setdefault((group, server.weight, server.host.drained), []).append((server.host.name, ", ".join(ends)))
    for (_, weight, drained), own in rows.items():
        if len(own) > NAMED:
            yield Server(some([name for name, _ in own]), f"{own[0][1]} \u2026 {own[-1][1]}", weight, drained)
        else:
            yield from (Server(name, ends, weight, drained) for name, ends in own)


def _alike(loads: Sequence[Load]) -> list[Load]:
    """Hosts with the same planned state are together, with the interfaces of all."""
    found: dict[tuple[Any, ...], list[Load]] = {}
    for load in loads:
        found.setdefault((load.roles, *(part for part in load.parts if part[0] != "interfaces")), []).append(load)
    return [
        Load(
            tuple(load.name for load in own),
            own[0].roles,
            tuple(
                (title, tuple(f"{load.name}: {line}" for load in own for line in dict(load.parts)[title]))
                if title == "interfaces" and len(own) > 1
                else (title, lines)
                for title, lines in own[0].parts
            ),
        )
        for own in found.values()
    ]


def _boxes(topology: Topology, network: Network) -> Iterator[Box]:
    groups: dict[tuple[str, str], list[Host]] = {}
    for host in topology.in_network(network):
        kind = _kind(topology, host)
        group = "" if kind != "real server" else _group(topology, host)
        groups.setdefault((kind, group), []).append(host)
    order = ("client", "router", "director", "real server", "other")
    for (kind, group), hosts in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        if len(hosts) > NAMED:
            yield Box(f"{group or kind}: {len(hosts)} hosts", kind, f"{hosts[0].name} \u2026 {hosts[-1].name}")
            continue
        for host in hosts:
            interface = host.interface_in(network)
            yield Box(
                host.name, kind, f"{', '.join(map(str, interface.addresses))} ({interface.name})" if interface else ""
            )


def _kind(topology: Topology, host: Host) -> str:
    kinds = (("directors", "director"), ("clients", "client"), ("real_servers", "real server"))
    found = next((kind for group, kind in kinds if host.name in topology.members(group)), None)
    gateways = {router for network in topology.networks.values() for router in network.routers}
    return found or ("router" if gateways & host.addresses else "other")


def _group(topology: Topology, host: Host) -> str:
    own = (name for name, members in topology.groups.items() if host.name in members and name not in _COMMON)
    return min(own, key=lambda name: len(topology.groups[name]), default="real server")


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
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        alike = f" (the same for {', '.join(others[:NAMED])}{more})" if others else ""
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


def _load(topology: Topology, host: Host, plan: HostPlan, serves: Sequence[str]) -> Load:
    kinds = {
        "interfaces": tuple(f"{name}: {' and '.join(addresses)}" for name, addresses in plan.interfaces.items()),
        "virtual services": tuple(
            f"{service.service}: {service.protocol} {service.endpoint} {service.scheduler}, "
            f"{len(service.destinations)} real servers"
            for service in plan.services
        ),
        "addresses": tuple(f"{address.address} on {address.device}" for address in plan.addresses),
        "addresses while it is master": tuple(
            f"{address.address} on {address.device} ({router.group})"
            for router in plan.routers
            for address in router.addresses
        ),
        "kernel settings": tuple(f"{s.key} = {s.value}: {s.why}" for s in plan.sysctls),
        "kernel modules": tuple(plan.modules),
        "routes": tuple(f"default via {r.gateway} dev {r.device}, table {r.table}" for r in plan.routes),
        "routing rules": tuple(f"{rule.selector} lookup {rule.lookup}" for rule in plan.rules),
        "source NAT": tuple(
            f"{nat.protocol} {nat.vip}:{nat.port} from {', '.join(r.addresses for r in nat.ranges)}"
            for nat in plan.netfilter.source_nats
        ),
        "segment size": tuple(f"{clamp.address}: {clamp.mss} bytes" for clamp in plan.netfilter.mss_clamps),
        "answers nobody by itself": tuple(
            f"{guard.address}:{port}" for guard in plan.netfilter.guards for port in guard.ports
        ),
    }
    parts: Mapping[str, tuple[str, ...]] = {"serves": tuple(serves), **kinds}
    return Load((host.name,), _kind(topology, host), tuple((title, lines) for title, lines in parts.items() if lines))
