#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_preflight
short_description: Hold what hosts have against the inventory
version_added: "1.0.0"
description:
  - Prints what is wrong on each host - what was found, what is needed, what becomes of the packets. Packets take their way today
    in spite of a risk, and not in spite of a fault.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  hosts: {description: The hosts that were asked., type: list, elements: str, required: true}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
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
  description: What is wrong, each with host, check, subject, found, needed, consequence and risk.
  returned: always
  type: list
  elements: dict
faults: {description: "Those that are no mere risk, each as a sentence.", returned: always, type: list, elements: str}
"""
