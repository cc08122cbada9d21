"""Ends a keepalived that no longer runs, and still holds the addresses of a group that another director has taken.

A frozen process (stopped, or waiting for a disk for ever) keeps its addresses, and systemd does not see it. Two directors then answer for
one VIP. keepalived that works settles that within one advert. This watcher hears the same adverts: where a peer has sent them for several
intervals, and the host holds the group's addresses all the while, its keepalived is killed and the addresses are removed. systemd starts
keepalived again, as a standby. Without adverts of a peer nothing is taken away.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import election, files, kinds, programs
from .errors import HostError
from .journal import ERROR, say

VRRP = 112
UNIT = "lvskit-vrrp.service"
ADVERTS = 3  # a working keepalived gives up after one
SLACK = 0.5  # seconds
LOWEST = 1  # priority


@dataclass
class Rivals:
    """What is heard of the peers of each group. `end` is called with a group that two directors hold. `heard` are the times of the first and
    the last one of the adverts that have come without a pause while this director holds the group.
    """

    instances: Mapping[str, election.Instance]
    holds: Callable[[str], bool]
    end: Callable[[str, str], None]
    heard: dict[str, tuple[float, float]] = field(default_factory=dict)

    def hear(self, number: int, priority: int, source: str, now: float) -> None:
        """Takes an advert. Priority 0 says that its sender gives up (RFC 5798, 5.2.4), LOWEST that it has given up."""
        for name, instance in self.instances.items():
            if instance.number != number or source not in instance.peers or priority <= LOWEST:
                continue
            if not self.holds(instance.token):
                self.heard.pop(name, None)
                continue
            first, last = self.heard.get(name, (now, now))
            if now - last > 2 * instance.interval + SLACK:  # the peer has been silent in between
                first = now
            self.heard[name] = (first, now)
            if now - first > ADVERTS * instance.interval + SLACK:
                self.end(name, source)
                self.heard.pop(name, None)


def advert(packet: bytes, family: int) -> tuple[int, int] | None:
    """Number and priority in a packet of protocol 112; None if it is no advert of VRRP version 3. IPv4's has its header before it."""
    begin = (packet[0] & 15) * 4 if family == socket.AF_INET and packet else 0
    if len(packet) < begin + 8 or packet[begin] != 0x31:
        return None
    return packet[begin + 1], packet[begin + 2]


def held(token: str) -> bool:
    """Whether the host has an address: only then can a socket be bound to it."""
    address = token.partition("/")[0]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0, 0, socket.if_nametoindex("lo")) if ":" in address else (address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def give_up(
    instances: Mapping[str, election.Instance],
    run: programs.CommandRunner,
    send: Callable[[election.Instance], None] | None = None,
) -> None:
    """Kills keepalived, and removes the addresses of all of its groups: one process elects for all. Then the other director announces
    them again: some neighbours may have heard this one last.
    """
    run(["systemctl", "kill", "--signal=KILL", UNIT], None)
    for instance in instances.values():
        for address, device in ((instance.token, "lo"), *instance.addresses):
            run(["ip", *(["-6"] if ":" in address else []), "address", "del", address, "dev", device], None)
    for instance in instances.values():
        (send or yield_to_peers)(instance)


def lowest(instance: election.Instance, peer: str) -> bytes:
    """An advert of VRRP version 3 (RFC 5798, 5.1) with the lowest priority. A master that hears it stays master, and announces its
    addresses again.
    """
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    token = socket.inet_pton(family, instance.token.partition("/")[0])
    begin = struct.pack("!BBBBH", 0x31, instance.number, LOWEST, 1, round(instance.interval * 100) & 0xFFF)
    length = len(begin) + 2 + len(token)
    ends = socket.inet_pton(family, instance.source) + socket.inet_pton(family, peer)
    form = "!BBH" if family == socket.AF_INET else "!I3xB"
    pseudo = ends + (
        struct.pack(form, 0, VRRP, length) if family == socket.AF_INET else struct.pack(form, length, VRRP)
    )
    words = pseudo + begin + b"\0\0" + token
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return begin + struct.pack("!H", ~total & 0xFFFF) + token


def yield_to_peers(instance: election.Instance) -> None:
    """Sends that advert to the other directors. One that cannot be sent is missed by nobody for long: keepalived repeats announcements."""
    for peer in instance.peers:
        six = ":" in peer
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, VRRP) as own,
        ):
            own.bind((instance.source, 0))
            if six:
                own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
            else:
                own.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            own.sendto(lowest(instance, peer), (peer, 0))


def sockets(sources: Sequence[str]) -> list[socket.socket]:
    """A socket for the adverts to each of the host's own addresses. Raises HostError."""
    made = []
    for source in dict.fromkeys(sources):
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        try:
            one = socket.socket(family, socket.SOCK_RAW, VRRP)
            one.bind((source, 0))
        except OSError as error:
            raise HostError(f"cannot listen to VRRP at {source}: {error.strerror}") from error
        made.append(one)
    return made


def watch() -> None:
    """Watches whether another director holds the same addresses. Runs until it is ended."""
    instances = election.instances(files.read(kinds.VRRP.path, "") or "")

    def end(name: str, source: str) -> None:
        say(
            ERROR,
            "two-masters",
            group=name,
            peer=source,
            reason="keepalived does not answer to the peer's adverts; it is killed",
        )
        give_up(instances, programs.run)

    rivals = Rivals(instances, held, end)
    listening = sockets([one.source for one in instances.values() if one.source])
    while True:
        for one in select.select(listening, [], [])[0]:
            with contextlib.suppress(BlockingIOError):
                packet, sender = one.recvfrom(2048)
                found = advert(packet, one.family)
                if found:
                    rivals.hear(*found, sender[0].partition("%")[0], time.monotonic())
