"""The files of the governor on a director: what it governs, what it has decided, and the weights that operators have set."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import files, governing, kinds
from .errors import HostError, damaged
from .governing import Override, Service, State
from .verdicts import FAILED, PASSED

STATE = "/var/lib/lvskit/governor.json"
OVERRIDES = "/var/lib/lvskit/weights.json"
HEARTBEAT = "/run/lvskit/heartbeat"  # the governor touches it
FORMAT = 1


@dataclass
class Decided:
    """The governor's state: the decisions by Service.key, and whether verdicts counted when it was written (`checker`: fine, or why not)."""

    states: dict[str, State]
    checker: str = ""
    time: float = 0.0

    def passing(self) -> set[str]:
        """The services, by their keys, of which a real server passes its checks."""
        return {
            key for key, state in self.states.items() if any(own.verdict == PASSED for own in state.servers.values())
        }

    def text(self) -> str:
        services = {key: state.as_dict() for key, state in sorted(self.states.items())}
        return json.dumps(
            {"format": FORMAT, "time": self.time, "checker": self.checker, "services": services}, indent=1
        )


def services(text: str) -> list[Service]:
    """The governed services of a file of record. Raises HostError if it is damaged."""
    try:
        return [Service(**{**raw, "entries": tuple(raw["entries"])}) for raw in json.loads(text.strip() or "[]")]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(kinds.HEALTH_PLAN.path, error, "Run playbooks/site.yml: it writes the file again") from error


def read() -> Decided:
    """The governor's last state; an empty one if there is none, or none that this version can read: it is made again from new verdicts."""
    try:
        raw = json.loads(files.read(STATE, "") or "{}")
        if raw.get("format") != FORMAT:
            return Decided({})
        states = {str(key): State.of(own) for key, own in dict(raw["services"]).items()}
        return Decided(states, str(raw["checker"]), float(raw["time"]))
    except (HostError, AttributeError, KeyError, TypeError, ValueError):
        return Decided({})


def silence(now: float) -> float | None:
    """Seconds since the governor's last sign of life; None if it has not given any. `now` is time.time()."""
    try:
        return max(0.0, now - os.stat(files.place(HEARTBEAT)).st_mtime)
    except FileNotFoundError:
        return None


def write(decided: Decided) -> None:
    files.stage(STATE, decided.text())
    files.keep(STATE)


def overrides() -> dict[str, Override]:
    """The weights that operators have set, by host. Raises HostError if the file is damaged."""
    text = files.read(OVERRIDES, _REMEDY)
    try:
        raw = dict(json.loads(text or "{}"))
        return {str(name): Override(**{**own, "services": tuple(own["services"])}) for name, own in raw.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(OVERRIDES, error, _REMEDY) from error


def write_overrides(found: Mapping[str, Override]) -> None:
    """Raises HostError."""
    if not found:
        files.remove(OVERRIDES)
        return
    raw: dict[str, Any] = {name: asdict(own) for name, own in sorted(found.items())}
    files.stage(OVERRIDES, json.dumps(raw, indent=1))
    files.keep(OVERRIDES)


def table(planned: str, governed: Iterable[Service]) -> str:
    """The table of the plan with the governor's last decisions: what the kernel is to have."""
    found = list(governed)
    return governing.governed(planned, found, read().states) if found else planned


def without_healthy(planned: Iterable[Service], states: Mapping[str, State]) -> list[str]:
    """The services that have a healthy real server now, and of which the plan keeps only such as fail their checks."""
    found: dict[str, None] = {}
    for service in planned:
        known = states[service.key].servers if service.key in states else {}
        healthy = {endpoint for endpoint, own in known.items() if own.verdict == PASSED and own.weight}
        kept = [known[endpoint].verdict if endpoint in known else PASSED for endpoint in service.servers]
        if healthy and kept and all(verdict == FAILED for verdict in kept):
            found[service.service] = None
    return list(found)


_REMEDY = "Remove it: the real servers then have their planned weights"
