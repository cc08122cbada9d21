#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_advise
short_description: Report which modes would carry a service
version_added: "1.0.0"
description:
  - Tries each mode, with the settings it needs, for a service of the inventory, beside the other services and on the
    described networks. Reports which modes are possible, which fits best, their effects, and which rules refuse the others.
  - Runs on the controller, once for all hosts, and connects to none.
options:
  only: {description: Names of services; all of them where it is empty., type: list, elements: str, default: []}
  needs: {description: "What the services need, in addition to their key C(needs).", type: raw, default: {}}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Find a mode for a service whose hosts cannot load modules
  lvs_advise:
    only: [web]
    needs: {client_address: true, kernel_modules: false}
  run_once: true
  register: advice
"""

RETURN = r"""
options:
  description: For each service the modes, the best one first, each with settings, obstacles, warnings and effects.
  returned: success
  type: dict
"""
