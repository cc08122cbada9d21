# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a host which version of the kernel modules it is to have."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import sources


class ActionModule(ActionBase):
    """See library/lvs_built_modules.py for its documentation."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        packed = sources.pack(str(arguments.pop("source")), list(arguments.get("make_arguments", [])))
        arguments["version"] = packed.version
        if arguments.get("method") == "dkms":
            arguments["archive"] = packed.archive
        result.update(self._execute_module("lvs_built_modules", arguments, task_vars=task_vars))
        return result
