# SPDX-License-Identifier: GPL-3.0-or-later
"""Inspects a host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleConnectionFailure

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_look.py for its documentation."""

    SPEC = {"only_counters": {"type": "bool", "default": False}, "keep_as": {"type": "str", "default": "answers"}}

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        questions = self.folder.read(f"questions/{host}")
        if questions is None:
            return {"skipped": True, "skip_reason": f"there is nothing to ask {host}"}
        arguments = {"departures": False} if given["only_counters"] else questions.as_arguments()
        try:
            answer = self.module("lvs_inspect", arguments, task_vars)
        except AnsibleConnectionFailure as error:
            self.folder.keep(f"{given['keep_as']}/{host}", {"unreachable": True, "msg": str(error)})
            raise
        self.folder.keep(f"{given['keep_as']}/{host}", answer)
        return {key: answer[key] for key in ("failed", "msg") if key in answer}
