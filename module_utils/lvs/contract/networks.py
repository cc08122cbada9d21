"""Networks, and the hosts' interfaces in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from .key import Keyed, key
from .values import ADDRESS, FLAG, Cidr, Name, Number


@dataclass(frozen=True, kw_only=True)
class Network(Keyed):
    """One layer-2 segment."""

    name: str
    cidr: IPv4Network = key(Cidr(), "the network's addresses")
    vlan: int = key(Number("VLAN-ID", 1, 4094), "802.1Q id of the network, unique")
    gateway: IPv4Address | None = key(
        ADDRESS,
        "the router's address in it. Networks with a gateway are routed to each other; one without is isolated",
        None,
    )
    mtu: int = key(Number("MTU-RANGE", 576, 65535, unit="bytes"), "the largest packet", 1500)
    at: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Interface(Keyed):
    """An interface of a host in a network."""

    name: str
    network: Network = key(Name("network"), "the network, by its name in `lvs_networks`")
    address: IPv4Address = key(ADDRESS, "the host's address in it, without a prefix")
    default_route: bool = key(
        FLAG,
        "`true`: the host's default route uses this interface",
        False,
        absent="the first interface whose network has a gateway",
    )
    at: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.text}/{self.network.cidr.prefixlen}"

    @cached_property
    def text(self) -> str:
        """The address alone."""
        return str(self.address)
