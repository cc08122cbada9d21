# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds kernel modules, or takes them from the controller's cache."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import sources
from ansible.module_utils.lvs_controller.action import ControllerAction


class ActionModule(ControllerAction):
    """See library/lvs_build.py for its documentation."""

    SPEC = None

    def act(self, given, task_vars):
        arguments = dict(given)
        packed = sources.pack(str(arguments.pop("source")), list(arguments.get("make_arguments", [])))
        kept = sources.Kept(str(arguments["kernel"]), packed.version, str(arguments.get("signing_certificate", "")))
        binaries = kept.read(arguments["modules"])
        if binaries:
            return {"changed": False, "binaries": binaries}
        arguments.update(version=packed.version, archive=packed.archive)
        built = self.module("lvs_build", arguments, task_vars)
        if built.get("binaries"):
            kept.write(built["binaries"])
        return built
