"""What one host has to carry, as data: plain values, so that Ansible can hand a host its own slice, for templates to lay out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Sysctl:
    """A kernel setting; `key` has slashes, as interface names hold dots (sysctl.d(5))."""

    key: str
    value: int
    why: str


@dataclass(frozen=True)
class VirtualAddress:
    """A VIP on a device, always /32."""

    address: str
    device: str


@dataclass(frozen=True)
class DefaultRoute:
    """A default route by a director, in a table of lvskit's own: the host's own default route stays as it is."""

    gateway: str
    device: str
    table: int


@dataclass(frozen=True)
class PolicyRule:
    """Which packets use which routing table, as ip-rule(8) has it.

    With `suppress_default` the table's default route does not count.
    """

    selector: str
    lookup: str
    priority: int
    suppress_default: bool = False


@dataclass(frozen=True)
class MssClamp:
    """The largest TCP segment, in bytes, that a real server may announce for a VIP."""

    vip: str
    mss: int


@dataclass(frozen=True)
class AddressRange:
    """Consecutive local addresses, as `--to-source` has them, and the probability that a connection which no earlier
    range took takes this one (None: certain).

    The kernel keeps a probability as a 31-bit fraction; it is rounded in the same way here, so that iptables-save gives
    the same text.
    """

    addresses: str
    probability: str | None


@dataclass(frozen=True)
class SourceNat:
    """The connections of a virtual service leave from these local addresses."""

    protocol: str
    vip: str
    port: int
    ranges: tuple[AddressRange, ...]


@dataclass(frozen=True)
class Untracked:
    """Requests that conntrack must leave alone: it sees no reply to them, and would take what follows for something new."""

    protocol: str
    vip: str
    port: int


@dataclass(frozen=True)
class BuiltModule:
    """A kernel module that is built for the host, and its parameters.

    Those of lvskit's own modules are the addresses that they act on, sorted and separated by commas: lips are the local
    addresses of fullnat, vips the virtual ones of enat, cip_src_vips those of enat with cip_src, rips the real servers that
    it restores for; and the kind of the TCP option. `source` and `make_arguments` are another maker's, empty for lvskit's own.
    """

    name: str
    parameters: dict[str, str]
    source: str = ""
    make_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """A real server's address and port that must answer nobody by itself, save the hosts at `directors`."""

    address: str
    port: int
    directors: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """A chain of iptables rules that lvskit keeps: LVSKIT-`hook`, called from the built-in chain `hook` of `table`."""

    table: str
    hook: str


@dataclass(frozen=True)
class Destination:
    address: str
    port: int
    method: str
    weight: int


@dataclass(frozen=True)
class VirtualService:
    """One virtual service as ipvsadm(8) has it. `options` are those beside the scheduler."""

    name: str
    protocol: str
    address: str
    port: int
    scheduler: str
    options: tuple[str, ...]
    destinations: tuple[Destination, ...]


@dataclass(frozen=True)
class HostPlan:
    """Everything lvskit keeps on one host. `interfaces` are those that must exist with their addresses beforehand."""

    host: str
    interfaces: dict[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    devices_up: tuple[str, ...] = ()
    addresses: tuple[VirtualAddress, ...] = ()
    routes: tuple[DefaultRoute, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    chains: tuple[Chain, ...] = ()
    mss_clamps: tuple[MssClamp, ...] = ()
    source_nats: tuple[SourceNat, ...] = ()
    returning_vips: tuple[str, ...] = ()
    untracked: tuple[Untracked, ...] = ()
    built_modules: tuple[BuiltModule, ...] = ()
    guards: tuple[Guard, ...] = ()
    services: tuple[VirtualService, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether lvskit keeps nothing on the host."""
        return not any(getattr(self, item.name) for item in fields(self) if item.name not in ("host", "interfaces"))

    def as_dict(self) -> dict[str, Any]:
        """The plan as mappings and lists, and whether it is empty; equal plans give equal texts."""
        return {**asdict(self), "empty": self.empty}
