# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares captured packets with predicted ones."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import comparison
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_compare.py for its documentation."""

    SPEC = {"peers": {"type": "bool", "default": False}}

    def act(self, given, task_vars):
        found = comparison.compared(self.folder, peers=given["peers"])
        self.say(found.lines())
        if found.failures():
            raise AnsibleActionFail("\n".join(found.failures()))
        return {"report": found.lines()}
