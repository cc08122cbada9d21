"""What to ask the hosts about themselves and the network around them, and the answer that the model expects.

The questions of a host are what the module lvs_inspect takes; the expectations stay on the controller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from .host_plan import HostPlan
from .topology import Host, Interface, Network, RealServer, Service, Topology

OUTSIDE = IPv4Address("192.0.2.1")  # stands for any client where the inventory has none (TEST-NET-1, RFC 5737)
PEERS = 3  # hosts of a network that are asked for, to see whether an interface is really plugged in there


@dataclass(frozen=True)
class Way:
    """By which way a packet has to leave the host. `source` None: whichever address the host takes."""

    to: IPv4Address
    source: IPv4Address | None
    protocol: str
    port: int | None
    interface: str
    gateway: IPv4Address | None
    consequence: str = field(compare=False)  # it names the service, and all services that go this way ask once

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
    """Who answers ARP for an address on an interface. `vip`: only the host `owner` may; else it is a peer of the network."""

    interface: str
    address: IPv4Address
    owner: str | None
    vip: bool

    def as_argument(self) -> dict[str, Any]:
        return {"interface": self.interface, "address": str(self.address)}


@dataclass(frozen=True)
class Path:
    """Packets of `size` bytes have to get to `address`, which is the host `to`, and back."""

    address: IPv4Address
    size: int
    to: str

    def as_argument(self) -> dict[str, Any]:
        return {"address": str(self.address), "size": self.size}


@dataclass
class Questions:
    """What one host is asked; what is asked for twice is asked once."""

    settings: Mapping[str, int] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    ways: dict[Way, None] = field(default_factory=dict)
    neighbours: dict[Neighbour, None] = field(default_factory=dict)
    paths: dict[Path, None] = field(default_factory=dict)

    def as_arguments(self) -> dict[str, Any]:
        """The options of the module lvs_inspect."""
        return {
            "settings": dict(self.settings),
            "modules": list(self.modules),
            "routes": [way.as_argument() for way in self.ways],
            "neighbours": [neighbour.as_argument() for neighbour in self.neighbours],
            "paths": [path.as_argument() for path in self.paths],
        }


def questions(
    topology: Topology,
    plans: Mapping[str, HostPlan],
    hosts: Collection[str],
    services: Collection[Service] | None = None,
) -> dict[str, Questions]:
    """What to ask each of `hosts`, for `services` only where they are given."""
    asked = {name: _of_plan(plans[name]) for name in hosts}
    client = next((host for host in topology.clients if host.interfaces), None)
    for service in topology.services if services is None else services:
        for director in service.directors:
            for server in service.real_servers:
                for host, way in _ways(topology, service, director, server, client):
                    if host.name in asked:
                        asked[host.name].ways.setdefault(way)
                for host, path in _paths(topology, service, director, server, client):
                    if host.name in asked:
                        asked[host.name].paths[path] = None
            for name, neighbour in _addresses(topology, service, director, asked):
                asked[name].neighbours[neighbour] = None
    for name, found in asked.items():
        for interface in topology.hosts[name].interfaces:
            for address, owner in _peers(topology, topology.hosts[name], interface):
                found.neighbours[Neighbour(interface.name, address, owner, vip=False)] = None
    return asked


def _of_plan(plan: HostPlan) -> Questions:
    built = {module.name for module in plan.built_modules}
    return Questions(
        {setting.key: setting.value for setting in plan.sysctls},
        tuple(name for name in plan.modules if name not in built),
    )


def _ways(
    topology: Topology, service: Service, director: Host, server: RealServer, client: Host | None
) -> Iterator[tuple[Host, Way]]:
    mode = service.mode
    real = topology.real_interface(service, director, server.host)
    outside = client.interfaces[0].address if client else OUTSIDE
    if real is None:
        return
    consequence = f"requests of {service.name} do not get to {server.host.name} as planned"
    yield from _routed(topology, director, real.address, None, consequence)
    if mode.director_is_gateway:
        gateway = topology.gateway(service, director, server.host)
        consequence = (
            f"the reply of {service.name} does not pass {director.name}, keeps {real.address} as its source, and the client, "
            f"which asked {service.vip}, resets the connection"
        )
        yield server.host, Way(outside, real.address, service.protocol, server.port, real.name, gateway, consequence)
    elif not mode.reply_through_director:
        source = service.vip if mode.vip_device else real.address
        consequence = f"replies of {service.name} take another way to the client than planned"
        yield from _routed(topology, server.host, outside, source, consequence)
    elif not mode.restored_in_packet:  # it turns replies back after their route was chosen
        for local in service.local_addresses:
            consequence = f"replies of {service.name} do not come back to {director.name}"
            yield from _routed(topology, server.host, local, real.address, consequence)
    if mode.reply_through_director:
        consequence = f"replies of {service.name} do not get to the client"
        yield from _routed(topology, director, outside, None, consequence)
    if client:
        consequence = f"requests of {service.name} do not get to {director.name}"
        yield from _routed(topology, client, service.vip, None, consequence)


def _routed(
    topology: Topology, host: Host, to: IPv4Address, source: IPv4Address | None, consequence: str
) -> Iterator[tuple[Host, Way]]:
    route = topology.route(host, to)
    if route and to not in host.addresses:
        yield host, Way(to, source, "", None, route.interface.name, route.gateway, consequence)


def _paths(
    topology: Topology, service: Service, director: Host, server: RealServer, client: Host | None
) -> Iterator[tuple[Host, Path]]:
    real = topology.real_interface(service, director, server.host)
    if real and director is not server.host:
        yield director, Path(real.address, topology.path_mtu(service, director, server.host), server.host.name)
    replying = director if service.mode.reply_through_director else server.host
    route = topology.route(replying, client.interfaces[0].address) if client else None
    if client and route:
        size = min(route.interface.network.mtu, client.interfaces[0].network.mtu)
        yield replying, Path(client.interfaces[0].address, size, client.name)


def _addresses(
    topology: Topology, service: Service, director: Host, hosts: Collection[str]
) -> Iterator[tuple[str, Neighbour]]:
    """Who is asked for the addresses that a director holds: itself, which hears all others, and one that hears it."""
    entry = topology.vip_interface(service, director)
    held: list[tuple[IPv4Address, Interface | None]] = [(service.vip, entry)]
    held += [(local, topology.local_interface(director, local)) for local in service.local_addresses]
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
    """A host in the network that is asked besides the director; one that is no director, if there is such."""
    directors = topology.members("directors")
    others = [host for host in topology.in_network(network) if host.name in hosts and host is not director]
    host = next((host for host in others if host.name not in directors), next(iter(others), None))
    interface = host.interface_in(network) if host else None
    return (host, interface) if host and interface else None


def _peers(topology: Topology, host: Host, interface: Interface) -> Iterator[tuple[IPv4Address, str | None]]:
    """Addresses that should answer on the interface's network, and whose they are."""
    network = interface.network
    if network.gateway and network.gateway != interface.address:
        owner = topology.owners.get(network.gateway)
        yield network.gateway, owner.name if owner else None
    for other in topology.in_network(network)[: PEERS + 1]:
        address = other.interface_in(network)
        if other.name != host.name and address and address.address != network.gateway:
            yield address.address, other.name
