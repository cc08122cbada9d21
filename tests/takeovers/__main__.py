"""The master of a pair dies or hands over under load, on a lab that runs and has been provisioned.

    python -m tests.takeovers [--short] [--peer] [--only NAME] INVENTORY…

For each fault: the seconds without an answer to any new connection; and for each mode how many open connections were lost, by their kind. --peer does
the same with keepalived alone, in the modes that it has. Ends with 1 if with lvskit an established connection that was older than SYNCED seconds is
lost, or clients wait longer than promised.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.outages.lab_hosts import CLIENT

from .engines import KeepalivedAlone, Pair
from .faults import FAULTS, Fault

LOAD = Path(__file__).parent / "load.py"
BEFORE = 12.0  # seconds of load before the fault
AFTER = 15.0  # and after it
KINDS = ("conversation", "download", "upload", "datagrams")
SYNCED = 5.0  # seconds: an older connection is known to the standby


@dataclass(frozen=True)
class Pace:
    """Of load.py: seconds between two new connections, and for the answer to one; and `uneven`, by which a takeover may be late."""

    new: float
    patience: float
    uneven: float


EXACT = Pace(0.1, 0.9, 0.5)  # the second SYN would come after one second
PATIENT = Pace(0.3, 5.0, 12.0)  # on emulated machines that others may keep from running


@dataclass
class Row:
    """What became of the connections to one mode. `lost` are the ages of those lost, in seconds, by their kind; `kept` their numbers. `why` are
    the reasons.
    """

    pause: float = 0.0
    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[float]] = field(default_factory=dict)
    why: set[str] = field(default_factory=set)

    @property
    def ages(self) -> list[float]:
        return sorted(age for ages in self.lost.values() for age in ages)

    def __str__(self) -> str:
        counts = {kind: (len(self.lost.get(kind, [])), self.kept.get(kind, 0)) for kind in KINDS}
        said = ", ".join(f"{kind} {lost} of {lost + kept}" for kind, (lost, kept) in counts.items() if lost + kept)
        ages = " ".join(f"{age:.1f}" for age in self.ages)
        return f"{self.pause:>6.1f} s  {said}" + (f"; ages {ages} s: {', '.join(sorted(self.why))}" if ages else "")


@dataclass(frozen=True)
class Measured:
    """`gap`: seconds without an answer. `healed`: seconds until the fault had ended, None where it does not end by itself."""

    fault: Fault
    gap: float
    healed: float | None
    rows: dict[str, Row]

    @property
    def lost(self) -> int:
        return sum(len(row.ages) for row in self.rows.values())

    @property
    def all(self) -> int:
        return self.lost + sum(sum(row.kept.values()) for row in self.rows.values())

    def broken(self, patience: float) -> Iterator[str]:
        """What was promised and is not so."""
        name = self.fault.name
        if self.gap > self.fault.gap + patience:
            yield f"{name}: {self.gap:.1f} s without an answer"
        if self.healed is not None and self.healed > self.fault.healed + patience:
            yield f"{name}: {self.healed:.1f} s until it had ended"
        for title, row in self.rows.items():
            old = [age for age in row.ages if age > SYNCED]
            if old:
                yield f"{name}, {title}: lost {len(old)} connections of {', '.join(f'{age:.0f}' for age in old)} s"


def measured(pair: Pair, fault: Fault, pace: Pace) -> Measured:
    """A fault under load."""
    pair.settle()
    pair.ask(CLIENT, "cat > /tmp/takeover_load.py", LOAD.read_text())
    ends = {(vip, port): title for vip, port, title in pair.services}
    words = " ".join(f"{vip} {port}" for vip, port in ends)
    pair.ask(CLIENT, "rm -f /tmp/takeover.stop")
    command = f"exec python3 /tmp/takeover_load.py /tmp/takeover.stop {pace.new} {pace.patience} {words}"
    running = subprocess.Popen(pair.words(CLIENT, command), stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(BEFORE)
        began = fault.begin(pair)
        healed = fault.heal(pair) if fault.heal else None
        time.sleep(AFTER)
    finally:
        pair.ask(CLIENT, "touch /tmp/takeover.stop")
        said, _ = running.communicate(timeout=120)
    fault.end(pair)
    records = [json.loads(line) for line in said.splitlines()]
    rows: dict[str, Row] = {}
    for end, title in ends.items():
        own = [one for one in records if (one["end"], one["port"]) == end]
        _add(rows.setdefault(title, Row()), own, began)
    return Measured(fault, _gap(records, began, pace.new), healed, rows)


def _gap(records: list[dict[str, Any]], began: float, usual: float) -> float:
    """The longest time, in seconds, in which no connection was begun that got its answer. One begins every `usual` seconds."""
    new = sorted((one["began"], one["why"]) for one in records if one["kind"] == "new" and one["began"] > began - 2)
    if not new or all(why for _, why in new):
        raise RuntimeError("no new connection was answered")
    last, longest = new[0][0], 0.0
    for at, why in new:
        if not why:
            longest, last = max(longest, at - last - usual), at
    return max(longest, new[-1][0] - last)


def _add(row: Row, records: list[dict[str, Any]], began: float) -> None:
    for one in records:
        if one["kind"] == "new" or one["began"] > began:
            continue
        if one["ended"] < began:
            raise RuntimeError(f"a connection had ended before the fault: {one}")
        if one["why"]:
            row.lost.setdefault(one["kind"], []).append(began - one["began"])
            row.why.add(one["why"])
        else:
            row.kept[one["kind"]] = row.kept.get(one["kind"], 0) + 1
            row.pause = max(row.pause, one["pause"])


def main() -> int:
    parser = argparse.ArgumentParser(description="The master of a pair dies under load.")
    parser.add_argument(
        "--short", action="store_true", help="without the faults that take long, and with more patience"
    )
    parser.add_argument("--peer", action="store_true", help="keepalived alone, too")
    parser.add_argument("--only", action="append", default=[], help="only this fault")
    parser.add_argument("inventories", nargs="+", metavar="INVENTORY")
    options = parser.parse_args()
    faults = [
        fault
        for fault in FAULTS
        if (fault.name in options.only if options.only else not (options.short and fault.long))
    ]
    wrong: list[str] = []
    summary: list[str] = []
    for engine in (Pair, *([KeepalivedAlone] if options.peer else [])):
        pair = engine(options.inventories)
        pair.begin()
        try:
            for fault in (one for one in faults if one.alone or engine is Pair):
                pace = PATIENT if options.short or fault.lasting else EXACT
                found = measured(pair, fault, pace)
                healed = f", over after {found.healed:.1f} s" if found.healed is not None else ""
                line = f"{pair.name}, {fault.name}: no answer for {found.gap:.1f} s{healed}; lost {found.lost} of {found.all}"
                summary.append(line)
                print(f"\n{line}. The longest pause, and how many were lost")
                for title, row in found.rows.items():
                    print(f"  {title:<56}{row}", flush=True)
                wrong += found.broken(pace.uneven) if engine is Pair else []
            pair.settle()
        finally:
            pair.end()
    print("", *summary, sep="\n")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
