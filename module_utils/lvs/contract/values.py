"""Kinds of values: each converts a value of an inventory, or refuses it."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from ..families import IPV4, IPV6, TABLE, Family
from ..violations import listed

MARKS_AT_LEAST = 4096
# A template: an editor does not know its value.
TEMPLATE = {"type": "string", "pattern": r"\{\{|\{%"}


class Fault(ValueError):
    """A value that cannot be read: the rule's id, and what is wrong with the value."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Passed(Fault):
    """A value that cannot be used because of a fault that is reported elsewhere."""

    def __init__(self) -> None:
        super().__init__("", "")


def closest(word: str, known: Iterable[str]) -> list[str]:
    """The known word that looks most like `word`; none if none looks like it."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint: the known word that looks most like `word`, or all of them."""
    known = list(known)
    close = closest(word, known)
    if not close:
        return f"known: {', '.join(known) or 'none'}"
    return f"did you mean {close[0]}?" + astray(word, close[0])


def astray(word: str, meant: str = "") -> str:
    """The characters of a word that nobody sees, or takes for others, as a sentence; empty without any. `meant` has none of them."""
    found = dict.fromkeys(
        one for one in word if one not in meant and (not one.isprintable() or (bool(meant) and not one.isascii()))
    )
    names = [f"U+{ord(one):04X} {unicodedata.name(one, 'a control character')}" for one in found]
    return f" It has the character{'s' if len(names) > 1 else ''} {listed(names, 'and')}." if names else ""


def _strange(value: Any) -> str:
    """What ends the message about a value that only has characters of ASCII when it is right; empty if it has no others."""
    return f".{astray(str(value), ' ')}".rstrip(".")


def described(value: Any) -> str:
    """What kind of value it is, for a message."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return f"the value {str(value).lower() if isinstance(value, bool) else value}"


def listing(value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Fault("VALUE-TYPE", "is not a list")
    return value


_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def _in_seconds(value: Any) -> str:
    """A remedy for a time with a unit, such as 5m; empty where it is none."""
    parts = re.fullmatch(r"([0-9]+) ?([a-z]+)", value) if isinstance(value, str) else None
    return f". Write the seconds: {int(parts[1]) * _UNITS[parts[2]]}" if parts and parts[2] in _UNITS else ""


@dataclass(frozen=True)
class Kind:
    """A kind of value, and any value whatever. `words` describe it in the documentation."""

    @property
    def words(self) -> str:
        return "any value"

    def read(self, value: Any) -> Any:
        """The value as the model has it; raises Fault where it is none of this kind."""
        return value

    def shown(self, value: Any) -> str:
        """The converted value for a person."""
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the value as it stands in a file."""
        return {}

    def spec(self) -> dict[str, Any]:
        """Type, elements and choices as argument_specs of roles have them."""
        return {"type": "raw"}


@dataclass(frozen=True)
class Text(Kind):
    """A string that is not empty; `empty` allows an empty one, for roles with an empty default.

    With a `pattern`, a string that does not match it completely is refused with the message `otherwise`.
    """

    pattern: str = ""
    otherwise: str = ""
    path: bool = False
    empty: bool = False

    @property
    def words(self) -> str:
        return "path" if self.path else "string"

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not (value or self.empty):
            raise Fault("VALUE-TYPE", "is not a string")
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise Fault("VALUE-TYPE", self.otherwise)
        return str(value)

    def schema(self) -> dict[str, Any]:
        if self.pattern:
            return {"anyOf": [{"type": "string", "pattern": f"^({self.pattern})$"}, TEMPLATE]}
        return {"type": "string"} if self.empty else {"type": "string", "minLength": 1}

    def spec(self) -> dict[str, Any]:
        return {"type": "path" if self.path else "str"}


# As strings they come from inventories in INI's form, and from -e.
_FLAGS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Flag(Kind):
    """true or false; their words as strings are accepted."""

    @property
    def words(self) -> str:
        return "true or false"

    def read(self, value: Any) -> bool:
        found = _FLAGS.get(value.lower(), value) if isinstance(value, str) else value
        if not isinstance(found, bool):
            raise Fault("VALUE-TYPE", "is neither true nor false")
        return found

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^([Tt]rue|[Ff]alse|yes|no)$"}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "bool"}


