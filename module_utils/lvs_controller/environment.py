"""Reads the environment from Ansible's variables, once per run, and reports its violations."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import advice, inventory, rules
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.contract import variable_checks
from ansible.module_utils.lvs.notices import notices
from ansible.module_utils.lvs.topology import Service, Topology
from ansible.module_utils.lvs.violations import SHOWN, Violation, listed, some

from . import inventory_files
from .host_variables import HostVariables, Unrendered, of_hosts

_COMMON = ("lvs_networks", "lvs_services", "lvs_directors")  # what concerns the environment as a whole
_LISTED = 40  # services that are listed one by one
_LEAVING = " A service without a remaining host must be removed, too: name it in lvs_teardown_services."

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # another ansible-core: messages then have no place
    Origin = None


def read(task_vars: Mapping[str, Any], changes: Changes | None = None) -> tuple[Topology, list[Violation]]:
    """The environment's topology, with `changes` for this run alone, and its warnings.

    Raises AnsibleActionFail with every violation, each with its place in the inventory.
    """
    topology, violations = examined(task_vars, changes)
    refuse(violations, _LEAVING if changes and changes.without_hosts else "")
    return topology, violations


def examined(task_vars: Mapping[str, Any], changes: Changes | None = None) -> tuple[Topology, list[Violation]]:
    """What could be read of the environment, and all violations and warnings.

    Raises AnsibleActionFail where `changes` name hosts or services that do not exist.
    """
    networks, services, directors = common(task_vars)
    variables_by_host = _variables(task_vars)
    hosts, groups = _hosts(variables_by_host), task_vars["groups"]
    raw = {name: own.raw for name, own in variables_by_host.items()}
    own = [
        *_of_single_hosts(raw),
        *_by_host(variables_by_host),
        *_of_playbooks(raw),
        *variable_checks.old_names(raw),
        *_unread(task_vars),
    ]
    if not changes and isinstance(services, list) and not services:
        own.append(
            Violation("NO-SERVICES", "lvs_services is an empty list: site.yml removes every service.", services, True)
        )
    if changes is not None and (changes or changes.recorded):
        if unknown := changes.check(services, hosts, groups.get("real_servers", ())):
            raise AnsibleActionFail("\n".join([*unknown, "No host was touched."]))
        services, hosts, groups = changes.services(services), changes.hosts(hosts), changes.groups(groups)
        directors = changes.directors(directors)
    topology, violations = inventory.parse(networks, services, hosts, groups, directors)
    own += [*_logins(raw, topology), *notices(topology)]
    broken = rules.check(topology)
    if changes and changes.drained:  # nobody has written these lvs_drained
        broken = [one for one in broken if one.rule != "KEY-HOST" or "lvs_drained" in raw.get(one.host, ())]
    read = (_advised(_of_common(v, task_vars), services, topology) for v in violations)
    return topology, _of_many([*own, *read, *broken])


def refuse(violations: Sequence[Violation], end: str = "") -> None:
    """Raises AnsibleActionFail with all of them if one is not a warning."""
    errors = sum(not violation.warning for violation in violations)
    if errors:
        raise AnsibleActionFail(_refusal(violations, errors, end))


def readable(task_vars: Mapping[str, Any], services: Any) -> Topology:
    """The environment's topology with those of `services` that can be read, regardless of their modes and the rules.

    Raises AnsibleActionFail with what is wrong with networks and hosts, and with services in any mode.
    """
    networks, _, directors = common(task_vars)
    variables_by_host = _variables(task_vars)
    hosts, groups = _hosts(variables_by_host), task_vars["groups"]
    some = services if not isinstance(services, list) else []
    bare, violations = inventory.parse(networks, some, hosts, groups, directors)
    raw = {name: own.raw for name, own in variables_by_host.items()}
    read = (_of_common(violation, task_vars) for violation in violations)
    refuse(_of_many([*_of_single_hosts(raw), *read, *rules.check(bare)]))
    topology, _ = inventory.parse(networks, services, hosts, groups, directors)
    refuse([fault for raw in services for fault in advice.faults(raw, topology) if not fault.warning])
    return topology


def common(task_vars: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The environment's networks, services and groups of directors, as in the inventory; None if missing.

    Raises AnsibleActionFail with every template in them that cannot be rendered, and its place.
    """
    own = HostVariables(task_vars["hostvars"], task_vars["inventory_hostname"])
    (values,) = _rendered({own.name: own}, lambda key: key in _COMMON).values()
    networks, services, directors = (values.get(key) for key in _COMMON)
    return networks, services, directors


