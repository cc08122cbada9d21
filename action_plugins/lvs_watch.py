# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures the packets of one batch of services on a host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_watch.py for its documentation."""

    SPEC = {
        "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
        "batch": {"type": "int", "default": 0},
        "skip_missing": {"type": "bool", "default": False},
    }

    def act(self, given, task_vars):
        host, batch = task_vars["inventory_hostname"], given["batch"]
        capture = self.folder.read(f"capture-{batch}/{host}")
        if capture is None:
            return {"skipped": True, "skip_reason": f"{host} meets no packet of these services"}
        arguments = {**capture.as_arguments(), "state": given["state"], "skip_missing": given["skip_missing"]}
        found = self.module("lvs_capture", arguments, task_vars)
        if given["state"] == "stopped" and not found.get("failed"):
            self.folder.keep(f"captured-{batch}/{host}", found)
            return {"changed": False, "interfaces": list(found["captures"])}
        return found
