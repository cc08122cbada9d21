# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which modes would carry a service, and why each other one would not."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs import advice, reader
from ansible.module_utils.lvs_controller import environment


class ActionModule(ActionBase):
    """Runs once for all hosts and touches none of them; see library/lvs_advise.py for its documentation."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("networks", "services", "only", "needs"))

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        needs = given.get("needs") or {}
        if not isinstance(needs, dict):
            raise AnsibleActionFail(
                f'lvs_advise_needs is {reader.described(needs)}, it must be a mapping: -e \'{{"lvs_advise_needs": {{"client_address": true}}}}\''
            )
        services = given["services"]
        if isinstance(services, list):
            services = [advice.needing(raw, needs) for raw in services]
        topology = environment.readable(task_vars, given["networks"], services)
        only = [str(name) for name in given.get("only", ())]
        names = [raw.get("name") for raw in services]
        for name in only:
            if name not in names:
                raise AnsibleActionFail(f"there is no service {name}: {reader.nearest(name, map(str, names))}")
        result["options"] = {}
        lines = [] if services else ["lvs_services is an empty list: there is nothing to advise on."]
        for raw in services:
            if not only or raw.get("name") in only:
                found = advice.options(raw, topology)
                lines += [*advice.report(raw, found), ""]
                result["options"][str(raw.get("name"))] = [option.as_dict() for option in found]
        self._display.display("\n".join(["", *lines]))
        return result
