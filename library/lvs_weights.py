#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets weights of real servers on a director for a time, beside those of the plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_weights
short_description: Set weights of real servers on a director
version_added: "0.3.0"
description:
  - Stores weights that count in place of the planned ones, and waits until the governor has written them into the IPVS table. They
    survive runs and reboots, and end at their time.
  - Works for services with a health check.
options:
  servers: {description: The names of the real servers., type: list, elements: str, required: true}
  weight: {description: The weight; none takes the stored weight back., type: int}
  seconds: {description: For how long; none means until it is taken back., type: int}
  services: {description: The services; none means all., type: list, elements: str, default: []}
  reason: {description: Why., type: str, default: ""}
attributes:
  check_mode: {support: full, description: Changes nothing.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Take rs1 out for half an hour
  lvs_weights:
    servers: [rs1]
    weight: 0
    seconds: 1800
"""

RETURN = r"""
weights: {description: All stored weights by host., returned: success, type: dict}
written: {description: Whether the governor has written them into the table., returned: success, type: bool}
"""

import dataclasses
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import decisions, errors, files, governing, kinds, lock
from ansible.module_utils.lvs_host.errors import HostError

ARGUMENTS = {
    "servers": {"type": "list", "elements": "str", "required": True},
    "weight": {"type": "int"},
    "seconds": {"type": "int"},
    "services": {"type": "list", "elements": "str", "default": []},
    "reason": {"type": "str", "default": ""},
}
PATIENCE = 15  # seconds for the governor


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module), lock.held(check=module.check_mode):
        result = set_weights(module.params, time.time(), check=module.check_mode)
    module.exit_json(**result)


def set_weights(given, now, *, check):
    if files.read(kinds.HEALTH_PLAN.path, "") is None:
        raise HostError(
            "no service of this director has a health check, so no governor runs that would set weights. Say health_check: {type: tcp} "
            "in lvs_services, or change the weight there"
        )
    before = decisions.overrides()
    wanted = {name: own for name, own in before.items() if own.until is None or own.until > now}
    for name in given["servers"]:
        if given["weight"] is None:
            wanted.pop(name, None)
            continue
        until = None if given["seconds"] is None else now + given["seconds"]
        held = before.get(name)
        new = governing.Override(given["weight"], until, tuple(given["services"]), given["reason"], now)
        same = held and (held.weight, held.services, held.reason, held.until) == (
            new.weight,
            new.services,
            new.reason,
            new.until,
        )
        wanted[name] = held if same else new
    changed = wanted != before
    written = True
    if changed and not check:
        decisions.write_overrides(wanted)
        written = _written(given["servers"], given["weight"], set(given["services"]), before)
    return {
        "changed": changed,
        "weights": {name: dataclasses.asdict(own) for name, own in wanted.items()},
        "written": written,
    }


def _written(servers, weight, services, before):
    """Whether the governor's decisions have the weight within some seconds; one that failed its check stays out."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        own = [
            server
            for key, state in decisions.read().states.items()
            for server in state.servers.values()
            if server.name in servers and (not services or key.rpartition(" ")[0] in services)
        ]
        wanted = [(server.planned if weight is None else weight) for server in own]
        if own and all(
            one.weight == to or one.verdict == "failed" or 0 < (one.share or 1) < 1 for one, to in zip(own, wanted)
        ):
            return True
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    main()
