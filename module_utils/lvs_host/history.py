"""What a host was brought to in earlier runs: the texts that lvs_state was given, with the run's time and the inventory's revision.

One file for each run that wanted something else than the one before, named by the run's time (UTC, ISO 8601), so that names
sort as the runs came.
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
BEGINNING = "0000-00-00T00:00:00Z"  # what a host was brought to before its first run: nothing


def runs() -> list[str]:
    """The runs that are kept, the oldest first. BEGINNING is one where lvskit has known the host from the beginning."""
    try:
        names = os.listdir(files.place(FOLDER))
    except FileNotFoundError:
        return []
    return sorted(name[: -len(".json")] for name in names if RUN.fullmatch(name[: -len(".json")]))


def read(run: str) -> dict[str, Any]:
    """What was kept of a run: `revision` and `wanted`. Raises HostError where the file is damaged, or of a newer lvskit."""
    path = _path(run)
    remedy = "Remove it, and go back to another run"
    text = files.read(path, remedy)
    try:
        content = dict(json.loads(text or ""))
        formats.known(int(content.get("format", formats.UNNUMBERED)), path)
        return {"revision": str(content["revision"]), "wanted": dict(content["wanted"])}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, "it does not hold the plan of a run", remedy) from error


def readable() -> dict[str, dict[str, Any]]:
    """What was kept of each run, without those that cannot be read."""
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
    """What was wanted of the host after a run, which may not have changed it.

    Raises HostError where that is not known: to take nothing for an answer would strip the host.
    """
    before = [kept for kept in runs() if kept <= run]
    if not before:
        raise HostError(f"this host has kept nothing from the run of {run} or before it")
    wanted: dict[str, Any] = read(before[-1])["wanted"]
    return wanted


def known(wanted: dict[str, Any]) -> bool:
    """Whether the last run wanted the same of the host."""
    last = runs()[-1:]
    try:
        return bool(last) and bool(read(last[0])["wanted"] == wanted)
    except HostError:
        return False


def stage(run: str, revision: str, wanted: dict[str, Any], *, first: bool) -> list[str]:
    """Writes what is to be kept of a run, for `keep` to put in place; the files. `first`: the host had nothing until now.

    Raises HostError when there is no room.
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
    """Puts in place what `stage` wrote, and forgets the oldest runs, unless one of them is just being gone back to."""
    for path in paths:
        files.keep(path)
    for old in runs()[:-KEPT] if forget else []:
        files.remove(_path(old))


def _path(run: str) -> str:
    return f"{FOLDER}/{run}.json"
