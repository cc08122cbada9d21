#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_net
short_description: Prepare the questions of a run's safety net
version_added: "0.2.0"
description:
  - Says which hosts ask which services before and after a run, and stores the questions for M(lvs_ask). A service that no director carries
    before the run is not asked. Services that answered before are asked again, as often as it takes to meet each real server.
  - Runs on the controller, once for all hosts, and connects to none. Needs M(lvs_compile) before it.
options:
  step:
    description:
      - C(askers) chooses the clients, and says so where there is none. C(before) and C(after) store their questions.
    type: str
    choices: [askers, before, after]
    required: true
  path: {description: "The path of HTTP requests. Without it the path of the service's health check, else C(/).", type: str}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Choose the clients that ask
  lvs_net: {step: askers}
  run_once: true
"""

RETURN = r"""
askers: {description: The clients that ask., returned: success, type: list, elements: str}
"""
