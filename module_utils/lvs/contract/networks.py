"""Networks, and the hosts' interfaces in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from ..families import IPV4, IPV6, TABLE, Address, Family, Prefix, bracketed
from .addresses import AddressOf, Cidr
from .key import Keyed, key
from .values import FLAG, Name, Number


@dataclass(frozen=True, kw_only=True)
class Network(Keyed):
    """One layer-2 segment, with addresses of one family or of both."""

    name: str
    cidr: IPv4Network | None = key(Cidr(IPV4), "the network's IPv4 addresses", None, absent="this or `cidr6`, or both")
    cidr6: IPv6Network | None = key(Cidr(IPV6), "the network's IPv6 addresses", None, absent="no IPv6 in it")
    vlan: int = key(Number("VLAN-ID", 1, 4094), "802.1Q id of the network, unique")
    gateway: IPv4Address | None = key(
        AddressOf(IPV4),
        "the router's IPv4 address in it. Networks with a gateway are routed to each other; one without is isolated",
        None,
    )
    gateway6: IPv6Address | None = key(AddressOf(IPV6), "the router's IPv6 address in it, in the same way", None)
    mtu: int = key(Number("MTU-RANGE", 576, 65535, unit="bytes"), "the largest packet", 1500)
    at: Any = field(default=None, compare=False, repr=False)

    LEAST = ("cidr", "cidr6")
    DECISIVE = ("gateway", "gateway6")

    def prefix(self, family: Family) -> Prefix | None:
        """The network's addresses of a family."""
        return self.cidr if family is IPV4 else self.cidr6

    def router(self, family: Family) -> Address | None:
        """The gateway's address of a family."""
        return self.gateway if family is IPV4 else self.gateway6

    @cached_property
    def prefixes(self) -> tuple[Prefix, ...]:
        return tuple(prefix for prefix in (self.cidr, self.cidr6) if prefix)

    @cached_property
    def routers(self) -> tuple[Address, ...]:
        return tuple(router for router in (self.gateway, self.gateway6) if router)

    @property
    def addresses(self) -> str:
        """Its prefixes, for a message."""
        return " and ".join(map(str, self.prefixes))

    def __contains__(self, address: Address) -> bool:
        return any(address in prefix for prefix in self.prefixes)


@dataclass(frozen=True, kw_only=True)
class Interface(Keyed):
    """An interface of a host in a network."""

    name: str
    network: Network = key(Name("network"), "the network, by its name in `lvs_networks`")
    address: IPv4Address | None = key(
        AddressOf(IPV4), "the host's IPv4 address in it, without a prefix", None, absent="this or `address6`, or both"
    )
    address6: IPv6Address | None = key(
        AddressOf(IPV6), "the host's IPv6 address in it, without a prefix", None, absent="no IPv6 address"
    )
    default_route: bool = key(
        FLAG,
        "`true`: the host's default routes use this interface",
        False,
        absent="the first interface whose network has a gateway",
    )
    at: Any = field(default=None, compare=False, repr=False)

    LEAST = ("address", "address6")

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        """The interface by family."""
        found = ((family, self.address if family is IPV4 else self.address6) for family in TABLE)
        return tuple(Attachment(self, family, address) for family, address in found if address)

    def of(self, family: Family) -> Attachment | None:
        """The interface as packets of a family know it, if it has an address of that family."""
        return next((one for one in self.attachments if one.family is family), None)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(one.address for one in self.attachments)

    def __str__(self) -> str:
        return " and ".join(map(str, self.attachments))


@dataclass(frozen=True, eq=False)
class Attachment:
    """An interface in one family: what a route, a hop or a rule is about."""

    interface: Interface
    family: Family
    address: Address

    @property
    def name(self) -> str:
        return self.interface.name

    @property
    def network(self) -> Network:
        return self.interface.network

    @property
    def at(self) -> Any:
        return self.interface.at

    @property
    def prefix(self) -> Prefix:
        """The network's addresses of the family. The reader refuses an address without them."""
        found = self.interface.network.prefix(self.family)
        assert found is not None
        return found

    @cached_property
    def gateway(self) -> Address | None:
        """The router of the network in the family."""
        return self.interface.network.router(self.family)

    @cached_property
    def text(self) -> str:
        """The address alone."""
        return str(self.address)

    @cached_property
    def bracketed(self) -> str:
        """The address as it stands before a port."""
        return bracketed(self.address)

    def __str__(self) -> str:
        return f"{self.text}/{self.prefix.prefixlen}"
