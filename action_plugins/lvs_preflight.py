# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what hosts have against what the inventory says of them."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, inspection, verification


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_preflight.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "only", "answers"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        topology, _ = environment.read(task_vars, given["networks"], given["services"])
        services = verification.named(topology, [str(name) for name in given.get("only", ())])
        asked = inspection.asked(topology, inspection.hosts(topology), services)
        asked = {name: questions for name, questions in asked.items() if name in given["answers"]}
        found = inspection.wrong(topology, asked, given["answers"])
        faults = [finding for finding in found if not finding.risk]
        result.update(findings=[finding.as_dict() for finding in found], faults=[str(finding) for finding in faults])
        numbers = f"{_number(len(faults), 'fault')}, {_number(len(found) - len(faults), 'risk')}"
        summary = f"{_number(len(asked), 'host')}: {numbers}. Nothing was changed."
        self._display.display("\n".join(["", *inspection.lines(found), summary, ""]))
        return result


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
