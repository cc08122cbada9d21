# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the run that the hosts go back to."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import rollback, stages
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_choose.py for its documentation."""

    SPEC = {"to": {"type": "str"}}

    def act(self, given, task_vars):
        stages.refuse_without_directors(task_vars)
        kept = {name: self.folder.read(f"kept/{name}") for name in self.folder.names("kept")}
        undone = self.folder.read("run")["run"] if self.folder.read("lost") else None
        chosen = rollback.choose(kept, given["to"], undone)
        self.folder.keep("rollback", chosen.as_arguments())
        self.say([str(chosen)])
        return {"to": chosen.to, "environment": True}
