"""The table of forwarding modes: how each one changes a packet, and what it needs of the network.

Validation, plan, walk and the documentation read this table; no other file states a fact about a mode.

Sources: ipvsadm(8); Documentation/networking/ipvs-sysctl.rst; W. Zhang, "Linux Virtual Server for Scalable Network
Services" (2000), for nat, tun and dr; the triangle mode (enat) and fullnat as the load balancers of large clouds run them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# The kind of the TCP option that carries an address: the second of the two for experiments (RFC 6994), as most implementations use it.
OPTION_KIND = 254
PROTOCOLS = ("tcp", "udp", "sctp")
# The keys of a service that select a row besides the mode's name, with their defaults.
SETTINGS: dict[str, Any] = {"client_address": "none", "cip_src": False}


class Address(enum.Enum):
    """Whose address and port a packet carries: the symbols of a packet walk."""

    CLIENT = "CIP:cport"
    VIRTUAL = "VIP:vport"
    LOCAL = "LIP:lport"
    REAL = "RIP:rport"


@dataclass(frozen=True)
class Leg:
    """The addresses of a packet on one part of its way."""

    source: Address
    destination: Address
    encapsulated: bool = False  # inside another IP header, DIP -> RIP (RFC 2003, RFC 2473, RFC 4213)
    option: Address | None = None  # what a TCP option carries besides


@dataclass(frozen=True, eq=False)
class Mode:
    """One row of the table.

    `request` is the packet that the director sends, `reply` the one that the real server sends, `seen` the source which the real
    server's application sees. Sizes are in bytes.
    """

    name: str
    title: str
    ipvs_method: str  # IPVS's name of the method: gate, masq or ipip
    request: Leg
    reply: Leg
    seen: Address
    reply_through_director: bool
    shared_segment: bool  # director and real server must have an interface in the same layer-2 network
    director_is_gateway: bool  # the reply is only repaired if the real server routes it to the director
    port_mapping: bool
    protocols: frozenset[str]
    holds_vip: bool  # the real server has the VIP, too: on `lo`, or on the tunnel's device
    overhead: int  # what the director adds to every packet; in a tunnel at least, see families.py
    director_modules: tuple[str, ...]  # kernel modules beyond ip_vs and its scheduler
    real_server_modules: tuple[str, ...]
    promise: str  # the mode in one sentence, for messages and the documentation
    client_address: str = "none"  # how the application gets CIP if it is not the packet's source
    client_in_packets: bool = True  # the real server's network stack sees CIP as the source of packets
    ipv6: bool = True  # whether it carries IPv6; lvskit's kernel modules know IPv4 only
    not_local: str = ""  # why the director cannot be one of its own real servers, as a clause; empty if it can
    sender: str | None = None  # lvskit's kernel module on the director: adds the option, removes forged ones
    receiver: str | None = None  # and the one that receives it, on the real server or in front of it
    carrier: str = ""  # name of the option in messages
    every_packet: bool = False  # each packet has the option, not only those that open a connection

    def __reduce__(self) -> tuple[object, ...]:
        """A row of the table is itself again in another process."""
        return row, (self.name, self.client_address, self.cip_src)

    @property
    def local_real_server(self) -> bool:
        """Whether a director can be one of its own real servers: IPVS hands such requests to the host's own stack (LOCALNODE)."""
        return not self.not_local

    @cached_property
    def source_nat(self) -> bool:
        """Whether the director sends requests from a local address."""
        return self.request.source is Address.LOCAL

    @cached_property
    def cip_src(self) -> bool:
        """Whether requests keep the client as their source and carry the virtual end in the option."""
        return self.request.option is Address.VIRTUAL

    @cached_property
    def restored_in_packet(self) -> bool:
        """Whether CIP is put back into requests, and LIP into replies, somewhere between director and the real server's stack."""
        return self.source_nat and self.client_in_packets

    @property
    def needs_modules(self) -> bool:
        """Whether hosts need kernel modules that are not part of the kernel."""
        return bool(self.sender or self.receiver)

    @property
    def settings(self) -> dict[str, Any]:
        """The keys besides the mode's name that select this row of the table."""
        return {key: getattr(self, key) for key, usual in SETTINGS.items() if getattr(self, key) != usual}

    @property
    def label(self) -> str:
        """The mode's name and the keys that distinguish its rows, for tables: `fullnat toa`."""
        return " ".join([self.name, *(key if value is True else str(value) for key, value in self.settings.items())])

    @property
    def effects(self) -> tuple[str, ...]:
        """The effects of the mode, as clauses."""
        found = ["replies pass the director" if self.reply_through_director else "replies go directly to the client"]
        if self.seen is not Address.CLIENT:
            found.append("applications see the director as their client")
        if self.overhead:
            found.append(f"{self.overhead} bytes are added to each packet of a request")
        if self.needs_modules:
            found.append("directors and real servers need lvskit's kernel modules")
        if self.cip_src:
            found.append("the network must forward packets with foreign source addresses")
        if self.local_real_server:
            found.append("the director may be a real server, too")
        return tuple(found)

    @property
    def receiver_exchangeable(self) -> bool:
        """Whether a third-party receiver can replace lvskit's: it only informs applications, and does not change packets."""
        return self.receiver is not None and not self.client_in_packets


