# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the directors of a takeover on purpose, and sees whether it has happened."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_controller import takeover
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_failover.py for its documentation."""

    SPEC = {
        "step": {"type": "str", "required": True, "choices": ["choose", "confirm"]},
        "groups": {"type": "list", "elements": "str", "default": []},
    }

    def act(self, given, task_vars):
        topology = self.folder.topology()
        seen = {name: self.folder.read(f"seen/{name}") for name in self.folder.names("seen")}
        if given["step"] == "choose":
            chosen = takeover.planned(topology, seen, given["groups"])
            self.folder.keep("takeover", chosen)
            if not chosen.leaving:
                self.say([f"{listed(given['groups'], 'and')} is master of no group: no addresses have to move."])
            return {
                "changed": False,
                "groups": list(chosen.leaving),
                "masters": list(chosen.masters),
                "standbys": list(chosen.standbys),
            }
        if not self._task.check_mode:
            self.say(takeover.confirmed(topology, seen, self.folder.read("takeover")))
        return {"changed": False}
