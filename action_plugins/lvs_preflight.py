# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the state of hosts with the inventory."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import inspection
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_preflight.py for its documentation."""

    SPEC = {"hosts": {"type": "list", "elements": "str", "required": True}}

    def act(self, given, task_vars):
        asked = {name: self.folder.read(f"questions/{name}") for name in self.folder.names("questions")}
        asked = {name: questions for name, questions in asked.items() if name in given["hosts"]}
        answers = {name: self.folder.read(f"answers/{name}", {}) for name in asked}
        found = inspection.wrong(self.folder.topology(), asked, answers)
        faults = [finding for finding in found if not finding.risk]
        numbers = f"{_number(len(faults), 'fault')}, {_number(len(found) - len(faults), 'risk')}"
        self.say([*inspection.lines(found), f"{_number(len(asked), 'host')}: {numbers}. Nothing was changed."])
        return {"findings": [finding.as_dict() for finding in found], "faults": [str(finding) for finding in faults]}


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
