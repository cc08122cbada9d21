"""What is wrong with an inventory, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Violation:
    """One fault: the rule's id, the message, and the offending value of the inventory.

    `at` is the value itself, not a copy: on the controller ansible-core's values know the file, line and column that
    they come from. A warning does not stop a run.
    """

    rule: str
    message: str
    at: Any = None
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """The violation as a mapping, without its place: that is the controller's to know."""
        return {"rule": self.rule, "message": self.message, "warning": self.warning}


def listed(names: Sequence[str], word: str = "or") -> str:
    """'a', 'a or b', 'a, b or c'."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
