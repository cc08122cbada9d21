#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_built
short_description: List the kernel modules that are built for a host
version_added: "0.2.0"
description:
  - Reads them from the host's plan, for the role toa. Connects to no host.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: List the modules
  lvs_built:
  register: built
"""

RETURN = r"""
sources:
  description: The modules by their source; C(source) is empty for lvskit's own.
  returned: success
  type: list
  elements: dict
  sample: [{"source": "", "modules": ["lvskit_toa"], "make_arguments": []}]
"""
