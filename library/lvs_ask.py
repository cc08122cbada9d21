#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_ask
short_description: Have a client ask each service
version_added: "0.2.0"
description:
  - Sends one request to each service of the environment from this host, and stores the answers for M(lvs_lost).
options:
  time: {description: Whether the hosts change after this., type: str, choices: [before, after], required: true}
  path: {description: The path of HTTP requests., type: str, default: /}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Ask each service
  lvs_ask:
    time: before
"""

RETURN = r"""
asked: {description: How many requests were sent., returned: success, type: int}
"""
