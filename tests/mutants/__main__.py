"""`make test-mutants`: the share of mutants that the unit tests kill, and the mutants that survive."""

from __future__ import annotations

import argparse
import ast
import queue
import random
import resource
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from .lane import Lane, Outcome
from .operators import Site, sites
from .report import Result, report
from .usage import CODE, Usage, measure

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".lab/mutants"
TYPED = ("module_utils/lvs/", "module_utils/lvs_host/")
LANES = 2
PATIENCE = 60, 5  # time limit of a mutant: seconds for the start, and a multiple of the tests' usual time


@dataclass(frozen=True)
class Mutant:
    file: str
    site: Site
    source: str


def mutants(places: list[str]) -> list[Mutant]:
    """Every mutant of the files and folders, in the order of names and lines. SystemExit where a place does not exist."""
    found = []
    for place in places:
        path = PROJECT / place
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not all(file.is_file() for file in files):
            sys.exit(f"{place} is no file or folder of the project. Give paths relative to the project.")
        for file in files:
            source = file.read_text()
            name = str(file.relative_to(PROJECT))
            found += [Mutant(name, site, source) for site in sites(ast.parse(source))]
    return found


def sample(every: Sequence[Mutant], number: int, seed: int) -> Sequence[Mutant]:
    """A simple random sample: the same for the same seed and code."""
    return every if number >= len(every) else random.Random(seed).sample(every, number)


class Run:
    """The lanes, and which tests run which line."""

    def __init__(self) -> None:
        shutil.rmtree(FOLDER, ignore_errors=True)
        first, *others = self.lanes = [Lane(PROJECT, FOLDER / f"lane{number}") for number in range(LANES)]
        with ThreadPoolExecutor() as pool:
            measured = pool.submit(measure, first)
            checked = [done for done in pool.map(Lane.types, others) if done.code]
            self.usage: Usage = measured.result()
        checked += [done for done in [first.types()] if done.code]
        if checked:
            sys.exit(f"The type checker refuses the code as it is:\n{checked[0].output}")
        self.writing = threading.Lock()
        self.free: queue.Queue[Lane] = queue.Queue()
        for lane in self.lanes:
            self.free.put(lane)

    def judge(self, mutant: Mutant) -> Result:
        """Writes the mutant into a free lane and runs the tests that can kill it."""
        site = mutant.site
        tests = self.usage.of(mutant.file, site.lines, at_import=site.at_import)
        with self.writing:  # the mutants of a file share its tree
            (before, after), text = site.told(), site.applied(mutant.source)
        result = Result(mutant.file, site.line, site.function, before, after, len(tests))
        lane = self.free.get()
        try:
            lane.put(mutant.file, text)
            killed_by = fate(lane.tests(tests, PATIENCE[0] + PATIENCE[1] * self.usage.time(tests))) if tests else ""
            if not killed_by and mutant.file.startswith(TYPED) and lane.types().code:
                killed_by = "type checker"
        finally:
            lane.put(mutant.file, mutant.source)
            self.free.put(lane)
        return result.with_fate(killed_by)


def fate(done: Outcome) -> str:
    """What killed the mutant; empty if it survived. SystemExit if pytest could not run the chosen tests."""
    if done.code is None:
        return "time"
    if done.code in (3, 5) or (done.code == 4 and "Error while loading conftest" not in done.output):
        sys.exit(f"pytest ended with {done.code}:\n{done.output}")
    return {0: "", 1: "a test", 2: "import", 4: "import"}.get(done.code, "crash")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make test-mutants", description=__doc__)
    parser.add_argument(
        "files", nargs="*", help="all mutants of these files and folders, instead of a sample of all code"
    )
    parser.add_argument("--sample", type=int, help="how many (400 of all code; all of named files)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    every = mutants(given.files or list(CODE))
    number = given.sample or (len(every) if given.files else 400)
    chosen = sample(every, number, given.seed)
    print(
        f"{len(chosen)} of {len(every)} mutants, seed {given.seed}. Measuring which tests run which line.", flush=True
    )
    run = Run()
    results = []
    with ThreadPoolExecutor(LANES) as pool:
        for result in pool.map(run.judge, chosen):
            results.append(result)
            if not result.fate or len(results) % 20 == 0:
                minutes = (time.monotonic() - started) / 60
                print(
                    f"{len(results):4} after {minutes:.0f} min{'' if result.fate else f': survives: {result}'}",
                    flush=True,
                )
        for lane in run.lanes:
            lane.close()
    equivalent = yaml.safe_load((Path(__file__).parent / "equivalent.yml").read_text())
    shutil.rmtree(FOLDER)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("\n".join(report(results, equivalent, (time.monotonic() - started) / 60)))
    print(f"Processor time: {sum(one.ru_utime + one.ru_stime for one in used) / 60:.0f} min")


if __name__ == "__main__":
    main()
