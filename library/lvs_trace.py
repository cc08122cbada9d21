#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_trace
short_description: Follow one request hop by hop
version_added: "1.0.0"
description:
  - Prints the predicted walk of a request beside what was captured, says where both part, and names what on the hosts explains it. Needs
    scapy on the controller.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  service: {description: The service's name., type: str, required: true}
  connections: {description: What lvs_probe returned., type: list, elements: dict, required: true}
  captures: {description: What lvs_capture returned when it stopped, by host., type: dict, required: true}
  hosts: {description: "The hosts whose answers to M(lvs_look), stored before and after the request, are used.", type: list, elements: str, required: true}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Say what became of it
  lvs_trace:
    service: web
    connections: "{{ hostvars['client1'].probed.connections }}"
    captures: "{{ captures }}"
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
trace: {description: "The trace: hops, verdict, causes.", returned: always, type: dict}
summary: {description: "The verdict and the causes, as sentences.", returned: always, type: list, elements: str}
picture: {description: The trace as SVG., returned: always, type: str}
"""
