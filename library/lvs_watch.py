#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_watch
short_description: Capture what a host meets of a batch of services
version_added: "0.2.0"
description:
  - Starts and stops M(lvs_capture) on this host with what M(lvs_walk) has stored for it, and stores the captures for M(lvs_compare) and
    M(lvs_trace). A host that meets no packet of the batch is skipped.
options:
  state: {description: "C(started) begins to capture, C(stopped) ends it.", type: str, choices: [started, stopped], required: true}
  batch: {description: The number of the batch., type: int, default: 0}
  skip_missing: {description: Whether interfaces that the host does not have are passed over., type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Begin to capture
  lvs_watch: {state: started, batch: 0}
"""

RETURN = r"""
interfaces: {description: The interfaces that were captured on., returned: when stopped, type: list, elements: str}
"""
