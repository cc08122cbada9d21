# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a director give up the addresses of groups, or stand for them again."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_election.py for its documentation."""

    SPEC = {
        "role": {"type": "str", "required": True, "choices": ["backup", "candidate"]},
        "groups": {"type": "list", "elements": "str", "default": []},
    }

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        given_up = f"given_up/{host}"
        if given["groups"]:
            led = self.folder.read(f"seen/{host}").elections
            groups = [name for name in given["groups"] if name in led and led[name] == (given["role"] == "backup")]
        elif given["role"] == "backup":
            groups = self._led(host)
        else:
            staying = {router.group for router in self.folder.plan(host).routers}
            groups = [name for name in self.folder.read(given_up, default=[]) if name in staying]
        if not groups:
            return {"changed": False, "groups": []}
        found = self.module("lvs_election", {"role": given["role"], "groups": groups}, task_vars)
        if given["role"] == "backup" and not found.get("failed"):
            self.folder.keep(given_up, found["groups"])
        return found

    def _led(self, host):
        """The groups of which the host is master. Raises AnsibleActionFail if nobody is known to stand by for one."""
        seen = {name: self.folder.read(f"seen/{name}") for name in self.folder.names("seen")}
        led = [name for name, master in seen[host].elections.items() if master] if host in seen else []
        for name in led:
            if not any(name in own.elections for director, own in seen.items() if director != host):
                raise AnsibleActionFail(
                    f"{host} is master of {name}, and no other director in this run can take over. Run without --limit, or without "
                    "lvs_handover. It was not changed."
                )
        return led
