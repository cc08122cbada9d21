#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a director give up the addresses of groups, or stand for them again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_election
short_description: Give up the addresses of a group of directors, or stand for them again
version_added: "0.3.0"
description:
  - With C(role=backup) a master gives up the addresses, and another director of the group takes them at once. keepalived goes on. The director
    then takes them again only when no other one has them, until C(role=candidate) or the next boot. Where it is not master, nothing changes.
  - It fails if no other director takes the addresses within some seconds; the director then has them again.
  - With C(role=candidate) it stands in the election with its planned priority. Where the group has C(preempt), it may take the addresses back.
options:
  role: {description: What to be., type: str, required: true, choices: [backup, candidate]}
  groups:
    description:
      - Groups of C(lvs_directors). C(backup) concerns those of which the director is master when the run begins, C(candidate) the others in which
        it takes part.
      - Without them, C(backup) gives up all groups of which the director is master, and refuses a group without a known standby; C(candidate) stands
        for those that this run has given up.
    type: list
    elements: str
    default: []
  leaving:
    description:
      - C(backup) without C(groups) concerns only those whose elections the director leaves with this run, while another director goes on with them.
    type: bool
    default: false
attributes:
  check_mode: {support: full, description: Changes nothing.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Let the other director take the addresses
  lvs_election: {role: backup, groups: [edge]}
"""

RETURN = r"""
groups: {description: The groups for which something has changed., returned: success, type: list, elements: str, sample: [edge]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import election, errors, files, handover, kinds, programs
from ansible.module_utils.lvs_host.resource import REMEDY, HostError

ARGUMENTS = {
    "role": {"type": "str", "required": True, "choices": ["backup", "candidate"]},
    "groups": {"type": "list", "elements": "str", "default": []},
    "leaving": {"type": "bool", "default": False},  # the action plugin's: it names the groups
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        groups = stand(module.params, programs.run, check=module.check_mode)
    module.exit_json(changed=bool(groups), groups=groups)


def stand(given, run, *, check, give_up=handover.give_up):
    text = files.read(kinds.VRRP.path, REMEDY) or ""
    known = election.instances(text)
    unknown = [name for name in given["groups"] if name not in known]
    if unknown:
        raise HostError(f"this host takes part in no election of {', '.join(unknown)}. Run playbooks/site.yml first")
    if given["role"] == "candidate":
        return handover.resigned(given["groups"]) if check else handover.stand_again(given["groups"])
    masters = election.parts(text, run)
    own = {name: known[name] for name in given["groups"] if masters[name]}
    if own and not check:
        give_up(own)
    return list(own)


if __name__ == "__main__":
    main()
