# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which services answered before the run, and do not afterwards."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_controller import net
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_lost.py for its documentation."""

    SPEC = {"fail": {"type": "bool", "default": False}}

    def act(self, given, task_vars):
        before, after = (self.folder.read(f"asked/{time}") for time in ("before", "after"))
        lost = net.lost(before or [], after or []) if after is not None else {}
        self.folder.keep("lost", lost)
        if before is not None and after is None:
            raise AnsibleActionFail(
                "the client could ask the services before this run, and cannot be reached any more: whether they answer is not "
                "known. Nothing was rolled back. Look after the client, then run playbooks/verify.yml."
            )
        if lost and given["fail"]:
            raise AnsibleActionFail(
                f"{listed(list(lost), 'and')} answered before this run, and not afterwards: {'; '.join(dict.fromkeys(lost.values()))}. "
                "The hosts were brought back to what they had before it. playbooks/verify.yml on a run like this one shows where "
                "packets get lost."
            )
        return {"lost": list(lost)}
