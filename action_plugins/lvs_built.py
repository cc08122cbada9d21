# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the kernel modules that are built for a host."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_built.py for its documentation."""

    def act(self, given, task_vars):
        by_source = {}
        for module in self.folder.plan(task_vars["inventory_hostname"]).built_modules:
            by_source.setdefault(module.source, []).append(module)
        sources = [
            {
                "source": source,
                "modules": [module.name for module in modules],
                "make_arguments": list(dict.fromkeys(word for module in modules for word in module.make_arguments)),
            }
            for source, modules in by_source.items()
        ]
        return {"sources": sources}
