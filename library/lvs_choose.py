#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_choose
short_description: Choose the run that the hosts go back to
version_added: "0.2.0"
description:
  - Chooses an earlier run that every host has a stored plan of, for M(lvs_apply). Fails if there is none, or if --limit excludes a director.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  to: {description: "The time of the run (UTC); default: the run before the last one, or before the run that has lost a service.", type: str}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Choose the run to go back to
  lvs_choose:
  run_once: true
"""

RETURN = r"""
to: {description: The chosen run., returned: success, type: str, sample: "2026-03-01T03:00:00Z"}
"""
