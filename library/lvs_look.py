#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_look
short_description: Inspect a host with the checks of a run
version_added: "0.2.0"
description:
  - Runs M(lvs_inspect) on this host with the questions that M(lvs_questions) has stored for it, and stores the answers for M(lvs_preflight) and
    M(lvs_trace). A host without questions is skipped.
options:
  only_counters: {description: Whether to read only counters., type: bool, default: false}
  keep_as: {description: The name under which the answers are stored., type: str, default: answers}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Inspect the host
  lvs_look:
"""

RETURN = r"""
{}
"""
