# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports the services that answered before the run and do not afterwards."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import net
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_lost.py for its documentation."""

    SPEC = {
        "rollback": {"type": "bool", "default": True},
        "report": {"type": "bool", "default": False},
    }

    def act(self, given, task_vars):
        folder = self.folder
        answers = {
            time: {name: folder.read(f"answered-{time}/{name}") for name in folder.names(f"answered-{time}")}
            for time in ("before", "after", "real_servers")
        }
        if not answers["before"]:
            return {"skipped": True, "skip_reason": "nobody was asked before the run"}
        topology = folder.topology()
        found = net.verdict(topology, *answers.values())
        if given["report"]:
            for doubt in found.doubts:
                self._display.warning(doubt)
            if lines := net.report(found, rolled_back=folder.read("rollback") is not None):
                raise AnsibleActionFail("\n".join(lines))
        else:
            folder.keep("lost", found.lost if given["rollback"] else {})
            for name, questions in found.behind(topology, task_vars["ansible_play_hosts_all"]).items():
                folder.keep(f"ask-real_servers/{name}", questions)
        return {"lost": list(found.lost), "doubts": found.doubts}
