"""What the kinds of state on a host have in common.

Each kind has a *file of record* in the format of the tool that restores it at boot. The file also tells what lvskit
put there: only that is ever taken away. A resource compares the wanted text, the recorded text and the live state, and
names the commands that lead from one to the other; nothing changes before `add` or `remove`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import history, programs
from .errors import HostError, damaged
from .programs import CommandRunner

Parsed = TypeVar("Parsed")
REMEDY = f"The text of the last run is in the newest file of {history.FOLDER}. Correct the file by it, and run again"


class Resource(ABC):
    """One kind of state. Subclasses set `title` and `path`, which are those of its row in kinds.py."""

    title = ""
    path = ""

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        self.wanted = wanted
        self.recorded = recorded
        self.run = run
        self.notes: list[str] = []  # what could not be done as planned, as sentences for a person

    @abstractmethod
    def prepare(self) -> None:
        """Reads the live state; raises HostError where the plan cannot be had. Changes nothing."""

    @abstractmethod
    def additions(self) -> list[str]:
        """What has to be added or altered, as commands a person would type."""

    @abstractmethod
    def removals(self) -> list[str]:
        """What lvskit once added and the plan no longer has."""

    @abstractmethod
    def before(self) -> list[str]:
        """The part of the live state that concerns the plan, as lines of the file of record."""

    def after(self) -> list[str]:
        """The same part once the plan is carried out."""
        return statements(self.wanted)

    def stale(self) -> list[str]:
        """The recorded statements that the plan no longer has and the host still carries."""
        return []

    def record(self, *, keep_stale: bool) -> str:
        """What the file of record is to hold; nothing where there is nothing to restore.

        What is stale and stays on the host stays in the file: it is restored at boot, and known as lvskit's.
        """
        stale = self.stale() if keep_stale else []
        if not statements(self.wanted) and not stale:
            return ""
        kept = "".join(f"{line}\n" for line in ["# No longer planned, still in use.", *stale]) if stale else ""
        return self.wanted + kept

    def quieting(self) -> list[str]:
        """What keeps new connections from that which `removals` takes away."""
        return []

    def settle(self) -> None:  # noqa: B027
        """Waits for the end of the connections that still need what `removals` takes away."""

    def closing(self) -> list[str]:
        """What is to be done once the files of record are written."""
        return []

    def add(self) -> None:
        self.batch(self.additions())

    def remove(self) -> None:
        self.batch(self.removals())

    def quiet(self) -> None:
        self.batch(self.quieting())

    def close(self) -> None:
        self.batch(self.closing())

    @abstractmethod
    def batch(self, commands: Sequence[str]) -> None:
        """Runs what `additions` or `removals` named; raises HostError when the kernel refuses one."""

    def output(self, argv: Sequence[str], stdin: str | None = None) -> str:
        """The standard output of a command; HostError with its words when it fails."""
        try:
            return programs.output(self.run, argv, stdin)
        except HostError as error:
            raise HostError(f"{self.title}: {error}") from error

    def of_record(self, parse: Callable[[str], Parsed]) -> Parsed:
        """What `parse` reads in the file of record. Raises HostError, with the file's name, where it is damaged."""
        try:
            return parse(self.recorded)
        except HostError as error:
            raise damaged(self.path, error, REMEDY) from error


def statements(text: str) -> list[str]:
    """The lines of a file of record that say something."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
