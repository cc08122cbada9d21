#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_lost
short_description: Report which services a run has cost
version_added: "0.2.0"
description:
  - Compares the answers that M(lvs_ask) has stored before and after a run. A service is lost when it answered before, and every one of many
    requests fails afterwards. Where one client always meets the same real server (persistence, or a scheduler such as sh or mh), another
    client has to find the same, or the director has to reach all of the service's real servers; else it is a warning.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  rollback: {description: Whether M(lvs_choose) goes back to the run before this one when a service is lost., type: bool, default: true}
  report: {description: "Whether this is the end of the run: a lost service is an error then.", type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Compare with the answers before the run
  lvs_lost:
  run_once: true
"""

RETURN = r"""
lost: {description: Names of services., returned: success, type: list, elements: str}
doubts: {description: "Services that may be lost, each with what speaks against it.", returned: success, type: list, elements: str}
"""
