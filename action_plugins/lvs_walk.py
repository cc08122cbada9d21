# SPDX-License-Identifier: GPL-3.0-or-later
"""Predicts the packets of each service, and derives the requests and the captures."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import batches, standing, verification
from ansible.module_utils.lvs_controller.action import EnvironmentAction


class ActionModule(EnvironmentAction):
    """See library/lvs_walk.py for its documentation."""

    SPEC = {
        "only": {"type": "list", "elements": "str", "default": []},
        "one": {"type": "bool", "default": False},
        "vip": {"type": "str"},
        "path": {"type": "str"},
        "count": {"type": "int"},
    }

    def act(self, given, task_vars):
        answers = {name: self.folder.read(f"health/{name}") for name in self.folder.names("health")}
        topology, out = standing.now(self.folder.topology(), answers)
        for sentence in out:
            self._display.warning(sentence)
        expected = verification.expectations(topology, given["only"], vip=given["vip"], one=given["one"])
        found = batches.batches(topology, expected, given["path"], given["count"])
        for number, batch in enumerate(found):
            self.folder.keep(f"batches/{number}", batch)
            self.folder.keep(f"ask-{number}/{batch.client}", batch.questions)
            for name, capture in batch.captures.items():
                self.folder.keep(f"capture-{number}/{name}", capture)
        self.folder.keep("watchers", list(dict.fromkeys(name for batch in found for name in batch.captures)))
        return {
            "client": found[0].client if found else None,
            "batches": list(range(len(found))),
            "requests": sum(request["count"] for batch in found for request in batch.requests),
        }
