#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what health checks have found on a director, and what follows from it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_health
short_description: Read the health of real servers on a director
version_added: "0.3.0"
description:
  - Reads the governor's decisions, the weights that operators have set, the weights in the kernel's table, and the last message of
    each check in the journal. Changes nothing.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Read the health of real servers
  lvs_health:
"""

RETURN = r"""
governed: {description: Whether the director has health checks., returned: success, type: bool}
silent: {description: Seconds since the governor's last sign of life; none if it has not given any., returned: success, type: float}
checker: {description: Whether keepalived's verdicts count; C(fine) or the reason., returned: success, type: str}
services: {description: The governor's decisions by service and family., returned: success, type: dict}
overrides: {description: The weights that operators have set by host., returned: success, type: dict}
weights: {description: The weight of each real server of each virtual service in the kernel., returned: success, type: dict}
answers: {description: keepalived's last message about each real server., returned: success, type: dict}
elections: {description: "The groups in whose elections it takes part, each with whether it is the master.", returned: success, type: dict}
resigned: {description: "The groups that it has handed over, and takes only when no other director has them.", returned: success, type: list, elements: str}
connections: {description: "The connections in the kernel's table, also those that other directors have told of.", returned: success, type: int}
daemons: {description: "The IPVS sync daemons that run, C(master) and C(backup).", returned: success, type: list, elements: str}
kept: {description: "What the keeper has put back of the host's state or could not, by kind.", returned: success, type: dict}
now: {description: The time on the host., returned: success, type: float}
"""

import dataclasses
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import decisions, election, errors, files, handover, ipvs, journal, kinds, programs

ARGUMENTS = {}
UNIT = "lvskit-health.service"
LINES = 5000  # of the journal
_REAL_SERVER = re.compile(r"\[[0-9a-f.:]+\]:(?:tcp|udp|sctp):\d+")
_TIME = re.compile(r"^\w{3} \w{3} +\d+ [\d:]{8} \d{4}: ")
# Not an answer of a real server, but what keepalived makes of it.
_CONSEQUENCES = (
    "Enabling service",
    "Disabling service",
    "Gained quorum",
    "Lost quorum",
    "Activating",
    "Removing service",
    "Adding service",
)


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        result = found(programs.run, time.time())
    module.exit_json(changed=False, **result)


def found(run, now):
    decided = decisions.read()
    table = files.read(ipvs.TABLE, "") or ""
    elections = election.parts(files.read(kinds.VRRP.path, "") or "", run)
    return {
        "elections": elections,
        "resigned": handover.resigned(elections),
        "connections": connections(table),
        "daemons": daemons(run) if elections else [],
        "governed": files.read(kinds.HEALTH_PLAN.path, "") is not None,
        "silent": decisions.silence(now),
        "checker": decided.checker,
        "services": {key: state.as_dict() for key, state in decided.states.items()},
        "overrides": {name: dataclasses.asdict(own) for name, own in decisions.overrides().items()},
        "weights": weights(table),
        "answers": answers(messages(run)),
        "kept": journal.kept(),
        "now": now,
    }


def weights(text):
    """The weights in /proc/net/ip_vs."""
    by_service = {}
    for key, real, words in ipvs.listed(text):
        by_service.setdefault(" ".join(key), {})[real] = int(words[3])
    return by_service


def connections(text):
    """The open and closing connections in /proc/net/ip_vs."""
    lines = (line.split() for line in text.splitlines())
    return sum(int(words[4]) + int(words[5]) for words in lines if words[0] == "->" and words[4].isdigit())


def daemons(run):
    """`master sync daemon (mcast=eth1, syncid=51, …)` in each line."""
    code, out, _ = run(["ipvsadm", "-L", "--daemon"], None)
    return [] if code else [line.split()[0] for line in out.splitlines() if "sync daemon" in line]


def messages(run):
    code, out, _ = run(["journalctl", "--unit", UNIT, "--output", "cat", "--no-pager", "--lines", str(LINES)], None)
    return "" if code else out


def answers(text):
    """The last message about each real server, as keepalived names it: `[192.0.2.11]:tcp:80`."""
    last = {}
    for line in text.splitlines():
        message = _TIME.sub("", line)
        real = _REAL_SERVER.search(message)
        if real and not message.startswith(_CONSEQUENCES):
            last[real[0]] = message
    return last


if __name__ == "__main__":
    main()
