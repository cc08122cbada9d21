# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a client ask each service once."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import net
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_ask.py for its documentation."""

    SPEC = {
        "time": {"type": "str", "choices": ["before", "after"], "required": True},
        "path": {"type": "str", "default": "/"},
    }

    def act(self, given, task_vars):
        if given["time"] == "after" and self.folder.read("asked/before") is None:
            return {"skipped": True, "skip_reason": "nobody was asked before the run"}
        requests = net.requests(self.folder.topology())
        found = self.module("lvs_probe", {"requests": requests, "path": given["path"]}, task_vars)
        if found.get("failed"):
            return found
        self.folder.keep(f"asked/{given['time']}", found["connections"])
        return {"changed": False, "asked": len(requests)}
