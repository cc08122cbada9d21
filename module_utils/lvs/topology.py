"""An environment as data: networks, hosts and virtual services, and how a packet gets from one to the other.

Only IPv4. Networks that have a gateway are routed to each other; a network without one is isolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from . import modes

# Ports that source NAT takes, for each local address, real server and port: 1024 to 65535 (nf_nat_l4proto_unique_tuple).
SOURCE_PORTS = 64512


@dataclass(frozen=True)
class Placed:
    """A dataclass that keeps values of the inventory for their places in its files: the fields that are not compared.

    ansible-core's values do not leave the process that has read them. A pickle has these fields' defaults instead, and no
    cached properties.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) if item.compare else _default(item) for item in fields(self)}


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


@dataclass(frozen=True)
class Network(Placed):
    """One layer-2 segment. `mtu` in bytes."""

    name: str
    cidr: IPv4Network
    vlan: int
    gateway: IPv4Address | None
    mtu: int = 1500
    at: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Interface(Placed):
    """Where a host is plugged into a network."""

    name: str
    network: Network
    address: IPv4Address
    default_route: bool = False
    at: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.text}/{self.network.cidr.prefixlen}"

    @cached_property
    def text(self) -> str:
        """The address alone."""
        return str(self.address)


@dataclass(frozen=True)
class Route:
    """The next step towards an address: the interface to leave by, and the gateway, or None when it is on the link."""

    interface: Interface
    gateway: IPv4Address | None


@dataclass(frozen=True)
class Receiver:
    """Another maker's kernel module, which gives applications the client's address in place of lvskit's own.

    `source` is a folder, a tar archive or a git URL on the controller, `parameters` are those of the module.
    """

    module: str
    source: str
    make_arguments: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host(Placed):
    """A host of the inventory. `keep_default_route`: lvskit must not point its default route at a director.

    `restore_on` names the host in front of this one that puts clients' addresses back into its packets, `toa_receiver` is
    what reads them out of TCP options for its applications, where that is not lvskit's own module. A `drained` host stays a
    real server in all but the directors' tables. `option_kind` is the kind of the TCP option that carries addresses.
    """

    name: str
    interfaces: tuple[Interface, ...] = ()
    keep_default_route: bool = False
    restore_on: str | None = None
    toa_receiver: Receiver | None = None
    drained: bool = False
    option_kind: int = modes.OPTION_KIND
    at: Any = field(default=None, compare=False, repr=False)

    @cached_property
    def addresses(self) -> frozenset[IPv4Address]:
        return frozenset(interface.address for interface in self.interfaces)

    @cached_property
    def default_interface(self) -> Interface | None:
        """The interface that the default route leaves by: the one that says so, else the first with a gateway."""
        usable = [i for i in self.interfaces if i.network.gateway and i.network.gateway not in self.addresses]
        return next((i for i in usable if i.default_route), usable[0] if usable else None)

    def interface_in(self, network: Network) -> Interface | None:
        return self._by_network.get(network.name)

    @cached_property
    def _by_network(self) -> dict[str, Interface]:
        return {interface.network.name: interface for interface in reversed(self.interfaces)}

    def route_to(self, destination: IPv4Address) -> Route | None:
        """The host's own next step towards `destination`, or None when it has no route."""
        for interface in self.interfaces:
            if destination in interface.network.cidr:
                return Route(interface, None)
        if self.default_interface is None:
            return None
        return Route(self.default_interface, self.default_interface.network.gateway)


@dataclass(frozen=True)
class RealServer(Placed):
    """A host behind a virtual service: its port there and its weight (0: no new connections)."""

    host: Host
    port: int
    weight: int
    at: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Service(Placed):
    """A virtual service. `persistence_timeout` in seconds, 0 for none."""

    name: str
    vip: IPv4Address
    port: int
    protocol: str
    mode: modes.Mode
    scheduler: str
    persistence_timeout: int
    directors: tuple[Host, ...]
    real_servers: tuple[RealServer, ...]
    network: Network | None
    vip_routed: bool
    local_addresses: tuple[IPv4Address, ...]
    return_path: str
    connections: int | None = None  # expected at the same time
    needs: modes.Needs = field(default_factory=modes.Needs)
    health_check: Mapping[str, str] = field(
        default_factory=dict
    )  # says what the service speaks; nothing checks health yet
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return f"service {self.name} ({self.vip}:{self.port}, {self.mode.name})"

    def at(self, key: str) -> Any:
        """The inventory's own value of `key`, or the service's name where the key is not given."""
        return self.source.get(key, self.source.get("name"))


