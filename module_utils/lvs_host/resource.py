"""What the kinds of state on a host have in common.

Each kind has a *file of record* in the format of the tool that restores it at boot. The file also tells what lvskit
put there: only that is ever taken away. A resource compares the wanted text, the recorded text and the live state, and
names the commands that lead from one to the other; nothing changes before `add` or `remove`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Optional

# Arguments and standard input to return code, standard output and standard error.
CommandRunner = Callable[[Sequence[str], Optional[str]], tuple[int, str, str]]


class HostError(Exception):
    """Something on the host prevents its plan; the message says what, and the remedy."""


class Resource(ABC):
    """One kind of state. Subclasses set `title` and `path`."""

    title = ""
    path = ""

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        self.wanted = wanted
        self.recorded = recorded
        self.run = run

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
        code, out, err = self.run(argv, stdin)
        if code:
            words = (err or out).strip() or f"exit code {code}"
            raise HostError(f"{self.title}: `{' '.join(argv)}` failed: {words}")
        return str(out)


def statements(text: str) -> list[str]:
    """The lines of a file of record that say something."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
