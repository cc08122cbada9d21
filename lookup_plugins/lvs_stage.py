# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of one step of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lvs_stage
short_description: Hosts of one step of a run
version_added: "1.0.0"
description:
  - Names the hosts that take part in a step of this run, for C(hosts) of a play or for a condition.
  - The steps are known once M(lvs_compile) has run. Before that (C(--list-hosts), C(--syntax-check)) the result is the groups that the step
    can concern.
options:
  _terms:
    description:
      - C(environment), all hosts; an inventory without hosts is refused.
      - C(prepare), real servers and hosts in front of them that get what they need before directors change.
      - C(directors), in the order in which they change; C(director_batches), how many at a time.
      - C(drained), real servers that the inventory says are drained; they may be dead.
      - C(clean), hosts that have something to lose, once every director has changed.
      - C(clear), hosts that keep nothing of lvskit's.
      - C(build), hosts with kernel modules of lvskit's own.
      - C(rollback), hosts that go back to an earlier run.
      - C(masters) and C(standbys), the directors of a takeover on purpose; C(electing), both.
      - C(watchers), hosts that take part in a verification or a trace.
      - C(recorded), directors that are asked which services they carry before the run; C(ask), clients that ask services before and
        after it; C(second_opinion), directors that ask the real servers of services which may be lost.
    type: list
    elements: str
    required: true
author: lvskit
"""

EXAMPLES = r"""
- name: Prepare the real servers
  hosts: "{{ query('lvs_stage', 'prepare') }}"
"""

RETURN = r"""
_raw:
  description: Names of hosts or groups, or numbers of hosts; a pattern that matches no host where there is none.
  type: list
  elements: str
"""

from pathlib import Path

import ansible.module_utils
from ansible import context
from ansible.plugins.lookup import LookupBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import stages


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        limited = "ansible_limit" in variables
        groups = dict(variables.get("groups", {}))
        if context.CLIARGS.get("syntax") and not groups.get("all"):
            groups.pop("all", None)  # --syntax-check needs no inventory
        return [name for term in terms for name in stages.hosts(str(term), groups, limited=limited)]
