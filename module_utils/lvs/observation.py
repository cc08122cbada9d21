"""Compares captured frames with a predicted walk, and reports the hop where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .families import Address
from .topology import Service
from .walk import CLIENT_PORT, LOCAL_PORT, Endpoint, Hop, Node, Packet, Walk


@dataclass(frozen=True)
class Frame:
    """One frame as one interface of one host saw it. `length` in bytes on the wire, `time` in seconds.

    `mark` is a value that address translation does not change: a SYN's sequence number, or a datagram's payload. Only packets that
    open a connection have one.
    """

    host: str
    interface: str
    leaving: bool
    source_mac: str
    destination_mac: str
    packet: Packet
    length: int
    time: float
    mark: int | bytes | None = None


@dataclass(frozen=True)
class Vantage:
    """A host that captured: the MACs of its interfaces, and its neighbour tables."""

    macs: Mapping[str, str]
    neighbours: Mapping[Address, str]


@dataclass(frozen=True)
class Observed:
    """One hop of a walk as it was captured. `packet` has the real ports, `sent` and `arrived` are the frames that fit it.

    `missing` is the host whose capture does not contain it, `difference` describes what differs; both are empty if it was
    captured as predicted, or if there is no capture (`watched` is then empty, too).
    """

    hop: Hop
    packet: Packet
    watched: tuple[str, ...] = ()
    sent: tuple[Frame, ...] = ()
    arrived: tuple[Frame, ...] = ()
    missing: str = ""
    difference: str = ""


@dataclass
class Connection:
    """One connection of a probe: predicted and captured packets. `differences` is empty when both agree.

    `hops` are those of the walk through the real server that got it; without one, those of the first walk. `strangers` are
    frames that belong to no hop, one of each kind.
    """

    ends: Ends
    real_server: str | None
    walk: Walk | None
    frames: Sequence[Frame]
    differences: list[str] = field(default_factory=list)
    hops: Sequence[Observed] = ()
    strangers: Sequence[Frame] = ()

    def bytes_at(self, host: str) -> int:
        """Bytes in and out of a host, both counted."""
        return sum(frame.length for frame in self.frames if frame.host == host)


@dataclass(frozen=True)
class Ends:
    """The two ends of a connection that are known only after it is open. `local` is None if no source NAT was captured."""

    client: Endpoint
    local: Endpoint | None = None


def find_ends(client: Endpoint, service: Service, director: str, frames: Sequence[Frame]) -> Ends:
    """Finds the local address and port that `director` gave to the client's connection.

    The frame that opened it leaves the director from one of the service's local addresses with the same mark.
    """
    marks = {frame.mark for frame in frames if frame.mark is not None and frame.packet.source == client}
    sources = (
        frame.packet.source
        for frame in frames
        if frame.host == director and frame.leaving and frame.mark in marks
        if frame.packet.source.address in service.local_addresses
    )
    return Ends(client, next(sources, None))


def bind(packet: Packet, ends: Ends) -> Packet:
    """The packet with the real ports (and the local address that was taken) for the symbolic ones."""

    def end(endpoint: Endpoint) -> Endpoint:
        if endpoint.port == CLIENT_PORT:
            return Endpoint(endpoint.address, ends.client.port)
        return ends.local if endpoint.port == LOCAL_PORT and ends.local else endpoint

    option = end(packet.option) if packet.option else None
    return replace(packet, source=end(packet.source), destination=end(packet.destination), option=option)


def compare(
    service: Service,
    walks: Mapping[str, Walk],
    director: str,
    ends: Ends,
    frames: Sequence[Frame],
    vantages: Mapping[str, Vantage],
) -> Connection:
    """Compares the frames of one connection with the walk through the real server that got it.

    `walks` has one walk for each real server's name; `frames` are those of this connection alone.
    """
    server = next((frame.host for frame in frames if frame.host in walks and frame.host != director), None)
    if server is None:
        server = _chosen_by_director(walks, director, ends, frames, vantages)
    followed = walks[server] if server else next(iter(walks.values()), None)
    hops = [
        _hop(hop, bind(hop.packet, ends), frames, vantages, service.mode.every_packet)
        for hop in (followed.hops if followed else ())
    ]
    if server is None:
        return Connection(ends, None, None, frames, [_never_forwarded(service, director, ends, frames)], hops)
    explained = {frame for hop in hops for frame in (*hop.sent, *hop.arrived)}
    strangers = {f"{frame.host} {frame.interface}: {frame.packet}": frame for frame in frames if frame not in explained}
    differences = [hop.difference for hop in hops if hop.difference]
    differences += [_stranger(frame, vantages) for frame in strangers.values()]
    return Connection(ends, server, walks[server], frames, differences, hops, tuple(strangers.values()))


def _hop(
    hop: Hop, packet: Packet, frames: Sequence[Frame], vantages: Mapping[str, Vantage], every_packet: bool
) -> Observed:
    """The captured frames of one hop."""
    seen = Observed(hop, packet)
    where = f"{hop.leg}, {hop.sender} > {hop.receiver} on {hop.network.name}"
    for node, leaving in ((hop.sender, True), (hop.receiver, False)):
        vantage = vantages.get(node.host or "")
        if vantage is None or node.host is None:
            continue  # no capture there
        seen = replace(seen, watched=(*seen.watched, node.host))
        here = [f for f in frames if f.host == node.host and f.interface == node.interface and f.leaving == leaving]
        same = tuple(frame for frame in here if replace(frame.packet, option=packet.option) == packet)
        place = f"{'leaving' if leaving else 'arriving at'} {node.host} ({node.interface})"
        if not same:
            text = f"{where}: {packet} was not seen {place}"
            return replace(seen, missing=node.host, difference=text)
        seen = replace(seen, sent=same) if leaving else replace(seen, arrived=same)
        wrong = next((frame for frame in same if not _option_fits(frame, packet, every_packet)), None)
        if wrong:
            return replace(seen, difference=f"{where}: {wrong.packet} seen {place}, expected {packet}")
        sender, receiver = _mac(hop.sender, vantage, vantages), _mac(hop.receiver, vantage, vantages)
        for frame in same:
            if sender and frame.source_mac != sender:
                text = f"{where}: source MAC is {frame.source_mac}, expected {sender}"
                return replace(seen, difference=text)
            if receiver and frame.destination_mac != receiver:
                text = f"{where}: destination MAC is {frame.destination_mac}, expected {receiver}"
                return replace(seen, difference=text)
    return seen


def _option_fits(frame: Frame, packet: Packet, every_packet: bool) -> bool:
    """The packets that open a connection must carry the option, with `every_packet` all packets; no packet may carry a different one."""
    if every_packet or frame.mark is not None or packet.option is None:
        return frame.packet.option == packet.option
    return frame.packet.option in (None, packet.option)


def _mac(node: Node, vantage: Vantage, vantages: Mapping[str, Vantage]) -> str | None:
    """The MAC of one end of a hop: from its own capture, else from the neighbour table of the capturing host."""
    own = vantages.get(node.host or "")
    if own and node.interface and node.interface in own.macs:
        return own.macs[node.interface]
    return vantage.neighbours.get(node.address)


def _chosen_by_director(
    walks: Mapping[str, Walk],
    director: str,
    ends: Ends,
    frames: Sequence[Frame],
    vantages: Mapping[str, Vantage],
) -> str | None:
    """The real server to which the director sent the request, when that host's capture is empty.

    If the packet is the same for several real servers, the frame's destination MAC decides. A director that is a real server itself
    got the request if it received it and sent it to nobody.
    """
    sent = [frame for frame in frames if frame.host == director and frame.leaving]
    onward = {
        name: hop
        for name, walk in walks.items()
        for hop in walk.hops
        if (hop.sender.host, hop.leg) == (director, "request")
    }
    for name, hop in onward.items():
        alike = [frame for frame in sent if frame.packet == bind(hop.packet, ends)]
        if alike and sum(other.packet == hop.packet for other in onward.values()) == 1:
            return name
        if any(frame.destination_mac == _mac(hop.receiver, vantages[director], vantages) for frame in alike):
            return name
    came = any(f.host == director and not f.leaving and f.packet.source == ends.client for f in frames)
    return director if director in walks and came and not astray(director, ends.client, frames) else None


def _never_forwarded(service: Service, director: str, ends: Ends, frames: Sequence[Frame]) -> str:
    if went := astray(director, ends.client, frames):
        return f"request: reached {director}, which sent it to {went.destination_mac}, no real server of {service.name}"
    if any(frame.host == director and not frame.leaving for frame in frames):
        return f"request: reached {director}, which forwarded it to no real server of {service.name}"
    if frames:
        return f"request: left the client, but never arrived at director {director}"
    return "request: not captured, not even at the client"


def astray(director: str, client: Endpoint, frames: Sequence[Frame]) -> Frame | None:
    """The frame by which a director forwarded a request of a connection that no real server's capture contains."""
    return next((f for f in frames if f.host == director and f.leaving and f.packet.destination != client), None)


def _stranger(frame: Frame, vantages: Mapping[str, Vantage]) -> str:
    names = {mac: host for host, vantage in vantages.items() for mac in vantage.macs.values()}
    way = "to" if frame.leaving else "from"
    mac = frame.destination_mac if frame.leaving else frame.source_mac
    return f"unexpected: {frame.packet} seen at {frame.host} ({frame.interface}), {way} {names.get(mac) or mac}"
