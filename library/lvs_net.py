#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_net
short_description: Prepare the probes before and after a run
version_added: "0.2.0"
description:
  - Chooses the clients that probe services before and after a run, and stores the requests for M(lvs_ask). A service that no director has
    before the run is not probed. Services that answered before get so many requests afterwards that each real server gets some.
  - Runs on the controller, once for all hosts, and connects to none. Needs M(lvs_compile) before it.
options:
  step:
    description:
      - C(askers) chooses the clients, and reports if there is none. C(before) and C(after) store their requests.
    type: str
    choices: [askers, before, after]
    required: true
  path: {description: "The path of HTTP requests. Without it the path of the service's health check, else C(/).", type: str}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Choose the clients that probe the services
  lvs_net: {step: askers}
  run_once: true
"""

RETURN = r"""
askers: {description: The clients that send the requests., returned: success, type: list, elements: str}
"""
