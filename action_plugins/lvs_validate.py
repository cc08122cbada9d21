# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates the whole environment on the controller, and compiles each host's plan."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs import plan
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs_controller import environment

CHANGES = ("drained", "without_hosts", "without_services")


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_validate.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "drained", "without_hosts", "without_services"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            argument_spec={
                "networks": {"type": "raw", "required": True},
                "services": {"type": "raw", "required": True},
                **{name: {"type": "list", "elements": "str", "default": []} for name in CHANGES},
            }
        )
        changes = Changes(**{name: given[name] for name in CHANGES})
        raw = self._task.args
        topology, warnings = environment.read(task_vars, raw["networks"], raw["services"], changes)
        for warning in warnings:
            self._display.warning(environment.described(warning))
        result["services"] = [topology.summary(service) for service in topology.services]
        result["plans"] = {name: host.as_dict() for name, host in plan.plans(topology).items()}
        result["probes"] = [
            {"service": s.name, "address": str(s.vip), "port": s.port, "protocol": s.protocol, "count": 1}
            for s in topology.services
        ]
        result["run"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        result["revision"] = environment.revision(task_vars.get("inventory_dir") or ".")
        return result
