"""The checks of each host and its networks, and the results that the model expects.

The questions of a host are the options of the module lvs_inspect; the expectations stay on the controller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import schedulers
from .families import Address, Family
from .host_plan import CheckedServer, HostPlan, Probe
from .passages import Passage, answers, passages
from .topology import Attachment, Entry, Host, Interface, Network, RealServer, Service, Topology

TRIED = ("TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK")  # as lvs_host/trial.py has them
PEERS = 3  # hosts of a network that are probed, to check that an interface is connected to it


@dataclass(frozen=True)
class Way:
    """The route that the host must use for a packet. `source` None: the address that the host chooses."""

    to: Address
    source: Address | None
    protocol: str
    port: int | None
    interface: str
    gateway: Address | None
    consequence: str = field(compare=False)  # it names a service; services with the same route share one question

    def as_argument(self) -> dict[str, Any]:
        found: dict[str, Any] = {"to": str(self.to)}
        if self.source:
            found["source"] = str(self.source)
        if self.port:
            found.update(protocol=self.protocol, port=self.port)
        return found

    def __str__(self) -> str:
        gateway = f"via {self.gateway} " if self.gateway else ""
        return f"{gateway}dev {self.interface}"


@dataclass(frozen=True)
class Neighbour:
    """A probe for an address on an interface, by ARP or neighbour discovery. `vip`: only the host `owner` may answer; otherwise the address is a peer's."""

    interface: str
    address: Address
    owner: str | None
    vip: bool

    def as_argument(self) -> dict[str, Any]:
        return {"interface": self.interface, "address": str(self.address)}


@dataclass(frozen=True)
class Trial:
    """A health check of a real server that is tried once, at its own address."""

    address: str
    probe: Probe
    server: str = field(compare=False)
    service: str = field(compare=False)

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.probe.real_port}"

    def as_argument(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "port": self.probe.real_port,
            "block": self.probe.block,
            "timeout": self.probe.timeout,
            "settings": dict(self.probe.settings),
            "url": dict(self.probe.url),
        }


@dataclass(frozen=True)
class Path:
    """Packets of `size` bytes must reach `address` of the host `to`, and come back."""

    address: Address
    size: int
    to: str

    def as_argument(self) -> dict[str, Any]:
        return {"address": str(self.address), "size": self.size}


@dataclass
class Questions:
    """The checks of one host, without duplicates. `orders`: virtual services whose order of real servers counts, in ipvsadm's words.
    `versions`: programs that have to understand those of another host. `trials`: the health checks of a director.
    """

    settings: Mapping[str, int] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    ways: dict[Way, None] = field(default_factory=dict)
    neighbours: dict[Neighbour, None] = field(default_factory=dict)
    paths: dict[Path, None] = field(default_factory=dict)
    passages: dict[Passage, None] = field(default_factory=dict)

    def as_arguments(self) -> dict[str, Any]:
        """The options of the module lvs_inspect."""
        return {
            "settings": dict(self.settings),
            "modules": list(self.modules),
            "orders": list(self.orders),
            "versions": list(self.versions),
            "trials": [trial.as_argument() for trial in self.trials],
            "routes": [way.as_argument() for way in self.ways],
            "neighbours": [neighbour.as_argument() for neighbour in self.neighbours],
            "paths": [path.as_argument() for path in self.paths],
            "packets": [passage.as_argument() for passage in self.passages],
        }


def questions(
    topology: Topology,
    plans: Mapping[str, HostPlan],
    hosts: Collection[str],
    services: Collection[Service] | None = None,
) -> dict[str, Questions]:
    """The checks of each of `hosts`; for `services` only, if given."""
    asked = {name: _of_plan(topology, plans[name]) for name in hosts}
    client = next((host for host in topology.clients if host.interfaces), None)
    for service in topology.services if services is None else services:
        for director in service.directors:
            for passage in answers(topology, service, director) if director.name in asked else ():
                asked[director.name].passages.setdefault(passage)
        for entry in service.by_vip:
            for director in service.directors:
                for server in service.real_servers:
                    for host, way in _ways(topology, entry, director, server, client):
                        if host.name in asked:
                            asked[host.name].ways.setdefault(way)
                    for host, path in _paths(topology, entry, director, server, client):
                        if host.name in asked:
                            asked[host.name].paths[path] = None
                    outside = _outside(client, entry.family)
                    plan = plans.get(director.name)
                    tracking = plan is not None and plan.tracking
                    for host, passage in passages(topology, entry, director, server, outside, tracking):
                        if host.name in asked:
                            asked[host.name].passages.setdefault(passage)
        for entry in service.by_vip:
            for director in topology.answering(service):
                for name, neighbour in _addresses(topology, entry, director, asked):
                    asked[name].neighbours[neighbour] = None
    for name, found in asked.items():
        for interface in topology.hosts[name].interfaces:
            for one in interface.attachments:
                for address, owner in _peers(topology, topology.hosts[name], one):
                    found.neighbours[Neighbour(interface.name, address, owner, vip=False)] = None
    return asked


def _of_plan(topology: Topology, plan: HostPlan) -> Questions:
    built = {module.name for module in plan.built_modules}
    shared = {service.name for service in topology.services if len(service.directors) > 1}
    return Questions(
        {setting.key: setting.value for setting in plan.sysctls},
        tuple(name for name in plan.modules if name not in built),
        tuple(one.name for one in plan.services if one.service in shared and schedulers.BY_NAME[one.scheduler].slots),
        ("conntrackd",) if plan.conntrack_sync else (),
        tuple(
            dict.fromkeys(
                trial
                for service in plan.checks
                for server in service.servers
                for trial in _trials(service.service, server)
            )
        ),
    )


