"""The largest packet that reaches an address and comes back: ICMP echo with Don't Fragment (RFC 792, RFC 1191)."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Sequence

SMALL = 64  # bytes: what any path carries
# Usual MTUs of paths: PPPoE, IP-in-IP, GRE, VXLAN, IPsec, IPv6's and IPv4's least (bytes of the IPv4 packet).
USUAL = (8900, 1500, 1492, 1480, 1476, 1460, 1450, 1420, 1400, 1300, 1280, 576)
_IP_MTU_DISCOVER, _PROBE = 10, 3  # linux/in.h: Don't Fragment, regardless of the path MTU that the kernel has cached
_IPV4, _ICMP = 20, 8  # bytes of headers
_PACE = 0.001


def largest(paths: Sequence[tuple[str, int]], seconds: float = 1.5) -> list[int]:
    """For each (IPv4 address, size) the largest packet up to that size, in bytes, that was answered; 0 if none was.

    Only the whole size and the usual ones below it are tried, each twice.
    """
    questions = [
        (number, address, size)
        for number, (address, wanted) in enumerate(paths)
        for size in sorted({wanted, SMALL, *(usual for usual in USUAL if usual < wanted)}, reverse=True)
    ]
    found = [0] * len(paths)
    identifier = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as handle:
        handle.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        handle.setblocking(False)
        for sequence, (number, address, size) in [*enumerate(questions), *enumerate(questions)]:
            if found[number] >= size:
                continue
            try:
                handle.sendto(_request(identifier, sequence & 0xFFFF, size), (address, 0))
            except OSError:  # larger than the interface's MTU, or no route
                continue
            _hear(handle, identifier, questions, found, _PACE)
        _hear(handle, identifier, questions, found, seconds)
    return found


def _request(identifier: int, sequence: int, size: int) -> bytes:
    data = bytes(size - _IPV4 - _ICMP)
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", 8, 0, _checksum(head), identifier, sequence) + data


def _checksum(head: bytes) -> int:
    """Of a message whose data are zeros (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _hear(
    handle: socket.socket,
    identifier: int,
    questions: Sequence[tuple[int, str, int]],
    found: list[int],
    seconds: float,
) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([handle], [], [], left)
        while ready:
            try:
                packet, (sender, _) = handle.recvfrom(65535)
            except BlockingIOError:
                break
            start = (packet[0] & 15) * 4
            kind, _, _, own, sequence = struct.unpack_from("!BBHHH", packet, start)
            if kind != 0 or own != identifier or sequence >= len(questions):
                continue
            number, address, size = questions[sequence]
            if sender == address:
                found[number] = max(found[number], size)
