#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_failover
short_description: Choose and confirm a takeover on purpose
version_added: "0.3.0"
description:
  - C(choose) fails if a director of the groups cannot be reached, or if a group has no master or several. C(confirm) fails if no other director has become master.
  - Reads what M(lvs_recorded) has found on the directors. Runs on the controller, once for all hosts, and connects to none.
options:
  step: {description: What to do., type: str, required: true, choices: [choose, confirm]}
  groups:
    description: Groups of C(lvs_directors), or directors, which mean the groups of which they are master.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {support: full, description: Never changes a host.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Choose the directors
  lvs_failover: {step: choose, groups: [edge]}
  run_once: true
"""

RETURN = r"""
groups: {description: The groups whose addresses are to move., returned: for C(choose), type: list, elements: str}
masters: {description: The directors that give up the addresses., returned: for C(choose), type: list, elements: str}
standbys: {description: Those that can take them., returned: for C(choose), type: list, elements: str}
"""
