# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the checks of each host, for the action lvs_look."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, inspection
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_questions.py for its documentation."""

    SPEC = {"only": {"type": "list", "elements": "str", "default": []}}

    def act(self, given, task_vars):
        topology = self.folder.topology()
        services = environment.named(topology, given["only"])
        asked = inspection.asked(topology, inspection.hosts(topology), services)
        for name, questions in asked.items():
            self.folder.keep(f"questions/{name}", questions)
        return {"hosts": len(asked)}
