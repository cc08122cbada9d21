"""Runs molecule scenarios on virtual machines, some of them side by side, and prints how long each took.

    python -m tests.scenarios [--lanes N] dr+nat fullnat+enat changes

Scenarios joined by + are a chain: they run one after the other on the same machines, in the lab .lab/scenarios/<first>. The
first starts the machines; a later one takes them over with what the one before has provisioned. Logs are in .lab/logs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ROOT / ".lab/scenarios"
LOGS = ROOT / ".lab/logs"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SEQUENCE = re.compile(r"scenario test matrix: (.+)")
_EVENT = re.compile(
    r"(INFO|WARNING|ERROR) +(?:\S+ ➜ \S+:|\[\S+ > \S+\]) (Executing|Executed)"
)  # of UTF-8, and of ASCII
_FAULT = re.compile(r"fatal: |FAILED|ERROR|^E  |Executed: Failed")
_ENDED = "An error occurred during the test sequence"  # what molecule prints from here on says nothing more
FOLLOWING = 8  # lines after the first of a fault: the message of an assertion is long
SHOWN = 40  # lines of a scenario's faults


@dataclass
class Outcome:
    """What became of a scenario. `steps` are the names of its sequence, each with its seconds."""

    name: str
    passed: bool = False
    seconds: float = 0.0
    steps: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Clock:
    """Times the steps of one scenario by the lines that molecule prints."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []
        self._left: list[str] = []  # steps of the sequence that have not ended
        self._started = 0.0

    def hear(self, line: str, now: float) -> None:
        """Takes a line without colours, and the time in seconds at which it came."""
        if found := _SEQUENCE.search(line):
            self._left = [Path(step.split()[-1]).stem for step in found[1].split(", ")]
        elif (found := _EVENT.search(line)) and self._left:
            if found[2] == "Executing":
                self._started = now
            else:
                self.steps.append((self._left.pop(0), now - self._started))
                if found[1] == "ERROR":
                    self._left = []  # what molecule does now is no step of the sequence


class Faults:
    """The lines of a scenario's output that say what went wrong."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = 0  # lines that still belong to the last fault
        self._ended = False

    def hear(self, line: str) -> None:
        """Takes a line without colours."""
        self._ended |= _ENDED in line
        if self._ended:
            return
        if _FAULT.search(line):
            self._more = 1 + FOLLOWING
        if self._more:
            self.lines.append(line.rstrip()[:400])
            self._more -= 1


class Runner:
    """Runs chains of scenarios. One object may do so in several threads."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._started = time.monotonic()

    def chain(self, names: Sequence[str]) -> None:
        """Runs the scenarios of a chain, then stops its lab. After a failure the next one starts from new machines."""
        lab = SCENARIOS / names[0]
        kept = False
        try:
            for name in names:
                if not self._stopped:
                    self.outcomes.append(self._scenario(name, lab, kept=kept))
                    kept = self.outcomes[-1].passed
        finally:
            down = [sys.executable, "-m", "lab", "down"]
            subprocess.run(down, cwd=ROOT, env={**os.environ, "LVSKIT_LAB": str(lab)}, check=False)

    def _scenario(self, name: str, lab: Path, *, kept: bool) -> Outcome:
        """Runs one scenario; `kept`: on the machines that the scenario before it has left."""
        environment = {**os.environ, "LVSKIT_LAB_NAME": lab.name, "LVSKIT_LAB_KEPT": "yes" if kept else ""}
        outcome, clock, faults, started = Outcome(name), Clock(), Faults(), time.monotonic()
        with (
            (LOGS / f"{name}.log").open("w", buffering=1) as log,
            subprocess.Popen(
                ["molecule", "test", "--scenario-name", name], cwd=ROOT, env=environment, text=True, bufsize=1,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            ) as molecule,
        ):  # fmt: skip
            self._running.add(molecule)
            for line in molecule.stdout or ():
                elapsed = int(time.monotonic() - self._started)
                print(f"{elapsed // 60:02}:{elapsed % 60:02} {name}: {line}", end="", flush=True)
                plain = _COLOUR.sub("", line)
                log.write(plain)
                clock.hear(plain, time.monotonic())
                faults.hear(plain)
        self._running.discard(molecule)
        outcome.passed = molecule.returncode == 0
        outcome.seconds, outcome.steps = time.monotonic() - started, clock.steps
        outcome.faults = faults.lines[-SHOWN:]
        return outcome

    def stop(self) -> None:
        """Ends what runs, and begins nothing more."""
        self._stopped = True
        for molecule in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(molecule.pid, signal.SIGTERM)


def table(outcomes: Iterable[Outcome]) -> str:
    """Each scenario's minutes, and those of its steps."""
    lines = [f"{'scenario':<12} minutes"]
    for outcome in outcomes:
        steps = ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in outcome.steps if seconds >= 3)
        lines.append(f"{outcome.name:<12} {outcome.seconds / 60:7.1f}  {'' if outcome.passed else 'FAILED: '}{steps}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs molecule scenarios on virtual machines.")
    parser.add_argument("--lanes", type=int, default=2, help="how many chains run side by side")
    parser.add_argument("chains", nargs="+", metavar="SCENARIO[+SCENARIO…]")
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # what stops this one ends what it has started
        signal.signal(number, signal.default_int_handler)
    runner, started = Runner(), time.monotonic()
    with ThreadPoolExecutor(options.lanes) as lanes:
        futures = [lanes.submit(runner.chain, chain.split("+")) for chain in options.chains]
        try:
            wait(futures)
        except KeyboardInterrupt:
            runner.stop()
    for future in futures:
        future.result()
    for outcome in runner.outcomes:
        if not outcome.passed:
            print("\n".join([f"\nFAILED {outcome.name}, .lab/logs/{outcome.name}.log:", *outcome.faults]))
    minutes = (time.monotonic() - started) / 60
    print(f"\n{table(runner.outcomes)}\nall together {minutes:.1f}, in {options.lanes} lanes")
    planned = [name for chain in options.chains for name in chain.split("+")]
    return 0 if [outcome.passed for outcome in runner.outcomes] == [True] * len(planned) else 1


if __name__ == "__main__":
    sys.exit(main())