_ANY = frozenset(PROTOCOLS)
_BOTH = frozenset({"tcp", "udp"})
_TCP = frozenset({"tcp"})
_FULLNAT_REPLY = Leg(Address.REAL, Address.LOCAL)
_ENAT_VIP_SOURCE = Leg(Address.VIRTUAL, Address.REAL, option=Address.CLIENT)
_ENAT_CIP_SOURCE = Leg(Address.CLIENT, Address.REAL, option=Address.VIRTUAL)


def _fullnat(
    client_address: str, title: str, seen: Address, promise: str, receiver: str | None = None, restored: bool = False
) -> Mode:
    option = Address.CLIENT if receiver else None
    return Mode(
        name="fullnat",
        title=title,
        ipvs_method="masq",
        request=Leg(Address.LOCAL, Address.REAL, option=option),
        reply=_FULLNAT_REPLY,
        seen=seen,
        reply_through_director=True,
        shared_segment=False,
        director_is_gateway=False,
        port_mapping=True,
        protocols=_TCP if option else _BOTH,
        holds_vip=False,
        overhead=0,
        director_modules=("nf_conntrack", "xt_ipvs"),
        real_server_modules=(),
        promise=promise,
        client_address=client_address,
        client_in_packets=restored,
        sender="lvskit_toa" if receiver else None,
        receiver=receiver,
        carrier="toa" if receiver else "",
        ipv6=receiver is None,
        not_local="has its source NAT in POSTROUTING, which packets for the director itself do not pass: their source would be "
        "the client, and no local address",
    )


def _enat(request: Leg, title: str, promise: str) -> Mode:
    return Mode(
        name="enat",
        title=title,
        ipvs_method="masq",
        request=request,
        reply=Leg(Address.VIRTUAL, Address.CLIENT),
        seen=Address.CLIENT,
        reply_through_director=False,
        shared_segment=False,
        director_is_gateway=False,
        port_mapping=True,
        protocols=_TCP,
        holds_vip=False,
        overhead=8,
        director_modules=(),
        real_server_modules=(),
        promise=promise,
        sender="lvskit_enat",
        receiver="lvskit_ctk",
        carrier="enat",
        ipv6=False,
        every_packet=True,
        not_local="adds its option to packets that leave the director, and those for the director itself do not",
    )


