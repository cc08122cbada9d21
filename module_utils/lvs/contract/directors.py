"""Groups of directors that carry the same services together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from ..families import TABLE, Address, Family
from ..families import of as family_of
from .addresses import ADDRESS
from .hosts import Host
from .key import Keyed, key
from .networks import Attachment, Network
from .values import FLAG, TEMPLATE, Choice, Fault, Kind, Name, Number, OneOrMore, described

FIRST_PRIORITY = (
    254  # of VRRP; 255 is for the owner of the addresses (RFC 5798, 5.2.4). High ones keep the skew time small
)
_ECMP = (
    "ecmp",
    "REDUNDANCY-UNKNOWN",
    "is not supported yet: say vrrp, or leave lvs_directors out and let the network route the VIPs to all directors (vip_routed: true)",
)


@dataclass(frozen=True)
class Seconds(Kind):
    """A time in seconds, with two decimals at most."""

    rule: str
    lowest: Decimal
    highest: Decimal

    @property
    def words(self) -> str:
        return f"{self.lowest}–{self.highest} seconds"  # noqa: RUF001  a range of numbers

    def read(self, value: Any) -> Decimal:
        try:
            found = Decimal("x" if isinstance(value, bool) else str(value))
        except InvalidOperation:
            raise Fault("VALUE-TYPE", "is not a number of seconds") from None
        if not self.lowest <= found <= self.highest or found != round(found, 2):
            raise Fault(
                self.rule, f"is not between {self.lowest} and {self.highest} seconds, with two decimals at most"
            )
        return found

    def shown(self, value: Any) -> str:
        return f"{value} seconds"

    def schema(self) -> dict[str, Any]:
        number = {"type": "number", "minimum": float(self.lowest), "maximum": float(self.highest)}
        return {"anyOf": [number, {"type": "string", "pattern": r"^[0-9.]+$"}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "float"}


@dataclass(frozen=True)
class ByNetwork(Kind):
    """A mapping of names of networks to values."""

    of: Kind

    @property
    def words(self) -> str:
        return f"mapping of networks to {self.of.words}"

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Fault("VALUE-TYPE", f"is {described(value)}, it must be a mapping of networks to addresses")
        return {str(name): self.of.read(own) for name, own in value.items()}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.of.schema()}

    def spec(self) -> dict[str, Any]:
        return {"type": "raw"}


@dataclass(frozen=True, kw_only=True)
class DirectorGroup(Keyed):
    """The directors of an inventory group, one of which holds the addresses of their services at a time."""

    DECISIVE = ("gateways", "sync", "network", "sync_network")

    name: str
    redundancy: str = key(
        Choice("REDUNDANCY-UNKNOWN", ("vrrp",), (_ECMP,)),
        "`vrrp`: keepalived elects one of the directors, which holds all addresses; the others stand by",
    )
    virtual_router_id: int = key(
        Number("ROUTER-ID", 1, 255), "the group's number in VRRP: unique in its network, also among other devices there"
    )
    network: Network | None = key(
        Name("network"),
        "the network that carries the adverts",
        None,
        absent="the first one that all directors of the group are in",
    )
    preferred: str | None = key(
        Name("host"), "the director that is master at first", None, absent="the first one of the group"
    )
    preempt: bool = key(
        FLAG, "`true`: `preferred` takes the addresses back when it returns, which interrupts clients once more", False
    )
    advert_interval: Decimal = key(
        Seconds("ADVERT-INTERVAL", Decimal("0.05"), Decimal("40")),
        "the time between two adverts, equal on all directors. A dead master is noticed after three of them",
        Decimal("0.7"),
        absent="`0.7`",
    )
    gateways: Mapping[str, tuple[Address, ...]] = key(
        ByNetwork(OneOrMore(ADDRESS)),
        'nat: by network the addresses that real servers there have as next hop of their replies: `{app: [10.20.1.2, "2001:db8:30::2"]}`. '
        "They are no host's own, and move with the VIPs",
        {},
    )
    sync: str = key(
        Choice("VALUE-CHOICE", ("ipvs", "stateless")),
        "`ipvs`: the master tells the others of its connections all the time (IPVS sync daemons, and conntrackd for fullnat); `stateless`: nobody tells, and "
        "each director chooses the same real server by `scheduler: mh`",
        "ipvs",
    )
    sync_network: Network | None = key(
        Name("network"), "the network that carries the connections' state", None, absent="that of the adverts"
    )
    directors: tuple[Host, ...] = ()  # of the inventory group of its name
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(director.name for director in self.directors)

    @cached_property
    def common(self) -> tuple[Network, ...]:
        """The networks that all directors are in, in the order of the first one's interfaces."""
        first, *others = self.directors
        found = (interface.network for interface in first.interfaces)
        return tuple(one for one in found if all(_in(other, one) for other in others))

    @cached_property
    def adverts(self) -> Network | None:
        """The network of the adverts."""
        return self.network or next(iter(self.common), None)

    @cached_property
    def synced(self) -> Network | None:
        """The network of the connections' state."""
        return self.sync_network or self.adverts

    def of_adverts(self, director: Host) -> Attachment | None:
        """The interface of a director that adverts leave by: of the first family that all directors have in that network."""
        return self._attached(self.adverts, director)

    def of_sync(self, director: Host) -> Attachment | None:
        """The interface of a director that the connections' state leaves by."""
        return self._attached(self.synced, director)

    def _attached(self, network: Network | None, director: Host) -> Attachment | None:
        if network is None:
            return None
        shared = (f for f in TABLE if all(one.attached(network, f) for one in self.directors))
        family = next(shared, None)
        return director.attached(network, family) if family else None

    @cached_property
    def first(self) -> Host:
        """The director that is master at first."""
        return next((one for one in self.directors if one.name == self.preferred), self.directors[0])

    def priority(self, director: Host) -> int:
        """The director's priority in VRRP: the preferred one has the highest."""
        order = [self.first, *(one for one in self.directors if one is not self.first)]
        return FIRST_PRIORITY - order.index(director)

    def gateway(self, network: Network, family: Family) -> Address | None:
        """The next hop of the replies of real servers in a network."""
        own = self.gateways.get(network.name, ())
        return next((address for address in own if family_of(address) is family), None)

    def at(self, name: str) -> Any:
        """The inventory's value of a key, which has a place there; the group's redundancy where the key is not given."""
        return self.source.get(name, self.source.get("redundancy"))


def _in(host: Host, network: Network) -> bool:
    return any(interface.network.name == network.name for interface in host.interfaces)
