"""Weights that an operator sets for a time, in place of the planned ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.contract.values import nearest
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import listed

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PLANNED = "planned"
MOST = 65535


def servers(topology: Topology, director: str, names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The real servers of a director's services that `names` mean: hosts, or groups of hosts.

    Raises AnsibleActionFail for a name that is neither, and for one whose service has no health check: nobody would set its weight.
    """
    known = [service.name for service in topology.services]
    for name in only:
        if name not in known:
            raise AnsibleActionFail(f"there is no service {name}: {nearest(name, known)} No host was touched.")
    wanted: list[str] = []
    for name in names:
        if name not in topology.groups and name not in topology.hosts:
            hint = nearest(name, [*topology.hosts, *topology.groups])
            raise AnsibleActionFail(f"{name} is neither a host nor a group: {hint} No host was touched.")
        wanted += topology.groups.get(name, (name,))
    found: dict[str, None] = {}
    unchecked: list[str] = []
    for service in topology.services:
        if (only and service.name not in only) or not any(host.name == director for host in service.directors):
            continue
        own = [server.host.name for server in service.real_servers if server.host.name in wanted]
        if own and service.health_check is None:
            unchecked.append(service.name)
        elif own:
            found.update(dict.fromkeys(own))
    if unchecked:
        raise AnsibleActionFail(
            f"{listed(unchecked, 'and')} of {director}: without health_check only a run changes weights. Say health_check: "
            "{type: tcp} there, or name other services in lvs_weight_services. Nothing was changed."
        )
    return list(found)


def weight(text: str) -> int | None:
    """The number; None for the planned weight."""
    if text == PLANNED:
        return None
    if not text.isdecimal() or int(text) > MOST:
        raise AnsibleActionFail(
            f"lvs_weight: {text} is neither a weight from 0 to {MOST} nor {PLANNED}. No host was touched."
        )
    return int(text)


def seconds(text: str | None) -> int | None:
    """The seconds of a duration such as 30m; None for no end."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise AnsibleActionFail(
            f"lvs_weight_for: {text} is no duration. Write it like 30m: s, m, h or d. No host was touched."
        )
    return int(found[1]) * _UNITS[found[2]]
