"""What the kernel tells of changes: which kinds of state a message of netlink may concern (rtnetlink(7), nf_tables).

Messages of busy hosts are many: those that cannot be about lvskit's state are dropped here, unparsed as far as possible.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator

from . import kinds
from .kinds import Kind

_ROUTE, _NETFILTER = 0, 12  # protocols of netlink
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
# Groups of rtnetlink: links, then addresses, routes and rules of both families.
_GROUPS = (1, 5, 7, 8, 9, 11, 19)
_TABLES = 7  # nf_tables' group
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_NEWLINK, _DELLINK, _DELADDR, _DELROUTE, _DELRULE = 16, 17, 21, 25, 33
_NF_TABLES = 10 << 8  # the subsystem's number, above the message's
_DELTABLE, _DELCHAIN, _DELRULE_OF_TABLE = 2, 5, 8
_BUFFER = 1 << 20  # octets
_LOST = errno.ENOBUFS
_UP = 1  # IFF_UP


class Events:
    """Sockets that hear of changes. `chains` are the names of netfilter chains that matter, lvskit's and those that call them."""

    def __init__(self) -> None:
        self.chains: Collection[str] = ()
        self.tables = True  # whether the kernel tells of changes of iptables rules: not of the older iptables'
        self._links: dict[int, bool] = {}  # whether each interface was up
        self.sockets = [_listening(_ROUTE, _GROUPS)]
        try:
            self.sockets.append(_listening(_NETFILTER, (_TABLES,)))
        except OSError:  # no nf_tables
            self.tables = False

    def concerned(self, one: socket.socket) -> set[Kind]:
        """The kinds of state that the waiting messages of a socket may be about; all of them where messages were lost."""
        found: set[Kind] = set()
        while True:
            try:
                data = one.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != _LOST:
                    raise
                found |= {*NETWORK, *RULES}
                continue
            for kind, payload in messages(data):
                found.update(self.about(kind, payload) if one is self.sockets[0] else self.about_rules(kind, payload))

    def about(self, kind: int, payload: bytes) -> Collection[Kind]:
        """Of rtnetlink."""
        if kind in (_DELADDR, _DELRULE):
            return (_FAMILIES.get(payload[0], kinds.NETWORK),)
        if kind == _DELROUTE and payload[5] == kinds.ROUTE_PROTOCOL:  # struct rtmsg
            return (_FAMILIES.get(payload[0], kinds.NETWORK),)
        if kind in (_NEWLINK, _DELLINK):
            number, flags = struct.unpack_from("=iI", payload, 4)  # struct ifinfomsg
            up = bool(flags & _UP) and kind == _NEWLINK
            if self._links.get(number) != up:
                self._links[number] = up
                return (kinds.SYSCTLS, *NETWORK)
        return ()

    def about_rules(self, kind: int, payload: bytes) -> Collection[Kind]:
        """Of nf_tables."""
        if kind == _NF_TABLES | _DELTABLE:
            return RULES
        if kind in (_NF_TABLES | _DELCHAIN, _NF_TABLES | _DELRULE_OF_TABLE):
            return RULES if any(f"\0{name}\0".encode() in payload for name in self.chains) else ()
        return ()


NETWORK = (kinds.NETWORK, kinds.NETWORK6)
RULES = (kinds.NETFILTER, kinds.NETFILTER6)
_FAMILIES = {int(socket.AF_INET): kinds.NETWORK, int(socket.AF_INET6): kinds.NETWORK6}


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each message in what a socket of netlink has read."""
    start = 0
    while start + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, start)
        if length < _HEADER.size:
            return
        yield kind, data[start + _HEADER.size : start + length]
        start += (length + 3) & ~3


def _listening(protocol: int, groups: Collection[int]) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        made.bind((0, 0))
        for group in groups:
            made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
