"""The plan of one host, as plain values, which templates render."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

TRACKING = "net/ipv4/vs/conntrack"
_MULTIPORT = 15  # ports that one rule can name
_FLAGS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}  # ipvsadm's


@dataclass(frozen=True)
class Sysctl:
    """A sysctl; `key` has slashes, because interface names contain dots (sysctl.d(5))."""

    key: str
    value: int
    why: str


@dataclass(frozen=True)
class VirtualAddress:
    """A VIP on a device, with the whole length of its family as prefix. `options` are further words of ip-address(8), in the order
    `preferred_lft 0`, `nodad`.
    """

    address: str
    device: str
    length: int = 32
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class DefaultRoute:
    """A default route through a director, in a routing table of lvskit's: the host's own default route is not changed."""

    gateway: str
    device: str
    table: int


@dataclass(frozen=True)
class PolicyRule:
    """Which packets use which routing table, as ip-rule(8) has it.

    With `suppress_default` the table's default route does not count. `family` is 4 or 6: `from all` does not tell.
    """

    selector: str
    lookup: str
    priority: int
    suppress_default: bool = False
    family: int = 4


@dataclass(frozen=True)
class MssClamp:
    """The largest TCP segment, in bytes, that a real server may announce, where replies come from this address, and port if it is not 0."""

    address: str
    mss: int
    port: int = 0


@dataclass(frozen=True)
class AddressRange:
    """Consecutive local addresses, in the format of `--to-source`, and the probability that a connection which did not match an earlier
    range gets this one (None: certain).

    The kernel keeps a probability as a 31-bit fraction; it is rounded in the same way here, so that iptables-save gives
    the same text.
    """

    addresses: str
    probability: str | None


@dataclass(frozen=True)
class SourceNat:
    """The source NAT of a virtual service to its local addresses. The rule finds its packets by `mark` (iptables': a mark, and perhaps a mask)
    if that is not empty, and by VIP and port if that is not 0.
    """

    protocol: str
    vip: str
    port: int
    ranges: tuple[AddressRange, ...]
    mark: str = ""

    @property
    def found(self) -> str:
        """How its packets are found, in short: `203.0.113.84:80`, `203.0.113.84 mark 0x6c000001`."""
        end = _endpoint(self.vip, self.port) if self.port else self.vip
        return f"{end} mark {self.mark}" if self.mark else end


def _groups(ports: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Ports in groups that one rule can match: a range counts twice (iptables-extensions(8), multiport)."""
    groups: list[list[str]] = []
    room = 0
    for port in ports:
        size = 2 if ":" in port else 1
        if size > room:
            groups.append([])
            room = _MULTIPORT
        groups[-1].append(port)
        room -= size
    return tuple(map(tuple, groups))


@dataclass(frozen=True)
class Ports:
    """Packets from or to some ports of an address, or of all addresses of a prefix. `ports` are single ones, `80`, and ranges,
    `8000:8100`, as iptables has them. ICMP has types of errors in place of ports.
    """

    protocol: str
    address: str
    ports: tuple[str, ...]

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The ports in groups that one rule can match."""
        return tuple((one,) for one in self.ports) if "icmp" in self.protocol else _groups(self.ports)


@dataclass(frozen=True)
class Mark(Ports):
    """The firewall mark by which IPVS finds a service: the whole mark of a packet, because IPVS compares all of its bits."""

    mark: int


@dataclass(frozen=True)
class Untracked(Ports):
    """Requests that bypass conntrack: it sees no reply to them, and would call later packets of a connection invalid.

    They are found by their ports even if the service has a mark: the table raw comes before the one that sets marks. `ending`: only
    packets that end a connection. Others are new ones to a conntrack that keeps nothing, and a firewall may admit them as such.
    """

    ending: bool = False


@dataclass(frozen=True)
class Replies(Ports):
    """What real servers send through the director that is their gateway, from a prefix, by `interface`. Conntrack may call it invalid,
    because it has not seen the requests. `opening`: they open connections of their own from these ports, as FTP's data has them.
    """

    interface: str
    opening: bool = False


@dataclass(frozen=True)
class BuiltModule:
    """A kernel module that is built for the host, and its parameters.

    Parameters of lvskit's modules are the addresses that they process, sorted and separated by commas: lips are the local
    addresses of fullnat, vips the virtual ones of enat, cip_src_vips those of enat with cip_src, rips the real servers that
    it restores for, services the real servers' ends of enat, `address:port`; and the kind of the TCP option. `source` and `make_arguments` are those of a third-party module, empty for lvskit's.
    """

    name: str
    parameters: dict[str, str]
    source: str = ""
    make_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """Ports of a real server's address that answer nobody but the directors by themselves: they get no packets without a TCP option
    of `kind`, and what leaves with their own address as source is dropped.
    """

    address: str
    ports: tuple[str, ...]
    directors: tuple[str, ...]
    kind: int

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The ports in groups that one rule can match."""
        return _groups(self.ports)


@dataclass(frozen=True)
class Strip:
    """A VIP whose clients' packets lose the TCP options of these kinds: one that real servers would believe, which the kernel module
    that sends it takes out as well, but the rule holds also while it is away; and one for which enat's own leaves no room.
    """

    vip: str
    kinds: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """A chain of iptables rules of lvskit's: LVSKIT-`hook`, called from the built-in chain `hook` of `table`."""

    table: str
    hook: str


@dataclass(frozen=True)
class LocalSource:
    """An interface by which answers to health checks come, with a VIP of the host itself as source. Other packets with a source
    of the host are forged. `address` is the one that checks come from, `ports` those that answers come from, by protocol.
    """

    interface: str
    address: str
    ports: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Answers:
    """Answers to health checks that conntrack is not to see: they would be new connections to it, two minutes long. They come from `ports`
    of the prefix `source` to `address`, of this director or of one whose real servers' gateway this one is; `hook` is where they are met.
    """

    hook: str
    protocol: str
    source: str
    address: str
    ports: tuple[str, ...]

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The ports in groups that one rule can match."""
        return _groups(self.ports)


@dataclass(frozen=True)
class Adverts:
    """Adverts of VRRP to the director's own `address` are taken from its peers alone, and from no router's other side."""

    address: str
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Netfilter:
    """The rules of one family, in iptables' or ip6tables' tables. `unseen` are the marks, as value and mask, of checks that pass by
    conntrack, `unseen_answers` what is sent back to them, of which iptables lets in `taken_answers`, as it does those packets to `admitted`
    ports that end a connection, and errors about connections that conntrack has not seen. `returning_vips` are addresses, or prefixes.
    """

    chains: tuple[Chain, ...] = ()
    marks: tuple[Mark, ...] = ()
    strips: tuple[Strip, ...] = ()
    mss_clamps: tuple[MssClamp, ...] = ()
    source_nats: tuple[SourceNat, ...] = ()
    returning_vips: tuple[str, ...] = ()
    replies: tuple[Replies, ...] = ()
    untracked: tuple[Untracked, ...] = ()
    admitted: tuple[Ports, ...] = ()
    guards: tuple[Guard, ...] = ()
    local_sources: tuple[LocalSource, ...] = ()
    unseen: str = ""
    unseen_answers: tuple[Answers, ...] = ()
    taken_answers: tuple[Answers, ...] = ()
    adverts: tuple[Adverts, ...] = ()


class Destination(NamedTuple):
    """One real server of a virtual service; `endpoint` is its address and port as ipvsadm has them, `address` the former alone.

    From `upper_threshold` connections on it gets no new ones, until it has fewer than `lower_threshold`; 0: no threshold.
    """

    address: str
    endpoint: str
    method: str
    weight: int
    upper_threshold: int = 0
    lower_threshold: int = 0


@dataclass(frozen=True)
class VirtualService:
    """One virtual service in ipvsadm(8)'s terms: `protocol` is the option that names it, `endpoint` that option's value.

    The endpoint of a firewall mark is the decimal number, for IPv6 with `-6` behind it. `service` is the inventory's name of it,
    `options` are those other than the scheduler, in the order of `ipvs_lines.OPTIONS`. The order of `destinations` is the one in which they
    are added.
    """

    service: str
    protocol: str
    endpoint: str
    scheduler: str
    options: tuple[str, ...]
    destinations: tuple[Destination, ...]

    @property
    def name(self) -> str:
        """The service as ipvsadm names it: `-t 203.0.113.80:80`."""
        return f"{self.protocol} {self.endpoint}"


@dataclass(frozen=True)
class Probe:
    """One question of a health check: a block of keepalived.conf(5).

    `source` is the address it comes from, `mark` the firewall mark by which IPVS sends it to the real server; empty and 0 for a check
    of the real server's own address, as which `address` then is. `real_port` is the port there. `url` are the settings of a block url, with
    quotes where they need them.
    """

    block: str
    address: str
    port: int
    source: str
    mark: int
    timeout: int
    real_port: int
    settings: tuple[tuple[str, str], ...] = ()
    url: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CheckedServer:
    """A real server with its questions, all of which must be answered. `name` is the inventory's, `address` and `port` are those that
    keepalived knows it by.
    """

    name: str
    address: str
    port: int
    probes: tuple[Probe, ...]

    @property
    def endpoint(self) -> str:
        """Address and port as ipvsadm has them."""
        return _endpoint(self.address, self.port)


@dataclass(frozen=True)
class CheckedService:
    """A service in one family, with the verdict on each of its real servers.

    keepalived knows it by address, port and protocol of its first entry; `entries` are all of its virtual services, as ipvsadm names
    them. `floor` is in percent of the weight. `quiesce`: a failed server stays with weight 0 in place of being removed. `sorry` is the
    sorry server's name, `apologies` its destination of each entry. All times are in seconds.
    """

    service: str
    family: int
    address: str
    port: int
    protocol: str
    entries: tuple[str, ...]
    servers: tuple[CheckedServer, ...]
    interval: int
    retries: int
    retry_delay: int
    detection: int
    hold: int
    slow_start: int
    floor: int
    quiesce: bool
    sorry: str = ""
    apologies: tuple[Destination, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """What the governor reads: everything but the questions."""
        return {
            "service": self.service,
            "family": self.family,
            "verdicts": f"{_FLAGS[self.protocol]} {_endpoint(self.address, self.port)}",
            "entries": list(self.entries),
            "servers": {server.endpoint: server.name for server in self.servers},
            "detection": self.detection,
            "hold": self.hold,
            "slow_start": self.slow_start,
            "floor": self.floor,
            "quiesce": self.quiesce,
            "sorry": self.sorry,
            "apologies": {entry: f"{one.endpoint} {one.method}" for entry, one in zip(self.entries, self.apologies)},
        }


@dataclass(frozen=True)
class VirtualRouter:
    """The host's part in the election of one director of a group, as keepalived's vrrp_instance has it.

    `addresses` are those that the master holds. `token` is an address of the master's loopback device: adverts carry it, and no other one,
    so that directors with different services understand each other. `interval` is in seconds. `tracked` are the other interfaces without
    which the director cannot be master.
    """

    group: str
    interface: str
    number: int
    source: str
    peers: tuple[str, ...]
    priority: int
    interval: str
    preempt: bool
    token: str
    tracked: tuple[str, ...]
    addresses: tuple[VirtualAddress, ...]


@dataclass(frozen=True)
class Sync:
    """The IPVS sync daemons of a director: it sends its connections by an interface, and takes those of others that have its number."""

    interface: str
    number: int


@dataclass(frozen=True)
class ConntrackSync:
    """How a director tells the other one of a pair of the connections that it translates: all but those of its own addresses, which are
    `ignored`. `entries` are as many as conntrack has room for.
    """

    interface: str
    source: str
    peer: str
    entries: int
    protocols: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class HostPlan:
    """All state of lvskit's on one host. `interfaces` must exist with these addresses before a run.

    Sysctls are set in their order: accept_ra of IPv6 has to come before forwarding, which removes default routes where it is 1.
    `tunnels_for_both` are devices that decapsulate IPv6 (ip6tnl0) and are to take IPv4 packets, too. `timeouts` are those of IPVS, in
    seconds: TCP, TCP after a FIN, UDP. `checks` are the health checks of a director, `probes` the virtual services by which IPVS forwards them.
    `routers` are the elections that a director takes part in: their addresses are in `addresses` of no director. `keeper`: it puts back what
    something else takes away; no host without state has it.
    `drained` are the real servers that playbooks/drain.yml has taken out of a director's services, each with the time (UTC).
    """

    host: str
    interfaces: dict[str, tuple[str, ...]] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    devices_up: tuple[str, ...] = ()
    tunnels_for_both: tuple[str, ...] = ()
    addresses: tuple[VirtualAddress, ...] = ()
    routes: tuple[DefaultRoute, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    netfilter: Netfilter = Netfilter()
    netfilter6: Netfilter = Netfilter()
    built_modules: tuple[BuiltModule, ...] = ()
    services: tuple[VirtualService, ...] = ()
    timeouts: tuple[int, int, int] | None = None
    probes: tuple[VirtualService, ...] = ()
    checks: tuple[CheckedService, ...] = ()
    routers: tuple[VirtualRouter, ...] = ()
    sync: Sync | None = None
    conntrack_sync: ConntrackSync | None = None
    drained: tuple[tuple[str, str], ...] = ()
    keeper: bool = False

    @property
    def tracking(self) -> bool:
        """Whether IPVS lets conntrack keep connections whose packets it sees in both directions, of both families."""
        return any(setting.key == TRACKING for setting in self.sysctls)

    @property
    def empty(self) -> bool:
        """Whether the plan is empty."""
        nothing = HostPlan(self.host, self.interfaces)
        return self == nothing

    def as_dict(self) -> dict[str, Any]:
        """The plan as mappings and lists, and whether it is empty; equal plans give equal texts."""
        return {**asdict(self), "empty": self.empty}


def _endpoint(address: str, port: int) -> str:
    """Address and port as ipvsadm has them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
