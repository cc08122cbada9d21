#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what lvskit has recorded on a director, and whether it is the master of its groups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_recorded
short_description: Read the recorded virtual services and drained real servers of a director, and its part in elections
version_added: "0.2.0"
description:
  - Reads the files in which lvskit has recorded the director's IPVS table and its drained real servers. It does not read the kernel's table.
  - The director is master of a group if it has the address of the group's adverts.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Read the recorded services
  lvs_recorded:
"""

RETURN = r"""
services:
  description: The virtual services. Without a value where the file cannot be read; then nothing is known.
  returned: success
  type: list
  elements: str
  sample: ["tcp 203.0.113.80:80"]
elections: {description: "The groups of directors in whose elections it takes part, each with whether it is the master.", returned: success, type: dict, sample: {"edge": true}}
passing: {description: "The services, with their families, of which a real server passes its health check.", returned: success, type: list, elements: str, sample: ["web 4"]}
drained: {description: Since when each drained real server is drained., returned: success, type: dict, sample: {"rs1": "2026-03-01T03:00:00Z"}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import decisions, election, errors, files, ipvs, programs
from ansible.module_utils.lvs_host.kinds import DRAINED, IPVS, VRRP
from ansible.module_utils.lvs_host.resource import REMEDY, HostError, statements

ARGUMENTS = {}
PROTOCOLS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp", "-f": "mark"}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    with errors.reported(module):
        out = drained(files.read(DRAINED.path, REMEDY) or "")
        elections = election.parts(files.read(VRRP.path, REMEDY) or "", programs.run)
    passing = sorted(decisions.read().passing())
    module.exit_json(changed=False, services=services(IPVS.path), drained=out, elections=elections, passing=passing)


def drained(text):
    """Since when each real server is drained."""
    return dict(line.split(maxsplit=1) for line in statements(text))


def services(path):
    try:
        with open(path, encoding="utf-8") as file:
            table = ipvs.parse(file.read())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, HostError):
        return None
    return [f"{PROTOCOLS.get(flag, flag)} {address}" for flag, address in table]


if __name__ == "__main__":
    main()
