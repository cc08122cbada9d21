#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a director or real server to its plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_state
short_description: Bring a host's LVS state to its plan
version_added: "1.0.0"
description:
  - Compares the kernel's state with the wanted state, and changes only the differences. Does not touch an unchanged destination,
    address or rule, and never flushes a table.
  - Reads and checks everything first; if the host cannot have its plan, changes nothing.
  - "Adds state in the order modules and their parameters, sysctls, iptables rules, IPVS table, addresses and routes; removes it in
    the reverse order. The ARP settings of a real server are therefore in force before the VIP is added, and until it is removed."
  - Only one run at a time changes a host. Another run waits for one minute and then fails without a change.
  - Records the state that lvskit has created in files of record, each in the format of the tool that restores it at boot, and removes no
    other state.
options:
  modules:
    description: Kernel modules, one per line, in the format of modules-load.d(5).
    type: str
    default: ""
  module_options:
    description: Parameters of the kernel modules that were built for the host, in the format of modprobe.d(5); also set on loaded modules.
    type: str
    default: ""
  sysctls:
    description: Sysctls, C(key = value), in the format of sysctl.d(5), keys with slashes.
    type: str
    default: ""
  netfilter:
    description: iptables rules in lvskit's own chains, as iptables-save(8) writes them.
    type: str
    default: ""
  netfilter6:
    description: ip6tables rules in lvskit's own chains, as ip6tables-save(8) writes them.
    type: str
    default: ""
  ipvs_timeouts:
    description: The timeouts of IPVS, as the option C(--set) of ipvsadm(8) and its three numbers of seconds.
    type: str
    default: ""
  ipvs:
    description: The IPVS table, as C(ipvsadm --save --numeric) writes it, and the thresholds C(-x) and C(-y) of its real servers.
    type: str
    default: ""
  network:
    description: IPv4 addresses, routes and rules, as C(ip -batch) reads them.
    type: str
    default: ""
  network6:
    description: IPv6 addresses, routes and rules, as C(ip -6 -batch) reads them.
    type: str
    default: ""
  health:
    description: The configuration of keepalived's health checks, as keepalived.conf(5) has it.
    type: str
    default: ""
  health_plan:
    description: What the governor must know of the checked services, as JSON.
    type: str
    default: ""
  vrrp:
    description: The configuration of keepalived for the election of one director, keepalived.conf(5).
    type: str
    default: ""
  conntrackd:
    description: The configuration of conntrackd on a director, conntrackd.conf(5).
    type: str
    default: ""
  drained:
    description: The real servers that are drained on a director, one in a line, each with the time since when.
    type: str
    default: ""
  netfilter_unit:
    description: The systemd unit that restores the iptables and ip6tables rules at boot.
    type: str
    default: ""
  ipvs_unit:
    description: The systemd unit that restores the IPVS timeouts and table at boot.
    type: str
    default: ""
  network_unit:
    description: The systemd unit that restores sysctls, addresses and routes at boot.
    type: str
    default: ""
  verdict_unit:
    description: The systemd unit that makes the network namespace for the verdicts of health checks.
    type: str
    default: ""
  governor_unit:
    description: The systemd unit that changes weights by the verdicts of health checks.
    type: str
    default: ""
  health_unit:
    description: The systemd unit of keepalived's health checks.
    type: str
    default: ""
  sync_unit:
    description: The systemd unit of the IPVS sync daemons.
    type: str
    default: ""
  conntrackd_unit:
    description: The systemd unit of conntrackd.
    type: str
    default: ""
  vrrp_unit:
    description: The systemd unit of the election of one director by keepalived.
    type: str
    default: ""
  vrrp_watch_unit:
    description: The systemd unit that ends a keepalived which holds the addresses of another master.
    type: str
    default: ""
  keeper_unit:
    description: The systemd unit that puts back what something else takes away of lvskit's state.
    type: str
    default: ""
  programs:
    description:
      - Programs that the plan needs. If some are missing, the module changes nothing and returns their names, so that they can
        be installed and the module run again; in check mode it continues.
    type: list
    elements: str
    default: []
  interfaces:
    description: Interfaces that must exist, each with a list of its addresses with prefix lengths.
    type: dict
    default: {}
  remove:
    description:
      - Whether to remove state that the plan no longer contains. State that is kept stays in the files of record.
      - Run the module on real servers without removals first, then on directors, then on real servers again
        with removals, so that no director sends to a host without the VIP.
    type: bool
    default: true
  purge_foreign:
    description: Whether to remove virtual services that lvskit did not create from the IPVS table.
    type: bool
    default: false
  run:
    description:
      - The time of this run (UTC, C(2026-03-01T03:00:00Z)), under which the host stores the plan once it is applied.
        Without it the host stores no plan.
    type: str
    default: ""
  revision:
    description: The inventory's revision, stored with the plan.
    type: str
    default: ""
  to:
    description:
      - A run to go back to. The host's stored plan of that run replaces the options given here. If the host has no such
        plan, the module fails without a change.
    type: str
    default: ""
  last_server:
    description:
      - Whether the last real server of a service that passes its health check may be removed while the others fail. Otherwise
        the module fails without a change.
    type: bool
    default: false
  drain_timeout:
    description:
      - Seconds to wait for open connections before a director removes a real server, a service or a local address.
        No new connections use it meanwhile. Connections that are still open then are cut.
    type: int
    default: 0
