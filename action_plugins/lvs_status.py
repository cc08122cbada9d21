# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows every service with its real servers."""

from __future__ import annotations

import json
from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, status
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_status.py for its documentation."""

    SPEC = {"only": {"type": "list", "elements": "str", "default": []}, "to": {"type": "path"}}

    def act(self, given, task_vars):
        topology = self.folder.topology()
        services = environment.named(topology, given["only"])
        answers = {name: self.folder.read(f"health/{name}") for name in self.folder.names("health")}
        rows = status.rows(
            services, {name: self.folder.plan(name) for name in answers}, answers, self.folder.read("left_out", {})
        )
        groups = {service.group.name: service.group for service in services if service.group}
        parts = status.elections(groups, answers)
        troubles = [*status.troubles_of_elections(groups, answers), *status.troubles(services, answers)]
        self.say([*status.lines_of_elections(parts), *status.lines(rows, troubles)])
        result = {
            "changed": False,
            "elections": [part.as_dict() for part in parts],
            "services": [row.as_dict() for row in rows],
            "troubles": troubles,
        }
        if given["to"]:
            self.write(
                given["to"],
                json.dumps({key: result[key] for key in ("elections", "services", "troubles")}, indent=1) + "\n",
            )
        return result
