"""The stages of a run: the hosts of each play in the playbooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleLookupError
from ansible.module_utils.lvs import rolling
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.reader import nearest
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import listed

from .run_folder import RunFolder

PROVISIONED = ("real_servers", "hypervisors")  # groups; the hypervisors are hosts in front of real servers


@dataclass(frozen=True)
class Stages:
    """Names of hosts, fixed when the environment is compiled.

    A director that is a real server of its own services alone gets its whole plan as a director. `prepared`: get additions before any
    director changes. `drained`: drained by the inventory, so in no director's table;
    may be down. `cleaned`: get removals when all directors have changed. `cleared`: all of lvskit's files are
    removed. `directors`: in batches. `building`: need kernel modules that the role toa builds.
    """

    prepared: tuple[str, ...] = ()
    drained: tuple[str, ...] = ()
    cleaned: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    directors: tuple[tuple[str, ...], ...] = ()
    building: frozenset[str] = frozenset()


def stages(
    topology: Topology,
    plans: Mapping[str, HostPlan],
    groups: Mapping[str, Sequence[str]],
    changes: Changes,
    seen: Mapping[str, rolling.Seen] | None = None,
) -> Stages:
    """`groups` are the inventory's, including the hosts to remove. The run does not connect to a host that only this run drains.

    `seen` is what directors have before the run; their order follows from it.
    """
    behind = list(dict.fromkeys(name for group in PROVISIONED for name in groups.get(group, ())))
    connected = [name for name in behind if name not in changes.drained]
    directors = groups.get("directors", ())
    remote = {server.host.name for service in topology.services for server in service.remote_servers}
    by_director = {name for name in directors if name not in remote}
    staying = [name for name in connected if name not in changes.without_hosts and name not in by_director]
    drained = [name for name in staying if topology.hosts[name].drained]
    leaving = [name for name in directors if name in changes.without_hosts]
    everybody = dict.fromkeys([*directors, *connected])
    return Stages(
        prepared=tuple(name for name in staying if name not in drained),
        drained=tuple(drained),
        cleaned=tuple(connected),
        cleared=tuple(name for name in everybody if plans[name].empty),
        directors=tuple(rolling.batches(topology, seen, leaving)),
        building=frozenset(name for name, plan in plans.items() if plan.built_modules),
    )


@dataclass(frozen=True)
class Applied:
    """The result of lvs_state on a host in this run. `stale`: the host still has state that the plan no longer contains."""

    stale: bool
    changed: bool = False


def refuse_without_directors(task_vars: Mapping[str, Any]) -> None:
    """Raises AnsibleActionFail if this run excludes a director: it would keep forwarding to hosts or services that the run removes."""
    left_out = [
        name for name in task_vars["groups"].get("directors", ()) if name not in task_vars["ansible_play_hosts_all"]
    ]
    if left_out:
        raise AnsibleActionFail(
            f"--limit excludes {listed(left_out, 'and')}, which would keep forwarding to the hosts or services that this run "
            "removes. Run without --limit, or name all directors in it. Nothing was changed."
        )


NOBODY = ["all", "!all"]  # a pattern without hosts; an empty list is refused


def hosts(stage: str, groups: Mapping[str, Sequence[str]], *, limited: bool) -> list[Any]:
    """The hosts of a stage, as a pattern for a play; for `director_batches` how many change at a time.

    Before the environment is compiled: the groups of the inventory that the stage can concern. `limited`: the run does not
    have all hosts; then directors change one by one. Raises AnsibleLookupError for a stage that does not exist, and if the inventory has no
    hosts: Ansible itself would end such a run as a success.
    """
    if not groups.get("all", True):
        raise AnsibleLookupError(
            "the inventory has no hosts, so there is nothing to check or change. Name an inventory: -i inventory/NAME"
        )
    folder = RunFolder.of_this_run()
    fixed: Stages | None = folder.read("stages")
    if stage not in _HOSTS:
        raise AnsibleLookupError(f"there is no stage {stage}: {nearest(stage, _HOSTS)}")
    if stage == "director_batches":
        return [1] if limited or fixed is None or not fixed.directors else [len(batch) for batch in fixed.directors]
    found = _HOSTS[stage](folder, fixed) if fixed or stage.startswith("rollback") else None
    if found is None:
        found = [group for group in _GROUPS[stage] if group in groups]
        if found and stage == "rollback_real_servers" and "directors" in groups:
            found.append("!directors")  # one that is a real server as well goes back with its whole plan as a director
    return list(found) or NOBODY


def _of_takeover(*fields: str) -> Callable[[RunFolder, Any], list[str]]:
    """The directors of a takeover on purpose."""

    def hosts(folder: RunFolder, fixed: Any) -> list[str]:
        takeover = folder.read("takeover")
        return list(dict.fromkeys(name for field in fields for name in getattr(takeover, field, ())))

    return hosts


def _to_clean(folder: RunFolder, fixed: Stages) -> list[str]:
    """The hosts with stale state, or that were not prepared; none while a director has not changed in this run."""
    applied = {name: folder.read(f"applied/{name}") for name in folder.names("applied")}
    if any(name not in applied for batch in fixed.directors for name in batch):
        return []
    left = {name for name in fixed.drained if name not in applied}  # could not be reached, and nobody sends to them
    return [name for name in fixed.cleaned if name not in left and (name not in applied or applied[name].stale)]


def _to_roll_back(folder: RunFolder, fixed: Stages | None) -> list[str] | None:
    """None (the stage's groups) if this is a run of rollback.yml, or if the run has lost a service; otherwise no host."""
    return None if fixed is None or folder.read("lost") else []


def _to_clean_after_rollback(folder: RunFolder, fixed: Stages | None) -> list[str]:
    """The hosts that still have state which the earlier plan does not contain."""
    if not folder.read("rollback"):
        return []
    return [name for name in folder.names("applied") if folder.read(f"applied/{name}").stale]


_GROUPS = {
    "environment": ("all",),
    "prepare": PROVISIONED,
    "directors": ("directors",),
    "drained": (),
    "clean": PROVISIONED,
    "clear": (),
    "build": (),
    "rollback_request": ("all",),
    "rollback": ("directors", *PROVISIONED),
    "rollback_directors": ("directors",),
    "rollback_real_servers": PROVISIONED,
    "rollback_clean": (),
    "watchers": ("clients", "directors", "real_servers"),
    "recorded": ("directors",),
    "ask": ("clients",),
    "second_opinion": (),
    "masters": (),
    "standbys": (),
    "electing": (),
}
_HOSTS: Mapping[str, Callable[[RunFolder, Any], Iterable[str] | None]] = {
    "environment": lambda folder, fixed: ["all"],
    "prepare": lambda folder, fixed: fixed.prepared,
    "directors": lambda folder, fixed: [name for batch in fixed.directors for name in batch],
    "director_batches": lambda folder, fixed: (),
    "drained": lambda folder, fixed: fixed.drained,
    "clean": _to_clean,
    "clear": lambda folder, fixed: fixed.cleared,
    "build": lambda folder, fixed: fixed.building,
    "rollback_request": lambda folder, fixed: None if fixed is None else (),
    "rollback": _to_roll_back,
    "rollback_directors": _to_roll_back,
    "rollback_real_servers": _to_roll_back,
    "rollback_clean": _to_clean_after_rollback,
    "masters": _of_takeover("masters"),
    "standbys": _of_takeover("standbys"),
    "electing": _of_takeover("masters", "standbys"),
    "watchers": lambda folder, fixed: folder.read("watchers", ()),
    "recorded": lambda folder, fixed: [name for batch in fixed.directors for name in batch],
    "ask": lambda folder, fixed: folder.read("askers", ()),
    "second_opinion": lambda folder, fixed: folder.names("ask-real_servers"),
}
