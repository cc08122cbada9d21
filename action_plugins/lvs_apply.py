# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a host to the plan that this run has compiled for it, or back to an earlier one."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.errors import AnsibleActionFail

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import layout, stages, unprepared
from ansible.module_utils.lvs_controller.action import ControllerAction

SHOWN = 50  # commands in a result; a director may run twenty thousand


class ActionModule(ControllerAction):
    """See library/lvs_apply.py for its documentation."""

    SPEC = {
        "templates": {"type": "path"},
        "systemd_sysctl": {"type": "path", "default": "/lib/systemd/systemd-sysctl"},
        "rollback": {"type": "bool", "default": False},
        "remove": {"type": "bool", "default": True},
        "purge_foreign": {"type": "bool", "default": False},
        "drain_timeout": {"type": "int", "default": 60},
        "last_server": {"type": "bool", "default": False},
        "unprepared": {"type": "bool", "default": False},
    }

    def act(self, given, task_vars):
        host = task_vars["inventory_hostname"]
        arguments = {key: given[key] for key in ("remove", "purge_foreign", "drain_timeout")}
        arguments["last_server"] = given["rollback"] or given["last_server"]
        if given["rollback"]:
            arguments |= self.folder.read("rollback")
            routed = False
        else:
            plan = self.folder.plan(host)
            arguments |= layout.arguments(plan, given["templates"], given["systemd_sysctl"])
            arguments |= self.folder.read("run")
            routed = bool(plan.routes)
            if not given["unprepared"]:
                self._refuse_unprepared(plan, arguments, task_vars)
        found = self.module("lvs_state", arguments, task_vars)
        if found.get("failed"):
            return found
        self.folder.keep(f"applied/{host}", stages.Applied(stale=bool(found["stale"]), changed=bool(found["changed"])))
        self._report(host, found)
        if routed and not self._task.check_mode:
            self._prove_access(host, task_vars)
        if not self._task.diff:
            found.pop("diff", None)  # whole tables
        return {**found, **{key: shortened(found[key]) for key in ("commands", "stale", "drift", "foreign")}}

    def _refuse_unprepared(self, plan, arguments, task_vars):
        """A director must not send to real servers that this run has not prepared."""
        behind = unprepared.candidates(self.folder, plan)
        if not behind:
            return
        would = self._in_check_mode(arguments, task_vars)
        names = unprepared.newly_used(behind, would.get("diff", []))
        if names:
            raise AnsibleActionFail(unprepared.refusal(plan.host, names))

    def _in_check_mode(self, arguments, task_vars):
        before = self._task.check_mode
        self._task.check_mode = True
        try:
            return self.module("lvs_state", arguments, task_vars)
        finally:
            self._task.check_mode = before

    def _report(self, host, found):
        if found["drift"]:
            lines = "; ".join(shortened(found["drift"]))
            self._display.warning(
                f"{host} has changed since lvskit's last run. These commands restore what that run had set: {lines}"
            )
        if found["foreign"]:
            names = ", ".join(shortened(found["foreign"]))
            self._display.warning(
                f"the IPVS table of {host} has virtual services that lvskit did not create: {names}. They stay. "
                "lvs_host_purge_foreign: true removes them."
            )

    def _prove_access(self, host, task_vars):
        """Checks that a new connection to the host works: the plan may have changed its default route."""
        self._connection.reset()
        answer = dict(self._execute_module("ansible.builtin.ping", {}, task_vars=task_vars))
        if answer.get("failed"):
            raise AnsibleActionFail(f"{host} no longer answers with its new default route: {answer.get('msg')}")


def shortened(lines):
    """The first lines, and how many more there are."""
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]
