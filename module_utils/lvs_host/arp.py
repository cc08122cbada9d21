"""Questions and replies of ARP (RFC 826).

The question is an ARP probe (RFC 5227): it has no sender address, so it enters no neighbour table.
"""

from __future__ import annotations

import struct

from . import bpf

ETHERTYPE = 0x0806
_REQUEST, _REPLY = 1, 2
_HEAD = struct.pack("!HHBB", 1, 0x0800, 6, 4)  # Ethernet, IPv4, and the lengths of their addresses
# The frames that a packet socket passes on.
ANSWERS = (
    bpf.half(20),  # the operation
    bpf.unless(_REPLY, skip=1),
    bpf.PASS,
    bpf.DROP,
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
