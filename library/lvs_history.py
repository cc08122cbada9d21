#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the earlier runs whose plans a host has stored."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_history
short_description: List the runs that changed a host
version_added: "1.0.0"
description:
  - Lists the runs whose plans lvs_state has stored on this host. The option I(to) of lvs_state goes back to one of them.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: List the runs that changed this host
  lvs_history:
"""

RETURN = r"""
runs:
  description: The revision of the inventory at each run's time.
  returned: always
  type: dict
  sample: {"2026-03-01T03:00:00Z": "4f1c2ab"}
since:
  description: The first run after which the host's plan is known; empty if none is.
  returned: always
  type: str
  sample: "2026-02-01T03:00:00Z"
unreadable:
  description: The runs whose files are damaged or were written by a newer lvskit, each with the fault and the remedy.
  returned: always
  type: dict
  sample: {}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import errors, history

ARGUMENTS = {}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        kept, unreadable = history.readable(), history.unreadable()
    runs = {run: entry["revision"] for run, entry in kept.items() if run != history.BEGINNING}
    module.exit_json(changed=False, runs=runs, since=next(iter(kept), ""), unreadable=unreadable)


if __name__ == "__main__":
    main()
