"""The choice of the run that all hosts can go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.violations import listed

NOTHING = "Nothing was changed."


@dataclass(frozen=True)
class Chosen:
    """The run to go back to, by its time (UTC), and the inventory's revision then (empty: not known)."""

    to: str
    revision: str

    def __str__(self) -> str:
        return f"Back to the run of {self.to}, inventory {self.revision or 'without revision'}."

    def as_arguments(self) -> dict[str, str]:
        """The arguments of lvs_state. The rollback is a new run with a new time."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"to": self.to, "run": now, "revision": f"{self.to} again"}


def choose(kept: Mapping[str, Mapping[str, Any]], to: str | None, undone: str | None = None) -> Chosen:
    """`kept`: the result of lvs_history of each host. Without `to` chooses the run before the last one; `undone` is the run to undo.

    Raises AnsibleActionFail if there is no such run, if a later run has followed the one to undo, or if
    a host has no record from that time.
    """
    revisions = {run: revision for host in kept.values() for run, revision in host["runs"].items()}
    runs = sorted(revisions)
    if undone and undone not in runs[-1:]:
        raise AnsibleActionFail(
            f"the run {undone} is not the last one, so it cannot be undone. {_known(revisions)} {NOTHING}"
        )
    target = to or (runs[-2] if len(runs) > 1 else "")
    if target not in revisions:
        asked = f"no host has a stored plan of the run {to}" if to else "there is no earlier run to go back to"
        raise AnsibleActionFail(f"{asked}. {_known(revisions)} {NOTHING}")
    damaged = {name: host["unreadable"][target] for name, host in kept.items() if target in host["unreadable"]}
    if damaged:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in damaged.items())
        raise AnsibleActionFail(
            f"the stored plan of the run {target} cannot be read. {reasons}. Go back to another run. {NOTHING}"
        )
    late = {
        name: host["since"] or "no run" for name, host in kept.items() if not host["since"] or host["since"] > target
    }
    if late:
        firsts = ", ".join(f"{name}: {since}" for name, since in late.items())
        raise AnsibleActionFail(
            f"{listed(list(late), 'and')} {'have' if len(late) > 1 else 'has'} no stored plan from {target} or before it (first "
            f"stored: {firsts}). Go back to a later run, or restore the inventory of that time and run site.yml. {NOTHING}"
        )
    return Chosen(target, str(revisions[target]))


def _known(revisions: Mapping[str, str]) -> str:
    listing = ", ".join(
        f"{run} (inventory {revision or 'without revision'})" for run, revision in sorted(revisions.items())
    )
    return f"Stored runs: {listing or 'none'}."
