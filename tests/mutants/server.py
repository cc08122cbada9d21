"""Runs the tests of one mutant after another inside a lane, each in a process that begins with all imports done that no mutant changes.

It reads requests from its input and writes answers to its output, one JSON object a line. As the first process of its namespace it
can end whatever a test has left running.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

# What tests import, of others: it takes most of the time of a short test.
IMPORTED = (
    "ansible.module_utils.basic",
    "ansible.module_utils.testing",
    "ansible.plugins.action",
    "ansible.template",
    "hypothesis",
    "jinja2",
    "scapy.all",
    "yaml",
)
POLL = 0.01  # seconds


def main(log: Path) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        code = run(asked["arguments"], asked["seconds"], asked["variables"], log)
        print(json.dumps({"code": code, "output": log.read_text(errors="replace")}), flush=True)


def run(arguments: Sequence[str], seconds: float, variables: dict[str, str], log: Path) -> int | None:
    """The exit code of pytest, negative if a signal ended it, None where its time was over. Nothing that it started goes on."""
    ends = time.monotonic() + seconds
    child = os.fork()
    if not child:
        _test(arguments, variables, log)
    code = None
    while code is None and time.monotonic() < ends:
        ended, status = os.waitpid(-1, os.WNOHANG)  # also the orphans that a test leaves
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
        elif not ended:
            time.sleep(POLL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return code


def _test(arguments: Sequence[str], variables: dict[str, str], log: Path) -> None:
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for opened, place in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(opened, place)
        os.environ.update(variables)
        code = int(pytest.main(list(arguments)))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
