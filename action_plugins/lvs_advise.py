# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports which modes would carry a service, and why the others would not."""

from __future__ import annotations

import time
from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs import advice, reader
from ansible.module_utils.lvs_controller import environment
from ansible.module_utils.lvs_controller.action import EnvironmentAction

INTERVAL = 5  # seconds between two lines that tell how far it is


def with_progress(services, show, now=time.monotonic):
    """Each of the services; calls `show` with a line that says how many are done, at most every INTERVAL seconds."""
    shown = now()
    for done, service in enumerate(services):
        if now() - shown >= INTERVAL:
            shown = now()
            show(f"advise: {done} of {len(services)} services")
        yield service


class ActionModule(EnvironmentAction):
    """See library/lvs_advise.py for its documentation."""

    SPEC = {"only": {"type": "list", "elements": "str", "default": []}, "needs": {"type": "raw", "default": {}}}

    def act(self, given, task_vars):
        needs = given["needs"]
        if not isinstance(needs, dict):
            raise AnsibleActionFail(
                f"lvs_advise_needs is {reader.described(needs)}, it must be a mapping: "
                '-e \'{"lvs_advise_needs": {"client_address": true}}\''
            )
        _, services, _ = environment.common(task_vars)
        if isinstance(services, list):
            services = [advice.needing(raw, needs) for raw in services]
        topology = environment.readable(task_vars, services)
        names = [str(raw.get("name")) for raw in services]
        for name in given["only"]:
            if name not in names:
                raise AnsibleActionFail(f"there is no service {name}: {reader.nearest(name, names)}")
        lines = [] if services else ["lvs_services is an empty list: add a service to advise on."]
        options = {}
        chosen = [raw for raw in services if not given["only"] or raw.get("name") in given["only"]]
        for raw in with_progress(chosen, self._display.display):
            found = advice.options(raw, topology)
            lines += [*advice.report(raw, found), ""]
            options[str(raw.get("name"))] = [option.as_dict() for option in found]
        self.say(lines)
        return {"options": options}
