"""The table of address families: what differs between IPv4 and IPv6.

No other file of the model states such a fact. Sources: RFC 791, 8200, 6691, 4861; ip-sysctl.rst; ip-tunnel(8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from typing import Any, NamedTuple, Union

Address = Union[IPv4Address, IPv6Address]
Prefix = Union[IPv4Network, IPv6Network]

TCP_HEADER = 20  # bytes, without options


class Message(NamedTuple):
    """A type of ICMP messages, as iptables has it."""

    protocol: str
    number: str


@dataclass(frozen=True, eq=False)
class Family:
    """One row of the table.

    `bits` is the length of an address, `header` that of the IP header (bytes), `least_mtu` what every link carries (bytes).
    `suffix` ends the keys of the inventory that are for this family: `cidr` and `cidr6`. `conf` is the folder of its sysctls
    below net/, `iptables` the program for its rules, `resolution` the protocol that finds the MAC of an address, `errors` the
    messages about packets that did not arrive. `unbound` is the source by
    which routing rules find a packet that has none yet, from a socket without an address; empty where no rule with a source does.
    """

    name: str
    version: int
    bits: int
    header: int
    least_mtu: int
    suffix: str
    conf: str
    iptables: str
    resolution: str
    unbound: str
    example: str  # an address and a network for messages
    example_prefix: str
    outside: Address  # stands for any client where the inventory has none (RFC 5737, RFC 3849)
    errors: tuple[Message, ...]
    address_type: type[Address]
    prefix_type: type[Prefix]

    def __reduce__(self) -> tuple[object, ...]:
        """A row of the table is itself again in another process."""
        return by_version, (self.version,)

    @property
    def tcp_ip_headers(self) -> int:
        """Bytes of both headers, without options (RFC 6691)."""
        return self.header + TCP_HEADER

    def __str__(self) -> str:
        return self.name


IPV4 = Family(
    name="IPv4",
    version=4,
    bits=32,
    header=20,
    least_mtu=576,
    suffix="",
    conf="ipv4",
    iptables="iptables",
    resolution="ARP",
    unbound="0.0.0.0",
    example="192.0.2.10",
    example_prefix="192.0.2.0/24",
    outside=IPv4Address("192.0.2.1"),
    errors=(Message("icmp", "3"),),
    address_type=IPv4Address,
    prefix_type=IPv4Network,
)
IPV6 = Family(
    name="IPv6",
    version=6,
    bits=128,
    header=40,
    least_mtu=1280,
    suffix="6",
    conf="ipv6",
    iptables="ip6tables",
    resolution="neighbour discovery",
    unbound="",
    example="2001:db8::10",
    example_prefix="2001:db8::/64",
    outside=IPv6Address("2001:db8::1"),
    errors=(Message("ipv6-icmp", "1"), Message("ipv6-icmp", "2")),
    address_type=IPv6Address,
    prefix_type=IPv6Network,
)
TABLE: tuple[Family, ...] = (IPV4, IPV6)
_BY_VERSION = {family.version: family for family in TABLE}


@dataclass(frozen=True)
class Tunnel:
    """How a real server takes packets of one family out of packets of another: the device, and its kernel module."""

    device: str
    module: str
    both: bool = False  # the device takes IPv6 only, until it is told to take IPv4, too


# By the family of the packet and of the header around it. tunl0, sit0 and ip6tnl0 are the devices that their modules make.
TUNNELS: dict[tuple[Family, Family], Tunnel] = {
    (IPV4, IPV4): Tunnel("tunl0", "ipip"),
    (IPV6, IPV4): Tunnel("sit0", "sit"),
    (IPV6, IPV6): Tunnel("ip6tnl0", "ip6_tunnel"),
    (IPV4, IPV6): Tunnel("ip6tnl0", "ip6_tunnel", both=True),
}


def of(address: Address) -> Family:
    """The family of an address."""
    return IPV4 if address.version == 4 else IPV6


def by_version(version: int) -> Family:
    """The family 4 or 6."""
    return _BY_VERSION[version]


def parsed(text: str) -> Address:
    """The address of either family. Raises ValueError."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return IPv6Address(text)


def bracketed(address: Address | str) -> str:
    """The address as it stands before a port: IPv6 in brackets (RFC 3986)."""
    text = str(address)
    return f"[{text}]" if ":" in text else text


def prefixes(addresses: Iterable[Address]) -> list[Prefix]:
    """The fewest prefixes that have these addresses of one family and no other ones, sorted."""
    alike: Any = addresses  # typing has no word for two kinds that are not mixed
    return list(collapse_addresses(alike))


def present(addresses: Iterable[Address]) -> tuple[Family, ...]:
    """The families of some addresses, each once, in the order of the addresses."""
    return tuple(dict.fromkeys(map(of, addresses)))
