"""Kinds of values: ports of services, ranges of them, and what they become on real servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .values import Fault, Kind, Number, strange


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
                "VALUE-TYPE", f"is neither a port nor a range of ports (write it like 8000-8100){strange(value)}"
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


PORT = Number("PORT-RANGE", 1, 65535)
