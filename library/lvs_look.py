#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_look
short_description: Ask a host about itself
version_added: "0.2.0"
description:
  - Has M(lvs_inspect) answer the questions that M(lvs_questions) has worked out for the host, and stores the answers for M(lvs_preflight) and
    M(lvs_trace). A host without questions is skipped.
options:
  only_counters: {description: Whether only counters are read., type: bool, default: false}
  keep_as: {description: The name under which the answers are stored., type: str, default: answers}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Look at the host
  lvs_look:
"""

RETURN = r"""
{}
"""
