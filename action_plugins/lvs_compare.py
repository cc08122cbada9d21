# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what was captured with what was predicted."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import captures, verification
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_compare.py for its documentation."""

    SPEC = {
        "only": {"type": "list", "elements": "str", "default": []},
        "connections": {"type": "list", "elements": "dict", "required": True},
        "captures": {"type": "dict", "required": True},
    }

    def act(self, given, task_vars):
        topology = self.folder.topology()
        expected = verification.expectations(topology, given["only"])
        seen = given["captures"]
        frames, vantages = captures.read(seen, topology)
        reports = [
            verification.report(
                item,
                [probe for probe in given["connections"] if probe["service"] == item.service.name],
                frames,
                vantages,
            )
            for item in expected
        ]
        blind = sorted({h.name for item in expected for h in (item.client, item.director)} - set(vantages))
        blind += sorted({name for item in expected for name in item.walks} - set(vantages))
        lines = [verification.table(reports), ""]
        for item in reports:
            lines += [f"{item.expectation.service}", verification.path(item)]
            lines += [f"    DIFFERS {failure}" for failure in item.failures]
            if item.not_chosen:
                lines.append(f"    {', '.join(item.not_chosen)} got no request ({item.expectation.service.scheduler})")
        if blind:
            lines.append(f"No capture from {', '.join(blind)}: their hops were not compared.")
        self.say(lines)
        failed = [item.expectation.service.name for item in reports if item.failures]
        if failed or blind:
            what = f"{', '.join(failed)} did not behave as predicted" if failed else "not every hop could be compared"
            details = [f"{r.expectation.service}: {failure}" for r in reports for failure in r.failures]
            raise AnsibleActionFail("\n".join([f"{what}.", *details]))
        return {"report": lines}
