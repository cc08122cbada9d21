"""Reads mappings of the inventory key by key, and reports every fault in them instead of stopping at the first."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from .violations import Violation, listed

T = TypeVar("T")
REQUIRED: Any = object()


class Fault(ValueError):
    """A value that cannot be read: the rule's id, and what is wrong with the value."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Passed(Fault):
    """A value that cannot be used for a fault that is reported elsewhere."""

    def __init__(self) -> None:
        super().__init__("", "")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint: the known word that looks most like `word`, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"


class Reader:
    """One mapping of the contract.

    `get` converts a key's value and reports what the conversion refuses; `finish` reports keys that nobody asked for.
    `ok` tells whether the mapping can be used all the same: an unknown key, or a fault where there is a default, leaves
    the rest usable, so that the rules can be checked as well.
    """

    def __init__(self, raw: Any, place: str, report: Callable[[Violation], None]) -> None:
        self.place = place
        self.ok = True
        self.readable = isinstance(raw, Mapping)
        self.report = report
        self._asked: list[str] = []
        self.raw: Mapping[str, Any] = {}
        if self.readable:
            self.raw = raw
        else:
            self.fault("VALUE-TYPE", f"is {described(raw)}, it must be a mapping of keys to values", raw)

    def fault(self, rule: str, message: str, at: Any) -> None:
        self.ok = False
        self.report(Violation(rule, f"{self.place}: {message}", at))

    def get(self, key: str, convert: Callable[[Any], T], default: Any = REQUIRED) -> T | Any:
        """The converted value of `key`; `default` where it is absent or faulty; None where there is no default."""
        self._asked.append(key)
        if key not in self.raw:
            if default is REQUIRED and self.readable:
                at = next(iter(self.raw.values()), self.raw)
                self.fault("KEY-MISSING", f"has no {key}. Add {key}: to it.", self.raw.get("name", at))
                return None
            return None if default is REQUIRED else default
        value = self.raw[key]
        try:
            if value is None:
                raise Fault("VALUE-EMPTY", "has no value. Say one, or leave the key out")
            return convert(value)
        except Passed:
            self.ok = False
        except Fault as fault:
            usable = self.ok and default is not REQUIRED
            said = "" if value is None else f"{str(value).lower() if isinstance(value, bool) else value} "
            self.fault(fault.rule, f"{key}: {said}{fault}", self._at(key))
            self.ok = usable
        return None if default is REQUIRED else default

    def _at(self, key: str) -> Any:
        """What knows its place in the inventory: the value; or the key, where the value is empty, true or false."""
        value = self.raw[key]
        return next(own for own in self.raw if own == key) if value is None or isinstance(value, bool) else value

    def finish(self) -> bool:
        """Reports unknown keys; whether the mapping can be used."""
        usable = self.ok
        for key in self.raw:
            if key not in self._asked:
                self.fault("KEY-UNKNOWN", f"has an unknown key {key}: {nearest(str(key), self._asked)}", key)
        return usable


def described(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return f"the value {value}"


def one_name(value: Any) -> str:
    """The name of a host, a group or a network: one, and not a list of them."""
    if isinstance(value, (bool, Mapping)) or (isinstance(value, Sequence) and not isinstance(value, str)):
        raise Fault("VALUE-TYPE", f"is {described(value)}, it must be one name")
    return str(value)


def names(value: Any) -> list[str]:
    """Names that an operator gives, as a text with commas between them or as a list."""
    given = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    return [word for word in (str(one).strip() for one in given if one is not None) if word]


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Fault("VALUE-TYPE", "is not a text")
    return str(value)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Fault("VALUE-TYPE", "is neither true nor false")
    return bool(value)


def listing(value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Fault("VALUE-TYPE", "is not a list")
    return value


def number(rule: str, lowest: int, highest: int) -> Callable[[Any], int]:
    """A whole number between `lowest` and `highest`; a text of digits counts, as templates give one."""

    def convert(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch("-?[0-9]+", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Fault("VALUE-TYPE", "is not a whole number")
        if not lowest <= value <= highest:
            raise Fault(rule, f"is not between {lowest} and {highest}")
        return int(value)

    return convert


def choice(rule: str, options: Sequence[str]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in options:
            close = difflib.get_close_matches(str(value).lower(), options, n=1)
            raise Fault(rule, f"is not one of {listed(options)}" + (f": did you mean {close[0]}?" if close else ""))
        return str(value)

    return convert


def address(value: Any) -> IPv4Address:
    """An IPv4 host address, dotted quad."""
    try:
        return IPv4Address(str(value))
    except AddressValueError:
        pass
    try:
        IPv6Address(str(value))
    except AddressValueError:
        raise Fault("ADDRESS-FORMAT", "is not an IPv4 address (write it like 192.0.2.10, without a prefix)") from None
    raise Fault("IPV6-UNSUPPORTED", "is an IPv6 address, and lvskit does not support IPv6 yet. Use an IPv4 address")


def cidr(value: Any) -> IPv4Network:
    """An IPv4 network without host bits, such as 192.0.2.0/24."""
    try:
        return IPv4Network(str(value))
    except ValueError as error:
        reason = str(error)
    try:
        IPv6Network(str(value), strict=False)
    except ValueError:
        if "has host bits set" in reason:
            meant = IPv4Network(str(value), strict=False)
            raise Fault("ADDRESS-FORMAT", f"has host bits set. The network is {meant}") from None
        raise Fault("ADDRESS-FORMAT", "is not an IPv4 network (write it like 192.0.2.0/24)") from None
    raise Fault("IPV6-UNSUPPORTED", "is an IPv6 network, and lvskit does not support IPv6 yet. Use an IPv4 network")
