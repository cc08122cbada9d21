"""Hosts, and their variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import families
from ..families import TABLE, Address, Family
from ..modes import OPTION_KIND
from .key import Keyed, Named, Nested, key
from .marks import MarkRange, Marks
from .networks import Attachment, Interface, Network
from .values import FLAG, TEXT, Choice, Listing, Number, Text, Texts

# TCP options that Linux and its peers send (IANA, TCP Parameters).
KINDS_IN_USE = {
    1: "padding", 2: "the segment size", 3: "the window scale", 4: "permitting SACK", 5: "SACK", 8: "timestamps",
    19: "MD5 signatures", 28: "the user timeout", 29: "authentication", 30: "multipath TCP", 34: "fast open",
}  # fmt: skip
_KIND_TAKEN = tuple(
    (kind, f"is TCP's own option for {use}. Use {OPTION_KIND}, or another unused one")
    for kind, use in KINDS_IN_USE.items()
)


_MODULE = Text(pattern=r"\w+", otherwise="is not the name of a kernel module (letters, digits and underscores)")


@dataclass(frozen=True)
class Route:
    """The next hop towards an address: the interface, and the gateway, or None if it is on the link."""

    interface: Attachment
    gateway: Address | None


@dataclass(frozen=True, kw_only=True)
class Receiver(Keyed):
    """A third-party kernel module that gives applications the client's address, in place of lvskit's."""

    module: str = key(_MODULE, "the kernel module's name")
    source: str = key(TEXT, "a folder, a tar archive or a git URL on the controller (with `#tag`)")
    make_arguments: tuple[str, ...] = key(Listing(TEXT), "arguments of make, in addition to the kernel's tree", ())
    parameters: Mapping[str, str] = key(Texts("the module's parameters to values"), "the module's parameters", {})


_SECONDS = Number("TIMEOUT-RANGE", 1, 31 * 86400, unit="seconds")


@dataclass(frozen=True, kw_only=True)
class Timeouts(Keyed):
    """How long IPVS keeps connections without packets, as ipvsadm(8) --set has it."""

    tcp: int = key(_SECONDS, "an open connection", 900)
    tcpfin: int = key(_SECONDS, "one after a FIN", 120)
    udp: int = key(_SECONDS, "a UDP flow", 300)


@dataclass(frozen=True, kw_only=True)
class Host(Keyed):
    """A host of the inventory."""

    name: str
    interfaces: tuple[Interface, ...] = key(
        Named(Interface),
        "for each interface the network it is plugged into. lvskit does not create interfaces: it refuses a host that is "
        "not plugged in as described",
        (),
        name="lvs_interfaces",
    )
    default_route: str = key(
        Choice("VALUE-CHOICE", ("managed", "keep")),
        "`keep`: lvskit must not point this host's default route at a director",
        "managed",
        name="lvs_default_route",
    )
    restore_on: str | None = key(
        TEXT,
        "the host that routes this one's only link and is to restore clients' addresses for it; it must be in the group "
        "`hypervisors`",
        None,
        name="lvs_restore_on",
        absent="the real server itself",
    )
    drained: bool = key(
        FLAG,
        "`true`: removes this real server from every director's table; its own state stays. `playbooks/drain.yml` does "
        "the same without a change of the inventory",
        False,
        name="lvs_drained",
    )
    mark: MarkRange = key(
        Marks(),
        "the firewall marks that are lvskit's on a director, the same on all directors: for port ranges and `persistence_across_ports`",
        MarkRange(0x6C000000, 0xFF000000),
        name="lvs_mark",
        absent="`0x6c000000/0xff000000`",
    )
    timeouts: Timeouts | None = key(
        Nested(Timeouts),
        "how long IPVS keeps connections without packets, for all services of a director",
        None,
        name="lvs_timeouts",
        absent="the kernel's",
    )
    conntrack: bool = key(
        FLAG,
        "`true`: IPVS shows conntrack all packets of nat's connections on this director (net.ipv4.vs.conntrack=1), so that a stateful "
        "firewall knows replies, and answers to health checks, as established. conntrack then has an entry for each connection: say "
        "`connections` of the services. Not for directors of a group that elects one",
        False,
        name="lvs_conntrack",
    )
    option_kind: int = key(
        Number("OPTION-KIND", 1, 255, _KIND_TAKEN),
        "the kind of the TCP option that carries a client's address (fullnat with `client_address`) or the other end of a "
        "connection (enat); the same on directors and real servers, so say it in group_vars/all. Its length is 8. Change it "
        "while there is no traffic: both halves of an open connection have to agree",
        OPTION_KIND,
        name="lvs_option_kind",
    )
    toa_receiver: Receiver | None = key(
        Nested(Receiver),
        "third-party kernel module that reads the client's address out of the TCP option for this real server's "
        "applications",
        None,
        name="lvs_toa_receiver",
        absent="lvskit's own",
    )
    keeper: bool = key(
        FLAG,
        "what something else takes away of lvskit's state on the host, the IPVS table aside, comes back within seconds (docs/keeper.md). "
        "`false`: it stays away until the next run",
        True,
        name="lvs_keeper",
    )
    at: Any = field(default=None, compare=False, repr=False)
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # as the inventory has it

    def said(self, key: str) -> Any:
        """A variable's name as the inventory has it, which has a place there; None if it is not given."""
        return next((own for own in self.source if own == key), None)

    @property
    def keep_default_route(self) -> bool:
        """Whether lvskit must not point the host's default route at a director."""
        return self.default_route == "keep"

    @cached_property
    def addresses(self) -> frozenset[Address]:
        return frozenset(address for interface in self.interfaces for address in interface.addresses)

    def on(self, family: Family) -> tuple[Attachment, ...]:
        """The interfaces that have an address of a family."""
        return self._on[family]

    @cached_property
    def _on(self) -> dict[Family, tuple[Attachment, ...]]:
        found: dict[Family, list[Attachment]] = {family: [] for family in TABLE}
        for interface in self.interfaces:
            for one in interface.attachments:
                found[one.family].append(one)
        return {family: tuple(ones) for family, ones in found.items()}

    def default_interface(self, family: Family) -> Attachment | None:
        """The interface of a family's default route: the one with `default_route: true`, else the first with a gateway."""
        return self._default[family]

    @cached_property
    def _default(self) -> dict[Family, Attachment | None]:
        return {family: self._default_of(family) for family in TABLE}

    def _default_of(self, family: Family) -> Attachment | None:
        usable = [one for one in self.on(family) if one.gateway and one.gateway not in self.addresses]
        return next((one for one in usable if one.interface.default_route), usable[0] if usable else None)

    def interface_in(self, network: Network) -> Interface | None:
        return self._by_network.get(network.name)

    def attached(self, network: Network, family: Family) -> Attachment | None:
        """The interface in a network, if it has an address of the family."""
        found = self._by_network.get(network.name)
        return found.of(family) if found else None

    @cached_property
    def _by_network(self) -> dict[str, Interface]:
        return {interface.network.name: interface for interface in reversed(self.interfaces)}

    def route_to(self, destination: Address) -> Route | None:
        """The host's next hop towards `destination`, or None when it has no route."""
        family = families.of(destination)
        for one in self.on(family):
            if destination in one.prefix:
                return Route(one, None)
        default = self.default_interface(family)
        return Route(default, default.gateway) if default else None
