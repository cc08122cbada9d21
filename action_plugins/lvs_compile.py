# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates the whole environment on the controller, and compiles each host's plan."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs_controller import compilation
from ansible.module_utils.lvs_controller.action import EnvironmentAction

NAMES = {"type": "list", "elements": "str", "default": []}


class ActionModule(EnvironmentAction):
    """See library/lvs_compile.py for its documentation."""

    SPEC = {"drained": NAMES, "without_hosts": NAMES, "without_services": NAMES}

    def act(self, given, task_vars):
        compiled = compilation.compile_run(self.folder, task_vars, Changes(**given))
        self.warn(compiled.warnings)
        return compiled.as_dict()
