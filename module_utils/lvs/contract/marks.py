"""Kinds of values: ranges of firewall marks, and the numbers that things get in them."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from .values import TEMPLATE, Fault, Kind

MARKS_AT_LEAST = 4096


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
