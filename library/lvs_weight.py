#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_weight
short_description: Set weights of real servers for a time
version_added: "0.3.0"
description:
  - Finds out which real servers of the director's services are meant, and sets their weights with M(lvs_weights).
options:
  hosts: {description: Real servers or groups of them., type: list, elements: str, required: true}
  weight: {description: C(planned) or a number., type: str, required: true}
  services: {description: The services; none means all., type: list, elements: str, default: []}
  duration: {description: "For how long, as C(30m): s, m, h or d; none means until it is taken back.", type: str}
  reason: {description: Why., type: str, default: ""}
attributes:
  check_mode: {support: full, description: Changes nothing.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Take the group web out of the service shop for half an hour
  lvs_weight:
    hosts: [web]
    services: [shop]
    weight: "0"
    duration: 30m
"""

RETURN = r"""
servers: {description: The real servers., returned: success, type: list, elements: str}
"""
