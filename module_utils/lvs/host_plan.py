"""The plan of one host, as plain values, which templates render."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sysctl:
    """A sysctl; `key` has slashes, because interface names contain dots (sysctl.d(5))."""

    key: str
    value: int
    why: str


@dataclass(frozen=True)
class VirtualAddress:
    """A VIP on a device, with the whole length of its family as prefix. `options` are further words of ip-address(8)."""

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

    With `suppress_default` the table's default route does not count. `version` is the family's, 4 or 6.
    """

    selector: str
    lookup: str
    priority: int
    suppress_default: bool = False
    version: int = 4


@dataclass(frozen=True)
class MssClamp:
    """The largest TCP segment, in bytes, that a real server may announce for a VIP."""

    vip: str
    mss: int


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
    """The source NAT of a virtual service to its local addresses."""

    protocol: str
    vip: str
    port: int
    ranges: tuple[AddressRange, ...]


@dataclass(frozen=True)
class Untracked:
    """Requests that bypass conntrack: it sees no reply to them, and would take later packets for new connections."""

    protocol: str
    vip: str
    port: int


@dataclass(frozen=True)
class BuiltModule:
    """A kernel module that is built for the host, and its parameters.

    Parameters of lvskit's modules are the addresses that they process, sorted and separated by commas: lips are the local
    addresses of fullnat, vips the virtual ones of enat, cip_src_vips those of enat with cip_src, rips the real servers that
    it restores for; and the kind of the TCP option. `source` and `make_arguments` are those of a third-party module, empty for lvskit's.
    """

    name: str
    parameters: dict[str, str]
    source: str = ""
    make_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """A real server's address and port whose own replies are dropped, except to the directors."""

    address: str
    port: int
    directors: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """A chain of iptables rules of lvskit's: LVSKIT-`hook`, called from the built-in chain `hook` of `table`."""

    table: str
    hook: str


@dataclass(frozen=True)
class Netfilter:
    """The rules of one family, in iptables' or ip6tables' tables."""

    chains: tuple[Chain, ...] = ()
    mss_clamps: tuple[MssClamp, ...] = ()
    source_nats: tuple[SourceNat, ...] = ()
    returning_vips: tuple[str, ...] = ()
    untracked: tuple[Untracked, ...] = ()
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True)
class Destination:
    """One real server of a virtual service; `endpoint` is its address and port as ipvsadm has them, `address` the former alone."""

    address: str
    endpoint: str
    method: str
    weight: int


@dataclass(frozen=True)
class VirtualService:
    """One virtual service in ipvsadm(8)'s terms: `protocol` is the option that names it, `endpoint` that option's value.

    `service` is the inventory's name of it, `options` are those other than the scheduler.
    """

    service: str
    protocol: str
    endpoint: str
    scheduler: str
    options: tuple[str, ...]
    destinations: tuple[Destination, ...]


@dataclass(frozen=True)
class HostPlan:
    """All state of lvskit's on one host. `interfaces` must exist with these addresses before a run."""

    host: str
    interfaces: dict[str, tuple[str, ...]] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    devices_up: tuple[str, ...] = ()
    addresses: tuple[VirtualAddress, ...] = ()
    routes: tuple[DefaultRoute, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    netfilter: Netfilter = Netfilter()
    netfilter6: Netfilter = Netfilter()
    built_modules: tuple[BuiltModule, ...] = ()
    services: tuple[VirtualService, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the plan is empty."""
        nothing = HostPlan(self.host, self.interfaces)
        return self == nothing

    def as_dict(self) -> dict[str, Any]:
        """The plan as mappings and lists, and whether it is empty; equal plans give equal texts."""
        return {**asdict(self), "empty": self.empty}
