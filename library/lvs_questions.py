#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_questions
short_description: List the checks of each host
version_added: "1.0.0"
description:
  - Derives from the inventory what M(lvs_look) inspects on each host and in its networks.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of services; all of them if it is empty., type: list, elements: str, default: []}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: List the checks of each host
  lvs_questions:
  run_once: true
"""

RETURN = r"""
hosts: {description: Number of hosts to inspect., returned: success, type: int}
"""
