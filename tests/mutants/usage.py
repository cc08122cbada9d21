"""Which tests run which line: measured once, it tells which tests can kill a mutant."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import coverage

from . import plugin
from .lane import PYTEST, WHOLE, Lane

# The folders whose code is mutated.
CODE = (
    "module_utils",
    "library",
    "action_plugins",
    "filter_plugins",
    "lookup_plugins",
    "callback_plugins",
    "vars_plugins",
)
SLOW = "ansible-playbook"  # tests in files that start it are chosen only for lines that no other test runs
OF_C = "tests/unit/test_modules_in_user_space.py"  # kills no mutant of Python, and needs more address space than a lane has
SETTINGS = """\
[run]
data_file = {own}/coverage
parallel = true
source = {source}
# A process that a test starts counts for that test.
context = ${{PYTEST_CURRENT_TEST-}}
patch = fork, _exit
"""


@dataclass(frozen=True)
class Usage:
    """`runs` has for each file and line the tests that run it; `seconds` what each test takes; `slow` the files of slow tests."""

    runs: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]
    slow: frozenset[str]

    def of(self, file: str, lines: Iterable[int], *, at_import: bool) -> list[str]:
        """The tests that can kill a mutant in these lines, the quickest first; an empty list where no test runs them.

        A value that is computed at import can matter to any test: those that run a function of the file come first.
        """
        here = self.runs.get(file, {})
        near = self._quickest({test for tests in here.values() for test in tests})
        if not at_import:
            return self._quickest({test for line in lines for test in here.get(line, ())})
        others = self._quickest(self.seconds) if file.startswith("module_utils/") else []
        return near + [test for test in others if test not in set(near)]

    def time(self, tests: Iterable[str]) -> float:
        return sum(self.seconds[test] for test in tests)

    def _quickest(self, tests: Iterable[str]) -> list[str]:
        """Without the slow ones, unless there are no others."""
        ordered = sorted(tests, key=lambda test: (self.seconds[test], test))
        return [test for test in ordered if test.split("::")[0] not in self.slow] or ordered


def measure(lane: Lane) -> Usage:
    """Runs all tests in the lane. SystemExit if they fail on the code as it is."""
    config, seconds = lane.own / "coveragerc", lane.own / "seconds.json"
    source = ",".join(str(lane.folder / name) for name in CODE)
    config.write_text(SETTINGS.format(own=lane.own, source=source))
    rc = f"--rcfile={config}"
    command = ["-m", "coverage", "run", rc, *PYTEST, f"--ignore={OF_C}", "tests/unit"]
    done = lane.run(command, WHOLE, **{plugin.SECONDS: str(seconds)})
    if done.code:
        raise SystemExit(f"The tests fail on the code as it is:\n{done.output}")
    joined = lane.run(["-m", "coverage", "combine", rc, "-q"], WHOLE)
    if joined.code:
        raise SystemExit(f"coverage combine failed:\n{joined.output}")
    data = coverage.CoverageData(str(lane.own / "coverage"))
    data.read()
    tests = json.loads(seconds.read_text())
    runs = {}
    for path in data.measured_files():
        file = path.removeprefix(f"{lane.folder}/")
        runs[file] = {line: _tests(names, tests) for line, names in data.contexts_by_lineno(path).items()}
    files = {test.split("::")[0] for test in tests}
    return Usage(runs, tests, frozenset(file for file in files if SLOW in (lane.folder / file).read_text()))


def _tests(contexts: Iterable[str], tests: Iterable[str]) -> set[str]:
    """The tests of coverage contexts: a context is a test's id, a file's name (its fixtures) or empty (at import)."""
    found = set()
    for context in contexts:
        name = context.rsplit(" (", 1)[0] if context.endswith((" (call)", " (setup)", " (teardown)")) else context
        found.update([name] if name in tests else [test for test in tests if name and test.startswith(f"{name}::")])
    return found
