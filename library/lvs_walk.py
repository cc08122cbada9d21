#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_walk
short_description: Predict the packets of each service
version_added: "1.0.0"
description:
  - Predicts every hop of every service by each of its real servers, and stores the requests of the client and the captures of each host
    for this run, in batches of services. M(lvs_ask) and M(lvs_watch) execute them, M(lvs_compare) and M(lvs_trace) compare.
  - Runs on the controller, once for all hosts, and connects to none. Needs M(lvs_compile) before it.
options:
  only: {description: Names of services; all of them if it is empty., type: list, elements: str, default: []}
  one: {description: "Of each service only the first entry.", type: bool, default: false}
  vip: {description: "Only entries of this VIP.", type: str}
  path: {description: "The path of HTTP requests. Without it the path of the service's health check, else C(/).", type: str}
  count: {description: "Requests to each service. Default: so many that each real server gets two by its weight, at most 60.", type: int}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Predict the packets of one service
  lvs_walk:
    only: [web]
  run_once: true
  register: expected
"""

RETURN = r"""
client: {description: The host that sends the requests., returned: success, type: str}
batches: {description: The numbers of the batches., returned: success, type: list, elements: int}
requests: {description: Number of requests that the client sends., returned: success, type: int}
"""
