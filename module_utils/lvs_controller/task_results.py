"""The results of a task on many hosts, in few lines: a text that several hosts have in common appears once, with their names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

OUTCOMES = ("ok", "changed", "skipped", "ignored", "UNREACHABLE", "FAILED")  # the order in which a line has them
_NAMED = 3  # hosts named in a line
_NAMED_FOR_A_TEXT = 20  # hosts named before a message or a difference
_LIKE_ADDRESSES = re.compile(r"(?<!\w)[0-9a-fA-F:.]*[0-9a-fA-F:](?!\w)")


def names(hosts: Iterable[str], shown: int = _NAMED) -> str:
    """The first hosts by name, the others by their number; rs2 comes before rs10."""
    ordered = sorted(
        hosts, key=lambda host: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", host)]
    )
    more = len(ordered) - shown
    return ", ".join(ordered[:shown]) + (f", +{more:,} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_sentence(text: str) -> str:
    """The first line of a message, up to the end of its first sentence."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]


def _without_address(found: re.Match[str]) -> str:
    word = found.group()
    bare = word if word.endswith("::") else word.rstrip(":")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return word
    return f"<address>{word[len(bare) :]}"


class Texts:
    """Texts of hosts, each once with its hosts. Texts that differ only in the host's own name count as the same."""

    def __init__(self) -> None:
        self._alike: dict[str, dict[str, str]] = {}

    def add(self, host: str, text: str, addresses: bool = True) -> None:
        """`addresses` tells whether texts that differ in an IP address are different ones."""
        key = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-]|\.\w)", "<host>", text)
        if not addresses:
            key = _LIKE_ADDRESSES.sub(_without_address, key)
        self._alike.setdefault(key, {}).setdefault(host, text)

    def __len__(self) -> int:
        return len(self._alike)

    def but(self, known: set[str]) -> Iterator[tuple[list[str], str]]:
        """Iterates without the texts in `known`, and adds each text to it."""
        for hosts, text in self:
            if text not in known:
                known.add(text)
                yield hosts, text

    def __iter__(self) -> Iterator[tuple[list[str], str]]:
        """Hosts and their text; `<host>` and `<address>` replace the parts that differ."""
        for key, texts in self._alike.items():
            yield list(texts), key if len(set(texts.values())) > 1 else next(iter(texts.values()))


@dataclass
class TaskResults:
    """The results of one task. The result of a task for the whole environment (`once`) belongs to no host."""

    name: str
    once: bool = False
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    diffs: Texts = field(default_factory=Texts)
    messages: Texts = field(default_factory=Texts)  # what debug prints
    warnings: Texts = field(default_factory=Texts)
    deprecations: Texts = field(default_factory=Texts)
    troubles: dict[str, Texts] = field(default_factory=dict)  # by outcome

    def add(self, host: str, outcome: str) -> None:
        self.outcomes.setdefault(outcome, []).append(host)

    def trouble(self, host: str, outcome: str, text: str) -> None:
        """A failure, one that is ignored, or an unreachable host, and why."""
        self.add(host, outcome)
        self.troubles.setdefault(outcome, Texts()).add(host, text, addresses=outcome != "UNREACHABLE")

    @property
    def in_trouble(self) -> bool:
        return bool(self.troubles)

    def summary(self, hidden: Iterable[str] = ()) -> str:
        """How many hosts had which outcome, and which ones changed; empty when every outcome is one of `hidden`."""
        seen = [outcome for outcome in OUTCOMES if outcome in self.outcomes and outcome not in hidden]
        if self.once:
            return ", ".join(seen)
        return ", ".join(self._counted(outcome) for outcome in seen)

    def _counted(self, outcome: str) -> str:
        hosts = self.outcomes[outcome]
        return f"{len(hosts):,} {outcome}" + (f" ({names(hosts)})" if outcome == "changed" else "")

    def so_far(self, left: int) -> str:
        """How many hosts are done, of those and the ones that are `left` apart from failures, with a comma behind it."""
        done = sum(map(len, self.outcomes.values()))
        lost = {
            outcome: len(self.outcomes[outcome]) for outcome in ("UNREACHABLE", "FAILED") if outcome in self.outcomes
        }
        if self.once or not done:
            return ""
        parts = [f"{done:,} of {counted(left + sum(lost.values()), 'host')}"]
        return "".join(f"{part}, " for part in [*parts, *(f"{number:,} {outcome}" for outcome, number in lost.items())])

    def named(self, hosts: Sequence[str], text: str) -> str:
        """A warning with its hosts behind it, unless it is the environment's or names its only host itself."""
        if self.once or (len(hosts) == 1 and hosts[0] in text):
            return text
        return f"{text} ({names(hosts)})"

    def heading(self, hosts: Sequence[str]) -> str:
        """The hosts that a text belongs to; empty for the environment's."""
        return "" if self.once else names(hosts, _NAMED_FOR_A_TEXT)
