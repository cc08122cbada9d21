#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the state of a host that virtual services depend on. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_inspect
short_description: Inspect the state of a host
version_added: "1.0.0"
description:
  - Reports interfaces, effective sysctls and the files that set them at boot, routes, who answers ARP and neighbour
    discovery, path MTUs, firewall rules that drop packets, and differences from the state that lvskit has set; of IPv4
    and of IPv6.
  - Sends ARP probes, neighbour solicitations and ICMP echo requests; none of them announces an address. Changes nothing.
options:
  settings:
    description: Sysctls of the host's plan, keys with slashes.
    type: dict
    default: {}
  modules:
    description: Kernel modules that must be part of the kernel's package.
    type: list
    elements: str
    default: []
  routes:
    description: Packets to look up routes for, each with C(to), and optionally C(source), C(protocol), C(port).
    type: list
    elements: dict
    default: []
  neighbours:
    description: Addresses to probe with ARP or neighbour discovery, each with C(interface) and C(address).
    type: list
    elements: dict
    default: []
  paths:
    description: Paths to probe, each with C(address) and the largest C(size) in bytes.
    type: list
    elements: dict
    default: []
  packets:
    description:
      - Packets that the firewall has to let pass, each with C(hooks), C(family), C(protocol), and as far as they are known C(source),
        C(destination), C(sport), C(dport), C(iif), C(oif), and the C(states) that conntrack may give it; C(ipvs) is that
        of a reply whose request conntrack has seen only if IPVS shows it packets. C(accepted) ones pass
        iptables' table filter by a rule of the plan.
    type: list
    elements: dict
    default: []
  orders:
    description: Virtual services whose real servers to list in the order in which they were added, as C(ipvsadm --save) names them.
    type: list
    elements: str
    default: []
  versions:
    description: Programs to tell the version of.
    type: list
    elements: str
    default: []
  trials:
    description:
      - Health checks that are tried once, each with C(address) and C(port) of the real server, C(block), C(settings) and C(url) as in
        keepalived.conf(5), and C(timeout) in seconds.
    type: list
    elements: dict
    default: []
  departures:
    description: Whether to report differences from the files of record.
    type: bool
    default: true
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Inspect a real server
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
  description: Each interface with its mac, mtu, whether it is up, its vlan (802.1Q id), its addresses, whether it has a link-local
    one of IPv6, and whether it merges packets.
  returned: always
  type: dict
settings:
  description: For each setting the kernel's own value, that of conf/all, the effective one, whether it is sufficient,
    and its value at boot with file and line.
  returned: always
  type: dict
modules: {description: "The modules that the kernel lacks, each with the output of modprobe.", returned: always, type: dict}
routes: {description: For each packet the interface and gateway by which it leaves., returned: always, type: list, elements: dict}
defaults:
  description: For each default route of IPv6 its interface, and the interface's accept_ra where a router advertisement set the route.
  returned: always
  type: list
  elements: dict
neighbours: {description: For each address the MACs that answer for it., returned: always, type: list, elements: list}
paths: {description: "For each path the largest packet that came back, in bytes; 0 where none did.", returned: always, type: list, elements: int}
orders: {description: The real servers of each given service that there is., returned: always, type: dict}
versions:
  description: For each program the version that is installed, or that the package manager would install; empty if neither is known.
  returned: always
  type: dict
trials: {description: "Why each health check would fail; empty if it passes.", returned: always, type: list, elements: str}
refused: {description: For each packet the firewall rule that drops or rejects it; empty if it may pass., returned: always, type: list, elements: str}
drops: {description: Firewall rules that drop or reject, with the packets they have counted., returned: always, type: list, elements: list}
marks:
  description: Rules of other software that match or set firewall marks, each with rule, value, mask, and how it uses the mark.
  returned: always
  type: list
  elements: dict
