# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes an HTML page of an environment."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, explanation
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_explain.py for its documentation."""

    SPEC = {"only": {"type": "list", "elements": "str", "default": []}, "to": {"type": "path", "required": True}}

    def act(self, given, task_vars):
        topology = self.folder.topology()
        environment.named(topology, given["only"])
        folder = Path(str(task_vars.get("inventory_dir") or "."))
        revision = self.folder.read("run")["revision"]
        sources = [Path(source) for source in task_vars.get("ansible_inventory_sources") or ()]
        here = Path.cwd()
        named = [source.relative_to(here) if source.is_relative_to(here) else source for source in sources]
        page = explanation.explain(
            topology,
            self.folder.read("warnings"),
            given["only"],
            folder.name,
            revision,
            date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            given=" ".join(f"-i {source}" for source in named),
        )
        return self.write(given["to"], page.html())
