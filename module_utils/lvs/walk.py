"""Predicts every frame of one connection: which host sends it to which, on which network, with which addresses.

A hop is one frame on one layer-2 segment. A packet that a router forwards makes two hops.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .families import Address, bracketed
from .modes import Address as Symbol
from .modes import Leg
from .topology import Attachment, Entry, Host, Network, RealServer, Topology

CLIENT_PORT = "cport"  # chosen by the client
LOCAL_PORT = "lport"  # chosen by the director


@dataclass(frozen=True)
class Endpoint:
    """An address with its port: a number, or the symbol of a port that is chosen at run time."""

    address: Address
    port: int | str

    def __str__(self) -> str:
        return f"{bracketed(self.address)}:{self.port}"


@dataclass(frozen=True)
class Packet:
    """`outer` is the source and destination of an enclosing IP header, `option` the endpoint in a TCP option."""

    protocol: str
    source: Endpoint
    destination: Endpoint
    outer: tuple[Address, Address] | None = None
    option: Endpoint | None = None

    def __str__(self) -> str:
        inner = f"{self.source} > {self.destination}"
        if self.option:
            inner += f" [option {self.option}]"
        return f"{self.outer[0]} > {self.outer[1]} ({inner})" if self.outer else inner


@dataclass(frozen=True)
class Node:
    """One end of a hop. A router that the inventory does not name has no `host`."""

    host: str | None
    interface: str | None
    address: Address

    def __str__(self) -> str:
        return self.host or f"gateway {self.address}"


@dataclass(frozen=True)
class Hop:
    """One frame: `leg` is request or reply."""

    leg: str
    network: Network
    sender: Node
    receiver: Node
    packet: Packet

    def __str__(self) -> str:
        return f"{self.sender} > {self.receiver} on {self.network.name}: {self.packet}"


@dataclass(frozen=True)
class Walk:
    """All hops in order, and the peer address that the application on the real server sees.

    If the director is the real server, requests end at it and replies begin there.
    """

    hops: tuple[Hop, ...]
    seen: Endpoint


class NoRoute(Exception):
    """The described networks do not carry the packet; the rules would have refused the service."""


def walk(topology: Topology, entry: Entry, director: Host, server: RealServer, client: Host) -> Walk:
    """The hops of a request from `client` that `director` forwards to `server`, and of its reply.

    Of a range of ports the request is for the first one. Raises NoRoute if the described networks cannot carry one of them.
    """
    service, mode = entry.service, entry.mode
    entrance = topology.entrance(entry, director)
    real = topology.real_interface(entry, director, server.host)
    way = client.route_to(entry.vip)
    if entrance is None or real is None or way is None:
        raise NoRoute(f"{service}: no way from {client.name} by {director.name} to {server.host.name}")

    onward = director.route_to(real.address)
    if onward is None:
        raise NoRoute(f"{service}: {director.name} has no route to {real}")
    locals_ = service.locals_of(entry.family, director)
    local = next(
        (a for a in locals_ if topology.local_interface(director, a) == onward.interface),
        locals_[0] if locals_ else onward.interface.address,
    )
    ends = {
        Symbol.CLIENT: Endpoint(way.interface.address, CLIENT_PORT),
        Symbol.VIRTUAL: Endpoint(entry.vip, entry.port),
        Symbol.LOCAL: Endpoint(local, LOCAL_PORT),
        Symbol.REAL: Endpoint(real.address, server.at_port(entry.port)),
    }
    tunnel = (onward.interface.address, real.address) if mode.request.encapsulated else None
    asked = Packet(entry.protocol, ends[Symbol.CLIENT], ends[Symbol.VIRTUAL])
    forwarded = _packet(entry, mode.request, ends, tunnel)
    replied = _packet(entry, mode.reply, ends, None)
    answered = Packet(entry.protocol, ends[Symbol.VIRTUAL], ends[Symbol.CLIENT])

    hops = _carry(topology, "request", asked, client, entry.vip, director, entrance)
    target = ends[Symbol.CLIENT].address
    if server.host is director:
        hops += _carry(topology, "reply", answered, director, target, client, way.interface)
        return Walk(hops, ends[mode.seen])
    passing = _carry(topology, "request", forwarded, director, real.address, server.host, real)
    restorer = topology.restorer(service, server.host)
    restored = replace(forwarded, source=ends[Symbol.CLIENT])
    hops += tuple(
        replace(hop, packet=restored) if restorer and hop.sender.host == restorer.name else hop for hop in passing
    )
    if not mode.reply_through_director:
        hops += _carry(topology, "reply", replied, server.host, target, client, way.interface)
    else:
        back = onward.interface
        if mode.director_is_gateway:
            gateway = topology.gateway(entry, director, server.host) or back.address
            next_hop = Node(director.name, back.name, gateway)
            hops += (Hop("reply", real.network, _node(server.host, real), next_hop, replied),)
        else:
            inner = topology.local_interface(director, local) or back
            passing = _carry(topology, "reply", replied, server.host, local, director, inner)
            in_front = restorer is not None and restorer is not server.host
            unturned = replace(replied, destination=ends[Symbol.CLIENT])
            hops += tuple(
                replace(hop, packet=unturned) if in_front and hop.sender.host == server.host.name else hop
                for hop in passing
            )
        hops += _carry(topology, "reply", answered, director, target, client, way.interface)
    return Walk(hops, ends[mode.seen])


def _packet(entry: Entry, leg: Leg, ends: dict[Symbol, Endpoint], tunnel: tuple[Address, Address] | None) -> Packet:
    option = ends[leg.option] if leg.option else None
    return Packet(entry.protocol, ends[leg.source], ends[leg.destination], tunnel, option)


def _node(host: Host, interface: Attachment) -> Node:
    return Node(host.name, interface.name, interface.address)


def _carry(
    topology: Topology, leg: str, packet: Packet, sender: Host, target: Address, receiver: Host, arrival: Attachment
) -> tuple[Hop, ...]:
    """The hops of `packet` from `sender`, routed as for `target`, to the interface `arrival` of `receiver`."""
    route = topology.route(sender, target)
    if route is None:
        raise NoRoute(f"{sender.name} has no route to {target}")
    start = _node(sender, route.interface)
    if route.gateway is None:
        return (Hop(leg, route.interface.network, start, _node(receiver, arrival), packet),)
    first = _holder(topology, route.interface.network, route.gateway)
    router = topology.hosts.get(first.host or "")
    if router is receiver:
        return (Hop(leg, route.interface.network, start, first, packet),)
    if arrival.gateway is None:
        raise NoRoute(
            f"network {arrival.network.name} has no gateway, so {target} cannot be reached from {sender.name}"
        )
    between = router.attached(arrival.network, arrival.family) if router else None
    last = _node(router, between) if router and between else _holder(topology, arrival.network, arrival.gateway)
    if last.host == receiver.name:
        raise NoRoute(
            f"{receiver.name} is itself the gateway of {arrival.network.name}: how it gets {target} is unknown"
        )
    return (
        Hop(leg, route.interface.network, start, first, packet),
        Hop(leg, arrival.network, last, _node(receiver, arrival), packet),
    )


def _holder(topology: Topology, network: Network, gateway: Address) -> Node:
    """The host with a gateway's address in a network."""
    owner = topology.owners.get(gateway)
    interface = owner.interface_in(network) if owner else None
    return Node(owner.name if owner else None, interface.name if interface else None, gateway)
