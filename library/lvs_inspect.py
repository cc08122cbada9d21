#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a host as its part in virtual services needs it. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_inspect
short_description: Look at what a host really has
version_added: "1.0.0"
description:
  - Tells what the kernel has and does - interfaces, effective settings and who sets them at boot, routes, who answers ARP, how
    large packets get to others, firewall rules that drop - and where the host has left what lvskit brought it to.
  - Sends ARP probes, which enter no neighbour table, and ICMP echo requests; it changes nothing.
options:
  settings:
    description: Kernel settings that the host's plan has, keys with slashes.
    type: dict
    default: {}
  modules:
    description: Kernel modules that the kernel itself has to bring.
    type: list
    elements: str
    default: []
  routes:
    description: Packets of which to say by which way they would leave, each with C(to), and C(source), C(protocol), C(port) or not.
    type: list
    elements: dict
    default: []
  neighbours:
    description: Who answers ARP, each with C(interface) and C(address).
    type: list
    elements: dict
    default: []
  paths:
    description: How large a packet gets to C(address) and back, up to C(size) bytes.
    type: list
    elements: dict
    default: []
  departures:
    description: Whether to say where the host has left its files of record.
    type: bool
    default: true
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Look at a real server
  lvs_inspect:
    settings: {net/ipv4/conf/eth1/arp_ignore: 1}
    routes:
      - {to: 198.51.100.10, source: 203.0.113.80}
    neighbours:
      - {interface: eth1, address: 203.0.113.80}
    paths:
      - {address: 203.0.113.10, size: 1500}
"""

RETURN = r"""
interfaces:
  description: Each interface with its mac, mtu, whether it is up, its vlan (802.1Q id), its addresses, and whether it merges packets.
  returned: always
  type: dict
settings:
  description: For each setting the kernel's own value, that of conf/all, the effective one, whether it serves the wanted purpose,
    and what it gets at boot from which line of which file.
  returned: always
  type: dict
modules: {description: "The modules that the kernel lacks, each with what modprobe says.", returned: always, type: dict}
routes: {description: For each packet the interface and gateway by which it leaves., returned: always, type: list, elements: dict}
neighbours: {description: For each address the MACs that answer for it., returned: always, type: list, elements: list}
paths: {description: "For each path the largest packet that came back, in bytes; 0 where none did.", returned: always, type: list, elements: int}
drops: {description: Firewall rules that drop or reject, with the packets they have counted., returned: always, type: list, elements: list}
counters: {description: Kernel counters of packets that were not taken., returned: always, type: dict}
config: {description: IPVS features that the kernel was built without., returned: always, type: list, elements: str}
companions: {description: Other software that runs here and changes the same things., returned: always, type: list, elements: str}
recorded:
  description: Addresses, routes, rules and settings that lvskit has brought the host to, as lines of its files of record.
  returned: always
  type: list
  elements: str
departures:
  description: Each kind of state in which the host has left its files of record, with the commands that lead back.
  returned: always
  type: list
  elements: dict
