"""Kinds of values: each converts a value of an inventory, or refuses it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..violations import listed

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


def strange(value: Any) -> str:
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
            raise Fault("VALUE-TYPE", f"is not a whole number{remedy or strange(value)}")
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
        hint = f": did you mean {close[0]}?{astray(str(value), close[0])}" if close else strange(value)
        raise Fault(self.rule, f"is not one of {listed(self.options)}{hint}")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.options)}, TEMPLATE]}

    def spec(self) -> dict[str, Any]:
        return {"type": "str", "choices": list(self.options)}


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


FLAG = Flag()
TEXT = Text()
NAMES = Names()