TABLE: tuple[Mode, ...] = (
    Mode(
        name="dr",
        title="Direct routing",
        ipvs_method="gate",
        request=Leg(Address.CLIENT, Address.VIRTUAL),
        reply=Leg(Address.VIRTUAL, Address.CLIENT),
        seen=Address.CLIENT,
        reply_through_director=False,
        shared_segment=True,
        director_is_gateway=False,
        port_mapping=False,
        protocols=_ANY,
        holds_vip=True,
        overhead=0,
        director_modules=(),
        real_server_modules=(),
        promise="dr rewrites only the destination MAC, so both must share a layer-2 network",
    ),
    Mode(
        name="nat",
        title="Network address translation (masquerading)",
        ipvs_method="masq",
        request=Leg(Address.CLIENT, Address.REAL),
        reply=Leg(Address.REAL, Address.CLIENT),
        seen=Address.CLIENT,
        reply_through_director=True,
        shared_segment=True,
        director_is_gateway=True,
        port_mapping=True,
        protocols=_ANY,
        holds_vip=False,
        overhead=0,
        director_modules=(),
        real_server_modules=(),
        promise="nat rewrites the destination address and must see the reply to put the VIP back as its source, "
        "so the director has to be the real server's next hop",
    ),
    _fullnat("none", "Full NAT", Address.LOCAL, "fullnat rewrites both addresses, so any routed network carries it"),
    _fullnat(
        "toa",
        "Full NAT, client address in a TCP option",
        Address.CLIENT,
        "fullnat rewrites both addresses and hands CIP:cport to the real server in a TCP option",
        "lvskit_toa_peer",
    ),
    _fullnat(
        "restore",
        "Full NAT, client address restored in the packet (SLB fnat)",
        Address.CLIENT,
        "fullnat rewrites both addresses; the client's is put back in front of the real server's stack",
        "lvskit_restore",
        restored=True,
    ),
    _enat(
        _ENAT_VIP_SOURCE,
        "Enhanced NAT (triangle mode)",
        "enat sends VIP -> RIP with the client's address in a TCP option; the real server replies from the VIP",
    ),
    _enat(
        _ENAT_CIP_SOURCE,
        "Enhanced NAT (triangle mode), client as source",
        "enat with cip_src sends CIP -> RIP with the VIP in a TCP option; the real server replies from the VIP",
    ),
    Mode(
        name="tun",
        title="IP-in-IP tunnelling",
        ipvs_method="ipip",
        request=Leg(Address.CLIENT, Address.VIRTUAL, encapsulated=True),
        reply=Leg(Address.VIRTUAL, Address.CLIENT),
        seen=Address.CLIENT,
        reply_through_director=False,
        shared_segment=False,
        director_is_gateway=False,
        port_mapping=False,
        protocols=_ANY,
        holds_vip=True,
        overhead=20,
        director_modules=(),
        real_server_modules=(),
        promise="tun wraps the request in another IP header, so any routed network carries it",
    ),
)

NAMES: tuple[str, ...] = tuple(dict.fromkeys(row.name for row in TABLE))
CLIENT_ADDRESSES: tuple[str, ...] = tuple(dict.fromkeys(row.client_address for row in TABLE))
_ROWS = {(row.name, row.client_address, row.cip_src): row for row in TABLE}


def row(name: str, client_address: str = "none", cip_src: bool = False) -> Mode:
    """The table's row for a mode; of fullnat's that for the way its client address travels, of enat's that for its source.

    `cip_src` is no column of the table: it is read off the request, so the two cannot disagree. KeyError when there is no
    such row.
    """
    return _ROWS[name, client_address, cip_src]


def alternatives(
    *,
    port_mapping: bool,
    shared_segment: bool,
    protocols: Iterable[str],
    ipv6: bool = False,
    local_real_server: bool = False,
) -> tuple[str, ...]:
    """The modes that would carry a service with these needs, in the table's order."""
    fitting = (
        mode.name
        for mode in TABLE
        if (mode.port_mapping or not port_mapping)
        and (shared_segment or not mode.shared_segment)
        and mode.protocols.issuperset(protocols)
        and (mode.ipv6 or not ipv6)
        and (mode.local_real_server or not local_real_server)
    )
    return tuple(dict.fromkeys(fitting))
