#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until a director that others may follow reaches real servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_ready
short_description: Wait until a director could serve as the master
version_added: "0.3.0"
description:
  - A director of a group must run its election, and its health checks must pass for a real server of each service for which they passed before the
    change on any director of the group. Otherwise the task fails, and the directors behind it stay as they are.
  - After a change it waits first for the longest time in which a check notices a fault.
  - A director without a partner is not asked.
options:
  services: {description: "Services with their families, as C(web 4).", type: list, elements: str, default: []}
  settle: {description: Seconds to wait before the answer counts., type: float, default: 0}
  patience: {description: Seconds after these in which checks may begin to pass., type: float, default: 30}
attributes:
  check_mode: {support: full, description: Changes nothing. The action plugin does not ask a host in check mode.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Check that the director could be master
  lvs_ready:
"""

RETURN = r"""
unserved: {description: The services of which no real server passes., returned: success, type: list, elements: str, sample: []}
electing: {description: Whether keepalived takes part in the elections., returned: success, type: bool}
checker: {description: "Why verdicts do not count, or C(fine).", returned: success, type: str}
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import decisions, errors, programs, verdicts

ARGUMENTS = {
    "services": {"type": "list", "elements": "str", "default": []},
    "settle": {"type": "float", "default": 0},
    "patience": {"type": "float", "default": 30},
}
UNIT = "lvskit-vrrp.service"


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        found = wait(module.params, programs.run)
    module.exit_json(changed=False, **found)


def wait(given, run, clock=time.monotonic, sleep=time.sleep):
    """What is found when nothing is missing, or when the time is over."""
    sleep(given["settle"])
    until = clock() + given["patience"]
    while True:
        found = look(given["services"], run)
        if ready(found) or clock() >= until:
            return found
        sleep(1)


def ready(found):
    return found["electing"] and not found["unserved"] and found["checker"] == verdicts.FINE


def look(services, run):
    code, _, _ = run(["systemctl", "is-active", "--quiet", UNIT], None)
    decided = decisions.read()
    return {
        "electing": not code,
        "unserved": [key for key in services if key not in decided.passing()],
        "checker": checker(decided) if services else verdicts.FINE,
    }


def checker(decided):
    silent = decisions.silence(time.time())
    if silent is None or silent > verdicts.STALE:
        return "the governor does not run"
    return decided.checker


if __name__ == "__main__":
    main()
