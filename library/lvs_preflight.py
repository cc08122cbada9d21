#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks whether a host can have its plan, before anything is installed or changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_preflight
short_description: Look whether a host can have its LVS plan
version_added: "1.0.0"
description:
  - Fails when the kernel lacks a module, or when the host is not plugged in as the inventory says.
  - Names the programs that have to be installed. Changes nothing.
options:
  modules:
    description: Kernel modules that must be loadable.
    type: list
    elements: str
    default: []
  programs:
    description: Commands that must be there.
    type: list
    elements: str
    default: []
  interfaces:
    description: Interfaces that must be there, each with its address and prefix length.
    type: dict
    default: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Look whether this host can be a director
  lvs_preflight:
    modules: [ip_vs, ip_vs_wlc]
    programs: [ipvsadm]
    interfaces:
      eth1: 203.0.113.10/24
"""

RETURN = r"""
missing_programs:
  description: The programs that are not installed.
  returned: success
  type: list
  elements: str
  sample: ["ipvsadm"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host.kernel_modules import KernelModules
from ansible.module_utils.lvs_host.network import Network
from ansible.module_utils.lvs_host.resource import HostError

ARGUMENTS = {
    "modules": {"type": "list", "elements": "str", "default": []},
    "programs": {"type": "list", "elements": "str", "default": []},
    "interfaces": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)

    def run(argv, stdin=None):
        return module.run_command(list(argv), data=stdin)

    try:
        KernelModules("\n".join(module.params["modules"]), "", run).prepare()
        Network("", "", run, interfaces=module.params["interfaces"]).prepare()
    except HostError as error:
        module.fail_json(msg=f"{error} Nothing was changed on this host.")
    missing = [name for name in module.params["programs"] if not module.get_bin_path(name)]
    module.exit_json(changed=False, missing_programs=missing)


if __name__ == "__main__":
    main()