attributes:
  check_mode: {support: full, description: Reports the commands a run would issue and changes nothing.}
  diff_mode: {support: full, description: Shows each kind of state before and after.}
author: lvskit
"""

EXAMPLES = r"""
- name: Serve one VIP by direct routing
  lvs_state:
    modules: |
      ip_vs
      ip_vs_wlc
    ipvs: |
      -A -t 203.0.113.80:80 -s wlc
      -a -t 203.0.113.80:80 -r 203.0.113.11:80 -g -w 100
    network: |
      address replace 203.0.113.80/32 dev eth1
    interfaces:
      eth1: [203.0.113.10/24]
"""

RETURN = r"""
commands:
  description: The commands that were run, or would be run in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm -a -t 203.0.113.80:80 -r 203.0.113.12:80 -g -w 100"]
missing_programs:
  description: Programs that must be installed first.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm"]
stale:
  description: State to remove that was kept because of I(remove=false).
  returned: always
  type: list
  elements: str
  sample: ["ip address del 203.0.113.80/32 dev lo"]
drift:
  description:
    - Commands that would restore the last applied plan, if something else has changed the host since.
      Determined only if there is something to change.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm -e -t 203.0.113.80:80 -r 203.0.113.12:80 -g -w 100"]
foreign:
  description: Virtual services in the kernel that lvskit did not create.
  returned: always
  type: list
  elements: str
  sample: ["-t 198.51.100.7:443"]
notes:
  description: Steps that could not be done as planned, as sentences. Each is also a warning.
  returned: always
  type: list
  elements: str
  sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import errors, files, formats, history, host, lock, programs
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.ipvs import IpvsTable
from ansible.module_utils.lvs_host.kinds import TEXTS

