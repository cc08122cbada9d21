# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets weights of real servers on a director."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import weights
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_weight.py for its documentation."""

    SPEC = {
        "hosts": {"type": "list", "elements": "str", "required": True},
        "weight": {"type": "str", "required": True},
        "services": {"type": "list", "elements": "str", "default": []},
        "duration": {"type": "str"},
        "reason": {"type": "str", "default": ""},
    }

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        servers = weights.servers(self.folder.topology(), host, given["hosts"], given["services"])
        if not servers:
            return {"skipped": True, "skip_reason": f"{host} sends nothing to {', '.join(given['hosts'])}"}
        arguments = {
            "servers": servers,
            "weight": weights.weight(given["weight"]),
            "seconds": weights.seconds(given["duration"]),
            "services": given["services"],
            "reason": given["reason"],
        }
        found = self.module(
            "lvs_weights", {key: value for key, value in arguments.items() if value is not None}, task_vars
        )
        if found.get("failed") or self._task.check_mode:
            return found
        if not found["written"]:
            raise AnsibleActionFail(
                f"{host} has stored the weights, and its governor has not written them within some seconds. See: journalctl -u "
                "lvskit-governor, and playbooks/status.yml"
            )
        return {"changed": found["changed"], "servers": servers}
