# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a version of the kernel modules on a host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import sources
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_built_modules.py for its documentation."""

    SPEC = None

    def act(self, given, task_vars):
        arguments = dict(given)
        packed = sources.pack(str(arguments.pop("source")), list(arguments.get("make_arguments", [])))
        arguments["version"] = packed.version
        if arguments.get("method") == "dkms":
            arguments["archive"] = packed.archive
        return self.module("lvs_built_modules", arguments, task_vars)