"""

import dataclasses
import glob
import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import (
    arp,
    counters,
    echo,
    errors,
    host,
    kernel_modules,
    kinds,
    links,
    programs,
    sysctl_files,
    sysctls,
)
from ansible.module_utils.lvs_host.evidence import COMPANIONS, FEATURES
from ansible.module_utils.lvs_host.resource import statements

ARGUMENTS = {
    "settings": {"type": "dict", "default": {}},
    "modules": {"type": "list", "elements": "str", "default": []},
    "routes": {"type": "list", "elements": "dict", "default": []},
    "neighbours": {"type": "list", "elements": "dict", "default": []},
    "paths": {"type": "list", "elements": "dict", "default": []},
    "departures": {"type": "bool", "default": True},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        found = look(module.params, programs.run)
    module.exit_json(changed=False, **found)


def look(given, run):
    """What the host answers to the questions that it is given."""
    found = links.interfaces(run)
    macs = {name: link["mac"] for name, link in found.items() if link["up"]}
    asks = [(ask["interface"], str(ask["address"])) for ask in given["neighbours"]]
    paths = [(str(path["address"]), int(path["size"])) for path in given["paths"]]
    return {
        "interfaces": found,
        "settings": settings_of({key: int(value) for key, value in given["settings"].items()}),
        "modules": lacking(given["modules"], run),
        "routes": [route(packet, run) for packet in given["routes"]],
        "neighbours": arp.answers(asks, macs) if asks else [],
        "paths": echo.largest(paths) if paths else [],
        "drops": drops(run),
        "counters": counters.kernel([read("/proc/net/snmp"), read("/proc/net/netstat")]),
        "config": unbuilt(read(f"/boot/config-{os.uname().release}")),
        "companions": companions({read(path).strip() for path in glob.glob("/proc/[0-9]*/comm")}),
        "recorded": [line for kind in (kinds.NETWORK, kinds.SYSCTLS) for line in statements(host.recorded(kind.path))],
        "departures": [dataclasses.asdict(one) for one in host.departures(run)] if given["departures"] else [],
    }


def settings_of(wanted):
    lines = sysctl_files.read()
    keys = [key for one in wanted for key in (one, sysctls.sibling(one)) if key]
    boot = sysctl_files.at_boot(lines, keys)
    found = {}
    for key, value in wanted.items():
        own, other = sysctls.read(key), sysctls.sibling(key)
        common = sysctls.read(other) if other else None
        used = None if own is None else sysctls.effective(key, own, common)
        # With lvskit's value in place of the present one: what conf/all makes of it is nothing that a run could change.
        reached = sysctls.effective(key, value, wanted.get(other, common))
        found[key] = {
            "own": own,
            "all": common,
            "effective": used,
            "serves": used is not None and sysctls.serves(key, value, used),
            "reachable": sysctls.serves(key, value, reached),
            "boot": placed(boot.get(key)),
            "boot_serves": boots_into(key, value, boot.get(key)),
            "boot_all": placed(boot.get(other)),
        }
    return found


def boots_into(key, value, assignment):
    """Whether what the files of sysctl.d say serves the purpose; they need not say anything."""
    try:
        return assignment is None or sysctls.serves(key, value, int(assignment.value))
    except ValueError:
        return False


def placed(assignment):
    return {"value": assignment.value, "place": assignment.place} if assignment else None


def lacking(names, run):
    """The modules that the kernel does not have, each with what modprobe says of it."""
    if not programs.find("modprobe"):
        return dict.fromkeys(names, programs.missing("modprobe"))
    loads = {name: kernel_modules.look(name, run) for name in names if not kernel_modules.loaded(name)}
    return {name: load.obstacle for name, load in loads.items() if load.obstacle}


def route(packet, run):
    """The way of a packet; without its source where the host does not have that address (yet)."""
    ask = ["ip", "-json", "route", "get", str(packet["to"])]
    tail = ["ipproto", packet["protocol"], "sport", str(packet["port"])] if packet.get("protocol") else []
    source = ["from", str(packet["source"])] if packet.get("source") else []
    code, out, words = run([*ask, *source, *tail], None)
    if code and source:
        code, out, words = run([*ask, *tail], None)
    if code:
        return {"error": words.strip()}
    way = programs.listed(out)[0]
    return {"interface": way.get("dev", ""), "gateway": way.get("gateway", "")}


def drops(run):
    """Firewall rules that drop, of the programs that this host has."""
    saved = run(["iptables-save", "--counters"], None)[1] if programs.find("iptables-save") else ""
    rules = run(["nft", "list", "ruleset"], None)[1] if programs.find("nft") else ""
    return [*counters.iptables_drops(saved), *counters.nft_drops(rules, saved)]


def unbuilt(text):
    """Features that the text of a kernel's configuration leaves out; nothing where there is no text."""
    return [name for name in FEATURES if text and not any(f"CONFIG_{name}={how}" in text for how in "ym")]


def companions(running):
    """The names of other software, by the names of the programs that run, of which the kernel keeps 15 letters."""
    return sorted(one.name for one in COMPANIONS if one.program[:15] in running)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