@dataclass(frozen=True)
class Number(Kind):
    """A whole number from `lowest` to `highest`; a string of digits is accepted, because templates produce these.

    `rule` refuses numbers outside; `taken` maps refused single numbers to their messages.
    """

    rule: str
    lowest: int
    highest: int
    taken: tuple[tuple[int, str], ...] = ()
    unit: str = ""

    @property
    def words(self) -> str:
        return f"{self.lowest}–{self.highest} {self.unit}".strip()  # noqa: RUF001  a range of numbers

    def shown(self, value: Any) -> str:
        return f"{value} {self.unit}".strip()

    def read(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch("-?[0-9]+", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            remedy = _in_seconds(value) if self.unit == "seconds" else ""
            raise Fault("VALUE-TYPE", f"is not a whole number{remedy or _strange(value)}")
        if not self.lowest <= value <= self.highest:
            raise Fault(self.rule, f"is not between {self.lowest} and {self.highest}")
        if self.taken and value in dict(self.taken):
            raise Fault(self.rule, dict(self.taken)[value])
        return int(value)

    def schema(self) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "integer", "minimum": self.lowest, "maximum": self.highest}
        if self.taken:
            number["not"] = {"enum": [value for value, _ in self.taken]}
        return {"anyOf": [number, {"type": "string", "pattern": "^-?[0-9]+$"}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "int"}


@dataclass(frozen=True)
class Choice(Kind):
    """One of some words. `rule` refuses others, and with `refused` some of them have a message of their own: rule and text."""

    rule: str
    options: tuple[str, ...]
    refused: tuple[tuple[str, str, str], ...] = ()

    @property
    def words(self) -> str:
        return ", ".join(f"`{option}`" for option in self.options)

    def read(self, value: Any) -> str:
        if value in self.options:
            return str(value)
        for word, rule, message in self.refused:
            if value == word:
                raise Fault(rule, message)
        close = difflib.get_close_matches(str(value).lower(), self.options, n=1)
        hint = f": did you mean {close[0]}?{astray(str(value), close[0])}" if close else _strange(value)
        raise Fault(self.rule, f"is not one of {listed(self.options)}{hint}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.options)}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "str", "choices": list(self.options)}


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
                raise Fault("ADDRESS-FORMAT", f"is {special}, which no service and no host of a network has")
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
            f"is not an {self.words} (write it like {how}, without a prefix){_strange(value)}",
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
        raise Fault("ADDRESS-FORMAT", f"is not an {self.words} (write it like {family.example_prefix}){_strange(text)}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": f"^{_PATTERNS[self.family]}/[0-9]+$"}, TEMPLATE]}


@dataclass(frozen=True)
class Name(Kind):
    """The name of one host, group or network, and not a list of them."""

    of: str

    @property
    def words(self) -> str:
        return self.of

    def read(self, value: Any) -> str:
        if not isinstance(value, str) and isinstance(value, (bool, Mapping, Sequence)):
            raise Fault("VALUE-TYPE", f"is {described(value)}, it must be one name")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"]}

    def spec(self) -> dict[str, Any]:
        return {"type": "str"}


@dataclass(frozen=True)
class Listing(Kind):
    """A list of values of one kind."""

    of: Kind

    @property
    def words(self) -> str:
        return f"list ({self.of.words})"

    def read(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) and value:
            raise Fault("VALUE-TYPE", f"is not a list (write it like [{value}])")
        return tuple(self.of.read(item) for item in listing(value))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "array", "items": self.of.schema()}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "list", "elements": self.of.spec()["type"]}