def _variables(task_vars: Mapping[str, Any]) -> dict[str, HostVariables]:
    return {str(name): HostVariables(task_vars["hostvars"], name) for name in task_vars["groups"]["all"]}


def _hosts(variables_by_host: Mapping[str, HostVariables]) -> dict[str, dict[str, Any]]:
    """Each host's own lvs_ variables; environment-wide variables are not rendered once per host.

    Raises AnsibleActionFail with every template in them that cannot be rendered, and its place.
    """
    own = _rendered(variables_by_host, lambda key: str(key).startswith("lvs_") and key not in _COMMON)
    return {
        name: {key: own[name].get(key) for key in variables.raw if str(key).startswith("lvs_")}
        for name, variables in variables_by_host.items()
    }


def _rendered(
    variables_by_host: Mapping[str, HostVariables], wanted: Callable[[Any], bool]
) -> dict[str, dict[str, Any]]:
    """The wanted variables of each host."""
    found: dict[str, dict[str, Any]] = {}
    faults: dict[tuple[int, str], Violation] = {}  # of a value that many hosts share only one
    concerned: dict[tuple[int, str], list[str]] = {}
    for name, own in variables_by_host.items():
        found[name] = {}
        for key in filter(wanted, own.raw):
            try:
                found[name][key] = own.get(key)
            except Unrendered as error:
                for at, why in error.templates:
                    faults[id(at), key] = Violation("TEMPLATE", f"{key}: {why}", at)
                    concerned.setdefault((id(at), key), []).append(name)
    refuse([replace(fault, message=_of_hosts(fault.message, concerned[which])) for which, fault in faults.items()])
    return found


_HOST = re.compile(r"host (\S+?)(?=:? )")


def _of_many(violations: Sequence[Violation]) -> list[Violation]:
    """One violation in place of those that hosts have by one value of the inventory, which many of them share."""
    found: dict[Any, Violation] = {}
    hosts: dict[Any, list[str]] = {}
    for violation in violations:
        of_host, place = _HOST.match(violation.message), where(violation.at)
        rest = violation.message[of_host.end() :] if of_host and place else ""
        which = (violation.rule, place, rest) if rest else id(violation)
        found.setdefault(which, violation)
        if of_host and rest:
            hosts.setdefault(which, []).append(of_host[1])
    merged = []
    for which, violation in found.items():
        names = list(dict.fromkeys(hosts.get(which, [])))
        many = len(names) > 1
        message = _HOST.sub(f"hosts {some(names)}", violation.message, count=1) if many else violation.message
        merged.append(replace(violation, message=message, host="" if many else violation.host))
    return merged


def _of_hosts(message: str, names: Sequence[str]) -> str:
    """A fault of some hosts' variables with their names; nothing is added to one of common variables."""
    if message.partition(":")[0] in _COMMON:
        return message
    return f"{some(names)}: {message}"


def _of_common(violation: Violation, task_vars: Mapping[str, Any]) -> Violation:
    """If a variable of the environment has no value, which has no place, the place is that of its name."""
    name = violation.message.partition(":")[0]
    if violation.at is not None or name not in _COMMON:
        return violation
    for source in reversed(task_vars.get("ansible_inventory_sources") or ()):
        if os.path.exists(source) and (found := inventory_files.of_all(source).get(name)):
            return replace(violation, at=_tagged(found))
    return violation


def _tagged(fault: inventory_files.Fault) -> str:
    """The path of a file, which knows the place there."""
    if Origin is None:
        return fault.path
    tagged: str = Origin(path=fault.path, line_num=fault.line, col_num=fault.column).tag(fault.path)
    return tagged


