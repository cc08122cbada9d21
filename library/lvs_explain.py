#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_explain
short_description: Explain an environment
version_added: "1.0.0"
description:
  - Writes a self-contained HTML page of the environment - networks and their hosts, the
    packets of each service drawn hop by hop, capacities, the checked rules, the planned state of each host.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of the services whose packets are drawn; the first ones if it is empty., type: list, elements: str, default: []}
  to: {description: "The file on the controller that the page is written to.", type: path, required: true}
attributes:
  check_mode: {support: full, description: Writes no file.}
  diff_mode: {support: none, description: The module has no diff.}
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
