#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_trace
short_description: Follow one request hop by hop
version_added: "1.0.0"
description:
  - Prints the predicted walk of the request of a run with one service beside what was captured, says where both part, and names what on the
    hosts explains it.
  - Runs on the controller, once for all hosts, and connects to none.
options: {}
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Say what became of it
  lvs_trace:
  run_once: true
"""

RETURN = r"""
trace: {description: "The trace: hops, verdict, causes.", returned: always, type: dict}
summary: {description: "The verdict and the causes, as sentences.", returned: always, type: list, elements: str}
picture: {description: The trace as SVG., returned: always, type: str}
"""
