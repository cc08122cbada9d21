# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the requests of this run from a host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_ask.py for its documentation."""

    SPEC = {"questions": {"type": "str", "required": True}}

    def act(self, given, task_vars):
        host, name = task_vars["inventory_hostname"], given["questions"]
        questions = self.folder.read(f"ask-{name}/{host}")
        if not questions or not questions["requests"]:
            return {"skipped": True, "skip_reason": f"there is nothing that {host} has to ask"}
        found = self.module("lvs_probe", questions, task_vars)
        if found.get("failed") or found.get("unreachable"):
            return found
        self.folder.keep(f"answered-{name}/{host}", found)
        answered = {one["service"] for one in found["connections"] if not one["error"]}
        return {"changed": False, "asked": len(questions["requests"]), "answered": len(answered)}
