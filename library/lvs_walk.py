#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_walk
short_description: Predict the packets of each service
version_added: "1.0.0"
description:
  - Says what a client is to ask, and on which interfaces of which hosts to capture which packets, so that every hop of every
    service can be compared with its prediction.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of services; all of them where it is empty., type: list, elements: str, default: []}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
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
client: {description: The host that asks., returned: success, type: str}
requests: {description: What it asks, for the module lvs_probe., returned: success, type: list, elements: dict}
filter: {description: A capture filter for all walks., returned: success, type: str}
interfaces: {description: Where to capture, by host., returned: success, type: dict}
"""
