"""Checks which MACs answer for an address: by ARP for IPv4, by neighbour discovery for IPv6.

No probe enters the neighbour table of anybody as the owner of the address that it asks for.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence

from . import arp, ndp

_BY_FAMILY = {socket.AF_INET: arp, socket.AF_INET6: ndp}
_SO_ATTACH_FILTER = 26  # asm/socket.h
_PACE = 0.002  # seconds between two probes: switches and access points limit broadcasts

Family = socket.AddressFamily
Place = tuple[str, Family, bytes]  # an interface, and an address as the packets have it
Sockets = Mapping[tuple[str, Family], socket.socket]


def answers(asks: Sequence[tuple[str, str]], macs: dict[str, str], seconds: float = 1.0) -> list[list[str]]:
    """The MACs that answer for each (interface, address), sorted; `macs` are the interfaces' own.

    Each probe is sent twice. `seconds` is how long to wait after the last one.
    """
    found: list[set[str]] = [set() for _ in asks]
    places: dict[Place, list[int]] = {}
    for number, (interface, address) in enumerate(asks):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        places.setdefault((interface, family, socket.inet_pton(family, address)), []).append(number)
    sockets = {}
    try:
        for interface, family in dict.fromkeys(place[:2] for place in places):
            if interface in macs:
                sockets[interface, family] = _open(interface, family)
        sources = {place: _BY_FAMILY[place[1]].source(place[0], macs[place[0]]) for place in sockets}
        for interface, family, target in (*places, *places):
            if (interface, family) in sockets:
                question = _BY_FAMILY[family].question(macs[interface], sources[interface, family], target)
                with contextlib.suppress(OSError):  # the interface has just gone down
                    sockets[interface, family].send(question)
                _hear(sockets, places, found, _PACE)
        _hear(sockets, places, found, seconds)
    finally:
        for one in sockets.values():
            one.close()
    return [sorted(one) for one in found]


def _open(interface: str, family: Family) -> socket.socket:
    """A packet socket that receives what can be an answer, and nothing else of the interface's traffic."""
    protocol = _BY_FAMILY[family]
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = b"".join(protocol.ANSWERS)
    buffer = ctypes.create_string_buffer(program, len(program))
    one.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(protocol.ANSWERS), ctypes.addressof(buffer))
    )
    one.bind((interface, protocol.ETHERTYPE))
    one.setblocking(False)
    return one


def _hear(sockets: Sockets, places: Mapping[Place, list[int]], found: list[set[str]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(sockets.values()), [], [], left)
        for interface, family in (place for place, handle in sockets.items() if handle in ready):
            for frame in _frames(sockets[interface, family]):
                reply = _BY_FAMILY[family].reply(frame)
                if reply:
                    for number in places.get((interface, family, reply[1]), ()):
                        found[number].add(reply[0])


def _frames(one: socket.socket) -> Iterator[bytes]:
    """The frames that wait."""
    while True:
        try:
            yield one.recv(1600)
        except OSError:  # none waits, or the interface has just gone down
            return
