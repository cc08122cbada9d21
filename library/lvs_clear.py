#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes lvskit's files and kernel modules from a host that has no plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_clear
short_description: Remove lvskit's files and modules from a host without a plan
version_added: "1.0.0"
description:
  - Removes kernel modules that were built for the host, the history of its plans, and lvskit's folders; unloads the kernel
    modules of its plans if nothing else uses them.
  - Refuses a host that still has a plan, and a host that a newer lvskit has changed.
options: {}
attributes:
  check_mode: {support: full, description: Reports what would be removed.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Clear the host
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
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import (
    errors,
    files,
    formats,
    history,
    ipvs,
    kernel_modules,
    links,
    lock,
    program,
    programs,
    verdicts,
)
from ansible.module_utils.lvs_host.kinds import TEXTS
from ansible.module_utils.lvs_host.resource import statements

ARGUMENTS = {}
FOLDER = "/etc/lvskit"  # of records in formats that no other tool looks for
BUILT = "/lib/modules/*/updates/lvskit"
SOURCES = "/usr/src/lvskit-*"
DKMS = "/var/lib/dkms"
# The kind of the tunnels of each module, and the device that it creates.
TUNNELS = {"ipip": ("ipip", "tunl0"), "sit": ("sit", "sit0"), "ip6_tunnel": ("ip6tnl", "ip6tnl0")}
FOLDERS = (
    FOLDER,
    os.path.dirname(history.FOLDER),
    os.path.dirname(program.PATH),
    verdicts.FOLDER,
    lock.PATH,
    lock.TABLE,
    "/run/lvskit-capture",
)


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    done = []
    with errors.reported(module, done):
        formats.recorded()
        result = clear(programs.run, done, check=module.check_mode)
    module.exit_json(**result)


def clear(run, done, *, check):
    """Removes everything, and returns the result of the module. Appends each completed step to `done`, as text for a person."""
    halves = [path for record in records() for path in found(record + files.SUFFIX)]  # of a run that was killed
    planned = [path for record in records() for path in found(record) if path not in halves]
    if planned and not check:
        raise errors.HostError(
            f"this host still has a plan ({', '.join(planned)}). Remove its services or the host first: playbooks/teardown.yml"
        )
    packages = [path for path in found(f"{DKMS}/lvskit-*") if os.path.isdir(files.place(path))]
    paths = [*halves, *(path for pattern in (BUILT, SOURCES, *FOLDERS) for path in found(pattern))]
    loaded = [name for name in modules_of_plans() if kernel_modules.loaded(name)]
    if check:
        return {
            "changed": bool(packages or paths or loaded),
            "removed": [*loaded, *packages, *paths],
            "kept_loaded": [],
        }
    unloaded = []
    while some := next((name for name in loaded if name not in unloaded and unload(run, name)), None):
        unloaded.append(some)  # now the modules that it used may be unused, too
        done.append(f"unloaded {some}")
    for package in packages:
        for version in sorted(os.listdir(files.place(package))):
            if os.path.isdir(files.place(f"{package}/{version}/source")):
                programs.output(run, ["dkms", "remove", f"{os.path.basename(package)}/{version}", "--all"])
        shutil.rmtree(files.place(package), ignore_errors=True)
        done.append(f"removed {package}")
    for path in paths:
        place = files.place(path)
        if os.path.isdir(place):
            shutil.rmtree(place)
        else:
            files.remove(path)
        done.append(f"removed {path}")
    if packages or any(path.endswith("/updates/lvskit") for path in paths):
        programs.output(run, ["depmod"])
    removed = [*unloaded, *packages, *paths]
    return {
        "changed": bool(removed),
        "removed": removed,
        "kept_loaded": [name for name in loaded if name not in unloaded],
    }


def records():
    """The files of record, as patterns: all of lvskit's own folder, and what lies elsewhere."""
    return [f"{FOLDER}/*", *(path for path in TEXTS.values() if os.path.dirname(path) != FOLDER)]


def found(pattern):
    """The host's files and folders of a pattern, sorted."""
    return sorted(path[len(files.ROOT) :] for path in glob.glob(files.place(pattern)))


def modules_of_plans():
    """The kernel modules that any plan of this host had."""
    names = {}
    for entry in history.readable().values():
        names.update(dict.fromkeys(statements(entry["wanted"].get("modules", ""))))
    return sorted(names)


def unload(run, name):
    """Whether the module can be unloaded: nothing uses it, and unloading removes no tunnel or virtual service."""
    if name in TUNNELS and other_tunnels(run, *TUNNELS[name]):
        return False
    if name.startswith("ip_vs") and has_services():
        return False
    code, _, _ = run(["rmmod", name], None)
    return code == 0


def other_tunnels(run, kind, device):
    """Whether there is a tunnel of a kind other than the one that the module creates, or an address on that one."""
    found = programs.listed(programs.output(run, ["ip", "-json", "address", "show", "type", kind]))
    addresses = [address for link in found for address in link.get("addr_info", ()) if links.described(address)]
    return bool(addresses) or any(link.get("ifname") != device for link in found)


def has_services():
    """Whether the IPVS table has a virtual service, of lvskit or of others."""
    table = files.read(ipvs.TABLE, "") or ""
    return any(line.startswith(("TCP", "UDP", "FWM", "SCTP")) for line in table.splitlines())


if __name__ == "__main__":
    main()
