# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what each host is to be asked about itself, for the module lvs_inspect."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, inspection, verification


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_questions.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "only"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        topology, _ = environment.read(task_vars, given["networks"], given["services"])
        services = verification.named(topology, [str(name) for name in given.get("only", ())])
        asked = inspection.asked(topology, inspection.hosts(topology), services)
        result["asked"] = {name: questions.as_arguments() for name, questions in asked.items()}
        return result
