# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the run if a director that has changed could not serve as the master of its group."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import takeover
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_ready.py for its documentation."""

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        plan = self.folder.plan(host)
        seen = {name: self.folder.read(f"seen/{name}") for name in self.folder.names("seen")}
        question = takeover.question(plan, seen, changed=self.folder.read(f"applied/{host}").changed)
        if question is None or self._task.check_mode:
            return {"changed": False}
        found = self.module("lvs_ready", question, task_vars)
        if not found.get("failed"):
            fault = takeover.unready(host, found)
            if fault:
                raise AnsibleActionFail(fault)
        return found
