"""Who is in each network, and how many hosts are named where they are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible.module_utils.lvs.topology import Host, Network, Topology

NAMED = 6  # hosts of one group that are named one by one
_COMMON = ("all", "ungrouped", "real_servers", "directors", "clients", "hypervisors")


@dataclass(frozen=True)
class Box:
    """One host, or several of one group, in a network. `kind` is client, director, real server or other."""

    name: str
    kind: str
    note: str


@dataclass(frozen=True)
class Segment:
    """A network and who is in it."""

    network: Network
    boxes: tuple[Box, ...]


def some(names: Sequence[str]) -> str:
    """Names in a row; of many the first and the last one, and how many they are."""
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} \u2026 {names[-1]} ({len(names)} hosts)"


def segments(topology: Topology) -> list[Segment]:
    """Every network, in the inventory's order."""
    return [Segment(network, tuple(_boxes(topology, network))) for network in topology.networks.values()]


def _boxes(topology: Topology, network: Network) -> Iterator[Box]:
    groups: dict[tuple[str, str], list[Host]] = {}
    for host in topology.in_network(network):
        role = kind(topology, host)
        group = "" if role != "real server" else group_of(topology, host)
        groups.setdefault((role, group), []).append(host)
    order = ("client", "router", "director", "real server", "other")
    for (role, group), hosts in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        if len(hosts) > NAMED:
            yield Box(f"{group or role}: {len(hosts)} hosts", role, f"{hosts[0].name} \u2026 {hosts[-1].name}")
            continue
        for host in hosts:
            interface = host.interface_in(network)
            yield Box(
                host.name, role, f"{', '.join(map(str, interface.addresses))} ({interface.name})" if interface else ""
            )


def kind(topology: Topology, host: Host) -> str:
    """What a host is: client, router, director, real server or other."""
    kinds = (("directors", "director"), ("clients", "client"), ("real_servers", "real server"))
    found = next((kind for group, kind in kinds if host.name in topology.members(group)), None)
    gateways = {router for network in topology.networks.values() for router in network.routers}
    return found or ("router" if gateways & host.addresses else "other")


def group_of(topology: Topology, host: Host) -> str:
    """The smallest group of a host that is its own: not one of those that every inventory has."""
    own = (name for name, members in topology.groups.items() if host.name in members and name not in _COMMON)
    return min(own, key=lambda name: len(topology.groups[name]), default="real server")
