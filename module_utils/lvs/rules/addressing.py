"""Rules about networks, addresses and hosts, independent of the services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ..families import IPV4, IPV6, TABLE, Address, Family, Prefix
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
        for family in TABLE:
            one, other = first.prefix(family), second.prefix(family)
            if one and other and one.overlaps(other):
                yield (
                    f"networks {first.name} ({one}) and {second.name} ({other}) overlap. "
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
        for family in TABLE:
            router, prefix = network.router(family), network.prefix(family)
            if router and (prefix is None or router not in prefix):
                yield (
                    f"network {network.name}: gateway{family.suffix} {router} is outside {prefix or 'any ' + str(family) + ' network'}. "
                    "Correct it.",
                    network.at,
                    None,
                )
            elif (
                router
                and prefix
                and family is IPV4
                and prefix.prefixlen < family.bits - 1
                and router in no_hosts(prefix)
            ):
                message = (
                    f"network {network.name}: gateway {router} is {_no_host(family)} address of {prefix}. Correct it."
                )
                yield message, network.at, None
    for host in topology.hosts.values():
        for interface in host.interfaces:
            for one in interface.attachments:
                if one.prefix.prefixlen < one.family.bits - 1 and one.address in no_hosts(one.prefix):
                    yield (
                        f"host {host.name}: interface {interface.name}: {one.address} is {_no_host(one.family)} "
                        f"address of {one.prefix}. Choose a host address.",
                        interface.at,
                        host,
                    )


def no_hosts(prefix: Prefix) -> tuple[Address, ...]:
    """The addresses of a network that no host has: its own, and in IPv4 the broadcast address."""
    return (prefix.network_address,) if prefix.version == 6 else (prefix.network_address, prefix.broadcast_address)


def _no_host(family: Family) -> str:
    return "the network or broadcast" if family is IPV4 else "the routers' anycast"


@topology_rule(
    "ADDRESS-UNIQUE",
    "one address on two interfaces, or of a real server and its network's gateway",
    "Two hosts would answer ARP for it, and packets reach the host that answered last.",
)
def address_used_twice(topology: Topology) -> Iterator[TopologyFinding]:
    seen: dict[object, str] = {}
    for host in topology.hosts.values():
        for interface in host.interfaces:
            place = f"{host.name} ({interface.name})"
            for address in interface.addresses:
                if address in seen:
                    message = f"{address} is the address of {seen[address]} and of {place}. Change one."
                    yield message, interface.at, host
                seen[address] = place
    routers = topology.members("routers") | topology.members("directors")
    for network in topology.networks.values():
        for address in network.routers:
            owner = topology.owners.get(address)
            if owner and owner.name in topology.members("real_servers") - routers:
                message = (
                    f"{address} is the address of {owner.name} and the gateway of network {network.name}. Correct one."
                )
                yield message, owner.at, owner


_VLAN_IN_NAME = re.compile(r"(?:^vlan|[.])0*([1-9][0-9]{0,3})$")


@topology_rule(
    "INTERFACE-VLAN",
    "an interface whose name says another VLAN than its network's",
    "Names such as bond0.20 and vlan20 say by custom which VLAN's frames the interface has. Frames of another VLAN reach nobody in the network.",
    warning=True,
)
def name_says_another_vlan(topology: Topology) -> Iterator[TopologyFinding]:
    for host in topology.hosts.values():
        for interface in host.interfaces:
            said = _VLAN_IN_NAME.search(interface.name)
            if said and int(said[1]) != interface.network.vlan:
                yield (
                    f"host {host.name}: interface {interface.name} is in network {interface.network.name}, whose VLAN is "
                    f"{interface.network.vlan}. Correct one of them.",
                    interface.at,
                    host,
                )


@topology_rule(
    "IPV6-MTU",
    "a network with IPv6 and an MTU below 1280 bytes",
    "IPv6 needs links that carry 1280 bytes (RFC 8200); the kernel switches IPv6 off on an interface with less.",
)
def mtu_below_ipv6(topology: Topology) -> Iterator[TopologyFinding]:
    for network in topology.networks.values():
        if network.cidr6 and network.mtu < IPV6.least_mtu:
            yield (
                f"network {network.name} has IPv6 and mtu: {network.mtu}. Raise it to {IPV6.least_mtu} at least, or leave cidr6 out.",
                network.at,
                None,
            )


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
