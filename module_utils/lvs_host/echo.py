"""The largest packet that reaches an address and comes back: ICMP echo that no router fragments (RFC 792, RFC 1191; RFC 4443, RFC 8201)."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SMALL = 64  # bytes: what any path carries
# Usual MTUs of paths: PPPoE, IP-in-IP, GRE, VXLAN, IPsec, IPv6's and IPv4's least (bytes of the IP packet).
USUAL = (8900, 1500, 1492, 1480, 1476, 1460, 1450, 1440, 1420, 1400, 1300, 1280, 576)
_ICMP = 8  # bytes of the header of an echo message
_PROBE = 3  # linux/in.h, linux/in6.h: no fragments, regardless of the path MTU that the kernel has cached
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62
_ICMPV6_FILTER = 1  # linux/icmpv6.h: a bit for each type that is not to be received
_PACE = 0.001

Family = socket.AddressFamily


@dataclass(frozen=True)
class Echo:
    """What differs between the families. `header` and `least`: bytes of the IP header, and of the packet that every link carries.

    `headed`: whether the socket gives the IP header with each message, and leaves the checksum to the program.
    """

    family: Family
    protocol: int
    request: int
    reply: int
    header: int
    least: int
    headed: bool
    options: tuple[tuple[int, int, int | bytes], ...]


def _all_but(kind: int) -> bytes:
    """A filter of ICMPv6 types that lets one pass."""
    return struct.pack(
        "8I", *(0xFFFFFFFF & ~(1 << kind % 32) if place == kind // 32 else 0xFFFFFFFF for place in range(8))
    )


_BY_FAMILY = {
    socket.AF_INET: Echo(
        socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20, 576, True,
        ((socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE),),
    ),
    socket.AF_INET6: Echo(
        socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 40, 1280, False,
        (
            (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE),
            (socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1),
            (socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, _all_but(129)),
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One size for one path, by the path's place."""

    number: int
    address: str
    size: int


def largest(paths: Sequence[tuple[str, int]], seconds: float = 1.5) -> list[int]:
    """For each (address, size) the largest packet up to that size, in bytes, that was answered; 0 if none was.

    Only the whole size and the usual ones below it are tried, each twice.
    """
    asked = [
        Question(number, str(address), size)
        for number, (address, wanted) in enumerate(paths)
        for size in _sizes(address, wanted)
    ]
    found = [0] * len(paths)
    identifier = os.getpid() & 0xFFFF
    with contextlib.ExitStack() as stack:
        handles = {}
        for family in sorted({_family(question.address) for question in asked}):
            handles[family] = _open(stack, _BY_FAMILY[family])
        for sequence, question in [*enumerate(asked), *enumerate(asked)]:
            if found[question.number] >= question.size:
                continue
            family = _family(question.address)
            message = _request(_BY_FAMILY[family], identifier, sequence & 0xFFFF, question.size)
            try:
                handles[family].sendto(message, (question.address, 0))
            except OSError:  # larger than the interface's MTU, or no route
                continue
            _hear(handles, identifier, asked, found, _PACE)
        _hear(handles, identifier, asked, found, seconds)
    return found


def _family(address: str) -> Family:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _sizes(address: str, wanted: int) -> list[int]:
    least = _BY_FAMILY[_family(address)].least
    return sorted({wanted, SMALL, *(usual for usual in USUAL if least <= usual < wanted)}, reverse=True)


def _open(stack: contextlib.ExitStack, echo: Echo) -> socket.socket:
    handle = stack.enter_context(socket.socket(echo.family, socket.SOCK_RAW, echo.protocol))
    for option in echo.options:
        handle.setsockopt(*option)
    handle.setblocking(False)
    return handle


def _request(echo: Echo, identifier: int, sequence: int, size: int) -> bytes:
    data = bytes(size - echo.header - _ICMP)
    head = struct.pack("!BBHHH", echo.request, 0, 0, identifier, sequence)
    # The checksum of ICMPv6 covers the addresses too: the kernel writes it (RFC 3542, 3.1).
    value = _checksum(head) if echo.headed else 0
    return struct.pack("!BBHHH", echo.request, 0, value, identifier, sequence) + data


def _checksum(head: bytes) -> int:
    """Of a message whose data are zeros (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _hear(
    handles: Mapping[Family, socket.socket],
    identifier: int,
    asked: Sequence[Question],
    found: list[int],
    seconds: float,
) -> None:
    until = time.monotonic() + seconds
    while handles and (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(handles.values()), [], [], left)
        for family in (family for family, handle in handles.items() if handle in ready):
            _take(handles[family], _BY_FAMILY[family], identifier, asked, found)


def _take(handle: socket.socket, echo: Echo, identifier: int, asked: Sequence[Question], found: list[int]) -> None:
    """Reads the messages that wait."""
    while True:
        try:
            message, sender = handle.recvfrom(65535)
        except BlockingIOError:
            return
        start = (message[0] & 15) * 4 if echo.headed else 0
        kind, _, _, own, sequence = struct.unpack_from("!BBHHH", message, start)
        if kind != echo.reply or own != identifier or sequence >= len(asked):
            continue
        question = asked[sequence]
        if _same(echo.family, sender[0], question.address):
            found[question.number] = max(found[question.number], question.size)


def _same(family: Family, one: str, other: str) -> bool:
    return socket.inet_pton(family, one) == socket.inet_pton(family, other)
