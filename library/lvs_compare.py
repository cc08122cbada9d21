#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_compare
short_description: Compare captured packets with the predicted ones
version_added: "1.0.0"
description:
  - Holds every connection of a probe against the walk that the model predicts for its service and real server, at every hop,
    addresses, ports, MACs and encapsulation, and prints a table. Any difference fails and names the hop.
  - Runs on the controller, once for all hosts, and connects to none. Needs scapy there.
options:
  only: {description: Names of services; all of them where it is empty., type: list, elements: str, default: []}
  connections: {description: What lvs_probe returned., type: list, elements: dict, required: true}
  captures: {description: What lvs_capture returned when it stopped, by host., type: dict, required: true}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Compare
  lvs_compare:
    connections: "{{ hostvars['client1'].probed.connections }}"
    captures: "{{ captures }}"
  run_once: true
"""

RETURN = r"""
report: {description: The table and each service's path., returned: success, type: list, elements: str}
"""
