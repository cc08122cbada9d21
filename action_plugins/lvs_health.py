# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores what health checks have found on a director."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_health.py for its documentation."""

    def act(self, given, task_vars):
        found = self.module("lvs_health", {}, task_vars)
        if found.get("failed") or found.get("unreachable"):
            return found
        self.folder.keep(f"health/{task_vars['inventory_hostname']}", found)
        return {"changed": False, "governed": found["governed"], "checker": found["checker"]}
