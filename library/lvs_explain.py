#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_explain
short_description: Explain an environment
version_added: "1.0.0"
description:
  - Makes an HTML page, complete in itself, of what the inventory says and what follows from it - networks and who is in them, the
    packets of each service drawn hop by hop, capacities, the rules that were checked, what each host will carry.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of the services whose packets are drawn; the first ones where it is empty., type: list, elements: str, default: []}
  to: {description: "The file on the controller that the page is written to.", type: path, required: true}
attributes:
  check_mode: {support: full, description: Writes no file.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Explain
  lvs_explain:
    to: page.html
  run_once: true
"""

RETURN = r"""
path: {description: The file., returned: success, type: path}
"""
