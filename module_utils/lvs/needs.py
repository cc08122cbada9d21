"""What a host needs of each kind of state, collected service by service. plan.py makes the host's plan of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import checks, families
from .contract.marks import MarkRange
from .families import IPV4, IPV6, Address, Family
from .host_plan import TRACKING, BuiltModule, Chain, CheckedService, Sysctl, VirtualAddress, VirtualService
from .modes import Address as Source
from .rules_of_host import Rules
from .topology import Attachment, Host, RealServer, Service, Topology

Member = tuple[Address, int]  # of a set that a module knows: an address, and a port where it is not 0
# The parameter of lvskit's own modules that names a service's addresses, by what its requests have as their source.
_PARAMETERS = {Source.LOCAL: "lips", Source.VIRTUAL: "vips", Source.CLIENT: "cip_src_vips"}
_TUNNELS = {tunnel.device for tunnel in families.TUNNELS.values()}
_DEPRECATED = ("preferred_lft", "0")  # such an address is not chosen as the source of the host's own packets


@dataclass(frozen=True, eq=False)
class WayBack:
    """The route of one service's replies through a director."""

    service: Service
    server: RealServer
    gateway: Address
    real: Attachment


@dataclass
class Needs:
    """What is needed twice is kept once, in the order of the services."""

    topology: Topology
    host: Host
    probe_marks: Mapping[tuple[MarkRange, checks.Way], int]
    stand_ins: Mapping[tuple[str, int], str]
    programs: dict[str, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)
    sysctls: dict[str, Sysctl] = field(default_factory=dict)
    devices_up: dict[str, None] = field(default_factory=dict)
    tunnels_for_both: dict[str, None] = field(default_factory=dict)
    addresses: dict[tuple[str, str], VirtualAddress] = field(default_factory=dict)  # by address and device
    gateways: dict[tuple[Address, str], Attachment] = field(default_factory=dict)  # of all replies
    ways_back: list[WayBack] = field(default_factory=list)  # of single services
    rules: dict[Family, Rules] = field(default_factory=lambda: {family: Rules() for family in families.TABLE})
    built_modules: dict[str, dict[str, set[Member]]] = field(default_factory=dict)  # by module and parameter
    foreign_modules: dict[str, BuiltModule] = field(default_factory=dict)
    connections: int = 0
    services: list[VirtualService] = field(default_factory=list)
    checked: list[CheckedService] = field(default_factory=list)
    probes: dict[str, VirtualService] = field(default_factory=dict)  # by the mark, and the family where it is IPv6
    drained: dict[str, str] = field(default_factory=dict)
    elected: dict[str, dict[tuple[str, str], VirtualAddress]] = field(default_factory=dict)  # addresses by the group

    def sysctl(self, key: str, value: int, why: str) -> None:
        if key not in self.sysctls:
            self.sysctls[key] = Sysctl(key, value, why)

    def track(self, why: str) -> None:
        """IPVS lets conntrack keep connections whose packets it sees in both directions, of both families."""
        self.modules["nf_conntrack"] = None
        self.sysctl(TRACKING, 1, why)

    def netfilter(self, family: Family, *chains: Chain) -> Rules:
        """The rules of a family, with these chains."""
        self.programs[family.iptables] = None
        rules = self.rules[family]
        rules.chains.update(dict.fromkeys(chains))
        return rules

    def hold_address(self, address: str, device: str) -> None:
        """The host has an address that is not its own, with the whole length of its family as prefix."""
        if (address, device) not in self.addresses:
            self.addresses[address, device] = virtual(address, device)

    def carry(self, service: Service, address: str, device: str) -> None:
        """As a director of a service the host has an address: always, or while it is elected."""
        if service.group is None:
            self.hold_address(address, device)
        else:
            self.elected.setdefault(service.group.name, {}).setdefault((address, device), virtual(address, device))

    def arrives_by(self, one: Attachment | None) -> None:
        """Requests arrive on an interface; if the route to their senders uses another one, strict reverse path filtering would drop them."""
        if one and one.family is IPV4 and one != self.host.default_interface(IPV4):  # IPv6 has no such filter
            why = "clients are reached by another interface"
            self.sysctl(f"net/ipv4/conf/{one.name}/rp_filter", 2, why)

    def keep_silent(self, why: str) -> None:
        """The host has a VIP for which it must not answer ARP: on no interface, also on one that the inventory does not describe, or
        that comes later.

        For IPv6 there is nothing to set: the kernel answers only for addresses of the interface that the question comes by.
        """
        if "net/ipv4/conf/all/arp_ignore" in self.sysctls:  # a host may hold thousands of VIPs
            return
        self.sysctl("net/ipv4/conf/all/arp_ignore", 1, why)
        self.sysctl("net/ipv4/conf/all/arp_announce", 2, "ARP requests must not carry the VIP as sender")

    def act_on(self, module: str | None, service: Service) -> None:
        """The host needs one of lvskit's modules, with the addresses that identify the service's packets."""
        if module:
            addresses = service.local_addresses if service.mode.source_nat else service.vips
            parameter = _PARAMETERS[service.mode.request.source]
            self.built_modules.setdefault(module, {}).setdefault(parameter, set()).update((one, 0) for one in addresses)

    def leave_out(self, service: Service, drained: Mapping[str, str]) -> None:
        """Real servers of `service` are drained."""
        names = (server.host.name for server in service.real_servers)
        self.drained.update((name, drained[name]) for name in names if name in drained)


def virtual(address: str, device: str) -> VirtualAddress:
    """An address that is not the host's own."""
    if ":" not in address:
        return VirtualAddress(address, device)
    # On a network, duplicate address detection would take the address away where two directors have it one after the other.
    there = device == "lo" or device in _TUNNELS
    return VirtualAddress(address, device, IPV6.bits, _DEPRECATED if there else (*_DEPRECATED, "nodad"))
