# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows one request through the environment, beside its prediction, and says where it went wrong."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import captures, tracing, verification
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_trace.py for its documentation."""

    SPEC = {
        "service": {"type": "str", "required": True},
        "connections": {"type": "list", "elements": "dict", "required": True},
        "captures": {"type": "dict", "required": True},
        "hosts": {"type": "list", "elements": "str", "required": True},
    }

    def act(self, given, task_vars):
        topology = self.folder.topology()
        (expected,) = verification.expectations(topology, [str(given["service"])])
        seen = {name: report for name, report in given["captures"].items() if report and "captures" in report}
        probe = next(iter(given["connections"]), None)
        if probe is None or expected.client.name not in seen:
            raise AnsibleActionFail(
                f"{expected.client.name}, which was to send the request, could not be used. See above."
            )
        folder = self.folder
        told = [
            {name: folder.read(f"{kind}/{name}", {}) for name in given["hosts"]}
            for kind in ("answers", "before", "after")
        ]
        trace = tracing.follow(topology, expected, probe, captures.read(seen, topology), *told)
        self.say(trace.lines())
        return {"trace": trace.as_dict(), "summary": trace.summary(), "picture": trace.svg()}
