# SPDX-License-Identifier: GPL-3.0-or-later
"""Has kernel modules built, or takes them from the controller's cache."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import sources


class ActionModule(ActionBase):
    """See library/lvs_build.py for its documentation."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        packed = sources.pack(str(arguments.pop("source")), list(arguments.get("make_arguments", [])))
        kept = sources.Kept(str(arguments["kernel"]), packed.version, str(arguments.get("signing_certificate", "")))
        binaries = kept.read(arguments["modules"])
        if binaries:
            result.update(changed=False, binaries=binaries)
            return result
        arguments.update(version=packed.version, archive=packed.archive)
        result.update(self._execute_module("lvs_build", arguments, task_vars=task_vars))
        if result.get("binaries"):
            kept.write(result["binaries"])
        return result
