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
        "leaving": {"type": "bool", "default": False},
    }

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        given_up = f"given_up/{host}"
        if given["groups"]:
            led = self.folder.read(f"seen/{host}").elections
            groups = [name for name in given["groups"] if name in led and led[name] == (given["role"] == "backup")]
        elif given["role"] == "backup":
            groups = self._left(host) if given["leaving"] else self._led(host)
        else:
            staying = {router.group for router in self.folder.plan(host).routers}
            groups = [name for name in self.folder.read(given_up, default=[]) if name in staying]
        if not groups:
            return {"changed": False, "groups": []}
        found = self.module("lvs_election", {"role": given["role"], "groups": groups}, task_vars)
        if given["role"] == "backup" and not found.get("failed"):
            self.folder.keep(given_up, found["groups"])
        return found

    def _standbys(self, host):
        """The groups of which the host is master, each with the other directors that take part in its election."""
        seen = {name: self.folder.read(f"seen/{name}") for name in self.folder.names("seen")}
        led = [name for name, master in seen[host].elections.items() if master] if host in seen else []
        return {name: [one for one, own in seen.items() if one != host and name in own.elections] for name in led}

    def _left(self, host):
        """The groups of which the host is master, and whose election it leaves with this run, while another director goes on with them."""
        staying = {router.group for router in self.folder.plan(host).routers}
        return [
            name
            for name, standbys in self._standbys(host).items()
            if name not in staying and any(not self.folder.plan(one).empty for one in standbys)
        ]

    def _led(self, host):
        """The groups of which the host is master. Raises AnsibleActionFail if nobody is known to stand by for one."""
        led = self._standbys(host)
        for name, standbys in led.items():
            if not standbys:
                raise AnsibleActionFail(
                    f"{host} is master of {name}, and no other director in this run can take over. Run without --limit, or without "
                    "lvs_handover. It was not changed."
                )
        return list(led)