def _trials(service: str, server: CheckedServer) -> Iterator[Trial]:
    """The checks of a real server without their way: at its own address several of them may be the same."""
    for probe in server.probes:
        answers = probe.block != "UDP_CHECK" or any(name == "require_reply" for name, _ in probe.settings)
        if probe.block in TRIED and answers:
            plain = replace(probe, address="", port=0, source="", mark=0)
            yield Trial(server.address, plain, server.name, service)


def _ways(
    topology: Topology, entry: Entry, director: Host, server: RealServer, client: Host | None
) -> Iterator[tuple[Host, Way]]:
    service, mode = entry.service, entry.mode
    real = topology.real_interface(entry, director, server.host)
    outside = _outside(client, entry.family)
    if real is None:
        return
    consequence = f"requests of {service.name} do not reach {server.host.name} as planned"
    yield from _routed(topology, director, real.address, None, consequence)
    if mode.director_is_gateway and server.host is not director:
        gateway = topology.gateway(entry, director, server.host)
        consequence = (
            f"the reply of {service.name} does not pass {director.name}, keeps {real.address} as its source, and the client, "
            f"which asked {entry.vip}, resets the connection"
        )
        port = server.at_port(entry.port)
        if entry.protocol == "sctp":
            return  # the kernel tells no route by SCTP's ports (RTM_GETROUTE)
        yield server.host, Way(outside, real.address, entry.protocol, port, real.name, gateway, consequence)
    elif not mode.reply_through_director:
        source = entry.vip if mode.holds_vip else real.address
        consequence = f"replies of {service.name} take a different route to the client than planned"
        yield from _routed(topology, server.host, outside, source, consequence)
    elif not mode.restored_in_packet:  # the module redirects replies after the routing decision
        for local in service.locals_of(entry.family, director):
            consequence = f"replies of {service.name} do not reach {director.name}"
            yield from _routed(topology, server.host, local, real.address, consequence)
    if mode.reply_through_director:
        consequence = f"replies of {service.name} do not reach the client"
        yield from _routed(topology, director, outside, None, consequence)
    if client:
        consequence = f"requests of {service.name} do not reach {director.name}"
        yield from _routed(topology, client, entry.vip, None, consequence)


def _outside(client: Host | None, family: Family) -> Address:
    """The address of a client; one that stands for any, if there is none of the family."""
    return next((one.address for one in client.on(family)), family.outside) if client else family.outside


def _routed(
    topology: Topology, host: Host, to: Address, source: Address | None, consequence: str
) -> Iterator[tuple[Host, Way]]:
    route = topology.route(host, to)
    if route and to not in host.addresses:
        yield host, Way(to, source, "", None, route.interface.name, route.gateway, consequence)


def _paths(
    topology: Topology, entry: Entry, director: Host, server: RealServer, client: Host | None
) -> Iterator[tuple[Host, Path]]:
    real = topology.real_interface(entry, director, server.host)
    if real and director is not server.host:
        yield director, Path(real.address, topology.path_mtu(entry, director, server.host), server.host.name)
    replying = director if entry.mode.reply_through_director else server.host
    asking = next(iter(client.on(entry.family)), None) if client else None
    route = topology.route(replying, asking.address) if asking else None
    if client and asking and route:
        size = min(route.interface.network.mtu, asking.network.mtu)
        yield replying, Path(asking.address, size, client.name)


def _addresses(
    topology: Topology, entry: Entry, director: Host, hosts: Collection[str]
) -> Iterator[tuple[str, Neighbour]]:
    """The hosts that probe a director's addresses: the director itself, which receives the answers of others, and one that receives the director's."""
    held: list[tuple[Address, Attachment | None]] = [(entry.vip, topology.vip_interface(entry, director))]
    locals_ = entry.service.locals_of(entry.family, director)
    held += [(local, topology.local_interface(director, local)) for local in locals_]
    for address, interface in held:
        if interface is None:
            continue
        if director.name in hosts:
            yield director.name, Neighbour(interface.name, address, director.name, vip=True)
        other = _another(topology, interface.network, director, hosts)
        if other:
            yield other[0].name, Neighbour(other[1].name, address, director.name, vip=True)


def _another(
    topology: Topology, network: Network, director: Host, hosts: Collection[str]
) -> tuple[Host, Interface] | None:
    """Another host of the network; one that is not a director, if possible."""
    directors = topology.members("directors")
    others = [host for host in topology.in_network(network) if host.name in hosts and host is not director]
    host = next((host for host in others if host.name not in directors), next(iter(others), None))
    interface = host.interface_in(network) if host else None
    return (host, interface) if host and interface else None


def _peers(topology: Topology, host: Host, one: Attachment) -> Iterator[tuple[Address, str | None]]:
    """Addresses that should answer on the interface's network, and their hosts."""
    network = one.network
    if one.gateway and one.gateway != one.address:
        owner = topology.owners.get(one.gateway)
        yield one.gateway, owner.name if owner else None
    for other in topology.in_network(network)[: PEERS + 1]:
        address = other.attached(network, one.family)
        if other.name != host.name and address and address.address != one.gateway:
            yield address.address, other.name