offloads: {description: Firewall rules that give connections to a flow table., returned: always, type: list, elements: str}
counters: {description: Kernel counters of packets that were not accepted., returned: always, type: dict}
config: {description: IPVS features that the kernel was built without., returned: always, type: list, elements: str}
companions: {description: Running software that manages the same kernel state., returned: always, type: list, elements: str}
recorded:
  description: Addresses, routes, rules and sysctls that lvskit has set on the host, as lines of its files of record.
  returned: always
  type: list
  elements: str
departures:
  description: Each kind of state that differs from its file of record, with the commands that restore it.
  returned: always
  type: list
  elements: dict
"""

import dataclasses
import glob
import os
import re
from concurrent import futures

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import (
    counters,
    echo,
    errors,
    firewall,
    host,
    ipvs,
    kernel_modules,
    kinds,
    links,
    marks,
    neighbours,
    programs,
    sysctl_files,
    sysctls,
    trial,
)
from ansible.module_utils.lvs_host.evidence import COMPANIONS, FEATURES
from ansible.module_utils.lvs_host.resource import statements

AT_ONCE = 50  # health checks that are tried
UNIT = os.path.basename(kinds.HEALTH_UNIT.path)
ARGUMENTS = {
    "settings": {"type": "dict", "default": {}},
    "modules": {"type": "list", "elements": "str", "default": []},
    "routes": {"type": "list", "elements": "dict", "default": []},
    "neighbours": {"type": "list", "elements": "dict", "default": []},
    "paths": {"type": "list", "elements": "dict", "default": []},
    "packets": {"type": "list", "elements": "dict", "default": []},
    "orders": {"type": "list", "elements": "str", "default": []},
    "versions": {"type": "list", "elements": "str", "default": []},
    "trials": {"type": "list", "elements": "dict", "default": []},
    "departures": {"type": "bool", "default": True},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        found = look(module.params, programs.run)
    module.exit_json(changed=False, **found)


def look(given, run):
    """The host's answers to the given questions."""
    found = links.interfaces(run)
    macs = {name: link["mac"] for name, link in found.items() if link["up"]}
    asks = [(ask["interface"], str(ask["address"])) for ask in given["neighbours"]]
    paths = [(str(path["address"]), int(path["size"])) for path in given["paths"]]
    rules = rules_of(run)
    return {
        "interfaces": found,
        "settings": settings_of({key: int(value) for key, value in given["settings"].items()}),
        "modules": lacking(given["modules"], run),
        "routes": [route(packet, run) for packet in given["routes"]],
        "defaults": defaults(run),
        "neighbours": neighbours.answers(asks, macs) if asks else [],
        "paths": echo.largest(paths) if paths else [],
        "orders": orders(given["orders"], read(ipvs.TABLE)),
        "versions": {name: version(name, run) for name in given["versions"]},
        "trials": obstacles(given["trials"]),
        "refused": refused(given["packets"], *rules[:2], run),
        "drops": drops(*rules),
        "marks": uses_of_marks(*rules, run),
        "offloads": list(counters.nft_offloads(rules[2])),
        "counters": counters.kernel([read(f"/proc/net/{name}") for name in ("snmp", "snmp6", "netstat")]),
        "config": unbuilt(read(f"/boot/config-{os.uname().release}")),
        "companions": companions(running()),
        "recorded": [
            line
            for kind in (kinds.NETWORK, kinds.NETWORK6, kinds.SYSCTLS)
            for line in statements(host.recorded(kind.path))
        ],
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
        # With lvskit's value in place of the present one: a run does not change the effect of conf/all.
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
    """Whether the value in the files of sysctl.d is sufficient; they need not contain one."""
    try:
        return assignment is None or sysctls.serves(key, value, int(assignment.value))
    except ValueError:
        return False


def placed(assignment):
    return {"value": assignment.value, "place": assignment.place} if assignment else None


def lacking(names, run):
    """The modules that the kernel does not have, each with the output of modprobe."""
    if not programs.find("modprobe"):
        return dict.fromkeys(names, programs.missing("modprobe"))
    loads = {name: kernel_modules.look(name, run) for name in names if not kernel_modules.loaded(name)}
    return {name: load.obstacle for name, load in loads.items() if load.obstacle}


def route(packet, run):
    """The route of a packet; without its source if the host does not have that address (yet)."""
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


def defaults(run):
    """The default routes of IPv6. Other software than the kernel sets routes of advertisements, too: it turns accept_ra off."""
    found = []
    for way in programs.listed(run(["ip", "-6", "-json", "route", "show", "default"], None)[1]):
        name = way.get("dev", "")
        advertised = way.get("protocol") == "ra"
        accepts = sysctls.read(f"net/ipv6/conf/{name}/accept_ra") if advertised else None
        found.append({"interface": name, "accept_ra": accepts})
    return found


def orders(names, listing):
    """The real servers of services in the order in which they were added."""
    found = ipvs.in_order(listing)
    return {name: found[name] for name in names if name in found}


def version(name, run):
    """The version of a program, from itself or, before its package is installed, from apt."""
    for command, pattern in (
        ([name, "-v"], r"\bv(\d+(?:\.\d+)+)"),
        (["apt-cache", "policy", name], r"Candidate: (?:\d+:)?(\d+(?:\.\d+)+)"),
    ):
        found = re.search(pattern, run(command, None)[1]) if programs.find(command[0]) else None
        if found:
            return found[1]
    return ""


def obstacles(trials):
    """Why each health check would fail."""
    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(trial.obstacle, trials))


