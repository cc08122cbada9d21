#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_validate
short_description: Validate an LVS environment
version_added: "0.2.0"
description:
  - Checks the inventory against the rules of each forwarding mode, and fails with every violation at once, each with the inventory file, line
    and column that it comes from.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  to:
    description: A file on the controller to write all violations and warnings to, as JSON.
    type: path
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Validate the environment
  lvs_validate:
  run_once: true
"""

RETURN = r"""
services:
  description: The services, each with its VIP, port and mode.
  returned: success
  type: list
  elements: str
  sample: ["service web (203.0.113.80:80, dr)"]
"""
