# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates the whole environment on the controller, and compiles each host's plan."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs import plan
from ansible.module_utils.lvs_controller import environment


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_validate.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(
            argument_spec={
                "networks": {"type": "raw", "required": True},
                "services": {"type": "raw", "required": True},
            }
        )
        given = self._task.args
        topology, warnings = environment.read(task_vars, given["networks"], given["services"])
        for warning in warnings:
            self._display.warning(environment.described(warning))
        result["services"] = [topology.summary(service) for service in topology.services]
        result["plans"] = {name: host.as_dict() for name, host in plan.plans(topology).items()}
        return result
