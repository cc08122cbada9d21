#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_kept
short_description: List the earlier runs that a host can go back to
version_added: "0.2.0"
description:
  - Lists the runs with M(lvs_history), and stores the list for M(lvs_choose).
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: List the runs that the host can go back to
  lvs_kept:
"""

RETURN = r"""
runs: {description: The revision of the inventory at each run's time., returned: always, type: dict}
since: {description: The first run after which the host's plan is known; empty if none is., returned: always, type: str}
"""
