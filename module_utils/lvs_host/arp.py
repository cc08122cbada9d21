"""Questions and replies of ARP (RFC 826).

The question is an ARP probe (RFC 5227): it has no sender address, so it enters no neighbour table.
"""

from __future__ import annotations

import struct

ETHERTYPE = 0x0806
_REQUEST, _REPLY = 1, 2
_HEAD = struct.pack("!HHBB", 1, 0x0800, 6, 4)  # Ethernet, IPv4, and the lengths of their addresses
# Frames that a packet socket passes on, as BPF (linux/filter.h): code, where to jump if true and if false, value.
ANSWERS = (
    (0x28, 0, 0, 20),  # the operation
    (0x15, 0, 1, _REPLY),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)


def source(interface: str, mac: str) -> bytes:
    """The sender of a probe: nobody."""
    return bytes(4)


def question(mac: str, sender: bytes, address: bytes) -> bytes:
    """The frame that asks who has an address."""
    own = bytes.fromhex(mac.replace(":", ""))
    ethernet = b"\xff" * 6 + own + struct.pack("!H", ETHERTYPE)
    return ethernet + _HEAD + struct.pack("!H", _REQUEST) + own + sender + bytes(6) + address


def reply(frame: bytes) -> tuple[str, bytes] | None:
    """The MAC and the address of the sender of an ARP reply."""
    if len(frame) >= 42 and frame[14:20] == _HEAD and frame[20:22] == struct.pack("!H", _REPLY):
        return frame[22:28].hex(":"), frame[28:32]
    return None
