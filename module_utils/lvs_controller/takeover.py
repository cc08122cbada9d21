"""A takeover on purpose: who gives the addresses of which groups to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import rolling
from ansible.module_utils.lvs.reader import nearest
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.violations import listed


@dataclass(frozen=True)
class Takeover:
    """`masters` give up the addresses of `groups`, `standbys` are the directors that can take them."""

    groups: tuple[str, ...]
    masters: tuple[str, ...]
    standbys: tuple[str, ...]


def planned(topology: Topology, seen: Mapping[str, rolling.Seen], groups: Sequence[str]) -> Takeover:
    """The takeover of these groups. Raises AnsibleActionFail where it is not possible now; then nothing has changed."""
    known = topology.director_groups
    unknown = [name for name in groups if name not in known]
    if unknown or not groups:
        what = f"there is no group {unknown[0]}: {nearest(unknown[0], known)}" if unknown else "no group is named"
        raise AnsibleActionFail(
            f"{what}. Set -e lvs_failover=GROUP, a group of lvs_directors{_of(list(known))}. Nothing was changed."
        )
    masters = rolling.masters(topology, seen)
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
            why = f"{listed(split[name], 'and')} are all master. Restore the network between them first"
        elif name not in masters:
            why = "none of its directors is master. See journalctl -u lvskit-vrrp there"
        else:
            continue
        raise AnsibleActionFail(f"{name} cannot be taken over: {why}. Nothing was changed.")
    leaving = tuple(dict.fromkeys(masters[name] for name in groups))
    also = [name for name, master in masters.items() if master in leaving and name not in groups]
    if also:
        raise AnsibleActionFail(
            f"{listed(list(leaving), 'and')} is master of {listed(also, 'and')}, too, and one process elects for all of its groups. Name them "
            f"as well: -e lvs_failover={','.join([*groups, *also])}. Nothing was changed."
        )
    standbys = dict.fromkeys(one for name in groups for one in known[name].names if one not in leaving)
    return Takeover(tuple(groups), leaving, tuple(standbys))


def confirmed(topology: Topology, seen: Mapping[str, rolling.Seen], takeover: Takeover) -> list[str]:
    """Who is master now, as sentences. Raises AnsibleActionFail if a group has no other master than before."""
    masters, split = rolling.masters(topology, seen), rolling.rivals(topology, seen)
    wrong = [name for name in takeover.groups if name in split or masters.get(name) in (None, *takeover.masters)]
    if wrong:
        raise AnsibleActionFail(
            f"{listed(wrong, 'and')}: no other director has taken the addresses. See playbooks/status.yml, and journalctl -u lvskit-vrrp on "
            f"{listed([*takeover.masters, *takeover.standbys], 'and')}."
        )
    return [f"{name}: {masters[name]} is master" for name in takeover.groups]


def _of(names: Sequence[str]) -> str:
    return f" ({listed(list(names), 'or')})" if names else " (the inventory has none)"
