"""A takeover on purpose: who gives the addresses of which groups to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import rolling
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.reader import nearest
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_host import verdicts
from ansible.module_utils.lvs_host.verdicts import SLACK


@dataclass(frozen=True)
class Takeover:
    """Which director gives up the addresses of each group, and which directors can take those of a group."""

    leaving: Mapping[str, str]
    standbys: tuple[str, ...]

    @property
    def masters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.leaving.values()))


def planned(topology: Topology, seen: Mapping[str, rolling.Seen], names: Sequence[str]) -> Takeover:
    """The takeover of these groups. A director in place of a group means all groups of which it is master.

    Raises AnsibleActionFail where it is not possible now; then nothing has changed.
    """
    known = topology.director_groups
    electing = {name: [one for one, group in known.items() if name in group.names] for name in topology.hosts}
    if not known:
        raise AnsibleActionFail(
            "The inventory has no lvs_directors, and no director that could take over. Nothing was changed."
        )
    unknown = [name for name in names if name not in known and not electing.get(name)]
    if unknown or not names:
        what = "No group is named."
        if unknown:
            hint = nearest(unknown[0], [*known, *(name for name, own in electing.items() if own)])
            what = f"There is no group of directors, and no director of one, with the name {unknown[0]} ({hint})."
        raise AnsibleActionFail(
            f"{what} Set -e lvs_failover=GROUP, a group of lvs_directors ({listed(list(known), 'or')}), or a director of one. Nothing was changed."
        )
    masters = rolling.masters(topology, seen)
    held = [name for one in names for name in ([one] if one in known else electing[one])]
    groups = [name for name in dict.fromkeys(held) if name in names or masters.get(name) in names]
    split = rolling.rivals(topology, seen)
    for name in groups:
        members = known[name].names
        silent = [one for one in members if one not in seen]
        without = [one for one in members if one in seen and name not in seen[one].elections]
        if len(members) == 1:
            why = f"{members[0]} is its only director"
        elif silent:
            why = f"{listed(silent, 'and')} cannot be reached, so nobody may be there to take over"
        elif without:
            why = f"{listed(without, 'and')} does not take part in its election yet. Run playbooks/site.yml first"
        elif name in split:
            why = f"{listed(split[name], 'and')} are master at the same time. Restore the network between them first"
        elif name not in masters:
            why = "none of its directors is master. See journalctl -u lvskit-vrrp there"
        else:
            continue
        raise AnsibleActionFail(f"{name} cannot be taken over: {why}. Nothing was changed.")
    standbys = dict.fromkeys(one for name in groups for one in known[name].names if one != masters[name])
    return Takeover({name: masters[name] for name in groups}, tuple(standbys))


def question(plan: HostPlan, seen: Mapping[str, rolling.Seen], *, changed: bool) -> dict[str, Any] | None:
    """What lvs_ready asks a director; None if it has no partner. `changed`: the run has changed it, so verdicts of before do not count."""
    if not any(router.peers for router in plan.routers):
        return None
    before = {key for own in seen.values() for key in own.passing}
    checked = {f"{check.service} {check.family}": check.detection for check in plan.checks}
    services = [key for key in checked if key in before]
    settle = max((checked[key] for key in services), default=0) + SLACK if changed else 0
    return {"services": services, "settle": settle}


def unready(host: str, found: Mapping[str, Any]) -> str:
    """Why a director could not be master, and what to do; empty if it could."""
    if not found["electing"]:
        why = "lvskit-vrrp.service does not run there. See journalctl -u lvskit-vrrp"
    elif found["checker"] != verdicts.FINE:
        why = f"nothing is known of its real servers: {found['checker']}. See journalctl -u lvskit-health -u lvskit-governor"
    elif found["unserved"]:
        names = [f"{name} (IPv{family})" for name, _, family in (key.rpartition(" ") for key in found["unserved"])]
        why = (
            f"since its change no real server of {listed(names, 'and')} passes its health check there; before, one did. See "
            "playbooks/status.yml"
        )
    else:
        return ""
    return (
        f"{host} could not serve clients as the master: {why}. The run ends here, and the directors behind it have their plans of before. "
        "-e lvs_unready=true goes on all the same; playbooks/rollback.yml undoes the run."
    )


def confirmed(topology: Topology, seen: Mapping[str, rolling.Seen], takeover: Takeover) -> list[str]:
    """Who is master now, as sentences. Raises AnsibleActionFail if a group has no other master than before."""
    masters, split = rolling.masters(topology, seen), rolling.rivals(topology, seen)
    wrong = [name for name, before in takeover.leaving.items() if name in split or masters.get(name) in (None, before)]
    if wrong:
        raise AnsibleActionFail(
            f"{listed(wrong, 'and')}: no other director has taken the addresses. See playbooks/status.yml, and journalctl -u lvskit-vrrp on "
            f"{listed(list(dict.fromkeys([*takeover.masters, *takeover.standbys])), 'and')}."
        )
    return [f"{name}: {masters[name]} is master" for name in takeover.leaving]
