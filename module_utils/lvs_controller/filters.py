"""Capture filters, pcap-filter(7), for the packets of many connections on one host.

A filter is written from sets of addresses and ports, each of bounded size, and not from one term for each connection: its
length does not grow with the number of services or real servers, and the kernel runs it (it takes 4,096 BPF instructions).
It may let other packets pass; the comparison picks those of each connection by their ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ansible.module_utils.lvs import families
from ansible.module_utils.lvs.families import TABLE, Address, Prefix
from ansible.module_utils.lvs.walk import CLIENT_PORT, Hop

MOST = 64  # networks or port ranges in a set
WORD = 32  # bits that a BPF instruction compares

# By IP version: how a filter reads the header's bytes, where the address of the source and of the destination stand in it, the
# place of the next protocol, and the number by which another IP header names this one as its content.
_ACCESS = {4: "ip", 6: "ip6"}
_ADDRESSES = {4: (12, 16), 6: (8, 24)}
_HEADER = {family.version: family.header for family in TABLE}
_PROTOCOL = {4: 9, 6: 6}
_ENCLOSED = {4: 4, 6: 41}
# Hop-by-hop options, routing, fragment, destination options: `port` does not look behind them.
_EXTENSIONS = (0, 43, 44, 60)


@dataclass
class Sets:
    """Sets that match a host's packets: a client's address, or the two ends of the leg behind a director."""

    clients: set[Address] = field(default_factory=set)
    client_ports: set[int] = field(default_factory=set)  # of services and of real servers
    tunnels: set[tuple[int, int]] = field(default_factory=set)  # IP versions of the outer and of the inner header
    near: set[Address] = field(default_factory=set)  # source addresses that directors use instead of the client's
    far: set[Address] = field(default_factory=set)  # real servers
    inner_ports: set[int] = field(default_factory=set)

    def add_client(self, address: Address, ports: Iterable[int]) -> None:
        """Adds a client. `ports` are all of its service's and its real servers': a packet may appear where it is not expected."""
        self.clients.add(address)
        self.client_ports.update(ports)

    def add_hop(self, hop: Hop, locals_: Collection[Address]) -> None:
        """Adds a hop of the host's. The director may take any of `locals_`, its service's local addresses."""
        packet = hop.packet
        ends = (packet.source, packet.destination)
        if packet.outer is not None:
            self.tunnels.add((packet.outer[0].version, packet.source.address.version))
        if all(end.port != CLIENT_PORT for end in ends):
            near, far = ends if hop.leg == "request" else reversed(ends)
            self.near |= {near.address, *locals_}
            self.far.add(far.address)
            self.inner_ports |= {end.port for end in ends if isinstance(end.port, int)}

    def text(self) -> str:
        """The filter; empty if nothing was added."""
        terms = []
        for version in _ACCESS:
            clients, near, far = (_of(version, addresses) for addresses in (self.clients, self.near, self.far))
            if clients:
                terms.append(f"({_hosts(version, clients)}) and ({_ports(version, self.client_ports)})")
            if near and far:
                terms.append(f"({_between(version, near, far)}) and ({_ports(version, self.inner_ports)})")
        for outer, inner in sorted(self.tunnels):
            if clients := _of(inner, self.clients):
                enclosed = f"{_ACCESS[outer]}[{_PROTOCOL[outer]}] = {_ENCLOSED[inner]}"
                terms.append(f"{enclosed} and ({_hosts(inner, clients, outer)})")
        return " or ".join(f"({term})" for term in terms)


def networks(addresses: Iterable[Address], most: int = MOST) -> Sequence[Prefix]:
    """Networks of one prefix length, the longest that suffices, which hold all of the addresses; all are of one family.

    There are at most `most` of them; of IPv6 so few that a filter for them takes at most `most` comparisons, and three for what all
    have in common.
    """
    ordered = list(addresses)
    if not ordered:
        return []
    bits, prefix = ordered[0].max_prefixlen, families.of(ordered[0]).prefix_type
    numbers = {int(address) for address in ordered}
    limit = most + bits // WORD - 1
    for length in range(bits, -1, -1):
        found = {number >> (bits - length) for number in numbers}
        compared = sum(len({number >> (length - part) for number in found}) for part in _parts(length))
        if len(found) <= most and compared <= limit:
            return [prefix((number << (bits - length), length)) for number in sorted(found)]
    raise AssertionError("a prefix of length 0 holds every address")


def _parts(length: int) -> Iterator[int]:
    """The lengths at which the words of a prefix end."""
    yield from range(WORD, length, WORD)
    yield length


def ranges(ports: Iterable[int], most: int = MOST) -> Sequence[tuple[int, int]]:
    """At most `most` ranges, first and last port of each, which hold all of the ports. The widest gaps stay outside."""
    ordered = sorted(set(ports))
    gaps = [(second - first, first, second) for first, second in zip(ordered, ordered[1:]) if second - first > 1]
    kept = sorted((first, second) for _, first, second in sorted(gaps, reverse=True)[: most - 1])
    starts = [*ordered[:1], *(second for _, second in kept)]
    ends = [*(first for first, _ in kept), *ordered[-1:]]
    return list(zip(starts, ends))


def _of(version: int, addresses: Iterable[Address]) -> set[Address]:
    return {address for address in addresses if address.version == version}


def _between(version: int, near: Collection[Address], far: Collection[Address]) -> str:
    """Packets between an address of each set, in either direction.

    Not `near and far`, each for source or destination: the optimizer of libpcap 1.10.3 makes a filter of that which loses packets.
    """
    source, destination = _ADDRESSES[version]
    ways = ((source, near, destination, far), (destination, near, source, far))
    return " or ".join(
        f"(({_words(_ACCESS[version], here, networks(own), 0)}) and ({_words(_ACCESS[version], there, networks(others), 0)}))"
        for here, own, there, others in ways
    )


def _hosts(version: int, addresses: Iterable[Address], outer: int | None = None) -> str:
    """Packets from or to one of the addresses; with `outer`, those inside a header of that IP version."""
    found = networks(addresses)
    access = _ACCESS[outer or version]
    shift = _HEADER[outer] if outer else 0
    return " or ".join(_words(access, shift + place, found, 0) for place in _ADDRESSES[version])


def _words(access: str, place: int, found: Sequence[Prefix], first: int) -> str:
    """Compares an address with networks of one length, word by word: what several have in common is compared once."""
    length, bits = found[0].prefixlen, found[0].max_prefixlen
    own = min(WORD, length - first)
    if own <= 0:
        return f"{access}[0] >= 0"  # the family is all that they have in common
    mask = ((1 << own) - 1) << (WORD - own)
    groups: dict[int, list[Prefix]] = {}
    for one in found:
        groups.setdefault(int(one.network_address) >> (bits - WORD - first) & mask, []).append(one)
    word = f"{access}[{place}:4]" + (f" & {mask:#x}" if own < WORD else "")
    if first + WORD >= length:
        return " or ".join(f"{word} = {value:#x}" for value in groups)
    return " or ".join(
        f"({word} = {value:#x} and ({_words(access, place + WORD // 8, same, first + WORD)}))"
        for value, same in groups.items()
    )


def _ports(version: int, ports: Iterable[int]) -> str:
    found = [f"port {first}" if first == last else f"portrange {first}-{last}" for first, last in ranges(ports)]
    if version == 6:
        found += [f"ip6[{_PROTOCOL[6]}] = {number}" for number in _EXTENSIONS]
    return " or ".join(found)
