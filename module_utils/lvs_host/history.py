"""The plans of earlier runs on a host: the arguments of lvs_state, with the run's time and the inventory's revision.

One file for each run whose plan differs from the one before. Its name is the run's time (UTC, ISO 8601), so that names
sort in the order of the runs.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from . import files, formats
from .errors import HostError, damaged

FOLDER = "/var/lib/lvskit/history"
KEPT = 20  # runs
RUN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
BEGINNING = "0000-00-00T00:00:00Z"  # stands for the empty plan before the first run


def runs() -> list[str]:
    """The stored runs, the oldest first. BEGINNING is one of them if lvskit has records since its first run on the host."""
    try:
        names = os.listdir(files.place(FOLDER))
    except FileNotFoundError:
        return []
    return sorted(name[: -len(".json")] for name in names if RUN.fullmatch(name[: -len(".json")]))


def read(run: str) -> dict[str, Any]:
    """The stored plan of a run: `revision` and `wanted`. Raises HostError if the file is damaged, or of a newer lvskit."""
    path = _path(run)
    remedy = "Remove it, and go back to another run"
    text = files.read(path, remedy)
    try:
        content = dict(json.loads(text or ""))
        formats.known(int(content.get("format", formats.UNNUMBERED)), path)
        return {"revision": str(content["revision"]), "wanted": formats.current(dict(content["wanted"]))}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, "it does not contain the plan of a run", remedy) from error


def readable() -> dict[str, dict[str, Any]]:
    """The stored plan of each run, without those that cannot be read."""
    return {run: kept for run, (kept, _) in _all().items() if kept is not None}


def unreadable() -> dict[str, str]:
    """The runs whose files cannot be read, each with the reason."""
    return {run: reason for run, (kept, reason) in _all().items() if kept is None}


def _all() -> dict[str, tuple[dict[str, Any] | None, str]]:
    found: dict[str, tuple[dict[str, Any] | None, str]] = {}
    for run in runs():
        try:
            found[run] = read(run), ""
        except HostError as error:
            found[run] = None, str(error)
    return found


def at(run: str) -> dict[str, Any]:
    """The plan of the host after a run, which may not have changed it.

    Raises HostError if it is not known: an empty plan in its place would remove everything from the host.
    """
    before = [kept for kept in runs() if kept <= run]
    if not before:
        raise HostError(f"this host has no stored plan of the run of {run} or before it")
    wanted: dict[str, Any] = read(before[-1])["wanted"]
    return wanted


def known(wanted: dict[str, Any]) -> bool:
    """Whether the last run had the same plan for the host. What an older version did not know is empty in its plan."""
    last = runs()[-1:]
    try:
        return bool(last) and _parts(read(last[0])["wanted"]) == _parts(wanted)
    except HostError:
        return False


def _parts(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in wanted.items() if part}


def stage(run: str, revision: str, wanted: dict[str, Any], *, first: bool) -> list[str]:
    """Writes the entry of a run, which `keep` activates; returns the files. `first`: this is the host's first plan.

    Raises HostError if the disk is full.
    """
    entries = {run: {"format": formats.FORMAT, "revision": revision, "wanted": wanted}}
    if first and not runs():
        entries[BEGINNING] = {"format": formats.FORMAT, "revision": "", "wanted": {}}
    paths = sorted(map(_path, entries))
    try:
        for name, entry in entries.items():
            files.stage(_path(name), json.dumps(entry, indent=1), mode=0o700)
    except HostError:
        files.discard(paths)
        raise
    return paths


def keep(paths: list[str], *, forget: bool = True) -> None:
    """Activates the entry that `stage` wrote, and removes the oldest runs, except one that this run goes back to."""
    for path in paths:
        files.keep(path)
    for old in runs()[:-KEPT] if forget else []:
        files.remove(_path(old))


def _path(run: str) -> str:
    return f"{FOLDER}/{run}.json"
