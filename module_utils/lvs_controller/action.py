"""Base classes of lvskit's action plugins on the controller."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.lvs.contract import variable_checks
from ansible.module_utils.lvs.violations import Violation
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from . import environment
from .run_folder import RunFolder


class ControllerAction(ActionBase):
    """An action that reads its arguments by `SPEC` (an argument_spec), and the compiled environment from the run's folder.

    Without a SPEC the arguments are those of the module that the action runs, which checks them.
    """

    _supports_check_mode = True
    SPEC: Mapping[str, Mapping[str, Any]] | None = {}

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = dict(self._task.args)
        if self.SPEC is not None:
            _, given = self.validate_argument_spec(argument_spec=dict(self.SPEC))
        refused = variable_checks.refused_extra_vars(load_extra_vars(self._loader))
        if refused:
            raise AnsibleActionFail("\n".join([*refused, "No host was touched."]))
        self.folder = RunFolder.of_this_run()
        result.update(self.act(given, task_vars))
        return result

    def act(self, given: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The task's result. `given` are the arguments that `SPEC` names."""
        raise NotImplementedError

    def module(self, name: str, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one of lvskit's modules on the task's host.

        A host that cannot be reached fails the task, where the task does not ignore it: Ansible counts an unreachable host
        twice where any error is fatal, and then goes on with the next batch of a play.
        """
        try:
            return dict(self._execute_module(self.own(name), dict(arguments), task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            if self._task.ignore_unreachable:
                raise
            raise AnsibleActionFail(
                f"{task_vars['inventory_hostname']} cannot be reached, so the run ends here. It was not changed. {error}"
            ) from error

    def own(self, name: str) -> str:
        """The name of one of lvskit's modules: in a collection the collection's name is part of it."""
        package = type(self).__module__.split(".")
        return ".".join([*package[1:3], name]) if package[0] == "ansible_collections" else name

    def say(self, lines: Iterable[str]) -> None:
        """Prints lines for the user who runs the playbook."""
        self._display.display("\n".join(["", *lines, ""]))


class EnvironmentAction(ControllerAction):
    """An action that concerns the environment: it runs once for all hosts, on the controller, and connects to no host."""

    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        """Runs the action without a search for cyclic garbage.

        The action creates up to a million objects that all stay in use, in a process that ends with it: a search takes time and finds
        nothing.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            return super().run(tmp, task_vars)
        finally:
            if collecting:
                gc.enable()

    def warn(self, violations: Iterable[Violation]) -> None:
        """Shows the warnings among the violations, each with its place in the inventory."""
        for violation in violations:
            if violation.warning:
                self._display.warning(environment.described(violation))

    def write(self, path: str, text: str) -> dict[str, Any]:
        """Writes a file on the controller, except in check mode, and returns the task's result. Raises AnsibleActionFail if it cannot."""
        file = Path(path)
        try:
            changed = not file.exists() or file.read_text(encoding="utf-8") != text
            if changed and not self._task.check_mode:
                file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}. Name another file.") from error
        return {"changed": changed, "path": path}
