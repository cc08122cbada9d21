#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_preflight
short_description: Compare hosts with the inventory
version_added: "1.0.0"
description:
  - Prints the findings on each host - the found state, the needed state, and the effect on packets. A fault
    stops packets now; a risk does not yet.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  hosts: {description: The hosts that were inspected., type: list, elements: str, required: true}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Report
  lvs_preflight:
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
findings:
  description: The findings, each with host, check, subject, found, needed, consequence and risk.
  returned: always
  type: list
  elements: dict
faults: {description: "The findings that are faults, each as a sentence.", returned: always, type: list, elements: str}
"""
