"""A pytest plugin: names the running test to coverage, and selects the tests of a list in the order of the list."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest

CHOSEN = "LVSKIT_MUTANTS_CHOSEN"  # a file: the tests' ids as JSON
SECONDS = "LVSKIT_MUTANTS_SECONDS"  # a file to write: what each test takes, as JSON

# The same examples in each run. A failing example is not shrunk: nobody reads it.
hypothesis.settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
_seconds: dict[str, float] = {}


def pytest_configure() -> None:
    hypothesis.settings.load_profile("mutants")
    running = coverage.Coverage.current()
    if running:  # measures the processes that tests start, with the same settings
        os.environ["COVERAGE_PROCESS_START"] = str(running.config.config_file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHOSEN in os.environ:
        place = {test: number for number, test in enumerate(json.loads(Path(os.environ[CHOSEN]).read_text()))}
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Lines that fixtures run count for every test of the file: a module's fixture is set up for the first test only."""
    yield from _in_context(item.nodeid.split("::")[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield from _in_context(item.nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish() -> None:
    if SECONDS in os.environ:
        Path(os.environ[SECONDS]).write_text(json.dumps(_seconds))


def _in_context(name: str) -> Iterator[None]:
    running = coverage.Coverage.current()
    if running:
        running.switch_context(name)
    yield
    if running:
        running.switch_context("")
