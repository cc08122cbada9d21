# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows one request through the environment, beside its prediction, and says where it went wrong."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import captures, environment, tracing, verification


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_trace.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        ("networks", "services", "service", "connections", "captures", "before", "after", "answers")
    )

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        topology, _ = environment.read(task_vars, given["networks"], given["services"])
        (expected,) = verification.expectations(topology, [str(given["service"])])
        seen = {name: report for name, report in given["captures"].items() if report and "captures" in report}
        probe = next(iter(given["connections"]), None)
        if probe is None or expected.client.name not in seen:
            raise AnsibleActionFail(
                f"{expected.client.name}, which was to send the request, could not be used. See above."
            )
        trace = tracing.follow(
            topology, expected, probe, captures.read(seen, topology), given["answers"], given["before"], given["after"]
        )
        result.update(trace=trace.as_dict(), summary=trace.summary(), picture=trace.svg())
        self._display.display("\n".join(["", *trace.lines(), ""]))
        return result
