"""Kinds of values: addresses and networks of either family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError
from typing import Any

from ..families import IPV4, IPV6, TABLE, Family
from .values import TEMPLATE, Fault, Kind, Number, strange

_PATTERNS = {IPV4: r"[0-9]+(\.[0-9]+){3}", IPV6: r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"}


@dataclass(frozen=True)
class AddressOf(Kind):
    """A host address of one family, or of either one if none is given."""

    family: Family | None = None

    @property
    def words(self) -> str:
        return f"{self.family} address" if self.family else "IPv4 or IPv6 address"

    def read(self, value: Any) -> Any:
        wanted = (self.family,) if self.family else TABLE
        text = str(value)
        for family in wanted:
            try:
                found = family.address_type(text)
            except AddressValueError:
                continue
            if getattr(found, "scope_id", None) or getattr(found, "ipv4_mapped", None):
                break
            if special := _special(found):
                own = f". Give the one in cidr{family.suffix} of its network" if found.is_link_local else ""
                raise Fault("ADDRESS-FORMAT", f"is {special}, which no service and no host of a network has{own}")
            return found
        if self.family:
            for other in TABLE:
                if other is not self.family and _is(other, text):
                    raise Fault("ADDRESS-FORMAT", f"is an {other} address, and this key is for {self.family}")
        how = " or ".join(family.example for family in wanted)
        if meant := _meant(text):
            raise Fault("ADDRESS-FORMAT", meant)
        raise Fault(
            "ADDRESS-FORMAT",
            f"is not an {self.words} (write it like {how}, without a prefix){strange(value)}",
        )

    def schema(self) -> dict[str, Any]:
        wanted = (self.family,) if self.family else TABLE
        forms = [{"type": "string", "format": family.conf, "pattern": f"^{_PATTERNS[family]}$"} for family in wanted]
        return {"anyOf": [*forms, TEMPLATE]}


def _special(address: Any) -> str:
    """What else an address is for; empty for one of a host."""
    if address.version == 4 and address.is_reserved:
        return "a reserved address (240.0.0.0/4)"
    kinds = {
        "is_loopback": "a loopback",
        "is_multicast": "a multicast",
        "is_unspecified": "the unspecified",
        "is_link_local": "a link-local",
    }
    return next((f"{words} address" for name, words in kinds.items() if getattr(address, name)), "")


def _meant(text: str) -> str:
    """What is wrong with a text that looks much like an address, and what to write; empty where it does not."""
    shorter = re.sub(r"(?<![0-9])0+(?=[0-9])", "", text)
    if shorter != text and _is(IPV4, shorter):
        return f"has a number that begins with 0, which some programs read as octal. Write {shorter}"
    mapped = text.rpartition(":")[2]
    if text.lower().startswith("::ffff:") and _is(IPV4, mapped):
        return f"is an IPv4 address in the form of IPv6. Write {mapped}"
    ends = [part.strip() for part in text.split("-")]
    if len(ends) == 2 and any(all(_is(family, end) for end in ends) for family in TABLE):
        return "is a range. List each address"
    return ""


def _is(family: Family, text: str) -> bool:
    try:
        family.address_type(text)
    except AddressValueError:
        return False
    return True


@dataclass(frozen=True)
class Cidr(Kind):
    """A network of a family without host bits, such as 192.0.2.0/24."""

    family: Family

    @property
    def words(self) -> str:
        return f"{self.family} network"

    def read(self, value: Any) -> Any:
        family, text = self.family, str(value).strip()
        if "/" not in text and _is(family, text):
            raise Fault("ADDRESS-FORMAT", f"has no prefix length. Write it like {family.example_prefix}")
        try:
            found = family.prefix_type(text)
            if found.prefixlen and (special := _special(found.network_address)):
                raise Fault("ADDRESS-FORMAT", f"begins with {special}. It is no network of hosts")
            return found
        except Fault:
            raise
        except ValueError as error:
            reason = str(error)
        if "has host bits set" in reason:
            meant = family.prefix_type(text, strict=False)
            raise Fault("ADDRESS-FORMAT", f"has host bits set. The network is {meant}")
        for other in TABLE:
            if other is not family and _is(other, text.partition("/")[0]):
                raise Fault("ADDRESS-FORMAT", f"is an {other} network. Say it as cidr{other.suffix}:")
        raise Fault("ADDRESS-FORMAT", f"is not an {self.words} (write it like {family.example_prefix}){strange(text)}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": f"^{_PATTERNS[self.family]}/[0-9]+$"}, TEMPLATE]}


@dataclass(frozen=True)
class PrefixLengths(Kind):
    """The length of a prefix for a family or for both: {4: 24, 6: 64}. The model has a mapping of versions."""

    @property
    def words(self) -> str:
        return "mapping of 4 and 6 to lengths of prefixes"

    def read(self, value: Any) -> Mapping[int, int]:
        if not isinstance(value, Mapping):
            raise Fault("VALUE-TYPE", "is not a mapping of families to lengths (write it like {4: 24, 6: 64})")
        bits = {str(family.version): family for family in TABLE}
        found = {}
        for version, length in value.items():
            family = bits.get(str(version))
            if family is None:
                raise Fault("VALUE-TYPE", f"has the key {version}. Only 4 and 6 are families")
            try:
                found[family.version] = Number("VALUE-RANGE", 1, family.bits).read(length)
            except Fault as fault:
                raise Fault(fault.rule, f"has a length for {family} that {fault}") from None
        return found

    def schema(self) -> dict[str, Any]:
        lengths = {str(family.version): Number("", 1, family.bits).schema() for family in TABLE}
        return {"type": "object", "properties": lengths, "additionalProperties": False}

    def spec(self) -> dict[str, Any]:
        return {"type": "dict"}


ADDRESS = AddressOf()
