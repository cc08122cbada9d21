# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores the list of runs that a host can go back to."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_kept.py for its documentation."""

    def act(self, given, task_vars):
        found = self.module("lvs_history", {}, task_vars)
        if not found.get("failed"):
            self.folder.keep(f"kept/{task_vars['inventory_hostname']}", found)
        return found
