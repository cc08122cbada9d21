#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_trace
short_description: Follow one request hop by hop
version_added: "1.0.0"
description:
  - Prints the predicted packet of each hop of one request and the captured one, reports the first hop that differs, and lists the findings on the
    hosts that explain it.
  - Runs on the controller, once for all hosts, and connects to none.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Report what happened to the request
  lvs_trace:
  run_once: true
"""

RETURN = r"""
trace: {description: "The trace: hops, verdict, causes.", returned: always, type: dict}
summary: {description: "The verdict and the causes, as sentences.", returned: always, type: list, elements: str}
picture: {description: The trace as SVG., returned: always, type: str}
"""
