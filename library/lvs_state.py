#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a director or real server to its plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_state
short_description: Bring a host's LVS state to its plan
version_added: "1.0.0"
description:
  - Compares what the kernel really has with the wanted state, and issues only the differences. An unchanged destination,
    address or rule is never touched, and nothing is ever flushed.
  - Everything is read and checked first; a host that cannot have its plan is left as it was.
  - "Additions come in the order modules and their parameters, kernel settings, iptables rules, IPVS table, addresses and routes; removals in
    the reverse order. So a real server's ARP settings are in force before it has the VIP, and stay until it is gone."
  - One run at a time changes a host; another one waits for it for a minute, and then gives up with nothing changed.
  - What lvskit put on the host is known by its files of record, each in the format of the tool that restores it at boot;
    only that is ever removed.
options:
  modules:
    description: Kernel modules, one a line, as modules-load.d(5) has them.
    type: str
    default: ""
  module_options:
    description: Parameters of the kernel modules that were built for the host, as modprobe.d(5) has them; set on the running modules too.
    type: str
    default: ""
  sysctls:
    description: Kernel settings, C(key = value), as sysctl.d(5) has them, keys with slashes.
    type: str
    default: ""
  netfilter:
    description: iptables rules in lvskit's own chains, as iptables-save(8) writes them.
    type: str
    default: ""
  ipvs:
    description: The IPVS table, as C(ipvsadm --save --numeric) writes it.
    type: str
    default: ""
  network:
    description: Addresses, routes and rules, as C(ip -batch) reads them.
    type: str
    default: ""
  netfilter_unit:
    description: The systemd unit that restores the iptables rules at boot.
    type: str
    default: ""
  ipvs_unit:
    description: The systemd unit that restores the IPVS table at boot.
    type: str
    default: ""
  network_unit:
    description: The systemd unit that restores kernel settings, addresses and routes at boot.
    type: str
    default: ""
  programs:
    description:
      - Commands that the plan needs. When some are missing the host is left as it is and they are named, so that they can
        be installed and the module run again; in check mode it goes on.
    type: list
    elements: str
    default: []
  interfaces:
    description: Interfaces that must be there beforehand, each with its address and prefix length.
    type: dict
    default: {}
  remove:
    description:
      - Whether what the plan no longer has is taken away. Without it the files of record go on naming it.
      - Real servers are brought to their plan without removals first, then the directors, then real servers once more
        with removals, so that no director sends to a host that has lost its VIP.
    type: bool
    default: true
  purge_foreign:
    description: Whether virtual services that lvskit did not put into the IPVS table are removed from it.
    type: bool
    default: false
  run:
    description:
      - The time of this run (UTC, C(2026-03-01T03:00:00Z)), under which the plan is kept on the host once it is carried out.
        Nothing is kept without it.
    type: str
    default: ""
  revision:
    description: The inventory's revision, to be kept with the plan.
    type: str
    default: ""
  to:
    description:
      - A run to go back to. The plan that the host had after it takes the place of what is given here. Where that is not
        known, nothing is changed and the module fails.
    type: str
    default: ""
  drain_timeout:
    description:
      - Seconds to wait until what leaves a director (a real server, a service, a local address) has no open connection any
        more. It gets no new ones meanwhile. What is still open then is cut.
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
      eth1: 203.0.113.10/24
"""

RETURN = r"""
commands:
  description: What was issued, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm -a -t 203.0.113.80:80 -r 203.0.113.12:80 -g -w 100"]
missing_programs:
  description: Commands that have to be installed first.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm"]
stale:
  description: What is to be taken away and was left, with I(remove=false).
  returned: always
  type: list
  elements: str
  sample: ["ip address del 203.0.113.80/32 dev lo"]
drift:
  description:
    - What would bring the host back to the plan it was last brought to, where something else has changed it since.
      Asked only where there is something to change at all.
  returned: always
  type: list
  elements: str
  sample: ["ipvsadm -e -t 203.0.113.80:80 -r 203.0.113.12:80 -g -w 100"]
foreign:
  description: Virtual services in the kernel that are not lvskit's.
  returned: always
  type: list
  elements: str
  sample: ["-t 198.51.100.7:443"]
notes:
  description: What could not be done as planned, as sentences. Each is a warning, too.
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

# What makes up a plan, each with what stands for nothing; the other arguments say how the plan is to be carried out.
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
    "drain_timeout": {"type": "int", "default": 0},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    done = []
    with errors.reported(module, done, commands=done), lock.held(check=module.check_mode):
        result = bring(module.params, programs.run, done, check=module.check_mode)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


def bring(given, command, done, *, check):
    """Brings the host to its plan, and returns what there is to say of it. `done` gets each command that was carried out."""
    wanted = wanted_of(given)
    options = {name: given[name] for name in ("remove", "purge_foreign", "drain_timeout")}
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
            carry_out(steps, texts, resources, done, note)
    notes = [note for resource in resources for note in resource.notes]
    return {**nothing, **result, "notes": notes, "missing_programs": missing}


def wanted_of(given):
    """The plan that is given, or the one of an earlier run."""
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
    """What is to be kept of this run, as arguments of history.stage; None where the last one wanted the same."""
    if not given["run"] or history.known(wanted):
        return None
    first = not any(resource.recorded for resource in resources)
    return {"run": given["run"], "revision": given["revision"], "wanted": wanted, "first": first, "to": given["to"]}


def plan(resources, remove):
    """What has to be done, in order, what the files of record are to hold, and what is reported of it."""
    adding = [(resource, "add", resource.additions()) for resource in resources]
    removals = [(resource, "remove", resource.removals()) for resource in reversed(resources)]
    removing = removals if remove and any(lines for _, _, lines in removals) else []
    quieting = [(resource, "quiet", resource.quieting()) for resource in resources] if removing else []
    closing = [(resource, "close", resource.closing()) for resource in resources]
    texts = {resource.path: resource.record(keep_stale=not remove) for resource in resources if resource.path}
    stale = [] if remove else [line for _, _, lines in removals for line in lines]
    result = report(resources, [*adding, *quieting, *removing, *closing], texts)
    return {**result, "stale": stale, "steps": (adding, quieting, removing, closing), "files": texts}


def carry_out(steps, texts, resources, done, note=None):
    """Changes the kernel, and then what a reboot restores.

    What leaves gets no new connections first, and everything is as it was for the open ones until they have ended.
    """
    adding, quieting, removing, closing = steps
    current = {resource.path: resource.recorded for resource in resources if resource.path}
    changed = {path: text for path, text in texts.items() if text != current[path]}
    staged = []
    try:
        staged += stage({path: text for path, text in changed.items() if text}, current)
        kept = history.stage(note["run"], note["revision"], note["wanted"], first=note["first"]) if note else []
        staged += kept
        perform(adding, done)
        perform(quieting, done)
        for resource in resources if removing else ():
            resource.settle()
        perform(removing, done)
        record(changed)
        if note:
            history.keep(kept, forget=not note["to"])
    except BaseException:
        files.discard(staged)
        raise
    perform(closing, done)


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
    """Writes the new files beside the old ones, so that a full disk is met before anything changes; their paths.

    The number of their format is one of them. `current` are all files of record: what a killed run left beside them goes.
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
    """Puts the new files in place of the old ones: from now on a reboot restores the new plan. The number of their format is first."""
    if files.staged(formats.PATH):
        files.keep(formats.PATH)
    for path, text in texts.items():
        if text:
            files.keep(path)
        else:
            files.remove(path)


if __name__ == "__main__":
    main()
