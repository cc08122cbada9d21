"""Rules about networks, addresses and hosts, independent of the services."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ..topology import Host, Service, Topology
from .catalogue import Finding, TopologyFinding, service_rule, topology_rule
from .sharing import UNPLUGGED


@topology_rule(
    "VLAN-ID",
    "VLAN ids outside 1-4094 or used twice",
    "Two networks with one VLAN id are one broadcast domain: hosts of both would answer each other's ARP requests.",
)
def vlan_used_twice(topology: Topology) -> Iterator[TopologyFinding]:
    for first, second in combinations(topology.networks.values(), 2):
        if first.vlan == second.vlan:
            yield (
                f"networks {first.name} and {second.name} both use VLAN {first.vlan}. Give each its own id.",
                second.at,
                None,
            )


@topology_rule(
    "NETWORK-OVERLAP",
    "networks whose CIDRs overlap",
    "A host in both would send packets for the common addresses through one of them only.",
)
def networks_overlap(topology: Topology) -> Iterator[TopologyFinding]:
    for first, second in combinations(topology.networks.values(), 2):
        if first.cidr.overlaps(second.cidr):
            yield (
                f"networks {first.name} ({first.cidr}) and {second.name} ({second.cidr}) overlap. "
                "Make one of them smaller or move it.",
                second.at,
                None,
            )


@topology_rule(
    "ADDRESS-NETWORK",
    "an address outside its network's CIDR, or one that is the network's own or its broadcast address",
    "No host on the segment would send to it directly.",
)
def address_is_no_host(topology: Topology) -> Iterator[TopologyFinding]:
    for network in topology.networks.values():
        if network.gateway and network.gateway not in network.cidr:
            yield (
                f"network {network.name}: gateway {network.gateway} is outside {network.cidr}. Correct it.",
                network.at,
                None,
            )
    for host in topology.hosts.values():
        for interface in host.interfaces:
            cidr = interface.network.cidr
            if cidr.prefixlen < 31 and interface.address in (cidr.network_address, cidr.broadcast_address):
                yield (
                    f"host {host.name}: interface {interface.name}: {interface.address} is the network or broadcast "
                    f"address of {cidr}. Choose a host address.",
                    interface.at,
                    host,
                )


@topology_rule(
    "ADDRESS-UNIQUE",
    "one address on two interfaces",
    "Two hosts would answer ARP for it, and packets reach the host that answered last.",
)
def address_used_twice(topology: Topology) -> Iterator[TopologyFinding]:
    seen: dict[object, str] = {}
    for host in topology.hosts.values():
        for interface in host.interfaces:
            place = f"{host.name} ({interface.name})"
            if interface.address in seen:
                other = seen[interface.address]
                yield f"{interface.address} is the address of {other} and of {place}. Change one.", interface.at, host
            seen[interface.address] = place


@service_rule(
    "HOST-INTERFACE",
    "a director or real server without an interface in any described network",
    "Without an address in a known network no packet of a service can be planned to or from the host.",
)
def host_without_interface(topology: Topology, service: Service) -> Iterator[Finding]:
    places = [(director, service.at("directors")) for director in service.directors]
    places += [(server.host, server.at) for server in service.real_servers]
    unplugged: dict[str, tuple[Host, Any]] = {}
    for host, at in places:
        if not host.interfaces:
            unplugged.setdefault(host.name, (host, at))
    for host, at in unplugged.values():
        if topology.register.first(UNPLUGGED, host.name) is service:
            yield (
                f"host {host.name} has no interface on any known network. Say in its host_vars where it is plugged "
                "in: lvs_interfaces: {eth1: {network: NAME, address: ADDRESS}}.",
                at,
                host,
            )
