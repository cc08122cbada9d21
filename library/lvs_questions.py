#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_questions
short_description: Say what to ask the hosts
version_added: "1.0.0"
description:
  - Works out from the inventory what each host is to be asked about itself and the network around it.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of services; all of them where it is empty., type: list, elements: str, default: []}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: List the questions
  lvs_questions:
  run_once: true
"""

RETURN = r"""
hosts: {description: How many hosts have questions., returned: success, type: int}
"""
