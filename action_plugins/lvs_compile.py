# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates the whole environment on the controller, and compiles each host's plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs import rolling
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_controller import compilation
from ansible.module_utils.lvs_controller.action import EnvironmentAction

NAMES = {"type": "list", "elements": "str", "default": []}


class ActionModule(EnvironmentAction):
    """See library/lvs_compile.py for its documentation."""

    SPEC = {
        "drained": NAMES,
        "undrained": NAMES,
        "without_hosts": NAMES,
        "without_services": NAMES,
        "recorded": {"type": "bool", "default": False},
    }

    def act(self, given, task_vars):
        again = given.pop("recorded")
        recorded = self.drained() if again else {}
        seen = {name: self.folder.read(f"seen/{name}") for name in self.folder.names("seen")} if again else {}
        elects = any(own.elections for own in seen.values()) or (again and self.folder.read("elects", default=False))
        if again and not recorded and not given["undrained"] and not elects:
            return {"changed": False}
        said = self.folder.read("warnings", ()) if again else ()
        compiled = compilation.compile_run(self.folder, task_vars, Changes(**given, recorded=recorded), seen)
        for group, names in rolling.rivals(compiled.topology, seen).items():
            self._display.warning(
                f"{listed(names, 'and')} are master of {group} at the same time: clients reach the one that answered last. They hear no adverts of "
                "each other: check the network between them, and journalctl -u lvskit-vrrp."
            )
        self.warn(warning for warning in compiled.warnings if replace(warning, at=None) not in said)
        return compiled.as_dict()

    def drained(self):
        """The real servers that any director has recorded as drained, each with the earliest time."""
        found = {}
        for director in self.folder.names("drained"):
            for name, since in self.folder.read(f"drained/{director}").items():
                found[name] = min(since, found.get(name, since))
        return found
