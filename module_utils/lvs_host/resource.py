"""The base class of the kinds of state on a host.

Each kind has a *file of record* in the format of the tool that restores it at boot. The file also records what lvskit
has added: lvskit removes nothing else. A resource compares the wanted content, the recorded content and the live state, and
returns the commands for the differences; nothing changes before `add` or `remove`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import history, programs
from .errors import HostError, damaged
from .programs import CommandRunner

Parsed = TypeVar("Parsed")
REMEDY = (
    f"The content of the last run is in the newest file of {history.FOLDER}. Restore the file from it, and run again"
)


class Resource(ABC):
    """One kind of state. Subclasses set `title` and `path`, which are those of its row in kinds.py."""

    title = ""
    path = ""

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        self.wanted = wanted
        self.recorded = recorded
        self.run = run
        self.notes: list[str] = []  # steps that could not be done as planned, as sentences for a person

    @abstractmethod
    def prepare(self) -> None:
        """Reads the live state; raises HostError if the plan is not possible. Changes nothing."""

    @abstractmethod
    def additions(self) -> list[str]:
        """Additions and changes, as commands that a person would type."""

    @abstractmethod
    def removals(self) -> list[str]:
        """Removals of state that lvskit added and the plan no longer contains."""

    @abstractmethod
    def before(self) -> list[str]:
        """The part of the live state that concerns the plan, as lines of the file of record."""

    def after(self) -> list[str]:
        """The same part after the plan is applied."""
        return statements(self.wanted)

    def stale(self) -> list[str]:
        """The recorded statements that the plan no longer contains and the host still has."""
        return []

    def record(self, *, keep_stale: bool) -> str:
        """The wanted content of the file of record; empty if there is nothing to restore.

        Stale state that stays on the host stays in the file, so that it is restored at boot and recorded as lvskit's.
        """
        stale = self.stale() if keep_stale else []
        if not statements(self.wanted) and not stale:
            return ""
        kept = "".join(f"{line}\n" for line in ["# No longer planned, still in use.", *stale]) if stale else ""
        return self.wanted + kept

    def try_out(self) -> None:  # noqa: B027
        """Has the new file of record, which lies beside the old one, read by the program that it is for. Raises HostError."""

    def quieting(self) -> list[str]:
        """Commands that stop new connections to state that `removals` removes."""
        return []

    def settle(self) -> None:  # noqa: B027
        """Waits for the end of the connections that use state that `removals` removes."""

    def closing(self) -> list[str]:
        """Commands to run after the files of record are written."""
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
        """Runs what `additions` or `removals` named; raises HostError if the kernel refuses one."""

    def output(self, argv: Sequence[str], stdin: str | None = None) -> str:
        """The standard output of a command; HostError with its words when it fails."""
        try:
            return programs.output(self.run, argv, stdin)
        except HostError as error:
            raise HostError(f"{self.title}: {error}") from error

    def of_record(self, parse: Callable[[str], Parsed]) -> Parsed:
        """The file of record, parsed by `parse`. Raises HostError, with the file's name, if it is damaged."""
        try:
            return parse(self.recorded)
        except HostError as error:
            raise damaged(self.path, error, REMEDY) from error


class Stateless(Resource):
    """A resource without live state of its own. Subclasses say what there is to do after all."""

    def prepare(self) -> None:
        """There is nothing to read."""

    def additions(self) -> list[str]:
        return []

    def removals(self) -> list[str]:
        return []

    def before(self) -> list[str]:
        return []

    def after(self) -> list[str]:
        return []

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            self.output(command.split())


def statements(text: str) -> list[str]:
    """The lines of a file of record without comments and empty lines."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
