#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_watch
short_description: Capture the packets of a batch of services on a host
version_added: "0.2.0"
description:
  - Starts and stops M(lvs_capture) on this host with what M(lvs_walk) has stored for it, and stores the captures for M(lvs_compare) and
    M(lvs_trace). A host that no packet of the batch passes is skipped.
options:
  state: {description: "C(started) starts the captures, C(stopped) stops them.", type: str, choices: [started, stopped], required: true}
  batch: {description: The number of the batch., type: int, default: 0}
  skip_missing: {description: Whether to skip interfaces that the host does not have., type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Start the captures
  lvs_watch: {state: started, batch: 0}
"""

RETURN = r"""
interfaces: {description: The interfaces of the captures., returned: when stopped, type: list, elements: str}
"""
