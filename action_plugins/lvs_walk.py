# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicts the packets of each service: what to ask, and what to capture where."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import verification
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_walk.py for its documentation."""

    SPEC = {"only": {"type": "list", "elements": "str", "default": []}}

    def act(self, given, task_vars):
        topology = self.folder.topology()
        expected = verification.expectations(topology, given["only"])
        hosts = {item.client.name for item in expected} | {item.director.name for item in expected}
        hosts |= {name for item in expected for name in item.walks}
        return {
            "client": expected[0].client.name if expected else None,
            "requests": [verification.requests(item) for item in expected],
            "filter": verification.capture_filter(expected),
            "interfaces": {name: [i.name for i in topology.hosts[name].interfaces] for name in hosts},
        }
