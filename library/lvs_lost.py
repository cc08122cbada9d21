#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_lost
short_description: Report the services that a run has lost
version_added: "0.2.0"
description:
  - Compares the answers that M(lvs_ask) has stored before and after a run. A service is lost when it answered before, and every one of many
    requests fails afterwards. If one client always gets the same real server (persistence, or a scheduler such as sh or mh), the service is lost only if it does not answer
    a second client either, or if its director reaches all of its real servers; otherwise the module warns.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  rollback: {description: Whether M(lvs_choose) chooses the run before this one if a service is lost., type: bool, default: true}
  report: {description: "Whether to fail if a service is lost; set at the end of the run.", type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Compare with the answers before the run
  lvs_lost:
  run_once: true
"""

RETURN = r"""
lost: {description: Names of services., returned: success, type: list, elements: str}
doubts: {description: "Services that may be lost, each with the reason for the doubt.", returned: success, type: list, elements: str}
"""
