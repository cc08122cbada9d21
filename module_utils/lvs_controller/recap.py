"""The results of a run: totals, and a table with one row for all hosts with the same changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ansible.module_utils.lvs_controller.task_results import Texts, first_sentence, names

ROWS = 30
_COMMANDS = 3
ENVIRONMENT = "environment"  # in place of a host: the whole environment


@dataclass
class HostRecord:
    """The results of a run on a host (or on the environment)."""

    changes: list[tuple[str, list[str]]] = field(default_factory=list)  # the task, and the commands that it names
    failure: str = ""
    unreachable: str = ""

    @property
    def what(self) -> str:
        parts = ["changed"] if self.changes else []
        if self.unreachable or self.failure:
            parts.append("UNREACHABLE" if self.unreachable else "FAILED")
        return ", ".join(parts)

    @property
    def detail(self) -> str:
        """Why it failed, else its first commands; the task's name if it has no commands."""
        if self.unreachable or self.failure:
            reason: str = first_sentence(self.unreachable or self.failure)
            return reason
        done = [one for task, commands in self.changes for one in commands or [task]]
        more = len(done) - _COMMANDS
        return "; ".join(done[:_COMMANDS]) + (f"; +{more} more" if more > 0 else "")


class Recap:
    """Collects the results of hosts, task by task."""

    def __init__(self) -> None:
        self._hosts: dict[str, HostRecord] = {}
        self._environment = HostRecord()

    def of(self, host: str, once: bool = False) -> HostRecord:
        """The host's record; the environment's for what is done `once`."""
        return self._environment if once else self._hosts.setdefault(host, HostRecord())

    def forgive(self, failed: Collection[str]) -> None:
        """Drops the failures that Ansible does not count because of `rescue`: those of hosts that are not `failed`."""
        for host, record in self._hosts.items():
            if host not in failed:
                record.failure = ""
        if not failed:
            self._environment.failure = ""

    def totals(self) -> str:
        """Hosts in all, without a failure, changed, unreachable, failed. A failure of the environment counts as one more."""
        hosts = [*self._hosts.values()]
        counted = [*hosts, self._environment]
        failed = sum(bool(record.failure) and not record.unreachable for record in counted)
        unreachable = sum(bool(record.unreachable) for record in hosts)
        fine = sum(not record.failure and not record.unreachable for record in hosts)
        changed = sum(bool(record.changes) for record in counted)
        return f"hosts={len(hosts)} ok={fine} changed={changed} unreachable={unreachable} failed={failed}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Hosts, what happened, and why or by which commands: failures first, then the rows with the most hosts."""
        rows = []
        if self._environment.what:
            rows.append((ENVIRONMENT, self._environment.what, self._environment.detail))
        of_hosts = [row for what in self._kinds() for row in self._rows_of(what)]
        of_hosts.sort(key=lambda row: (row[1].endswith("changed"), -len(row[0])))
        return rows + [(names(hosts), what, detail) for hosts, what, detail in of_hosts]

    def _kinds(self) -> Iterable[str]:
        return dict.fromkeys(record.what for record in self._hosts.values() if record.what)

    def _rows_of(self, what: str) -> Iterable[tuple[list[str], str, str]]:
        alike = Texts()
        for host, record in self._hosts.items():
            if record.what == what:
                alike.add(host, record.detail, addresses=not record.unreachable)
        return [(hosts, what, detail) for hosts, detail in alike]


def table(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """The rows as lines of at most `width` columns; of many rows the first ones and the number of the others."""
    shown = rows[:ROWS]
    first, second = (max((len(row[column]) for row in shown), default=0) for column in (0, 1))
    lines = [f"  {hosts:<{first}}  {what:<{second}}  {detail}".rstrip() for hosts, what, detail in shown]
    lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    if len(rows) > ROWS:
        lines.append(f"  +{len(rows) - ROWS} more rows; -v shows every host")
    return lines
