"""The master of a pair dies or hands over under load, on a lab that runs and has been provisioned.

    python -m tests.takeovers [--short] [--only NAME] INVENTORY…

For each fault: the seconds without an answer to any new connection; and for each mode how many open connections were lost, by their kind. Ends
with 1 if an established connection that was older than SYNCED seconds is lost in a mode that keeps them, or clients wait longer than promised.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.outages.lab_hosts import CLIENT, ROOT, Hosts

LOAD = Path(__file__).parent / "load.py"
BEFORE = 12.0  # seconds of load before the fault
AFTER = 15.0  # and after it
SYNCED = 5.0  # seconds: an older connection is known to the standby
GAP = 3.0  # seconds without an answer that are promised when a master dies
PLANNED = 0.5
NEW = 0.1  # of load.py
UNEVEN = 0.5  # seconds by which an emulated machine may be late
PATIENT = 12.0  # more seconds on machines that others may keep from running
UNIT = "lvskit-vrrp"


@dataclass(frozen=True)
class Fault:
    """What happens to the master, and how it ends. `gap`: seconds without an answer that are promised. `whole`: the same host is to be the
    only master at the end, or the other one.
    """

    name: str
    begin: Callable[[Pair], float]
    end: Callable[[Pair], None]
    gap: float = GAP
    long: bool = False


class Pair(Hosts):
    """The directors of a pair. `master` and `standby` are fixed when a fault begins."""

    master = standby = ""

    @property
    def directors(self) -> list[str]:
        return list(self.topology.groups["directors"])

    def masters(self) -> list[str]:
        """The directors that hold the group's addresses."""
        command = "ip -4 -oneline address show dev lo | grep -q 169.254.76. && echo master; true"
        return [name for name in self.directors if "master" in self.ask(name, command)]

    def settle(self) -> None:
        """Waits until there is one master, and every checked server is in both tables."""
        for _ in range(90):
            with contextlib.suppress(RuntimeError):  # one that boots cannot be asked yet
                found = self.masters()
                if len(found) == 1 and all(self._whole(name) for name in self.directors):
                    self.master = found[0]
                    self.standby = next(name for name in self.directors if name != self.master)
                    return
            time.sleep(1)
        raise RuntimeError(f"the pair is not whole: masters are {self.masters()}")

    def _whole(self, name: str) -> bool:
        planned = "grep -- '^-a' /etc/lvskit/ipvs.rules | grep -cv -- ' -f '"
        there = "ipvsadm --save --numeric | grep -- '^-a' | grep -cv -- ' -f '"
        return self.ask(name, f"test $({planned}) = $({there}) && echo whole; true").strip() == "whole"


def on_master(command: str) -> Callable[[Pair], float]:
    return lambda pair: pair.do(pair.master, command)


def later_on_master(command: str) -> Callable[[Pair], None]:
    def act(pair: Pair) -> None:
        pair.do(pair.master, command)

    return act


def _reboot(pair: Pair) -> None:
    pair.thaw(pair.master)
    options = [f"--inventory={one}" for one in pair.inventories]
    words = [sys.executable, "-m", "lab", "reboot", pair.master, *options]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)


FAULTS = (
    Fault("handed over", on_master(f"systemctl restart {UNIT}"), lambda pair: None, PLANNED),
    Fault("keepalived killed", on_master(f"systemctl kill --signal=KILL {UNIT}"), lambda pair: None, long=True),
    Fault("keepalived frozen", on_master("kill -STOP $(cat /run/lvskit-vrrp/vrrp.pid)"), lambda pair: None, long=True),
    Fault("powered off", lambda pair: pair.freeze(pair.master), _reboot),
    Fault("link cut", on_master("ip link set eth1 down"), later_on_master("ip link set eth1 up; systemctl restart systemd-networkd"), long=True),
)  # fmt: skip


