"""Virtual services, and their real servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from .. import modes, schedulers
from .hosts import Host
from .key import Entries, Key, Keyed, Nested, key
from .networks import Network
from .values import ADDRESS, FLAG, PORT, Choice, Kind, Listing, Name, Number, Text

_AUTO = ("auto", "MODE-AUTO", "is not supported: choose a mode (playbooks/advise.yml lists those that fit)")


_NAME = Text(
    pattern=r"(?!all$)[^,]+",
    otherwise="cannot be told from what stands for all services, or for several. Use another name",
)


@dataclass(frozen=True, kw_only=True)
class Needs(Keyed):
    """What a service needs of its mode."""

    client_address: bool = key(FLAG, "`true`: applications must know their clients", False)
    direct_replies: bool = key(FLAG, "`true`: replies must not pass the director", False)
    kernel_modules: bool = key(FLAG, "`false`: lvskit's kernel modules must not be loaded", True)

    def unmet(self, mode: modes.Mode) -> tuple[str, ...]:
        """What a mode does not meet, as half sentences."""
        found = []
        if self.client_address and mode.seen is not modes.Address.CLIENT:
            found.append("its applications would not know the addresses of their clients")
        if self.direct_replies and mode.reply_through_director:
            found.append("its replies would pass the director")
        if not self.kernel_modules and mode.needs_modules:
            found.append("it needs lvskit's kernel modules")
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class RealServer(Keyed):
    """A host behind a virtual service: its port there and its weight."""

    host: Host = key(Name("host"), "a host", None, absent="either this or `group`")
    port: int = key(PORT, "the port it listens on", None, absent="the service's")
    weight: int = key(
        Number("WEIGHT-RANGE", 0, 65535),
        "its share of the connections relative to the others'; 0: no new connections",
        1,
    )
    at: Any = field(default=None, compare=False, repr=False)

    OTHER_KEYS = (Key("group", Name("group"), "a group: all of its hosts", None, "either this or `host`"),)
    EITHER = ("group", "host")


@dataclass(frozen=True, kw_only=True)
class Service(Keyed):
    """A virtual service."""

    name: str = key(_NAME, "unique; messages and reports name the service by it")
    vip: IPv4Address = key(ADDRESS, "in a network of its directors, unless `vip_routed`")
    port: int = key(PORT, "the port that clients connect to")
    mode: modes.Mode = key(
        Choice("MODE-UNKNOWN", modes.NAMES, (_AUTO,)),
        "how requests are forwarded; only `playbooks/advise.yml` works without it",
    )
    real_servers: tuple[RealServer, ...] = key(
        Entries(RealServer, ("RS-EMPTY", "has no entry. Add {group: NAME} or {host: NAME} to it.")),
        "the hosts that answer the requests",
    )
    protocol: str = key(Choice("PROTOCOL-UNKNOWN", ("tcp", "udp")), "the transport protocol", "tcp")
    scheduler: str = key(
        Choice("SCHEDULER-UNKNOWN", schedulers.NAMES),
        "how IPVS chooses a real server for a connection (ipvsadm(8))",
        "wlc",
    )
    persistence_timeout: int = key(
        Number("TIMEOUT-RANGE", 0, 31 * 86400, unit="seconds"),
        "how long the connections of a client go to the same real server; 0: each connection is scheduled separately",
        0,
    )
    directors: tuple[Host, ...] = key(
        Name("group"),
        "the group of hosts that hold the VIP; a group of one host, because lvskit does not elect among several yet",
        "directors",
    )
    network: Network | None = key(
        Name("network"),
        "the network that directors and real servers share, if they share several",
        None,
        absent="worked out",
    )
    vip_routed: bool = key(
        FLAG, "`true`: the network routes the VIP to the directors, which then hold it on `lo`", False
    )
    return_path: str = key(
        Choice("VALUE-CHOICE", ("gateway", "policy")),
        "`gateway` makes the director the real servers' default route; `policy` routes this service's replies only",
        "gateway",
        modes=lambda mode: mode.director_is_gateway,
    )
    local_addresses: tuple[IPv4Address, ...] = key(
        Listing(ADDRESS), "the source addresses of requests", (), modes=lambda mode: mode.source_nat
    )
    connections: int | None = key(
        Number("VALUE-RANGE", 1, 10**9),
        "connections expected at the same time; fullnat: lvskit sizes conntrack by it, and warns if the local addresses are too "
        "few",
        None,
        absent="not said",
    )
    needs: Needs = key(
        Nested(Needs),
        "what the service needs of its mode. A mode that does not meet it is refused; `playbooks/advise.yml` says which "
        "ones do",
        Needs(),
        absent="nothing",
    )
    health_check: Mapping[str, str] = key(
        Kind(),
        "what the service speaks. Nothing checks health yet; verify, trace and site probe the service by its `type`: `http` and `https` "
        "send a GET request for its `path`, `tcp` and `smtp` open a connection and send nothing, `dns` sends a query and `udp` a "
        "datagram. Without it, TCP ports 80, 8000, 8008, 8080 and 8888 are probed by HTTP, UDP port 53 by DNS, other TCP ports get a "
        "connection and other UDP ports a datagram",
        {},
        absent="by the port",
    )
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    OTHER_KEYS = (
        Key(
            "client_address",
            Choice("VALUE-CHOICE", modes.CLIENT_ADDRESSES),
            "`toa`: applications get the client's address from `accept()` and `getpeername()`; `restore`: it is restored in "
            "the packets before the real server's stack receives them. Both need kernel modules, which "
            "[roles/toa](../roles/toa/README.md) builds",
            modes.SETTINGS["client_address"],
            modes=lambda mode: mode.client_address != modes.SETTINGS["client_address"],
        ),
        Key(
            "cip_src",
            FLAG,
            "`true` keeps the client as the source of requests and carries the VIP in the option. Only if the network "
            "forwards foreign sources (uRPF, source guard): see [datapath.md](datapath.md)",
            modes.SETTINGS["cip_src"],
            modes=lambda mode: mode.cip_src,
        ),
    )

    def __str__(self) -> str:
        return f"service {self.name} ({self.vip}:{self.port}, {self.mode.name})"

    def at(self, key: str) -> Any:
        """The inventory's own value of `key`, or the service's name where the key is not given."""
        return self.source.get(key, self.source.get("name"))
