"""An environment: its networks, hosts and virtual services, and the routes between them.

Networks that have a gateway of a family are routed to each other in it; a network without one is isolated. What a service needs of
the network is asked for one of its entries: an entry has one family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

from .contract.directors import DirectorGroup
from .contract.hosts import Host, Receiver, Route
from .contract.marks import MarkRange, numbered
from .contract.networks import Attachment, Interface, Network
from .contract.services import Entry, Needs, RealServer, Service
from .families import TABLE, TUNNELS, Address, Family, Tunnel
from .families import of as family_of
from .register import Index, Register

__all__ = [
    "Attachment",
    "DirectorGroup",
    "Entry",
    "Host",
    "Interface",
    "Needs",
    "Network",
    "RealServer",
    "Receiver",
    "Route",
    "Service",
    "Topology",
]

# Ports that source NAT uses, for each local address, real server and port: 1024 to 65535 (nf_nat_l4proto_unique_tuple).
SOURCE_PORTS = 64512
# The services whose director is the default gateway of a real server, by the real server's name.
BEHIND_DIRECTOR = Index(
    lambda service: (
        ((server.host.name, None) for server in service.remote_servers)
        if service.mode.director_is_gateway and service.return_path == "gateway"
        else ()
    )
)
_OF_NETWORKS_AND_HOSTS = (
    "clients",
    "owners",
    "_members",
    "_in_network",
    "_by_prefix",
    "_networks_of",
    "_found_between",
)


def marks_of(service: Service) -> MarkRange:
    """The firewall marks of a service's directors, which all have the same."""
    return next((director.mark for director in service.directors), MarkRange(0, 0))


