# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores what a director has before the run: virtual services, drained real servers, and its part in elections."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs.rolling import Seen
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_recorded.py for its documentation."""

    def act(self, given, task_vars):
        found = self.module("lvs_recorded", {}, task_vars)
        services = found.get("services")
        if services is None:
            return found
        host = task_vars["inventory_hostname"]
        self.folder.keep(f"recorded/{host}", frozenset(services))
        self.folder.keep(f"drained/{host}", found["drained"])
        self.folder.keep(f"seen/{host}", Seen(bool(services), found["elections"], frozenset(found["passing"])))
        return {"changed": False, "services": len(services), "drained": found["drained"]}
