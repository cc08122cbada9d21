# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports faults of an inventory's variable files with their places, before Ansible reads them."""

from __future__ import annotations

import os
from pathlib import Path

import ansible.module_utils
from ansible import context
from ansible.errors import AnsibleParserError
from ansible.plugins.vars import BaseVarsPlugin

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs_controller import inventory_files

DOCUMENTATION = r"""
name: lvs_inventory
short_description: Report faults of variable files with their places
version_added: "0.3.0"
description:
  - Gives no variables. Reads an inventory's own files, and all files in C(group_vars) and C(host_vars) beside it, once, and fails with every
    fault, each with file, line and column. Ansible itself names no place.
  - "Reports what is no YAML: tabs, no-break spaces, other encodings, a second document, templates without quotes. Also duplicate keys, a variable
    C(lvs_…) that two files of one group or host set, and numbers such as C(53:53), which YAML takes for base 60."
requirements: [Enabled in the configuration by C(vars_plugins_enabled), before host_group_vars.]
"""


class VarsModule(BaseVarsPlugin):
    """See DOCUMENTATION."""

    REQUIRES_ENABLED = True
    is_stateless = True
    examined: set[str] = set()

    def get_vars(self, loader, path, entities, cache=True):
        for source in inventory_files.sources(path, context.CLIARGS.get("inventory") or ()):
            if source not in self.examined:
                self.examined.add(source)
                if os.path.exists(source) and (found := inventory_files.faults(source)):
                    raise AnsibleParserError("\n".join([*map(str, found), "No host was touched."]))
        return {}