def _advised(violation: Violation, services: Any, topology: Topology) -> Violation:
    """If the mode is missing or `auto`, the message lists the possible modes."""
    if violation.rule != "MODE-AUTO":
        return violation
    raw = next(service for service in services if service.get("mode") is violation.at)
    return replace(violation, message=f"{violation.message}. {advice.in_short(advice.options(raw, topology))}")


def named(topology: Topology, names: Sequence[str]) -> list[Service]:
    """The services of these names, or all if there are no names. Raises AnsibleActionFail for a name that does not exist."""
    known = [service.name for service in topology.services]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise AnsibleActionFail(f"there is no service {' or '.join(unknown)} (known: {', '.join(known)})")
    return [service for service in topology.services if not names or service.name in names]


def revision(inventory_folder: str) -> str:
    """The git revision of the inventory, with `-dirty` if files differ from it; empty without git."""
    command = ["git", "-C", inventory_folder, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def _unread(task_vars: Mapping[str, Any]) -> Iterator[Violation]:
    """Variable files that no group or host of the inventory reads."""
    known = {"group_vars": task_vars["groups"], "host_vars": task_vars["hostvars"]}
    for source in task_vars.get("ansible_inventory_sources") or ():
        if os.path.exists(source):
            for fault in inventory_files.unread(source, known):
                yield Violation("FILE-UNREAD", fault.message, _tagged(fault), True)


def _of_single_hosts(variables_by_host: Mapping[str, Mapping[str, Any]]) -> Iterator[Violation]:
    """Environment-wide variables that only some hosts have: lvskit would read only one of the values."""
    for key in _COMMON:
        values = {name: own.get(key) for name, own in variables_by_host.items()}
        usual = _usual(list(values.values()))
        others: dict[int, list[str]] = {}
        for name, value in values.items():
            if value is not usual and value != usual:
                others.setdefault(id(value), []).append(name)
        for names in others.values():
            value = values[names[0]]
            hosts = f"{'host' if len(names) == 1 else 'hosts'} {some(names)}"
            what = f"{'has' if len(names) == 1 else 'have'} {key} of {'its' if len(names) == 1 else 'their'} own"
            if value is None:
                what = f"{'lacks' if len(names) == 1 else 'lack'} {key}"
            message = f"{hosts} {what}: the environment's is that of all hosts. Say it in group_vars/all alone."
            yield Violation("ONE-ENVIRONMENT", message, value if value is not None else usual)


_LOGIN = ("ansible_host", "ansible_port", "ansible_ssh_common_args", "ansible_ssh_extra_args")


def _logins(variables_by_host: Mapping[str, Mapping[str, Any]], topology: Topology) -> Iterator[Violation]:
    """Addresses by which Ansible would reach another host than the one that has them in the inventory."""
    vips = {str(vip): service.name for service in topology.services for vip in service.vips}
    known: dict[tuple[str, ...], str] = {}
    for host, own in variables_by_host.items():
        login = own.get("ansible_host")
        if (
            not login
            or "{{" in str(login)
            or str(own.get("ansible_connection", "ssh")) not in ("ssh", "smart", "paramiko")
        ):
            continue
        if str(login) in vips:
            message = (
                f"host {host}: ansible_host: {login} is the VIP of {vips[str(login)]}, and the run would reach whoever holds it. Give an address that "
                "is this host's alone."
            )
            yield Violation("LOGIN-ADDRESS", message, login, host=host)
        way = tuple(str(own.get(name)) for name in _LOGIN)
        other = known.setdefault(way, host)
        if other != host:
            message = f"host {host}: ansible_host: {login} is that of {other}, too: one machine would get two plans. Correct one."
            yield Violation("LOGIN-ADDRESS", message, login, host=host)


def _of_playbooks(variables_by_host: Mapping[str, Mapping[str, Any]]) -> Iterator[Violation]:
    """Variables of playbooks and roles with a value that they cannot have."""
    for host, own in variables_by_host.items():
        for name, fault in variable_checks.wrong_values(own):
            yield Violation(fault.rule, f"host {host}: {name}: {own[name]} {fault}", own[name], host=host)


def _by_host(variables_by_host: Mapping[str, HostVariables]) -> Iterator[Violation]:
    """Templates of the environment that are not the same for all hosts: lvskit renders each once."""
    hosts = list(variables_by_host.values())
    for key in _COMMON:
        for template, values in islice(of_hosts(hosts[0].raw.get(key), hosts) if hosts else (), SHOWN):
            shown = sorted(values.items(), key=lambda item: len(item[1]))[:SHOWN]
            examples = [f"{value!r} for {names[0]}" for value, names in shown]
            message = (
                f"{template} is rendered once for the whole environment, and hosts have different values for it: {listed(examples, 'and')}. "
                "Write the value itself. A host beside its group can have a weight or port of its own: {host: web4, weight: 20}."
            )
            yield Violation("ONE-ENVIRONMENT", message, template)


def _usual(values: Sequence[Any]) -> Any:
    """The value of the environment: that of group_vars/all, else the one that most hosts have."""
    for value in values:
        parts = Path(place(value)["file"] or "").parts
        if any(pair == ("group_vars", "all") for pair in zip(parts, (Path(part).stem for part in parts[1:]))):
            return value
    shared = Counter(map(id, values)).most_common(1)
    return next((value for value in values if shared and id(value) == shared[0][0]), None)


def _refusal(violations: Sequence[Violation], errors: int, end: str = "") -> str:
    """All of them; of many that one line of the inventory has by one rule, the first few."""
    lines = [f"the inventory cannot work: {errors} {'fault' if errors == 1 else 'faults'}. No host was touched.{end}"]
    alike: dict[tuple[str, str], int] = {}
    for violation in violations:
        place = (violation.rule, where(violation.at) or str(violation))
        alike[place] = alike.get(place, 0) + 1
        if alike[place] <= SHOWN:
            lines.append(described(violation))
    for (rule, place), number in alike.items():
        if number > SHOWN:
            lines.append(f"{place}: {rule}: {number - SHOWN} more like the last one")
    return "\n\n".join(lines)


def described(violation: Violation) -> str:
    """The violation with its place in the inventory before it."""
    place = where(violation.at)
    kind = "warning: " if violation.warning else ""
    return f"{place + ': ' if place else ''}{kind}{violation}"


def where(value: Any) -> str:
    """File, line and column of a value of the inventory; empty if Ansible does not know them."""
    found = place(value)
    if not found["file"]:
        return ""
    path = Path(found["file"])
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return ":".join(str(part) for part in (path, found["line"], found["column"]) if part is not None)


def place(value: Any) -> dict[str, Any]:
    """File, line and column of a value; each is None if Ansible does not know it."""
    origin = None
    if Origin is not None and value is not None:
        origin = Origin.get_tag(value)
        if origin is None and isinstance(value, Mapping) and value:
            origin = Origin.get_tag(next(iter(value)))
    if origin is None or not origin.path:
        return {"file": None, "line": None, "column": None}
    return {"file": str(origin.path), "line": origin.line_num, "column": origin.col_num}


def summary(topology: Topology) -> list[str]:
    """The services, as lines for a person: each service, or with many services their number in each mode."""
    if len(topology.services) <= _LISTED:
        lines = [topology.summary(service) for service in topology.services]
    else:
        modes = Counter(service.mode.name for service in topology.services)
        lines = [f"{count} services in mode {mode}" for mode, count in modes.items()]
    return [*lines, f"{len(topology.hosts)} hosts, {len(topology.services)} services: the inventory is valid."]


def write(violations: Sequence[Violation], path: str) -> None:
    """Writes all violations as JSON: a list of objects with rule, message, warning, file, line and column (null: not known)."""
    found = [{**violation.as_dict(), **place(violation.at)} for violation in violations]
    try:
        Path(path).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}. Name another file.") from error
