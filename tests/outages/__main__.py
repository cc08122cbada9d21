"""Faults under a steady load, on a lab that runs and has been provisioned.

    python -m tests.outages [--short] [--peer] [--only NAME] INVENTORY…

For each fault: the requests that were lost, and the seconds from the fault until none was lost any more; with --peer beside those with
keepalived alone. Ends with 1 if lvskit's do not keep what is promised: nothing is lost after the detection time and one second, and
nothing at all where only the engine dies. With --short there is more patience, because other scenarios may keep the machines from running:
a fault during which one of them stood still, as its kernel's answers tell, is tried again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from .engines import Governed, KeepalivedAlone
from .faults import FAULTS, Fault
from .lab_hosts import DISCARD, Hosts, Load

PERIOD = 0.5  # seconds between two requests to one end
TIMEOUT = 5.0  # seconds for an answer
AFTER = 1.0  # seconds after the detection time until nothing is lost
PATIENT = 20.0  # the same on machines that others may keep from running
WATCHED = 15.0  # seconds beyond the detection time
STILL = 2.0  # seconds without an answer of a kernel, from which on its machine stood still
TRIES = 3  # for a fault that was disturbed by that


@dataclass
class Result:
    """What one fault has cost. `until`: seconds from the fault to the start of the last lost request; None if none was lost."""

    fault: Fault
    detection: float
    asked: int = 0
    lost: int = 0
    until: float | None = None
    lost_after: int = 0  # the end of the fault
    reasons: Counter[str] = field(default_factory=Counter)
    astray: Counter[str] = field(default_factory=Counter)  # lost at other services, and why
    still: float = 0.0  # the longest time that a kernel has taken to answer

    def broken(self, after: float) -> list[str]:
        """What was promised and is not so. `after`: seconds beyond the detection time until which requests may be lost."""
        found = []
        name = self.fault.name
        if self.astray:
            found.append(f"{name}: {self.astray.total()} requests to other services were lost; {dict(self.astray)}")
        if self.fault.harmless and self.lost:
            found.append(f"{name}: {self.lost} requests were lost")
        elif not self.fault.fatal and self.until is not None and self.until > self.detection + after:
            found.append(
                f"{name}: requests were lost for {self.until:.1f} s, and the detection time is {self.detection:.0f} s"
            )
        if self.lost_after and not self.fault.fatal:
            found.append(f"{name}: {self.lost_after} requests were lost after its end")
        return found

    def cells(self) -> tuple[str, str]:
        return f"{self.lost} of {self.asked}", "-" if self.until is None else f"{self.until:.1f} s"


def measured(hosts: Hosts, engine: Governed, load: Load, fault: Fault) -> Result:
    checked = {one.service: one.detection for one in hosts.plan.checks}
    concerned = fault.services or tuple(checked)
    detection = max(checked[name] for name in concerned)
    engine.wait()
    time.sleep(1)
    began = fault.begin(hosts)
    time.sleep(detection + WATCHED + fault.lasts)
    ended = fault.end(hosts)
    engine.wait()
    time.sleep(TIMEOUT + 1)
    load.update()
    ends = {(vip, port) for name, vip, port in hosts.ends if name in concerned}
    others = {(vip, port) for name, vip, port in hosts.ends if name in fault.others}
    result = Result(fault, detection)
    for one in load.between(began, ended):
        end = one["end"], one["port"]
        if one["port"] == DISCARD:
            result.still = max(result.still, one["took"])
            continue
        if end not in ends:
            if one["why"] and end not in others:
                result.astray[f"{one['end']}:{one['port']} {one['why']}"] += 1
            continue
        result.asked += 1
        if one["why"]:
            result.lost += 1
            result.until = max(result.until or 0.0, one["at"] - began)
            result.reasons[one["why"]] += 1
    later = load.between(ended + AFTER, float("inf"))
    result.lost_after = sum(bool(one["why"]) for one in later if (one["end"], one["port"]) in ends)
    return result


def run(hosts: Hosts, engine: Governed, faults: list[Fault], after: float, tries: int) -> dict[str, Result]:
    found: dict[str, Result] = {}
    engine.begin()
    try:
        engine.wait()
        for fault in faults:
            for left in reversed(range(tries)):
                with hosts.load(PERIOD, TIMEOUT) as load:
                    time.sleep(2)
                    result = found[fault.name] = measured(hosts, engine, load, fault)
                lost, until = result.cells()
                print(
                    f"{engine.name}: {fault.name}: {lost} lost, until {until}, after its end {result.lost_after}; "
                    f"{dict(result.reasons)}; a machine stood still for {result.still:.1f} s",
                    flush=True,
                )
                if result.still < STILL or not left or not result.broken(after):
                    break
    finally:
        engine.end()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults under a steady load.")
    parser.add_argument("--short", action="store_true", help="without the faults that take long")
    parser.add_argument("--peer", action="store_true", help="also with keepalived alone")
    parser.add_argument("--only", action="append", default=[], help="only this fault")
    parser.add_argument("inventories", nargs="+", metavar="INVENTORY")
    options = parser.parse_args()
    hosts = Hosts(options.inventories)
    faults = [
        one for one in FAULTS if (not options.only or one.name in options.only) and not (options.short and one.long)
    ]
    after, tries = (PATIENT, TRIES) if options.short else (AFTER, 1)
    results = run(hosts, Governed(hosts), faults, after, tries)
    compared = [one for one in faults if one.peer] if options.peer else []
    alone = run(hosts, KeepalivedAlone(hosts), compared, after, tries) if compared else {}
    print()
    print(
        f"{'fault':<36}{'lvskit: lost':>16}{'until':>9}{'keepalived: lost' if alone else '':>20}{'until' if alone else '':>9}"
    )
    for name, result in results.items():
        peer = alone[name].cells() if name in alone else ("", "")
        print(f"{name:<36}{result.cells()[0]:>16}{result.cells()[1]:>9}{peer[0]:>20}{peer[1]:>9}")
    broken = [line for result in results.values() for line in result.broken(after)]
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
