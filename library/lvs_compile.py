#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_compile
short_description: Validate an LVS environment and compile its hosts' plans
version_added: "0.2.0"
description:
  - Reads C(lvs_networks), C(lvs_services) and the hosts' variables, checks them against the rules of each forwarding mode, and fails with every
    violation at once, each with the inventory file, line and column that it comes from.
  - Stores the plan of each host in the run's own folder on the controller, where M(lvs_apply) and the other actions of the same run find
    it. Plans are not variables. The tasks of a host read the plan of that host alone.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  drained:
    description: Real servers that this run drains, in addition to those with C(lvs_drained=true).
    type: list
    elements: str
    default: []
  undrained:
    description: Real servers that this run puts back into service.
    type: list
    elements: str
    default: []
  recorded:
    description:
      - Whether to take in what M(lvs_recorded) has found - the real servers that are drained are left out, and of an elected group the
        standbys change before the master. If there is neither, what was compiled before stays.
    type: bool
    default: false
  without_hosts:
    description: Hosts to remove. Their plans are empty, and no other host's plan contains them.
    type: list
    elements: str
    default: []
  without_services:
    description: Services to remove, by name.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Validate the inventory, and compile each host's plan
  lvs_compile:
  run_once: true
"""

RETURN = r"""
run: {description: "The time (UTC), by which hosts store the plan of this run.", returned: where it compiles, type: str, sample: "2026-03-01T03:00:00Z"}
revision: {description: The git revision of the inventory; empty if it is in no repository., returned: where it compiles, type: str}
services: {description: Number of services., returned: where it compiles, type: int}
"""
