"""Rules about the virtual addresses and their owners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import modes
from ..families import Address
from ..topology import Entry, Service, Topology
from ..violations import listed
from .catalogue import Finding, service_rule
from .sharing import END, NAME, RANGE, SAME_PROTOCOL, VIP, VIP_BY_DIRECTOR, director_names

MOST_ENTRIES = 1000


@service_rule("NAME-UNIQUE", "two services of one name", "Messages, reports and commands name a service by it.")
def name_used_twice(topology: Topology, service: Service) -> Iterator[Finding]:
    if topology.register.first(NAME, service.name) is not service:
        yield "another service has this name. Rename one.", service.at("name")


@service_rule(
    "VIP-UNIQUE",
    "two services on one VIP, port and protocol",
    "The director's table holds one virtual service for an address, port and protocol; the second would replace it.",
)
def vip_used_twice(topology: Topology, service: Service) -> Iterator[Finding]:
    for entry in service.entries:
        first = _first_with(topology, entry)
        if first:
            yield (
                f"{entry}/{entry.protocol} is already service {first.name}. Choose another port or VIP.",
                service.at("vip"),
            )


def _first_with(topology: Topology, entry: Entry) -> Service | None:
    """The first service before an entry's own that has a port of it."""
    register, place = topology.register, topology.register.position(entry.service)
    first = register.first(END, (entry.vip, entry.ports, entry.protocol))
    if first and register.position(first) < place:
        return first
    same = entry.vip, entry.protocol
    others = register.all(RANGE if entry.ports.single else SAME_PROTOCOL, same)
    for other in others:
        if register.position(other) < place and any(
            (one.vip, one.protocol) == same and one.ports.meets(entry.ports) for one in other.entries
        ):
            return other
    return None


@service_rule(
    "PORT-TWICE",
    "one port in two of a service's ports and ranges",
    "Its packets would belong to two entries of the director's table.",
)
def port_used_twice(topology: Topology, service: Service) -> Iterator[Finding]:
    ordered = sorted(service.ports)
    for first, second in zip(ordered, ordered[1:]):
        if first.meets(second):
            yield f"ports {first} and {second} overlap. Take the common ones out of one.", service.at("port")


@service_rule(
    "ENTRIES-LIMIT",
    f"more than {MOST_ENTRIES} entries in one service",
    "Each VIP with each protocol and port is an entry of the director's table.",
)
def too_many_entries(topology: Topology, service: Service) -> Iterator[Finding]:
    number = len(service.vips) * len(service.protocols) * len(service.ports)
    if number > MOST_ENTRIES:
        yield (
            f"its VIPs, protocols and ports are {number} entries. Write neighbouring ports as a range (8000-8100), which is one "
            "entry, or make several services of it.",
            service.at("port"),
        )


@service_rule(
    "VIP-COLLISION",
    "a VIP that is the address of a host, gateway or network, or a broadcast address",
    "Two owners of one address receive each other's packets.",
)
def vip_is_taken(topology: Topology, service: Service) -> Iterator[Finding]:
    for vip in service.vips:
        taken = _owner_of(topology, vip)
        if taken:
            yield f"the VIP {vip} is {taken}. Choose an unused address.", service.at("vip")


def _owner_of(topology: Topology, vip: Address) -> str | None:
    owner = topology.owners.get(vip)
    if owner:
        return f"the address of host {owner.name}"
    network = topology.network_of(vip)
    if network is None:
        return None
    if vip in network.routers:
        return f"the gateway of network {network.name}"
    prefix = next(prefix for prefix in network.prefixes if vip in prefix)
    if vip == prefix.network_address:
        return f"the network address of {network.name} ({prefix})"
    if vip.version == 4 and vip == prefix.broadcast_address:
        return f"the broadcast address of {network.name} ({prefix})"
    return None


@service_rule(
    "VIP-NETWORK",
    "a VIP that is in no network of its directors and has no `vip_routed: true`",
    "No host resolves it on the director's networks, so no request arrives.",
)
def vip_is_nowhere(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.vip_routed:
        return
    for entry in service.by_vip:
        which = "the VIP" if len(service.vips) == 1 else f"the VIP {entry.vip}"
        for director in service.directors:
            if director.on(entry.family) and topology.vip_interface(entry, director) is None:
                networks = ", ".join(f"{i.network.name} {i.network.addresses}" for i in director.interfaces)
                yield (
                    f"{which} lies in no network of director {director.name} ({networks}). Choose a VIP in one of them, or "
                    "say vip_routed: true where the network routes it to the director.",
                    service.at("vip"),
                )


@service_rule(
    "VIP-OWNER",
    "several directors for one VIP without election or balancing",
    "Each would answer ARP for the VIP; connections go to the director that answered last, and break when that changes.",
)
def vip_has_several_owners(topology: Topology, service: Service) -> Iterator[Finding]:
    for vip in service.vips:
        if service.group and all(other.group is service.group for other in topology.register.all(VIP, vip)):
            continue
        first_of = topology.register.firsts(VIP_BY_DIRECTOR, vip)
        adds_one = any(first_of[director.name] is service for director in service.directors)
        if service.vip_routed or len(first_of) == 1 or not adds_one:
            continue
        place = topology.register.position(service)
        up_to_here = (s for s in topology.register.all(VIP, vip) if topology.register.position(s) <= place)
        holders = list(dict.fromkeys(name for other in up_to_here for name in director_names(other)))
        if len(holders) > 1:
            yield (
                f"directors {' and '.join(holders)} would all hold the VIP {vip}, with nothing that "
                "elects one of them. Say lvs_directors: {GROUP: {redundancy: vrrp, virtual_router_id: NUMBER}}, give the VIP to one "
                "director (directors: a group of one host), or let the network route it to all of them (vip_routed: true).",
                service.at("directors"),
            )


@service_rule(
    "VIP-FAMILY",
    "a VIP of a family that a director or a real server has no address of",
    "No packet of that family could be sent from one to the other.",
)
def host_without_the_family(topology: Topology, service: Service) -> Iterator[Finding]:
    needed = [(entry, family) for entry in service.by_family for family in dict.fromkeys((entry.family, entry.outer))]
    for entry, family in needed:
        without: dict[str, Any] = {}
        for director in service.directors:
            if director.interfaces and not director.on(family):
                without.setdefault(director.name, service.at("vip"))
        for server in service.real_servers:
            if server.host.interfaces and not server.host.on(family):
                without.setdefault(server.host.name, server.at)
        if without:
            names = listed(list(without), "and")
            need = f"the VIP {entry.vip} is {family}" if family is entry.family else f"outer_family is {family.version}"
            yield (
                f"{need}, and {names} {'has' if len(without) == 1 else 'have'} no {family} "
                f"address. Give an interface address{family.suffix}: (and its network cidr{family.suffix}:), or "
                f"leave {'the VIP' if family is entry.family else 'outer_family'} out.",
                next(iter(without.values())),
            )


@service_rule(
    "{mode}-IPV6",
    "an IPv6 VIP in a mode whose kernel modules know IPv4 only",
    "The modules carry a client's address in an option with room for an IPv4 address.",
    when=lambda mode: not mode.ipv6,
)
def modules_do_not_know_ipv6(topology: Topology, service: Service) -> Iterator[Finding]:
    for vip in (vip for vip in service.vips if vip.version == 6):
        fitting = listed(list(dict.fromkeys(mode.label for mode in modes.TABLE if mode.ipv6)))
        yield (
            f"lvskit's kernel modules do not carry IPv6 clients yet, and the VIP {vip} is IPv6. Use {fitting} for it, in a "
            "service of its own.",
            service.at("vip"),
        )
