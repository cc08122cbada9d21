"""Questions and replies of neighbour discovery (RFC 4861).

A solicitation without a source address, as duplicate address detection sends it, would be answered to all nodes, and the answer
of a wrong host would enter their neighbour tables. It would also stop an address that its owner is just taking. The question
therefore comes from a link-local address, and only this host gets the answers.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from . import bpf

ETHERTYPE = 0x86DD
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_SOURCE_MAC, _TARGET_MAC = 1, 2  # options
_HOP_LIMIT = 255  # of all messages of neighbour discovery: it shows that no router has forwarded them
_SOLICITED_NODE = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13]
_MULTICAST = b"\x33\x33"  # begins the MAC of an IPv6 group, its last four bytes follow (RFC 2464)
_LINK_LOCAL = b"\xfe\x80" + bytes(6)
_ADDRESSES, _LINK_SCOPE = "/proc/net/if_inet6", "20"
# The frames that a packet socket passes on.
ANSWERS = (
    bpf.byte(20),  # what follows the IPv6 header
    bpf.unless(_ICMPV6, skip=3),
    bpf.byte(54),  # the type of the message
    bpf.unless(_ADVERTISEMENT, skip=1),
    bpf.PASS,
    bpf.DROP,
)


def source(interface: str, mac: str) -> bytes:
    """The link-local address of an interface; where it has none, the one that its MAC gives (RFC 2464, 4).

    Nobody else has that one, and answers to it arrive here by the MAC in the question.
    """
    with contextlib.suppress(FileNotFoundError), open(_ADDRESSES, encoding="ascii") as file:
        for address, _, _, scope, _, name in map(str.split, file):
            if name == interface and scope == _LINK_SCOPE:
                return bytes.fromhex(address)
    own = _packed(mac)
    return _LINK_LOCAL + bytes([own[0] ^ 2]) + own[1:3] + b"\xff\xfe" + own[3:]


def question(mac: str, sender: bytes, address: bytes) -> bytes:
    """The frame that asks who has an address. It goes to the group of the hosts with such an end of an address."""
    group = _SOLICITED_NODE + address[13:]
    option = bytes([_SOURCE_MAC, 1]) + _packed(mac)
    body = bytes(4) + address + option
    message = bytes([_SOLICITATION, 0]) + bytes(2) + body
    pseudo = sender + group + struct.pack("!II", len(message), _ICMPV6)
    message = bytes([_SOLICITATION, 0]) + struct.pack("!H", checksum(pseudo + message)) + body
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, _HOP_LIMIT) + sender + group
    return _MULTICAST + group[12:] + _packed(mac) + struct.pack("!H", ETHERTYPE) + header + message


def reply(frame: bytes) -> tuple[str, bytes] | None:
    """The MAC and the address that a neighbour advertisement announces."""
    header, message = frame[14:54], frame[54:]
    if len(message) < 24 or header[0] >> 4 != 6 or (header[6], header[7]) != (_ICMPV6, _HOP_LIMIT):
        return None
    if (message[0], message[1]) != (_ADVERTISEMENT, 0):
        return None
    return _announced(message[24:]) or frame[6:12].hex(":"), message[8:24]


def _announced(options: bytes) -> str | None:
    """The MAC in the options: what others enter in their neighbour tables."""
    while len(options) >= 8 and options[1]:
        if options[0] == _TARGET_MAC:
            return options[2:8].hex(":")
        options = options[options[1] * 8 :]
    return None


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
