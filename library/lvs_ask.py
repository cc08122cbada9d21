#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_ask
short_description: Send the requests that a run has for a host
version_added: "0.2.0"
description:
  - Runs M(lvs_probe) on this host with the questions that this run has stored for it, and stores the answers. A host without such is skipped.
options:
  questions:
    description: "Which ones: the number of a batch of M(lvs_walk), or C(before), C(after) or C(real_servers) of M(lvs_net)."
    type: str
    required: true
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Ask each service
  lvs_ask: {questions: before}
"""

RETURN = r"""
asked: {description: How many services., returned: success, type: int}
answered: {description: How many of them have answered., returned: success, type: int}
"""
