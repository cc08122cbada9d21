"""Virtual services, and their real servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import modes, schedulers
from ..families import Address, Family, bracketed, by_version, present
from ..families import of as family_of
from ..violations import listed
from .addresses import ADDRESS, PrefixLengths
from .checks import HealthCheck, Percent, SorryServer
from .directors import DirectorGroup
from .hosts import Host
from .key import Entries, Key, Keyed, Nested, key
from .networks import Network
from .ports import PortMap, PortRange, Ports
from .values import FLAG, ByDirector, Choice, Listing, Name, Number, OneOrMore, Text

# Words of ipvsadm, keepalived and other load balancers for a mode.
_OTHER_MODES = tuple(
    (word, "MODE-UNKNOWN", f"is not one of {listed(modes.NAMES)}: lvskit's word for it is {mode}")
    for mode, words in {
        "dr": ("gate", "gatewaying", "droute", "direct", "-g"),
        "nat": ("masq", "masquerade", "masquerading", "-m"),
        "tun": ("ipip", "tunnel", "tunneling", "tunnelling", "-i"),
        "fullnat": ("fnat", "snat", "full_nat"),
        "enat": ("triangle",),
    }.items()
    for word in words
)
_OTHER_SCHEDULERS = tuple(
    (word, "SCHEDULER-UNKNOWN", f"is no scheduler of IPVS: lvskit's word for it is {name}")
    for name, words in {
        "rr": ("roundrobin", "round_robin", "round-robin", "ROUND_ROBIN"),
        "wrr": ("static-rr", "weighted_round_robin", "weighted-round-robin"),
        "lc": ("least_conn", "leastconn", "least-connections", "least_connections", "LEAST_REQUEST"),
        "wlc": ("weighted_least_connections", "weighted-least-connections"),
        "sh": ("source", "ip_hash", "ip-hash", "source_hash", "source-hash", "sourcehash"),
        "mh": ("maglev", "MAGLEV", "ring_hash", "consistent"),
    }.items()
    for word in words
)
_LOCAL = listed(list(dict.fromkeys(mode.name for mode in modes.TABLE if mode.local_real_server)), "and")
_AUTO = ("auto", "MODE-AUTO", "is not supported: choose a mode (playbooks/advise.yml lists those that fit)")


_NAME = Text(
    pattern=r"(?!all$)[^,\x00-\x1f\x7f]+",
    otherwise="has a comma, which stands between names, or a control character, or means all services. Use another name",
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
    port: int | Mapping[int, int] | None = key(
        PortMap(),
        "the port it listens on; of a service with several ports `{443: 8443}`, and those that are not named stay",
        None,
        absent="the service's",
    )
    weight: int = key(
        Number("WEIGHT-RANGE", 0, 65535),
        "its share of the connections relative to the others'; 0: no new connections",
        1,
    )
    upper_threshold: int = key(
        Number("VALUE-RANGE", 0, 2**31 - 1),
        "connections, open and closing ones, from which on it gets no new ones; 0: no limit",
        0,
    )
    lower_threshold: int = key(
        Number("VALUE-RANGE", 0, 2**31 - 1),
        "it gets new connections again when it has fewer than these",
        0,
        absent="3/4 of `upper_threshold`",
    )
    at: Any = field(default=None, compare=False, repr=False)

    OTHER_KEYS = (Key("group", Name("group"), "a group: all of its hosts", None, "either this or `host`"),)
    EITHER = ("group", "host")

    def at_port(self, port: int) -> int:
        """The port to which requests for a port of the service go."""
        if self.port is None:
            return port
        return self.port if isinstance(self.port, int) else self.port.get(port, port)

    def at_ports(self, ports: Iterable[Ports]) -> str:
        """The ports to which requests for ports of the service go, for people: `8080, 8000-8100`."""
        return ", ".join(str(self.at_port(one.first) if one.single else one) for one in ports)


@dataclass(frozen=True, kw_only=True)
class Service(Keyed):
    """A virtual service."""

    DECISIVE = ("protocol",)

    name: str = key(_NAME, "unique; messages and reports name the service by it")
    vips: tuple[Address, ...] = key(
        OneOrMore(ADDRESS), "in a network of its directors, unless `vip_routed`; of either family, or both", name="vip"
    )
    ports: tuple[Ports, ...] = key(OneOrMore(PortRange()), "the ports that clients connect to", name="port")
    mode: modes.Mode = key(
        Choice("MODE-UNKNOWN", modes.NAMES, (_AUTO, *_OTHER_MODES)),
        "how requests are forwarded; only `playbooks/advise.yml` works without it",
    )
    real_servers: tuple[RealServer, ...] = key(
        Entries(RealServer, ("RS-EMPTY", "has no entry. Add {group: NAME} or {host: NAME} to it.")),
        f"the hosts that answer the requests. In {_LOCAL} the service's director may be one of them, if there is only one director: "
        "its application listens on the VIP, in nat on the director's own address (in `network`, else in the VIP's network, else "
        "its first one)",
    )
    protocols: tuple[str, ...] = key(
        OneOrMore(Choice("PROTOCOL-UNKNOWN", modes.PROTOCOLS)), "the transport protocol", ("tcp",), name="protocol"
    )
    scheduler: str = key(
        Choice("SCHEDULER-UNKNOWN", schedulers.NAMES, _OTHER_SCHEDULERS),
        "how IPVS chooses a real server for a connection (ipvsadm(8))",
        "wlc",
    )
    scheduler_flags: tuple[str, ...] = key(
        Listing(Choice("SCHEDULER-FLAGS", schedulers.FLAGS)),
        "what the scheduler does besides: `sh-fallback` and `mh-fallback` choose another real server where one has weight 0, `sh-port` and "
        "`mh-port` choose by the client's port, too",
        (),
    )
    one_packet: bool = key(
        FLAG,
        "`true`: each datagram is scheduled by itself, also those from one port of a client; UDP only",
        False,
    )
    persistence_timeout: int = key(
        Number("TIMEOUT-RANGE", 0, 31 * 86400, unit="seconds"),
        "how long the connections of a client go to the same real server; 0: each connection is scheduled separately",
        0,
    )
    persistence_netmask: Mapping[int, int] = key(
        PrefixLengths(),
        "clients in a network of this size count as one for persistence: `{4: 24, 6: 64}`",
        {},
        absent="each address by itself",
    )
    persistence_engine: str | None = key(
        Choice("VALUE-CHOICE", ("sip",)), "`sip`: persistence by the Call-ID of SIP in place of the address", None
    )
    persistence_across_ports: bool = key(
        FLAG,
        "`true`: a client gets the same real server on all ports and protocols of the service; IPVS then finds it by a firewall mark",
        False,
    )
    helper: str | None = key(
        Choice("VALUE-CHOICE", ("ftp",)),
        "`ftp`: IPVS reads the control connection of FTP, and lets the data connections through that are agreed there, active and "
        "passive ones. It is the kernel's module ip_vs_ftp, which knows port 21",
        None,
        modes=lambda mode: mode.director_is_gateway,
    )
    directors: tuple[Host, ...] = key(
        Name("group"),
        "the group of hosts that hold the VIP: one host, or several of which `lvs_directors` elects one",
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
    outer_family: int | None = key(
        Number("VALUE-RANGE", 4, 6, ((5, "is no family: 4 or 6"),)),
        "the family of the packets around the requests, 4 or 6: IPv6 in IPv4 where the network between director and real servers has no "
        "IPv6, or the other way round",
        None,
        absent="the VIP's",
        modes=lambda mode: mode.request.encapsulated,
    )
    local_addresses: tuple[Address, ...] = key(
        ByDirector(Listing(ADDRESS)),
        "the source addresses of requests. They move with the VIPs of a group in `lvs_directors`; of several directors without election each "
        "has its own: `{lb3: [192.0.2.3], lb4: [192.0.2.4]}`",
        (),
        modes=lambda mode: mode.source_nat,
    )
    connections: int | None = key(
        Number("VALUE-RANGE", 1, 10**9),
        "connections expected at the same time: lvskit sizes conntrack by it on directors with fullnat, or with `lvs_conntrack`; and warns "
        "if fullnat's local addresses are too few",
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
    health_check: HealthCheck | None = key(
        Nested(HealthCheck),
        "how the directors find out that a real server is dead, and stop sending to it (see [health.md](health.md)). Verify, trace and "
        "site probe the service by its `type`, too: `http` and `https` send a GET request for its `path`, `tcp` and `smtp` open a "
        "connection and send nothing, `dns` sends a query and `udp` a datagram. Without it, TCP ports 80, 8000, 8008, 8080 and 8888 are "
        "probed by HTTP, UDP port 53 by DNS, other TCP ports get a connection and other UDP ports a datagram",
        None,
        absent="nobody checks: a dead real server keeps its share",
    )
    floor: int = key(
        Percent(),
        "the share of the service's weight that stays in use, however many checks fail: more servers than this allows are not taken "
        "out, because a fault of the check itself is likelier. It does not hold where none passes and there is a `sorry_server`",
        50,
        absent="50%",
    )
    sorry_server: SorryServer | None = key(
        Nested(SorryServer),
        "the host that gets all requests while no real server passes its check. It must be in the group `real_servers`",
        None,
        absent="none",
    )
    locals_by: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)  # by director, where each has its own
    group: DirectorGroup | None = None  # of its directors, where one is elected
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
        return f"service {self.name} ({self.ends}, {self.mode.name})"

    @property
    def ends(self) -> str:
        """What clients connect to, in short: `203.0.113.80:80`."""
        vips = listed([str(vip) for vip in self.vips], "and")
        if len(self.ports) > 1:
            return f"{vips}, ports {listed([str(ports) for ports in self.ports], 'and')}"
        if len(self.vips) > 1:
            return f"{vips}, port {self.ports[0]}"
        return f"{bracketed(self.vips[0])}:{self.ports[0]}"

    @cached_property
    def remote_servers(self) -> tuple[RealServer, ...]:
        """The real servers that are not a director of the service as well: packets are sent to them."""
        directors = {director.name for director in self.directors}
        return tuple(server for server in self.real_servers if server.host.name not in directors)

    @cached_property
    def apology(self) -> RealServer | None:
        """Its sorry server as a real server."""
        sorry = self.sorry_server
        return RealServer(host=sorry.host, port=sorry.port, at=sorry.at) if sorry else None

    @cached_property
    def prepared_servers(self) -> tuple[RealServer, ...]:
        """The hosts that must be ready for requests from a director: remote real servers, and the sorry server."""
        return (*self.remote_servers, self.apology) if self.apology else self.remote_servers

    def tracked_by(self, director: Host) -> bool:
        """Whether conntrack keeps its connections on a director, which sees both directions."""
        return self.mode.source_nat or (self.mode.director_is_gateway and director.conntrack)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The families of its VIPs."""
        return present(self.vips)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Each VIP with each protocol and each port or range."""
        return tuple(
            Entry(self, vip, protocol, ports)
            for vip in self.vips
            for protocol in self.protocols
            for ports in self.ports
        )

    @cached_property
    def by_vip(self) -> tuple[Entry, ...]:
        """The first entry of each VIP: for what does not depend on ports."""
        if len(self.entries) == 1:
            return self.entries
        return tuple({entry.vip: entry for entry in reversed(self.entries)}[vip] for vip in self.vips)

    @cached_property
    def by_family(self) -> tuple[Entry, ...]:
        """The first entry of each family: for what does not depend on the VIP either."""
        if len(self.entries) == 1:
            return self.entries
        firsts = {entry.family: entry for entry in reversed(self.by_vip)}
        return tuple(firsts[family] for family in self.families)

    def locals_of(self, family: Family, director: Host | None = None) -> tuple[Address, ...]:
        """Its local addresses of a family; only those of a director, if one is given."""
        own = self.locals_by.get(director.name, ()) if director and self.locals_by else self.local_addresses
        return tuple(local for local in own if local.version == family.version)

    def local_owners(self) -> Iterator[tuple[Address, Any, tuple[Host, ...]]]:
        """Each local address, its place in the inventory, and the directors that have it."""
        given = self.at("local_addresses")
        if not self.locals_by:
            yield from ((local, at, self.directors) for local, at in zip(self.local_addresses, given))
            return
        for name, own in self.locals_by.items():
            owners = tuple(director for director in self.directors if director.name == name)
            yield from ((local, at, owners) for local, at in zip(own, given[name]))

    def at(self, key: str) -> Any:
        """The inventory's own value of `key`, which has a place there; of a flag the key. The service's name where the key is not given."""
        value = self.source.get(key, self.source.get("name"))
        return next(own for own in self.source if own == key) if isinstance(value, bool) else value


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of a service: what IPVS forwards for it, by address, protocol and port, or by a firewall mark.

    Several entries of one VIP may be one virtual service of IPVS: those by a mark.
    """

    service: Service
    vip: Address
    protocol: str
    ports: Ports

    @cached_property
    def family(self) -> Family:
        return family_of(self.vip)

    @cached_property
    def text(self) -> str:
        """The VIP alone."""
        return str(self.vip)

    @property
    def mode(self) -> modes.Mode:
        return self.service.mode

    @property
    def port(self) -> int:
        """Its port, or the first one of its range."""
        return self.ports.first

    @cached_property
    def outer(self) -> Family:
        """The family of the packets from director to real server: another one only in a tunnel."""
        wanted = self.service.outer_family
        if wanted is None or not self.mode.request.encapsulated:
            return self.family
        return by_version(wanted)

    @property
    def by_mark(self) -> bool:
        """Whether lvskit marks its packets, and IPVS finds the service by the mark."""
        return not self.ports.single or self.service.persistence_across_ports

    @property
    def label(self) -> str:
        """Its name in requests and reports: the service's where that has no other entry."""
        return self.service.name if len(self.service.entries) == 1 else f"{self.service.name} {self}/{self.protocol}"

    def __str__(self) -> str:
        return f"{bracketed(self.vip)}:{self.ports}"
