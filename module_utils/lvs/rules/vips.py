"""Rules about the virtual addresses and their owners."""

from __future__ import annotations

from collections.abc import Iterator

from ..topology import Service, Topology
from .catalogue import Finding, service_rule
from .sharing import END, NAME, VIP, VIP_BY_DIRECTOR, director_names


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
    first = topology.register.first(END, (service.vip, service.port, service.protocol))
    if first and first is not service:
        yield (
            f"{service.vip}:{service.port}/{service.protocol} is already service {first.name}. "
            "Choose another port or VIP.",
            service.at("vip"),
        )


@service_rule(
    "VIP-COLLISION",
    "a VIP that is the address of a host, gateway or network, or a broadcast address",
    "Two owners of one address receive each other's packets.",
)
def vip_is_taken(topology: Topology, service: Service) -> Iterator[Finding]:
    owner = topology.owners.get(service.vip)
    network = topology.network_of(service.vip)
    taken = None
    if owner:
        taken = f"the address of host {owner.name}"
    elif network and service.vip == network.gateway:
        taken = f"the gateway of network {network.name}"
    elif network and service.vip == network.cidr.network_address:
        taken = f"the network address of {network.name} ({network.cidr})"
    elif network and service.vip == network.cidr.broadcast_address:
        taken = f"the broadcast address of {network.name} ({network.cidr})"
    if taken:
        yield f"the VIP {service.vip} is {taken}. Choose an unused address.", service.at("vip")


@service_rule(
    "VIP-NETWORK",
    "a VIP that is in no network of its directors and has no `vip_routed: true`",
    "No host resolves it by ARP on the director's networks, so no request arrives.",
)
def vip_is_nowhere(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.vip_routed:
        return
    for director in service.directors:
        if director.interfaces and topology.vip_interface(service, director) is None:
            networks = ", ".join(f"{i.network.name} {i.network.cidr}" for i in director.interfaces)
            yield (
                f"the VIP lies in no network of director {director.name} ({networks}). Choose a VIP in one of them, or "
                "say vip_routed: true where the network routes it to the director.",
                service.at("vip"),
            )


@service_rule(
    "VIP-OWNER",
    "several directors for one VIP without election or balancing",
    "Each would answer ARP for the VIP; connections go to the director that answered last, and break when that changes.",
)
def vip_has_several_owners(topology: Topology, service: Service) -> Iterator[Finding]:
    first_of = topology.register.firsts(VIP_BY_DIRECTOR, service.vip)
    adds_one = any(first_of[director.name] is service for director in service.directors)
    if service.vip_routed or len(first_of) == 1 or not adds_one:
        return
    place = topology.register.position(service)
    up_to_here = (s for s in topology.register.all(VIP, service.vip) if topology.register.position(s) <= place)
    holders = list(dict.fromkeys(name for other in up_to_here for name in director_names(other)))
    if len(holders) > 1:
        yield (
            f"directors {' and '.join(holders)} would all hold the VIP {service.vip}, with nothing that "
            "elects one of them. Give the VIP to one director (directors: a group of one host), or let the network "
            "route it to all of them (vip_routed: true).",
            service.at("directors"),
        )
