"""Rules about the virtual addresses: who has them, and that nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from ..topology import Service, Topology
from .catalogue import Finding, TopologyFinding, service_rule, topology_rule


@topology_rule("NAME-UNIQUE", "two services of one name", "Messages, reports and commands name a service by it.")
def name_used_twice(topology: Topology) -> Iterator[TopologyFinding]:
    seen: set[str] = set()
    for service in topology.services:
        if service.name in seen:
            yield "another service has this name. Rename one.", service.at("name"), service
        seen.add(service.name)


@topology_rule(
    "VIP-UNIQUE",
    "two services on one VIP, port and protocol",
    "The director's table holds one virtual service for an address, port and protocol; the second would replace it.",
)
def vip_used_twice(topology: Topology) -> Iterator[TopologyFinding]:
    seen: dict[tuple[IPv4Address, int, str], Service] = {}
    for service in topology.services:
        key = (service.vip, service.port, service.protocol)
        if key in seen:
            yield (
                f"{service.vip}:{service.port}/{service.protocol} is already service {seen[key].name}. "
                "Choose another port or VIP.",
                service.at("vip"),
                service,
            )
        seen.setdefault(key, service)


@service_rule(
    "VIP-COLLISION",
    "a VIP that is some host's, gateway's, network's or broadcast address",
    "Two owners of one address take each other's packets.",
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
        yield f"the VIP {service.vip} is {taken}. Choose an address that nobody has.", service.at("vip")


@service_rule(
    "VIP-NETWORK",
    "a VIP in no network of its directors and not said to be routed to them",
    "Nobody asks the director for it by ARP, so no request arrives.",
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


@topology_rule(
    "VIP-OWNER",
    "several directors for one VIP with nothing that elects or balances among them",
    "Each would answer ARP for the VIP; connections follow whichever answered last and break when that changes.",
)
def vip_has_several_owners(topology: Topology) -> Iterator[TopologyFinding]:
    owners: dict[IPv4Address, dict[str, None]] = {}
    for service in topology.services:
        holders = owners.setdefault(service.vip, {})
        before = len(holders)
        holders.update(dict.fromkeys(director.name for director in service.directors))
        if len(holders) > 1 and len(holders) != before and not service.vip_routed:
            yield (
                f"directors {' and '.join(holders)} would all hold the VIP {service.vip}, with nothing that "
                "elects one of them. Give the VIP to one director (directors: a group of one host), or let the network "
                "route it to all of them (vip_routed: true).",
                service.at("directors"),
                service,
            )
