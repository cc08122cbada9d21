"""Reads the whole environment from Ansible's variables, once a run, and says what is wrong with it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import advice, inventory, rules
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import Violation

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
    if changes:
        if unknown := changes.check(services, hosts):
            raise AnsibleActionFail("\n".join([*unknown, "No host was touched."]))
        services, hosts, groups = changes.services(services), changes.hosts(hosts), changes.groups(groups)
    topology, violations = inventory.parse(networks, services, hosts, groups)
    violations = [*(_advised(v, services, topology) for v in violations), *rules.check(topology)]
    errors = [violation for violation in violations if not violation.warning]
    if errors:
        raise AnsibleActionFail(_refusal(violations, len(errors)))
    return topology, violations


def readable(task_vars: Mapping[str, Any], networks: Any, services: Any) -> Topology:
    """The environment's topology with the services that can be read, whatever the rules say of them.

    Raises AnsibleActionFail with what is wrong with networks and hosts.
    """
    read(task_vars, networks, [])
    return inventory.parse(networks, services, _hosts(task_vars), task_vars["groups"])[0]


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
    common = ("lvs_networks", "lvs_services")
    return {key: None if key in common else variables[key] for key in variables if str(key).startswith("lvs_")}


def _refusal(violations: Sequence[Violation], errors: int) -> str:
    lines = [f"the inventory cannot work: {errors} {'fault' if errors == 1 else 'faults'}. No host was touched."]
    return "\n\n".join([*lines, *(described(violation) for violation in violations)])


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
