#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_status
short_description: Show every service with its real servers
version_added: "0.3.0"
description:
  - Shows for each real server the wanted weight, the present one, the reason and its time, the check and its last answer, from what
    M(lvs_health) has read on the directors. Names directors whose checks or governor do not work.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: The names of the services; none means all., type: list, elements: str, default: []}
  to: {description: A file for the same as JSON., type: path}
attributes:
  check_mode: {support: full, description: Never changes a host.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Show the services
  lvs_status:
    to: status.json
  run_once: true
"""

RETURN = r"""
elections:
  description: One mapping for each director of an elected group, with C(master) and C(connections).
  returned: always
  type: list
  elements: dict
services:
  description: One mapping for each service, family and director, with C(state) and C(servers).
  returned: always
  type: list
  elements: dict
troubles: {description: "Directors whose decisions or state are not up to date, as sentences.", returned: always, type: list, elements: str}
"""
