# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicts the packets of each service: what to ask, and what to capture where."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import environment, verification


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_walk.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "only"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        topology, _ = environment.read(task_vars, given["networks"], given["services"])
        expected = verification.expectations(topology, [str(name) for name in given.get("only", ())])
        hosts = {item.client.name for item in expected} | {item.director.name for item in expected}
        hosts |= {name for item in expected for name in item.walks}
        result["client"] = expected[0].client.name if expected else None
        result["requests"] = [verification.requests(item) for item in expected]
        result["filter"] = verification.capture_filter(expected)
        result["interfaces"] = {name: [i.name for i in topology.hosts[name].interfaces] for name in hosts}
        return result
