#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes from a host that has no plan any more what lvskit keeps besides its state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_clear
short_description: Remove what lvskit keeps on a host without a plan
version_added: "1.0.0"
description:
  - Removes kernel modules that were built for the host, the history of its plans, and lvskit's folders; unloads the kernel
    modules that its plans had, where nothing else uses them.
  - Refuses a host that still has a plan.
options: {}
attributes:
  check_mode: {support: full, description: Says what would be removed.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Leave nothing of lvskit's
  lvs_clear:
"""

RETURN = r"""
removed:
  description: Files and folders that were removed, and modules that were unloaded.
  returned: always
  type: list
  elements: str
kept_loaded:
  description: Kernel modules that something else uses.
  returned: always
  type: list
  elements: str
"""

import glob
import json
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import history
from ansible.module_utils.lvs_host.resource import statements

ARGUMENTS = {}
RECORDS = (
    "/etc/lvskit/*",
    "/etc/modules-load.d/lvskit.conf",
    "/etc/modprobe.d/lvskit.conf",
    "/etc/sysctl.d/zz-lvskit.conf",
    *(f"/etc/systemd/system/lvskit-{name}.service" for name in ("netfilter", "ipvs", "network")),
)
BUILT = "/lib/modules/*/updates/lvskit"
SOURCES = "/usr/src/lvskit-*"
DKMS = "/var/lib/dkms"
FOLDERS = "/etc/lvskit", "/var/lib/lvskit", "/run/lvskit.lock", "/run/lvskit-capture"


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    halves = [path for pattern in RECORDS for path in glob.glob(f"{pattern}.new")]  # of a run that was killed
    planned = [path for pattern in RECORDS for path in glob.glob(pattern) if path not in halves]
    if planned and not module.check_mode:
        module.fail_json(
            msg=f"this host still has a plan ({', '.join(planned)}). Take its services or the host out first: playbooks/teardown.yml."
        )
    packages = sorted(path for path in glob.glob(f"{DKMS}/lvskit-*") if os.path.isdir(path))
    paths = [*halves, *(path for pattern in (BUILT, SOURCES, *FOLDERS) for path in sorted(glob.glob(pattern)))]
    loaded = [name for name in modules_of_plans() if os.path.isdir(f"/sys/module/{name}")]
    if module.check_mode:
        module.exit_json(
            changed=bool(packages or paths or loaded), removed=[*loaded, *packages, *paths], kept_loaded=[]
        )
    unloaded = []
    while some := [name for name in loaded if name not in unloaded and unload(module, name)]:
        unloaded += some  # what they used may go as well, now
    for package in packages:
        for version in sorted(os.listdir(package)):
            if os.path.isdir(f"{package}/{version}/source"):
                module.run_command(["dkms", "remove", f"{os.path.basename(package)}/{version}", "--all"], check_rc=True)
        shutil.rmtree(package, ignore_errors=True)
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
    if packages or any(path.endswith("/updates/lvskit") for path in paths):
        module.run_command(["depmod"], check_rc=True)
    removed = [*unloaded, *packages, *paths]
    module.exit_json(changed=bool(removed), removed=removed, kept_loaded=[n for n in loaded if n not in unloaded])


def modules_of_plans():
    """The kernel modules that any plan of this host had."""
    names = {}
    for entry in history.readable().values():
        names.update(dict.fromkeys(statements(entry["wanted"].get("modules", ""))))
    return sorted(names)


def unload(module, name):
    """Whether the module could be unloaded: nothing uses it, and no tunnel or virtual service would go with it."""
    if name == "ipip" and other_tunnels(module):
        return False
    if name.startswith("ip_vs") and has_services():
        return False
    code, _, _ = module.run_command(["rmmod", name])
    return code == 0


def other_tunnels(module):
    """Whether there is an ipip tunnel besides the one that the module makes, or an IPv4 address on that one."""
    _, out, _ = module.run_command(["ip", "-json", "address", "show", "type", "ipip"])
    links = [link for link in json.loads(out or "[]") if link]
    addresses = [address for link in links for address in link.get("addr_info", ()) if address.get("family") == "inet"]
    return bool(addresses) or any(link.get("ifname") != "tunl0" for link in links)


def has_services():
    try:
        with open("/proc/net/ip_vs", encoding="ascii") as file:
            return any(line.startswith(("TCP", "UDP", "FWM", "SCTP")) for line in file)
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
