#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_lost
short_description: Say which services a run has cost
version_added: "0.2.0"
description:
  - Compares the answers that M(lvs_ask) has stored before and after the run.
  - Runs on the controller and connects to no host.
options:
  fail: {description: Whether a lost service is an error., type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Compare with the answers before the run
  lvs_lost:
"""

RETURN = r"""
lost: {description: Names of services., returned: success, type: list, elements: str}
"""
