"""Checks which MACs answer ARP for an address.

The request is an ARP probe (RFC 5227): it has no sender address, so it enters no neighbour table.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

_ETH_P_ARP = 0x0806
_REQUEST, _REPLY = 1, 2
_HEAD = struct.pack("!HHBB", 1, 0x0800, 6, 4)  # Ethernet, IPv4, and the lengths of their addresses
_PACE = 0.002  # seconds between two probes: switches and access points limit broadcasts


def answers(asks: Sequence[tuple[str, str]], macs: dict[str, str], seconds: float = 1.0) -> list[list[str]]:
    """The MACs that answer for each (interface, IPv4 address), sorted; `macs` are the interfaces' own.

    Each probe is sent twice. `seconds` is how long to wait after the last one.
    """
    found: list[set[str]] = [set() for _ in asks]
    places: dict[tuple[str, str], list[int]] = {}
    for number, ask in enumerate(asks):
        places.setdefault(ask, []).append(number)
    sockets = {}
    try:
        for interface in dict.fromkeys(interface for interface, _ in asks):
            if interface in macs:
                sockets[interface] = _open(interface)
        for interface, address in (*places, *places):
            if interface in sockets:
                with contextlib.suppress(OSError):  # the interface has just gone down
                    sockets[interface].send(_question(macs[interface], address))
                _hear(sockets, places, found, _PACE)
        _hear(sockets, places, found, seconds)
    finally:
        for one in sockets.values():
            one.close()
    return [sorted(one) for one in found]


def _open(interface: str) -> socket.socket:
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
    one.bind((interface, _ETH_P_ARP))
    one.setblocking(False)
    return one


def _question(mac: str, address: str) -> bytes:
    own = bytes.fromhex(mac.replace(":", ""))
    ethernet = b"\xff" * 6 + own + struct.pack("!H", _ETH_P_ARP)
    return ethernet + _HEAD + struct.pack("!H", _REQUEST) + own + bytes(4) + bytes(6) + socket.inet_aton(address)


def _hear(
    sockets: dict[str, socket.socket], places: dict[tuple[str, str], list[int]], found: list[set[str]], seconds: float
) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(sockets.values()), [], [], left)
        for interface in (name for name, one in sockets.items() if one in ready):
            for mac, address in _replies(sockets[interface]):
                for number in places.get((interface, address), ()):
                    found[number].add(mac)


def _replies(one: socket.socket) -> Iterator[tuple[str, str]]:
    """The sender's MAC and IPv4 address of each ARP reply that waits."""
    while True:
        try:
            frame = one.recv(128)
        except OSError:  # no reply waits, or the interface has just gone down
            return
        if len(frame) >= 42 and frame[14:20] == _HEAD and frame[20:22] == struct.pack("!H", _REPLY):
            yield frame[22:28].hex(":"), socket.inet_ntoa(frame[28:32])
