"""The captured frames of many connections, indexed by the ends of a connection."""

from __future__ import annotations

from collections.abc import Container, Iterable

from ansible.module_utils.lvs.families import Address
from ansible.module_utils.lvs.observation import Ends, Frame, find_ends
from ansible.module_utils.lvs.topology import Service
from ansible.module_utils.lvs.walk import Endpoint


class Sightings:
    """Frames in the order of time. The time of a look-up depends on the frames of the connection alone."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._by_end: dict[Endpoint, list[int]] = {}
        self._by_mark: dict[int | bytes, list[int]] = {}
        self.frames = list(frames)
        for number, frame in enumerate(self.frames):
            packet = frame.packet
            for end in {packet.source, packet.destination, *([packet.option] if packet.option else [])}:
                self._by_end.setdefault(end, []).append(number)
            if frame.mark is not None:
                self._by_mark.setdefault(frame.mark, []).append(number)

    def ends(self, client: Endpoint, service: Service, director: str) -> Ends:
        """Both ends of the connection that a client has opened from a port."""
        own = self._at(self._by_end.get(client, ()))
        marks = {frame.mark for frame in own if frame.mark is not None and frame.packet.source == client}
        alike = self._at(sorted({number for mark in marks for number in self._by_mark[mark]}))
        return find_ends(client, service, director, alike)

    def of(self, ends: Ends, addresses: Container[Address]) -> list[Frame]:
        """The frames of one connection, `addresses` are those of its service and real servers.

        Filters also let packets of other clients pass: a local address and port may be in use towards other hosts at the same time,
        also towards other real servers of the service, by health checks among others.
        """
        numbers = set(self._by_end.get(ends.client, ()))
        if ends.local:
            own = {self.frames[number].mark for number in numbers}
            by_local = {number: self._other(number, ends.local) for number in self._by_end.get(ends.local, ())}
            opened = {number: other for number, other in by_local.items() if self.frames[number].mark is not None}
            ours = {other for number, other in opened.items() if self.frames[number].mark in own}
            somebody_elses = {*opened.values()} - ours
            numbers |= {
                n for n, other in by_local.items() if other.address in addresses and other not in somebody_elses
            }
        return self._at(sorted(numbers))

    def _other(self, number: int, end: Endpoint) -> Endpoint:
        packet = self.frames[number].packet
        return packet.source if packet.destination == end else packet.destination

    def _at(self, numbers: Iterable[int]) -> list[Frame]:
        return [self.frames[number] for number in numbers]
