# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows one request through the environment, compares it with its prediction, and reports where it fails."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import captures, comparison, tracing
from ansible.module_utils.lvs_controller.action import EnvironmentAction

KINDS = (
    "answers",
    "before",
    "after",
)  # the hosts' answers, and their counters before and after the request


class ActionModule(EnvironmentAction):
    """See library/lvs_trace.py for its documentation."""

    def act(self, given, task_vars):
        topology, folder = self.folder.topology(), self.folder
        batch = folder.read("batches/0")
        expected = batch.expectations[0]
        seen = {name: folder.read(f"captured-0/{name}") for name in folder.names("captured-0")}
        probe = next(iter(folder.read(f"answered-0/{batch.client}", {"connections": []})["connections"]), None)
        if probe is None or batch.client not in seen:
            raise AnsibleActionFail(f"{batch.client}, which was to send the request, could not be used. See above.")
        hosts = [name for name in batch.captures if name in task_vars["ansible_play_hosts_all"]]
        told = [{name: folder.read(f"{kind}/{name}", {}) for name in hosts} for kind in KINDS]
        kinds = {host.name: host.option_kind for host in expected.hosts}
        trace = tracing.follow(topology, expected, probe, captures.read(seen, kinds), *told)
        self.say([*trace.lines(), *comparison.remarks(seen)])
        return {"trace": trace.as_dict(), "summary": trace.summary(), "picture": trace.svg()}
