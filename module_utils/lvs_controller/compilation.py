"""Compiles the environment, once in a run, into the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.lvs import plan, rolling
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import Violation

from . import environment, stages
from .run_folder import RunFolder


@dataclass(frozen=True)
class Compiled:
    """What a run has compiled. `run` is its time (UTC), `revision` the git revision of the inventory."""

    topology: Topology
    warnings: Sequence[Violation]
    run: str
    revision: str

    def as_dict(self) -> dict[str, Any]:
        """The task's result."""
        return {"run": self.run, "revision": self.revision, "services": len(self.topology.services)}


def compile_run(
    folder: RunFolder, task_vars: Mapping[str, Any], changes: Changes, seen: Mapping[str, rolling.Seen] | None = None
) -> Compiled:
    """Reads the environment from Ansible's variables, checks it, and stores topology, plans and stages in `folder`.

    `seen` is what directors have before the run, if they have been asked.

    Raises AnsibleActionFail with every violation, each with its place in the inventory.
    """
    groups = task_vars["groups"]
    changes = changes.with_members(groups, groups.get("real_servers", ()))
    if changes:
        stages.refuse_without_directors(task_vars)
    topology, warnings = environment.read(task_vars, changes)
    if seen and topology.director_groups:
        topology = replace(topology, masters=rolling.masters(topology, seen))
    run = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    drained = changes.left_out(run)
    plans = plan.plans(topology, drained=drained)
    revision = environment.revision(task_vars.get("inventory_dir") or ".")
    folder.keep_topology(topology)
    folder.keep_plans(plans)
    folder.keep("stages", stages.stages(topology, plans, task_vars["groups"], changes, seen))
    folder.keep("left_out", drained)
    folder.keep("elects", bool(topology.director_groups))
    folder.keep("warnings", [replace(warning, at=None) for warning in warnings])
    folder.keep("run", {"run": run, "revision": revision})
    return Compiled(topology, warnings, run, revision)
