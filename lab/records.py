"""What was started for each host of a lab, on the lab's disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.paths import State


@dataclass(frozen=True)
class Record:
    """A machine that runs, to tell whether it still is what the inventory says."""

    ssh_port: int
    hardware: str  # digest of what takes a new machine to change
    files: Mapping[str, str]  # texts of its own files, by path; "" for one that was not written to its end


def read(state: State) -> dict[str, Record]:
    """The records by host; none when nothing was started."""
    try:
        hosts = json.loads(state.record.read_text())
        return {name: Record(**record) for name, record in hosts.items()}
    except (OSError, ValueError, TypeError):
        return {}


def write(state: State, records: Mapping[str, Record]) -> None:
    write_text(state.record, json.dumps({name: asdict(record) for name, record in records.items()}, indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old one or the new one."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.rename(file)
