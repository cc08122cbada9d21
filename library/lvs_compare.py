#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_compare
short_description: Compare captured packets with the predicted ones
version_added: "1.0.0"
description:
  - Compares every connection of a verification with the walk that the model predicts for its service and real server, at every hop,
    addresses, ports, MACs and encapsulation, and prints a table. A difference fails; the message names the hop.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  peers: {description: "Whether an application must report its client's address, in the header C(Peer) or a key C(peer).", type: bool, default: false}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Compare
  lvs_compare:
  run_once: true
"""

RETURN = r"""
report: {description: The table and each service's path., returned: success, type: list, elements: str}
"""