def rules_of(run):
    """What iptables-save, ip6tables-save and `nft list ruleset` say; nothing where the host does not have the program."""
    saved, saved6 = (
        run([name, "--counters"], None)[1] if programs.find(name) else ""
        for name in ("iptables-save", "ip6tables-save")
    )
    rules = run(["nft", "list", "ruleset"], None)[1] if programs.find("nft") else ""
    return saved, saved6, rules


def refused(packets, saved, saved6, run):
    """The rule that refuses each packet."""
    tracking = sysctls.read("net/ipv4/vs/conntrack") == 1
    asked = [firewall.Packet.of(one, tracking) for one in packets]
    ruleset, listing = (
        run(["nft", option, "list", "ruleset"], None)[1] if asked and programs.find("nft") else ""
        for option in ("--json", "--handle")
    )
    return firewall.refused(asked, saved, saved6, ruleset, listing) if asked else []


def drops(saved, saved6, rules):
    """Firewall rules that drop."""
    return [
        *counters.iptables_drops(saved),
        *counters.iptables_drops(saved6, "ip6tables"),
        *counters.nft_drops(rules, saved, saved6),
    ]


def uses_of_marks(saved, saved6, rules, run):
    """Rules that match or set a packet's firewall mark, without lvskit's own."""
    found = [
        *marks.of_ip(run(["ip", "rule", "show"], None)[1]),
        *marks.of_ip(run(["ip", "-6", "rule", "show"], None)[1], "ip -6 rule"),
        *marks.of_iptables(saved),
        *marks.of_iptables(saved6, "ip6tables"),
        *marks.of_nft(rules, saved, saved6),
    ]
    return [use._asdict() for use in found]


def unbuilt(text):
    """Features missing in a kernel's configuration; none if the configuration is not available."""
    return [name for name in FEATURES if text and not any(f"CONFIG_{name}={how}" in text for how in "ym")]


def running():
    """The names of the programs that run, without lvskit's own keepalived."""
    processes = (os.path.dirname(path) for path in glob.glob("/proc/[0-9]*/comm"))
    return {read(f"{path}/comm").strip() for path in processes if f"/{UNIT}" not in read(f"{path}/cgroup")}


def companions(running):
    """The names of other software, by the names of the programs that run, of which the kernel keeps 15 characters."""
    return sorted(one.name for one in COMPANIONS if one.program[:15] in running)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