@dataclass(frozen=True)
class Topology:
    """Everything the inventory says. Services and networks are those that could be read without a fault."""

    networks: Mapping[str, Network]
    hosts: Mapping[str, Host]
    services: tuple[Service, ...]
    groups: Mapping[str, tuple[str, ...]]
    unread: frozenset[str] = frozenset()  # networks, and hosts with an interface, that are described with a fault

    @property
    def clients(self) -> tuple[Host, ...]:
        return tuple(self.hosts[name] for name in self.groups.get("clients", ()))

    def members(self, group: str) -> frozenset[str]:
        """The names of a group's hosts."""
        if group not in self._members:
            self._members[group] = frozenset(self.groups.get(group, ()))
        return self._members[group]

    @cached_property
    def _members(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def owners(self) -> Mapping[IPv4Address, Host]:
        """Which host has an address on one of its interfaces."""
        return {address: host for host in self.hosts.values() for address in host.addresses}

    def in_network(self, network: Network) -> tuple[Host, ...]:
        """The hosts with an interface in a network, in the inventory's order."""
        return self._in_network.get(network.name, ())

    @cached_property
    def _in_network(self) -> Mapping[str, tuple[Host, ...]]:
        found: dict[str, dict[str, Host]] = {}
        for host in self.hosts.values():
            for interface in host.interfaces:
                found.setdefault(interface.network.name, {})[host.name] = host
        return {name: tuple(hosts.values()) for name, hosts in found.items()}

    def network_of(self, address: IPv4Address) -> Network | None:
        return next((network for network in self.networks.values() if address in network.cidr), None)

    def route(self, host: Host, destination: IPv4Address) -> Route | None:
        """By which way a host that has its plan sends to an address: by a director, where that is its gateway for everything."""
        found = host.route_to(destination)
        return found if found and found.gateway is None else self._directed.get(host.name, found)

    @cached_property
    def _directed(self) -> Mapping[str, Route]:
        """The way by the director of the hosts that have one as their gateway."""
        found: dict[str, Route] = {}
        for service in self.services:
            if service.mode.director_is_gateway and service.return_path == "gateway":
                for director in service.directors:
                    for server in service.real_servers:
                        real = self.real_interface(service, director, server.host)
                        gateway = self.gateway(service, director, server.host)
                        if real and gateway:
                            found.setdefault(server.host.name, Route(real, gateway))
        return found

    def reaches(self, host: Host, destination: IPv4Address, receiver: Host) -> bool:
        """Whether the described networks are known to carry a packet from `host` to `destination`, which `receiver` has.

        Where the receiver is itself the gateway of that address's network, nothing says how others hand packets to it, save
        those for whom it is the next hop anyway.
        """
        route = self.route(host, destination)
        if route is None:
            return False
        if route.gateway is None or route.gateway in receiver.addresses:
            return True
        target = self.network_of(destination)
        return target is not None and target.gateway is not None and target.gateway not in receiver.addresses

    def vip_interface(self, service: Service, director: Host) -> Interface | None:
        """The director's interface in the VIP's own network; None when the VIP is routed to it."""
        network = self.network_of(service.vip)
        return director.interface_in(network) if network else None

    def shared(self, service: Service, director: Host, real_server: Host) -> tuple[Network, ...]:
        """The networks in which both have an interface (only the service's own, where it names one)."""
        return self._between(service, director, real_server)[0]

    def real_interface(self, service: Service, director: Host, real_server: Host) -> Interface | None:
        """The interface whose address is the RIP: in the network both share, else the one of the default route."""
        return self._between(service, director, real_server)[1]

    def _between(
        self, service: Service, director: Host, real_server: Host
    ) -> tuple[tuple[Network, ...], Interface | None]:
        """What `shared` and `real_interface` say, found once for all services that name the same network."""
        key = (service.network.name if service.network else None, director.name, real_server.name)
        if key not in self._found_between:
            shared = tuple(
                interface.network
                for interface in director.interfaces
                if real_server.interface_in(interface.network)
                and (service.network is None or service.network.name == interface.network.name)
            )
            here = next(iter(shared), service.network)
            real = real_server.interface_in(here) if here else None
            first = next(iter(real_server.interfaces), None)
            self._found_between[key] = shared, real or real_server.default_interface or first
        return self._found_between[key]

    @cached_property
    def _found_between(self) -> dict[tuple[str | None, str, str], tuple[tuple[Network, ...], Interface | None]]:
        return {}

    def gateway(self, service: Service, director: Host, real_server: Host) -> IPv4Address | None:
        """The director's address in the network it shares with the real server."""
        for network in self.shared(service, director, real_server):
            interface = director.interface_in(network)
            if interface:
                return interface.address
        return None

    def restorer(self, service: Service, server: Host) -> Host | None:
        """The host that puts the client's address back into the packets of a service for `server`; None in other modes."""
        if service.mode.client_address != "restore":
            return None
        return self.hosts.get(server.restore_on or server.name)

    def local_interface(self, director: Host, local: IPv4Address) -> Interface | None:
        """The director's interface in the network of one of its local addresses."""
        return next((i for i in director.interfaces if local in i.network.cidr), None)

    def capacity(self, service: Service) -> int:
        """How many connections at the same time the service's local addresses have ports for."""
        ends = {(server.host.name, server.port) for server in service.real_servers}
        return len(set(service.local_addresses)) * SOURCE_PORTS * len(ends)

    def summary(self, service: Service) -> str:
        """The service in one line, with what it has room for."""
        servers = len(service.real_servers)
        line = f"{service}: {servers} real server{'s' if servers != 1 else ''}"
        if service.mode.source_nat:
            line += f", ports for {self.capacity(service)} connections at the same time"
        return line

    def path_mtu(self, service: Service, director: Host, real_server: Host) -> int:
        """The smallest MTU, in bytes, of the networks that a forwarded request crosses."""
        real = self.real_interface(service, director, real_server)
        if real is None:
            return 1500
        route = director.route_to(real.address)
        return min(real.network.mtu, route.interface.network.mtu) if route else real.network.mtu
