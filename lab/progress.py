"""One line a step on standard error, each with the seconds since the start."""

from __future__ import annotations

import sys
import threading
import time


class Progress:
    """Safe to call from several threads."""

    def __init__(self, quiet: bool = False) -> None:
        self._start = time.monotonic()
        self._quiet = quiet
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        if self._quiet:
            return
        with self._lock:
            print(f"{self.seconds():6.1f}s  {text}", file=sys.stderr, flush=True)

    def seconds(self) -> float:
        return time.monotonic() - self._start
