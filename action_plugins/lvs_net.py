# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares the probes before and after a run."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import net
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_net.py for its documentation."""

    SPEC = {
        "step": {"type": "str", "choices": ["askers", "before", "after"], "required": True},
        "path": {"type": "str"},
    }

    def act(self, given, task_vars):
        topology, folder, step = self.folder.topology(), self.folder, given["step"]
        if step == "askers":
            askers = net.askers(topology, task_vars["ansible_play_hosts_all"])
            if not askers and topology.services:
                self.say([net.nobody_asks(topology)])
            folder.keep("askers", askers)
        elif step == "before":
            recorded = {name: folder.read(f"recorded/{name}") for name in folder.names("recorded")}
            for name in folder.read("askers", []):
                folder.keep(f"ask-before/{name}", net.before(topology, name, recorded, given["path"]))
        else:
            for name in folder.names("answered-before"):
                answers = folder.read(f"answered-before/{name}")
                folder.keep(f"ask-after/{name}", net.after(topology, name, answers, given["path"]))
        return {"askers": folder.read("askers", [])}
