"""Capture filters, pcap-filter(7), for the packets of many connections on one host.

A filter is written from sets of addresses and ports, each of bounded size, and not from one term for each connection: its
length does not grow with the number of services or real servers, and the kernel runs it (it takes 4,096 BPF instructions).
It may let other packets pass; the comparison picks those of each connection by their ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from ansible.module_utils.lvs.walk import CLIENT_PORT, Hop

MOST = 64  # networks or port ranges in a set
_INNER_ADDRESSES = (
    32,
    36,
)  # where source and destination of an inner IPv4 header stand, from the outer header's first byte


@dataclass
class Sets:
    """Sets that match a host's packets: a client's address, or the two ends of the leg behind a director."""

    clients: set[IPv4Address] = field(default_factory=set)
    client_ports: set[int] = field(default_factory=set)  # of services and of real servers
    tunnelled: bool = False  # whether clients' packets also arrive inside another IPv4 header
    near: set[IPv4Address] = field(default_factory=set)  # source addresses that directors use instead of the client's
    far: set[IPv4Address] = field(default_factory=set)  # real servers
    inner_ports: set[int] = field(default_factory=set)

    def add_client(self, address: IPv4Address, ports: Iterable[int]) -> None:
        """Adds a client. `ports` are all of its service's and its real servers': a packet may appear where it is not expected."""
        self.clients.add(address)
        self.client_ports.update(ports)

    def add_hop(self, hop: Hop, locals_: Collection[IPv4Address]) -> None:
        """Adds a hop of the host's. The director may take any of `locals_`, its service's local addresses."""
        packet = hop.packet
        ends = (packet.source, packet.destination)
        self.tunnelled |= packet.outer is not None
        if all(end.port != CLIENT_PORT for end in ends):
            near, far = ends if hop.leg == "request" else reversed(ends)
            self.near |= {near.address, *locals_}
            self.far.add(far.address)
            self.inner_ports |= {end.port for end in ends if isinstance(end.port, int)}

    def text(self) -> str:
        """The filter; empty if nothing was added."""
        terms = []
        if self.clients:
            terms.append(f"({_hosts(self.clients)}) and ({_ports(self.client_ports)})")
        if self.near:
            terms.append(f"({_hosts(self.near)}) and ({_hosts(self.far)}) and ({_ports(self.inner_ports)})")
        if self.tunnelled:
            inner = [
                f"ip[{place}:4] & {int(one.netmask):#x} = {int(one.network_address):#x}"
                for one in networks(self.clients)
                for place in _INNER_ADDRESSES
            ]
            terms.append(f"ip proto 4 and ({' or '.join(inner)})")
        return " or ".join(f"({term})" for term in terms)


def networks(addresses: Iterable[IPv4Address], most: int = MOST) -> Sequence[IPv4Network]:
    """At most `most` networks of one prefix length, the longest that suffices, which hold all of the addresses."""
    numbers = {int(address) for address in addresses}
    for bits in range(33):
        found = {number >> bits for number in numbers}
        if len(found) <= most:
            return [IPv4Network((number << bits, 32 - bits)) for number in sorted(found)]
    raise AssertionError("0.0.0.0/0 holds every address")


def ranges(ports: Iterable[int], most: int = MOST) -> Sequence[tuple[int, int]]:
    """At most `most` ranges, first and last port of each, which hold all of the ports. The widest gaps stay outside."""
    ordered = sorted(set(ports))
    gaps = [(second - first, first, second) for first, second in zip(ordered, ordered[1:]) if second - first > 1]
    kept = sorted((first, second) for _, first, second in sorted(gaps, reverse=True)[: most - 1])
    starts = [*ordered[:1], *(second for _, second in kept)]
    ends = [*(first for first, _ in kept), *ordered[-1:]]
    return list(zip(starts, ends))


def _hosts(addresses: Iterable[IPv4Address]) -> str:
    return " or ".join(
        f"host {one.network_address}" if one.prefixlen == 32 else f"net {one}" for one in networks(addresses)
    )


def _ports(ports: Iterable[int]) -> str:
    return " or ".join(
        f"port {first}" if first == last else f"portrange {first}-{last}" for first, last in ranges(ports)
    )