@dataclass
class Row:
    """What became of the connections to one mode. `lost` are the ages of those lost, in seconds, by their kind; `kept` their numbers. `why` are
    the reasons.
    """

    pause: float = 0.0
    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[float]] = field(default_factory=dict)
    why: set[str] = field(default_factory=set)


def measured(pair: Pair, fault: Fault) -> tuple[float, dict[str, Row]]:
    """The seconds without an answer, and one row for each mode and family."""
    pair.settle()
    pair.ask(CLIENT, "cat > /tmp/takeover_load.py", LOAD.read_text())
    ends = {(str(entry.vip), entry.port): service for service in pair.topology.services for entry in service.by_vip}
    words = " ".join(f"{vip} {port}" for vip, port in ends)
    pair.ask(CLIENT, "rm -f /tmp/takeover.stop")
    command = f"exec python3 /tmp/takeover_load.py /tmp/takeover.stop {words}"
    running = subprocess.Popen(pair.words(CLIENT, command), stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(BEFORE)
        began = fault.begin(pair)
        time.sleep(AFTER)
    finally:
        pair.ask(CLIENT, "touch /tmp/takeover.stop")
        said, _ = running.communicate(timeout=120)
    fault.end(pair)
    records = [json.loads(line) for line in said.splitlines()]
    rows: dict[str, Row] = {}
    for end, service in ends.items():
        title = f"{service.mode.title} IPv{6 if ':' in end[0] else 4}"
        own = [one for one in records if (one["end"], one["port"]) == end]
        _add(rows.setdefault(title, Row()), own, began)
    return _gap(records, began), rows


def _gap(records: list[dict[str, Any]], began: float) -> float:
    """The longest time, in seconds, in which no connection was begun that got its answer."""
    new = sorted((one["began"], one["why"]) for one in records if one["kind"] == "new" and one["began"] > began - 2)
    if not new or all(why for _, why in new):
        raise RuntimeError("no new connection was answered")
    last, longest = new[0][0], 0.0
    for at, why in new:
        if not why:
            longest, last = max(longest, at - last - NEW), at
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


def broken(fault: Fault, gap: float, rows: dict[str, Row], patience: float) -> list[str]:
    """What was promised and is not so."""
    found = [f"{fault.name}: {gap:.1f} s without an answer"] if gap > fault.gap + patience else []
    for title, row in rows.items():
        old = [age for ages in row.lost.values() for age in ages if age > SYNCED]
        if old:
            found.append(
                f"{fault.name}, {title}: lost {len(old)} connections of {', '.join(f'{a:.0f}' for a in old)} s"
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="The master of a pair dies under load.")
    parser.add_argument(
        "--short", action="store_true", help="without the faults that take long, and with more patience"
    )
    parser.add_argument("--only", action="append", default=[], help="only this fault")
    parser.add_argument("inventories", nargs="+", metavar="INVENTORY")
    options = parser.parse_args()
    pair = Pair(options.inventories)
    wrong: list[str] = []
    for fault in FAULTS:
        if (options.only and fault.name not in options.only) or (options.short and fault.long):
            continue
        gap, rows = measured(pair, fault)
        print(
            f"\n{fault.name}: no answer for {gap:.1f} s. The longest pause, and how many were lost of conversations, downloads, uploads"
        )
        for title, row in rows.items():
            kinds = ("conversation", "download", "upload")
            lost = {kind: len(row.lost.get(kind, [])) for kind in kinds}
            counts = ", ".join(f"{lost[kind]} of {lost[kind] + row.kept.get(kind, 0)}" for kind in kinds)
            ages = " ".join(f"{age:.1f}" for own in row.lost.values() for age in sorted(own))
            end = f"; ages {ages} s: {', '.join(sorted(row.why))}" if ages else ""
            print(f"  {title:<56}{row.pause:>6.1f} s  {counts}{end}", flush=True)
        wrong += broken(fault, gap, rows, PATIENT if options.short else UNEVEN)
    pair.settle()
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
