#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_validate
short_description: Validate an LVS environment and plan its hosts
version_added: "1.0.0"
description:
  - Reads the inventory's networks, services and interfaces, checks them against the rules of each forwarding mode, and
    fails with every violation at once, each with the inventory file, line and column that it comes from.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  networks:
    description: The environment's networks, C(lvs_networks).
    type: raw
    required: true
  services:
    description: The environment's virtual services, C(lvs_services).
    type: raw
    required: true
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Validate the environment
  lvs_validate:
    networks: "{{ lvs_networks }}"
    services: "{{ lvs_services }}"
  run_once: true
  register: lvs
"""

RETURN = r"""
plans:
  description: The desired state of each host, by name.
  returned: success
  type: dict
services:
  description: The services, each with its VIP, port and mode.
  returned: success
  type: list
  elements: str
  sample: ["service web (203.0.113.80:80, dr)"]
"""
