# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates an environment."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_validate.py for its documentation."""

    SPEC = {"to": {"type": "path"}}

    def act(self, given, task_vars):
        topology, violations = environment.examined(task_vars)
        if given["to"]:
            environment.write(violations, given["to"])
        environment.refuse(violations)
        self.warn(violations)
        self.say(environment.summary(topology))
        return {"services": [topology.summary(service) for service in topology.services], "environment": True}