# The parts of a plan, each with its empty value; the other arguments control how the plan is applied.
PLAN = {**dict.fromkeys(TEXTS, ""), "programs": [], "interfaces": {}}
ARGUMENTS = {
    **{name: {"type": "str", "default": ""} for name in TEXTS},
    "programs": {"type": "list", "elements": "str", "default": PLAN["programs"]},
    "interfaces": {"type": "dict", "default": PLAN["interfaces"]},
    "remove": {"type": "bool", "default": True},
    "purge_foreign": {"type": "bool", "default": False},
    "run": {"type": "str", "default": ""},
    "revision": {"type": "str", "default": ""},
    "to": {"type": "str", "default": ""},
    "last_server": {"type": "bool", "default": False},
    "drain_timeout": {"type": "int", "default": 0},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    done = []
    with errors.reported(module, done, commands=done), lock.held(check=module.check_mode), lock.table() as table:
        result = bring(module.params, programs.run, done, check=module.check_mode, table=table)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


def bring(given, command, done, *, check, table):
    """Brings the host to its plan, and returns the result of the module. Appends each executed command to `done`.

    `table` is the lock of the IPVS table.
    """
    wanted = wanted_of(given)
    options = {name: given[name] for name in ("remove", "purge_foreign", "drain_timeout", "last_server")}
    resources = list(host.wire(host.Run(wanted, command, check=check, **options)).values())
    for resource in resources:
        resource.prepare()
    missing = [name for name in wanted["programs"] if not programs.find(name)]
    nothing = {"changed": False, "commands": [], "stale": [], "foreign": [], "drift": [], "notes": []}
    if missing and not check:
        return {**nothing, "missing_programs": missing}
    result = plan(resources, given["remove"])
    steps, texts = result.pop("steps"), result.pop("files")
    result["drift"] = host.commands(host.departures(command)) if result["changed"] else []
    if not check:
        note = note_of(given, wanted, resources)
        if result["changed"] or note:
            carry_out(steps, texts, resources, done, table, note)
    notes = [note for resource in resources for note in resource.notes]
    return {**nothing, **result, "notes": notes, "missing_programs": missing}


def wanted_of(given):
    """The given plan, or the stored plan of an earlier run."""
    if not given["to"]:
        return {key: given[key] for key in PLAN}
    kept = history.at(given["to"])
    unknown = [key for key, value in kept.items() if value and key not in PLAN]
    if unknown:
        raise HostError(
            f"the plan that this host had after the run of {given['to']} has {' and '.join(unknown)}, which this version of lvskit "
            "does not know. Go back to another run, or use the version that wrote it"
        )
    return {**PLAN, **{key: value for key, value in kept.items() if key in PLAN}}


def note_of(given, wanted, resources):
    """The plan of this run to store, as arguments of history.stage; None if the last run had the same plan."""
    if not given["run"] or history.known(wanted):
        return None
    first = not any(resource.recorded for resource in resources)
    return {"run": given["run"], "revision": given["revision"], "wanted": wanted, "first": first, "to": given["to"]}


def plan(resources, remove):
    """The commands in order, the wanted files of record, and the report."""
    adding = [(resource, "add", resource.additions()) for resource in resources]
    removals = [(resource, "remove", resource.removals()) for resource in reversed(resources)]
    removing = removals if remove and any(lines for _, _, lines in removals) else []
    quieting = [(resource, "quiet", resource.quieting()) for resource in resources] if removing else []
    closing = [(resource, "close", resource.closing()) for resource in resources]
    texts = {resource.path: resource.record(keep_stale=not remove) for resource in resources if resource.path}
    stale = [] if remove else [line for _, _, lines in removals for line in lines]
    result = report(resources, [*adding, *quieting, *removing, *closing], texts)
    return {**result, "stale": stale, "steps": (adding, quieting, removing, closing), "files": texts}


def carry_out(steps, texts, resources, done, table, note=None):
    """Changes the kernel, and then the files that a reboot restores.

    First stops new connections to state that is to be removed; the state stays complete until the open connections have ended.
    """
    adding, quieting, removing, closing = steps
    current = {resource.path: resource.recorded for resource in resources if resource.path}
    changed = {path: text for path, text in texts.items() if text != current[path]}
    staged = []
    try:
        staged += stage({path: text for path, text in changed.items() if text}, current)
        kept = history.stage(note["run"], note["revision"], note["wanted"], first=note["first"]) if note else []
        staged += kept
        for resource in resources:
            if changed.get(resource.path):
                resource.try_out()
        perform(adding, done)
        perform(quieting, done)
        if removing:
            settle(resources, table)
        perform(removing, done)
        record(changed)
        if note:
            history.keep(kept, forget=not note["to"])
    except BaseException:
        files.discard(staged)
        raise
    perform(closing, done)


def settle(resources, table):
    """Waits for connections to end. Meanwhile the governor may take out real servers that die."""
    table.release()
    try:
        for resource in resources:
            resource.settle()
    finally:
        table.take()


def perform(steps, done):
    for resource, verb, lines in steps:
        if lines:
            getattr(resource, verb)()
            done += lines


def report(resources, commands, texts):
    diff = []
    rewritten = False
    for resource in resources:
        touched = any(lines for other, _, lines in commands if other is resource)
        text = texts.get(resource.path, "")
        changed_file = text != resource.recorded
        rewritten = rewritten or changed_file
        if touched:
            before, after = (f"{os.linesep.join(lines)}\n" for lines in (resource.before(), resource.after()))
            diff.append(
                {"before": before, "after": after, "before_header": resource.title, "after_header": resource.title}
            )
        if changed_file:
            header = resource.path
            diff.append({"before": resource.recorded, "after": text, "before_header": header, "after_header": header})
    lines = [line for _, _, some in commands for line in some]
    foreign = [name for r in resources if isinstance(r, IpvsTable) for name in r.foreign]
    return {"changed": bool(lines) or rewritten, "commands": lines, "foreign": foreign, "diff": diff}


def stage(texts, current):
    """Writes the new files next to the old ones, so that a full disk is detected before anything changes; returns their paths.

    The format number is one of them. `current` are all files of record: removes new files that a killed run left next to them.
    """
    files.discard([formats.PATH, *current])
    staged = []
    numbered = {} if formats.recorded() == formats.FORMAT else {formats.PATH: f"{formats.FORMAT}\n"}
    try:
        for path, text in {**numbered, **texts}.items():
            files.stage(path, text)
            staged.append(path)
    except HostError:
        files.discard(staged)
        raise
    return staged


def record(texts):
    """Replaces the old files by the new ones: from now on a reboot restores the new plan. The format number is first."""
    if files.staged(formats.PATH):
        files.keep(formats.PATH)
    for path, text in texts.items():
        if text:
            files.keep(path)
        else:
            files.remove(path)


if __name__ == "__main__":
    main()
