"""The report of a mutation run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Result:
    """One mutant. `fate` is what killed it, empty if it survived; `tests` is the number of tests that run its line."""

    file: str
    line: int
    function: str
    before: str
    after: str
    tests: int
    fate: str = ""

    def with_fate(self, fate: str) -> Result:
        return replace(self, fate=fate)

    @property
    def key(self) -> tuple[str, ...]:
        """How the list of equivalent mutants names it."""
        return self.file, self.function, self.before, self.after

    def __str__(self) -> str:
        seen = f"{self.tests} tests run it" if self.tests else "no test runs it"
        return f"{self.file}:{self.line} {self.function} ({seen})\n      {self.before}\n   -> {self.after}"


def interval(hits: int, number: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, 1927); `z` 1.96 stands for 95 %."""
    if not number:
        return 0.0, 1.0
    share, square = hits / number, z * z / number
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / number + square / (4 * number))
    return middle - half, middle + half


def report(results: Sequence[Result], equivalent: Sequence[Mapping[str, str]], minutes: float) -> Iterator[str]:
    """Lines: survivors by file, equivalent mutants with their reasons, the score by folder and in total."""
    reasons = {
        tuple(entry[key] for key in ("file", "function", "before", "after")): entry["why"] for entry in equivalent
    }
    alive = [result for result in results if not result.fate]
    survivors = sorted((r for r in alive if r.key not in reasons), key=lambda r: (r.file, r.line))
    yield ""
    yield f"Survivors: {len(survivors)}"
    yield from (f"  {result}" for result in survivors)
    same = [result for result in alive if result.key in reasons]
    yield f"Equivalent, not counted in the score: {len(same)}"
    yield from (f"  {result}\n      {reasons[result.key]}" for result in same)
    unclear = [result for result in results if result.fate in ("time", "crash")]
    yield f"Killed by the time limit or a crash, which a busy machine can cause too: {len(unclear)}"
    yield from (f"  {result}" for result in unclear)
    counted = [result for result in results if result.fate or result.key not in reasons]
    yield "Score by folder:"
    for folder in sorted({result.file.rpartition("/")[0] for result in counted}):
        here = [result for result in counted if result.file.rpartition("/")[0] == folder]
        yield f"  {folder}: {_share(here)}"
    fates = Counter(result.fate for result in counted if result.fate)
    killers = ", ".join(f"{number} by {fate}" for fate, number in fates.most_common())
    yield f"All: {_share(counted)}, killed {killers}, in {minutes:.0f} min"


def _share(results: Sequence[Result]) -> str:
    killed = sum(bool(result.fate) for result in results)
    low, high = interval(killed, len(results))
    return f"{killed} of {len(results)} killed, {killed / len(results):.1%} (95 % interval {low:.1%} to {high:.1%})"
