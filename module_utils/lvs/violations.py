"""Violations: faults of an inventory, with messages that say how to fix them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Violation:
    """One fault: the rule's id, the message, the offending value of the inventory, and the service or host it concerns.

    `at` is the value itself, not a copy: on the controller ansible-core's values know the file, line and column that
    they come from. A warning does not stop a run.
    """

    rule: str
    message: str
    at: Any = None
    warning: bool = False
    service: str = ""
    host: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"

    def as_dict(self, **place: Any) -> dict[str, Any]:
        """The fault as data, for programs: `rule`, `message`, `warning`, and `service` and `host` where it concerns one.

        `place` is added to it: on the controller the file, line and column of `at`.
        """
        subject = {"service": self.service, "host": self.host}
        named = {kind: name for kind, name in subject.items() if name}
        return {"rule": self.rule, "message": self.message, "warning": self.warning, **named, **place}


SHOWN = 3  # names in a message that may be about hundreds


def listed(names: Sequence[str], word: str = "or") -> str:
    """'a', 'a or b', 'a, b or c'."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def some(names: Sequence[str]) -> str:
    """'a, b, c and 4 more': the first ones of many."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return listed([*names[:SHOWN], *more], "and")
