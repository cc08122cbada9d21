"""Reads the whole environment from Ansible's variables, once a run, and says what is wrong with it."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import advice, inventory, rules
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import Violation

_COMMON = ("lvs_networks", "lvs_services")  # what concerns the environment as a whole
_SHOWN = 3
_LEAVING = " A service that nobody is left for has to leave, too: name it in lvs_teardown_services."

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # another ansible-core: messages lose their place, nothing else
    Origin = None


def read(
    task_vars: Mapping[str, Any], networks: Any, services: Any, changes: Changes | None = None
) -> tuple[Topology, list[Violation]]:
    """The environment's topology, with `changes` for once, and its warnings.

    Raises AnsibleActionFail with every violation, each with its place in the inventory.
    """
    hosts, groups = _hosts(task_vars), task_vars["groups"]
    own = [*_of_single_hosts(task_vars)]
    if not changes and isinstance(services, list) and not services:
        own.append(
            Violation(
                "NO-SERVICES", "lvs_services is an empty list: site.yml takes every service away.", services, True
            )
        )
    if changes:
        if unknown := changes.check(services, hosts, groups.get("real_servers", ())):
            raise AnsibleActionFail("\n".join([*unknown, "No host was touched."]))
        services, hosts, groups = changes.services(services), changes.hosts(hosts), changes.groups(groups)
    topology, violations = inventory.parse(networks, services, hosts, groups)
    violations = [*own, *(_advised(v, services, topology) for v in violations), *rules.check(topology)]
    errors = [violation for violation in violations if not violation.warning]
    if errors:
        end = _LEAVING if changes and changes.without_hosts else ""
        raise AnsibleActionFail(_refusal(violations, len(errors), end))
    return topology, violations


def readable(task_vars: Mapping[str, Any], networks: Any, services: Any) -> Topology:
    """The environment's topology with the services that can be read, whatever their modes and the rules say of them.

    Raises AnsibleActionFail with what is wrong with networks and hosts, and with services in any mode.
    """
    read(task_vars, networks, services if not isinstance(services, list) else [])
    topology, _ = inventory.parse(networks, services, _hosts(task_vars), task_vars["groups"])
    errors = [fault for raw in services for fault in advice.faults(raw, topology) if not fault.warning]
    if errors:
        raise AnsibleActionFail(_refusal(errors, len(errors)))
    return topology


def _hosts(task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(name): _lvs_variables(task_vars["hostvars"], name) for name in task_vars["groups"]["all"]}


def _advised(violation: Violation, services: Any, topology: Topology) -> Violation:
    """Where somebody leaves the choice of a mode to lvskit, the message says what there is to choose from."""
    if violation.rule != "MODE-AUTO":
        return violation
    raw = next(service for service in services if service.get("mode") is violation.at)
    return replace(violation, message=f"{violation.message}. {advice.in_short(advice.options(raw, topology))}")


def revision(inventory_folder: str) -> str:
    """What git calls the inventory's present state, with `-dirty` where files differ from it; empty without git."""
    command = ["git", "-C", inventory_folder, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def _lvs_variables(hostvars: Any, name: str) -> dict[str, Any]:
    """A host's own lvs_ variables; what belongs to the environment as a whole is not templated once a host."""
    variables = hostvars[name]
    return {key: None if key in _COMMON else variables[key] for key in variables if str(key).startswith("lvs_")}


def _of_single_hosts(task_vars: Mapping[str, Any]) -> Iterator[Violation]:
    """What some hosts say of the environment as a whole, and others do not: only one of them would be read."""
    raw_of = getattr(task_vars["hostvars"], "raw_get", task_vars["hostvars"].__getitem__)  # nothing is templated
    variables = {str(name): raw_of(name) for name in task_vars["groups"]["all"]}
    for key in _COMMON:
        values = {name: own.get(key) for name, own in variables.items()}
        shared = Counter(map(id, values.values())).most_common(1)
        usual = next((value for value in values.values() if shared and id(value) == shared[0][0]), None)
        for name, value in values.items():
            if value is not usual and value != usual:
                message = (
                    f"host {name} has {key} of its own, or lacks it: the environment's is that of all hosts. "
                    "Say it in group_vars/all alone."
                )
                yield Violation("ONE-ENVIRONMENT", message, value if value is not None else usual)


def _refusal(violations: Sequence[Violation], errors: int, end: str = "") -> str:
    """All of them; of many that one line of the inventory has by one rule, the first few."""
    lines = [f"the inventory cannot work: {errors} {'fault' if errors == 1 else 'faults'}. No host was touched.{end}"]
    alike: dict[tuple[str, str], int] = {}
    for violation in violations:
        place = (violation.rule, where(violation.at) or str(violation))
        alike[place] = alike.get(place, 0) + 1
        if alike[place] <= _SHOWN:
            lines.append(described(violation))
    for (rule, place), number in alike.items():
        if number > _SHOWN:
            lines.append(f"{place}: {rule}: {number - _SHOWN} more like the last one")
    return "\n\n".join(lines)


def described(violation: Violation) -> str:
    """The violation with its place in the inventory before it."""
    place = where(violation.at)
    kind = "warning: " if violation.warning else ""
    return f"{place + ': ' if place else ''}{kind}{violation}"


def where(value: Any) -> str:
    """The file, line and column that a value of the inventory comes from; empty where Ansible does not know."""
    if Origin is None or value is None:
        return ""
    origin = Origin.get_tag(value)
    if origin is None and isinstance(value, Mapping) and value:
        origin = Origin.get_tag(next(iter(value)))
    if origin is None or not origin.path:
        return ""
    path = Path(origin.path)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return ":".join(str(part) for part in (path, origin.line_num, origin.col_num) if part is not None)
