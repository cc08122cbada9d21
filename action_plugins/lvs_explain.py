# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the page that explains an environment."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, explanation, verification


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_explain.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "only"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        topology, warnings = environment.read(task_vars, given["networks"], given["services"])
        only = [str(name) for name in given.get("only", ())]
        verification.named(topology, only)
        folder = Path(str(task_vars.get("inventory_dir") or "."))
        page = explanation.explain(topology, warnings, only, folder.name, environment.revision(str(folder)))
        result["page"] = page.html()
        return result
