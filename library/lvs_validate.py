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
  drained:
    description: Hosts that are to be out of service, besides those whose C(lvs_drained) says so.
    type: list
    elements: str
    default: []
  without_hosts:
    description: Hosts that leave. They get a plan with nothing in it, and no other host's plan has them.
    type: list
    elements: str
    default: []
  without_services:
    description: Services that leave, by name.
    type: list
    elements: str
    default: []
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
probes:
  description: One request to each service, for the module lvs_probe.
  returned: success
  type: list
  elements: dict
run:
  description: The time (UTC), by which hosts keep the plan of this run.
  returned: success
  type: str
  sample: "2026-03-01T03:00:00Z"
revision:
  description: What git calls the inventory's present state; empty where it is in no repository.
  returned: success
  type: str
services:
  description: The services, each with its VIP, port and mode.
  returned: success
  type: list
  elements: str
  sample: ["service web (203.0.113.80:80, dr)"]
"""