@dataclass(frozen=True)
class Topology:
    """The content of the inventory. Services and networks are those that could be read without a fault."""

    networks: Mapping[str, Network]
    hosts: Mapping[str, Host]
    services: tuple[Service, ...]
    groups: Mapping[str, tuple[str, ...]]
    unread: frozenset[str] = frozenset()  # networks, and hosts with an interface, that are described with a fault
    whole: bool = True  # nothing is described with a fault
    director_groups: Mapping[str, DirectorGroup] = field(default_factory=dict)  # those of which one director is elected
    masters: Mapping[str, str] = field(
        default_factory=dict
    )  # by group the director that has been seen to hold its addresses

    def __getstate__(self) -> dict[str, Any]:
        """What the inventory says; what has been derived from it stays in the process."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def without(self, name: str) -> Topology:
        """The environment without the services of a name."""
        gone = [service for service in self.services if service.name == name]
        kept = tuple(service for service in self.services if service.name != name)
        return self._changed(kept, self.register.without(gone))

    def beside(self, service: Service) -> Topology:
        """The environment with one more service behind all others."""
        return self._changed((*self.services, service), self.register.beside(service))

    def reduced_to(self, service: Service) -> Topology:
        """The environment with one service alone."""
        return self._changed((service,), Register((service,)))

    def _changed(self, services: tuple[Service, ...], register: Register) -> Topology:
        found = replace(self, services=services)
        vars(found)["register"] = register
        vars(found).update((name, getattr(self, name)) for name in _OF_NETWORKS_AND_HOSTS)
        return found

    @cached_property
    def register(self) -> Register:
        """The services by what they share."""
        return Register(self.services)

    @cached_property
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
    def owners(self) -> Mapping[Address, Host]:
        """The host of each interface address."""
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

    def network_of(self, address: Address) -> Network | None:
        """The network that an address is in; the first one where they overlap."""
        key = address.version, int(address)  # an address itself takes longer to look up
        if key not in self._networks_of:
            found = (
                networks.get(int(address) >> (address.max_prefixlen - length))
                for length, networks in self._by_prefix[family_of(address)].items()
            )
            first = min((place for place in found if place), key=itemgetter(0), default=(0, None))
            self._networks_of[key] = first[1]
        return self._networks_of[key]

    @cached_property
    def _networks_of(self) -> dict[tuple[int, int], Network | None]:
        return {}

    @cached_property
    def _by_prefix(self) -> Mapping[Family, Mapping[int, Mapping[int, tuple[int, Network]]]]:
        """By the family, the length and the bits of its prefix, each network with its place in the inventory's order."""
        found: dict[Family, dict[int, dict[int, tuple[int, Network]]]] = {family: {} for family in TABLE}
        for place, network in enumerate(self.networks.values()):
            for family in TABLE:
                if prefix := network.prefix(family):
                    length = prefix.prefixlen
                    bits = int(prefix.network_address) >> (prefix.max_prefixlen - length)
                    found[family].setdefault(length, {}).setdefault(bits, (place, network))
        return found

    def route(self, host: Host, destination: Address) -> Route | None:
        """The route of a provisioned host to an address: through a director, if that is its default gateway."""
        found = host.route_to(destination)
        if found and found.gateway is None:
            return found
        directed = self._directed_by(host, family_of(destination))
        return directed[1] if directed else found

    def redirects(self, service: Service, host: Host) -> bool:
        """Whether it is `service` that gives a real server its director as gateway, and none before it."""
        directed = (self._directed_by(host, family) for family in service.families)
        return any(found is not None and found[0] is service for found in directed)

    def _directed_by(self, host: Host, family: Family) -> tuple[Service, Route] | None:
        """The route through the director that is a host's gateway, and the first service that makes it so."""
        key = host.name, family
        if key not in self._directed:
            services = self.register.all(BEHIND_DIRECTOR, host.name)
            ways = (
                (service, Route(real, gateway))
                for service in services
                for entry in service.by_family
                if entry.family is family
                for director in service.directors
                if (real := self.real_interface(entry, director, host))
                and (gateway := self.gateway(entry, director, host))
            )
            self._directed[key] = next(ways, None)
        return self._directed[key]

    @cached_property
    def _directed(self) -> dict[tuple[str, Family], tuple[Service, Route] | None]:
        return {}

    def reaches(self, host: Host, destination: Address, receiver: Host) -> bool:
        """Whether the described networks are known to carry a packet from `host` to `destination`, which `receiver` has.

        If the receiver is itself the gateway of that address's network, the inventory does not describe how others reach it, except
        hosts for which it is the next hop anyway.
        """
        key = host.name, destination.version, int(destination), receiver.name
        if key not in self._reached:
            self._reached[key] = self._reaches(host, destination, receiver)
        return self._reached[key]

    @cached_property
    def _reached(self) -> dict[tuple[str, int, int, str], bool]:
        return {}

    def _reaches(self, host: Host, destination: Address, receiver: Host) -> bool:
        route = self.route(host, destination)
        if route is None:
            return False
        if route.gateway is None or route.gateway in receiver.addresses:
            return True
        target = self.network_of(destination)
        router = target.router(family_of(destination)) if target else None
        return router is not None and router not in receiver.addresses

    def vip_interface(self, entry: Entry, director: Host) -> Attachment | None:
        """The director's interface in the VIP's own network, which has the VIP; None when the VIP is routed to it.

        A routed VIP is on no interface, also not where it lies in a network of the director: several directors may have it, and
        none of them may answer for it there.
        """
        network = None if entry.service.vip_routed else self.network_of(entry.vip)
        return director.attached(network, entry.family) if network else None

    def entrance(self, entry: Entry, director: Host) -> Attachment | None:
        """The director's interface by which requests come to it."""
        return self.vip_interface(entry, director) or director.default_interface(entry.family)

    def shared(self, entry: Entry, director: Host, real_server: Host) -> tuple[Network, ...]:
        """The networks in which both have an interface (only `network:` of the service, if set)."""
        return self._between(entry.service, entry.outer, director, real_server)[0]

    def real_interface(self, entry: Entry, director: Host, real_server: Host) -> Attachment | None:
        """The interface whose address is the RIP: in the network both share, else the one of the default route.

        Of a director that is its own real server: the one in `network:`, else in the VIP's network, else its first one.
        """
        if real_server is director:
            own = entry.service.network or self.network_of(entry.vip)
            found = director.attached(own, entry.outer) if own else None
            return found or next(iter(director.on(entry.outer)), None)
        return self._between(entry.service, entry.outer, director, real_server)[1]

    def _between(
        self, service: Service, family: Family, director: Host, real_server: Host
    ) -> tuple[tuple[Network, ...], Attachment | None]:
        """The results of `shared` and `real_interface`, computed once for all services with the same `network:`."""
        key = (service.network.name if service.network else None, family, director.name, real_server.name)
        if key not in self._found_between:
            shared = tuple(
                one.network
                for one in director.on(family)
                if real_server.attached(one.network, family)
                and (service.network is None or service.network.name == one.network.name)
            )
            here = next(iter(shared), service.network)
            real = real_server.attached(here, family) if here else None
            first = next(iter(real_server.on(family)), None)
            self._found_between[key] = shared, real or real_server.default_interface(family) or first
        return self._found_between[key]

    @cached_property
    def _found_between(
        self,
    ) -> dict[tuple[str | None, Family, str, str], tuple[tuple[Network, ...], Attachment | None]]:
        return {}

    def gateway(self, entry: Entry, director: Host, real_server: Host) -> Address | None:
        """The next hop of a real server's replies: the director's address in the network that they share, of an elected director the one
        that moves.
        """
        group = entry.service.group
        for network in self.shared(entry, director, real_server):
            found = director.attached(network, entry.family)
            if group and (floating := group.gateway(network, entry.family)):
                return floating
            if found and not group:
                return found.address
        return None

    def answering(self, service: Service) -> tuple[Host, ...]:
        """The directors that answer for a service's VIPs: of an elected group the master that was seen, else the one at first."""
        group = service.group
        if group is None:
            return service.directors
        return tuple(one for one in service.directors if one.name == self.masters.get(group.name, group.first.name))

    def tunnel(self, entry: Entry) -> Tunnel | None:
        """The device by which real servers take the entry's packets out of the director's; None in modes without a tunnel."""
        return TUNNELS[entry.family, entry.outer] if entry.mode.request.encapsulated else None

    def mark(self, entry: Entry) -> int:
        """The firewall mark of an entry by a mark: the same for all entries of its service and VIP, and on all directors."""
        return self._marks[entry.service.name, entry.vip]

    @cached_property
    def _marks(self) -> dict[tuple[str, Address], int]:
        """A number made of the name and the VIP: another service changes it only if both make the same one."""
        marked = [entry for service in self.services for entry in service.entries if entry.by_mark]
        ranges: dict[MarkRange, dict[tuple[str, Address], str]] = {}
        for entry in marked:
            key = entry.service.name, entry.vip
            ranges.setdefault(marks_of(entry.service), {})[key] = f"{entry.service.name} {entry.vip}"
        return {key: mark for own, texts in ranges.items() for key, mark in numbered(texts, own.services).items()}

    def restorer(self, service: Service, server: Host) -> Host | None:
        """The host that puts the client's address back into the packets of a service for `server`; None in other modes."""
        if not service.mode.restored_in_packet:
            return None
        return self.hosts.get(server.restore_on or server.name)

    def local_interface(self, director: Host, local: Address) -> Attachment | None:
        """The director's interface in the network of one of its local addresses."""
        return next((one for one in director.on(family_of(local)) if local in one.prefix), None)

    def capacity(self, service: Service) -> int:
        """The number of simultaneous connections for which the service's local addresses have ports; of the family with fewer."""
        return min((self._capacity(service, family) for family in service.families), default=0)

    def _capacity(self, service: Service, family: Family) -> int:
        ports = [ports.first for ports in service.ports]
        ends = {(server.host.name, server.at_port(port)) for server in service.real_servers for port in ports}
        each = [len(set(service.locals_of(family, director))) for director in service.directors]
        return min(each, default=0) * SOURCE_PORTS * len(ends)

    def summary(self, service: Service) -> str:
        """The service in one line, with its capacity."""
        servers = len(service.real_servers)
        line = f"{service}: {servers} real server{'s' if servers != 1 else ''}"
        if service.mode.source_nat:
            line += f", ports for {self.capacity(service)} connections at the same time"
        if service.health_check and servers > 1:
            line += f", a dead one is out within {service.health_check.detection} s"
        return line

    def path_mtu(self, entry: Entry, director: Host, real_server: Host) -> int:
        """The smallest MTU, in bytes, of the networks that a forwarded request crosses."""
        real = self.real_interface(entry, director, real_server)
        if real is None:
            return 1500
        route = director.route_to(real.address)
        return min(real.network.mtu, route.interface.network.mtu) if route else real.network.mtu

    def overhead(self, entry: Entry) -> int:
        """The bytes that the director adds to each request."""
        return entry.outer.header if entry.mode.request.encapsulated else entry.mode.overhead
