"""Shows that a long task goes on: a counter in the last line of a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SECONDS = 10.0  # between two lines
_DELAY = 1.0  # a task that is over sooner has no counter
_REDRAWN = 0.2
_ERASE = "\r\x1b[K"


class Progress:
    """`write` puts a text on the screen, with a newline or without; `text` tells how far a task is after so many seconds."""

    def __init__(self, write: Callable[[str, bool], None], terminal: bool, seconds: float = SECONDS) -> None:
        self._write, self._terminal, self._seconds = write, terminal, seconds
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._text: Callable[[int], str] | None = None
        self._drawn = False
        self._began = self._next = self._counter_from = 0.0

    def run(self) -> None:
        """Begins to look at the clock, in a thread that ends with `stop` or with the process."""
        self._over.clear()
        threading.Thread(target=self._watch, name="lvskit-progress", daemon=True).start()

    def stop(self) -> None:
        self.end()
        self._over.set()

    def begin(self, text: Callable[[int], str], silent: bool = False) -> None:
        """A task begins; a `silent` one shows nothing, as a prompt needs the screen."""
        with self._lock:
            self.end()
            self._text = None if silent else text
            self._began = time.monotonic()
            self._next, self._counter_from = self._began + self._seconds, self._began + _DELAY

    def end(self) -> None:
        """The task is over, or something else is to be printed: the counter leaves the screen."""
        with self._lock:
            self._text = None
            if self._drawn:
                self._write(_ERASE, False)
                self._drawn = False

    def advance(self) -> None:
        """A host has given its result."""
        with self._lock:
            if self._terminal and self._text and time.monotonic() >= self._counter_from:
                self._draw()

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._seconds)):
            with self._lock:
                if self._text and time.monotonic() >= self._next:
                    self._draw()

    def _draw(self) -> None:
        if self._text is None:
            return
        now = time.monotonic()
        self._next, self._counter_from = now + self._seconds, now + _REDRAWN
        text = self._text(round(now - self._began))
        if self._terminal:
            self._drawn = True
            self._write(_ERASE + text, False)
        else:
            self._write(text, True)
