"""Shows the progress of a long task: a counter in the last line of a terminal, otherwise a line after ten seconds and then less often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SECONDS = 10.0  # until the first line; each one after it takes twice as long
_LONGEST = 60.0
_DELAY = 1.0  # a task that is over sooner has no counter
_REDRAWN = 0.2
_ERASE = "\r\x1b[K"


class Progress:
    """`write` prints a string, with or without a newline; `text` returns the progress of a task after a number of seconds."""

    def __init__(self, write: Callable[[str, bool], None], terminal: bool, seconds: float = SECONDS) -> None:
        self._write, self._terminal, self._seconds = write, terminal, seconds
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._text: Callable[[int], str] | None = None
        self._drawn = False
        self._began = self._next = self._interval = self._counter_from = 0.0

    def run(self) -> None:
        """Starts the timer, in a thread that ends with `stop` or with the process."""
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
            self._began, self._interval = time.monotonic(), self._seconds
            self._next, self._counter_from = self._began + self._interval, self._began + _DELAY

    def end(self) -> None:
        """Removes the counter: the task is over, or other output follows."""
        with self._lock:
            self._text = None
            if self._drawn:
                self._write(_ERASE, False)
                self._drawn = False

    def advance(self) -> None:
        """A host has given its result."""
        with self._lock:
            if self._terminal and self._text and time.monotonic() >= self._counter_from:
                self._draw(self._text)

    def look(self) -> None:
        """Writes the progress of the task, if it is due."""
        with self._lock:
            if self._text and time.monotonic() >= self._next:
                self._draw(self._text)

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._seconds)):
            self.look()

    def _draw(self, text: Callable[[int], str]) -> None:
        now = time.monotonic()
        self._next, self._counter_from = now + self._interval, now + _REDRAWN
        written = text(round(now - self._began))
        if self._terminal:
            self._drawn = True
            self._write(_ERASE + written, False)
        else:
            self._interval = min(2 * self._interval, _LONGEST)
            self._next = now + self._interval
            self._write(written, True)
