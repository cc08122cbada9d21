"""The compiled plans of one run of a playbook, in a folder on the controller.

Ansible runs each task of each host in a separate process, with a copy of all variables. Plans are therefore not variables: a
process reads only its host's data from this folder. The folder is inside the local temporary folder that Ansible creates for the
run and removes at its end; only the user can read it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.topology import Topology


class RunFolder:
    """Python objects by name, each in a file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def of_this_run(cls) -> RunFolder:
        return cls(Path(constants.DEFAULT_LOCAL_TMP) / "lvskit")

    def keep(self, name: str, thing: Any) -> None:
        """Stores an object under a name of the form `name` or `kind/name`. It replaces an earlier one."""
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_bytes(pickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL))
        new.replace(file)

    def read(self, name: str, default: Any = None) -> Any:
        """The object stored under a name; `default` if there is none."""
        try:
            return pickle.loads(self._file(name).read_bytes())
        except FileNotFoundError:
            return default

    def _file(self, name: str) -> Path:
        folder, _, last = name.rpartition("/")
        return self.path / folder / f"{quote(last, safe='')}.pickle"

    def names(self, kind: str) -> list[str]:
        """The names under which objects of a kind are stored, sorted."""
        folder = self.path / kind
        return sorted(unquote(file.stem) for file in folder.glob("*.pickle")) if folder.is_dir() else []

    def keep_topology(self, topology: Topology) -> None:
        self.keep("topology", topology)

    def topology(self) -> Topology:
        """The environment of this run. Raises AnsibleActionFail if none was compiled."""
        found = self.read("topology")
        if not isinstance(found, Topology):
            raise AnsibleActionFail(
                "this run has not compiled the environment. Run the task lvs_compile before this one."
            )
        return found

    def keep_plans(self, plans: Mapping[str, HostPlan]) -> None:
        for name, plan in plans.items():
            self.keep(f"plans/{name}", plan)

    def plan(self, host: str) -> HostPlan:
        """A host's plan. Raises AnsibleActionFail if there is none."""
        found = self.read(f"plans/{host}")
        if not isinstance(found, HostPlan):
            raise AnsibleActionFail(
                f"this run has compiled no plan for {host}. Run the task lvs_compile before this one, with {host} in the inventory."
            )
        return found