@dataclass(frozen=True)
class OneOrMore(Kind):
    """A value of one kind, or a list of them, each once. The model has a tuple."""

    of: Kind

    @property
    def words(self) -> str:
        return f"{self.of.words}; or a list"

    def read(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            try:
                return (self.of.read(value),)
            except Fault as fault:
                if isinstance(value, str) and "," in value:
                    raise Fault(fault.rule, f"{fault}. Several are a list: [{value}]") from None
                raise
        found: dict[Any, None] = {}
        for item in value:
            try:
                read = self.of.read(item)
            except Fault as fault:
                raise Fault(fault.rule, f"of which {item} {fault}") from None
            if read in found:
                raise Fault("VALUE-TWICE", f"has {self.of.shown(read)} twice. Remove one")
            found[read] = None
        if not found:
            raise Fault("VALUE-EMPTY", "is an empty list. Set a value, or remove the key")
        return tuple(found)

    def schema(self) -> dict[str, Any]:
        one = self.of.schema()
        forms = one.get("anyOf", [one])
        return {"anyOf": [*forms, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


class Ports(NamedTuple):
    """A range of ports, both ends in it; of one port mostly."""

    first: int
    last: int

    @property
    def single(self) -> bool:
        return self.first == self.last

    def meets(self, other: Ports) -> bool:
        """Whether both have a port in common."""
        return self.first <= other.last and other.first <= self.last

    def holds(self, port: int) -> bool:
        return self.first <= port <= self.last

    @property
    def number(self) -> int:
        """How many ports."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.single else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class PortRange(Kind):
    """A port, or a range of ports such as 8000-8100. The model has Ports."""

    @property
    def words(self) -> str:
        return f"{PORT.words}, or a range as `8000-8100`"

    def read(self, value: Any) -> Ports:
        first, dash, last = value.partition("-") if isinstance(value, str) else (value, "", "")
        if not dash and (not isinstance(value, str) or value.isdecimal()):
            port = PORT.read(value)
            return Ports(port, port)
        if not (first.strip().isdecimal() and last.strip().isdecimal()):
            raise Fault(
                "VALUE-TYPE", f"is neither a port nor a range of ports (write it like 8000-8100){_strange(value)}"
            )
        found = Ports(PORT.read(first.strip()), PORT.read(last.strip()))
        if found.first > found.last:
            raise Fault("PORT-RANGE", f"ends before it begins. Write {found.last}-{found.first}")
        return found

    def schema(self) -> dict[str, Any]:
        number, _, template = PORT.schema()["anyOf"]
        return {"anyOf": [number, {"type": "string", "pattern": "^[0-9]+( *- *[0-9]+)?$"}, template]}

    def spec(self) -> dict[str, Any]:
        return {"type": "str"}


@dataclass(frozen=True)
class PortMap(Kind):
    """A port, or for each port of the service another one, as in {443: 8443}."""

    @property
    def words(self) -> str:
        return f"{PORT.words}, or a mapping of the service's ports to others"

    def read(self, value: Any) -> int | Mapping[int, int]:
        if not isinstance(value, Mapping):
            return PORT.read(value)
        try:
            found = {PORT.read(port): PORT.read(other) for port, other in value.items()}
        except Fault as fault:
            raise Fault(fault.rule, f"has a port that {fault}") from None
        if not found:
            raise Fault("VALUE-EMPTY", "is an empty mapping. Set a port, or remove the key")
        taken: dict[int, int] = {}
        for port, other in found.items():
            if other in taken:
                raise Fault("PORT-MAPPING", f"sends ports {taken[other]} and {port} both to {other}. Give each its own")
            taken[other] = port
        return found

    def schema(self) -> dict[str, Any]:
        one = PORT.schema()
        mapping = {"type": "object", "additionalProperties": one, "minProperties": 1}
        return {"anyOf": [*one["anyOf"], mapping]}

    def spec(self) -> dict[str, Any]:
        return {"type": "raw"}


@dataclass(frozen=True)
class ByDirector(Kind):
    """A list of values, or a list for each director by its name."""

    of: Listing

    @property
    def words(self) -> str:
        return f"{self.of.words}, or a mapping of directors to such lists"

    def read(self, value: Any) -> tuple[Any, ...] | dict[str, tuple[Any, ...]]:
        if isinstance(value, Mapping):
            return {str(name): self.of.read(own) for name, own in value.items()}
        return self.of.read(value)

    def schema(self) -> dict[str, Any]:
        one = self.of.schema()
        return {"anyOf": [*one["anyOf"], {"type": "object", "additionalProperties": one}]}

    def spec(self) -> dict[str, Any]:
        return {"type": "raw"}


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


@dataclass(frozen=True)
class MarkRange:
    """The firewall marks that are lvskit's: those whose bits of `mask` are `base`."""

    base: int
    mask: int

    @property
    def number(self) -> int:
        """How many marks."""
        return 1 << (32 - bin(self.mask).count("1"))

    @property
    def services(self) -> MarkRange:
        """The half for services."""
        return MarkRange(self.base, self.mask | self.number // 2)

    @property
    def checks(self) -> MarkRange:
        """The half for health checks."""
        return MarkRange(self.base | self.number // 2, self.mask | self.number // 2)

    @property
    def tracked(self) -> MarkRange:
        """The half of the marks for checks that conntrack has to see: IPVS' source NAT needs it."""
        return self.checks.checks

    @property
    def untracked(self) -> MarkRange:
        """The half of the marks for checks that pass by conntrack."""
        return self.checks.services

    def __str__(self) -> str:
        return f"{self.base:#x}/{self.mask:#x}"


_Named = TypeVar("_Named")


def numbered(texts: Mapping[_Named, str], room: MarkRange) -> dict[_Named, int]:
    """A mark for each thing by its text, of which it is made: another thing changes it only if both make the same one."""
    found: dict[_Named, int] = {}
    taken: set[int] = set()
    for key, text in sorted(texts.items(), key=itemgetter(1)):
        start = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % room.number
        tries = itertools.chain(range(start, room.number), range(start))
        number = next(number for number in tries if number not in taken)
        taken.add(number)
        found[key] = room.base | number
    return found


@dataclass(frozen=True)
class Marks(Kind):
    """A range of firewall marks, such as 0x6c000000/0xff000000: the upper bits are fixed, the lower ones are numbers."""

    @property
    def words(self) -> str:
        return "value and mask, as `0x6c000000/0xff000000`"

    def read(self, value: Any) -> MarkRange:
        words = re.fullmatch(r"(0x[0-9A-Fa-f]{1,8})/(0x[0-9A-Fa-f]{1,8})", str(value))
        if words is None:
            raise Fault("VALUE-TYPE", "is not a value and a mask (write it like 0x6c000000/0xff000000)")
        found = MarkRange(int(words[1], 16), int(words[2], 16))
        lower = ~found.mask & 0xFFFFFFFF
        if lower & (lower + 1) or not found.base or found.base & lower:
            raise Fault("VALUE-RANGE", "does not fix the upper bits of a mark alone, with a value other than 0")
        if found.number < MARKS_AT_LEAST:
            raise Fault("VALUE-RANGE", f"leaves {found.number} marks. Leave {MARKS_AT_LEAST} at least: a shorter mask")
        return found

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": "^0x[0-9A-Fa-f]{1,8}/0x[0-9A-Fa-f]{1,8}$"}, TEMPLATE]}


@dataclass(frozen=True)
class Names(Kind):
    """Names that an operator gives, as a string with commas or as a list."""

    of: str = "names"

    @property
    def words(self) -> str:
        return self.of

    def read(self, value: Any) -> list[str]:
        given = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
        return [word for word in (str(one).strip() for one in given if one is not None) if word]

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": ["string", "integer"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}


@dataclass(frozen=True)
class Texts(Kind):
    """A mapping of names to strings; `what` describes it in messages."""

    what: str

    @property
    def words(self) -> str:
        return "mapping of names to values"

    def read(self, value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise Fault("VALUE-TYPE", f"is {described(value)}, it must be a mapping of {self.what}")
        return {str(name): str(said) for name, said in value.items()}

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}

    def spec(self) -> dict[str, Any]:
        return {"type": "dict"}


ADDRESS = AddressOf()
FLAG = Flag()
TEXT = Text()
PORT = Number("PORT-RANGE", 1, 65535)
NAMES = Names()
