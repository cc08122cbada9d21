#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_ask
short_description: Send the requests of a run from a host
version_added: "0.2.0"
description:
  - Runs M(lvs_probe) on this host with the requests that this run has stored for it, and stores the answers. A host without requests is skipped.
options:
  questions:
    description: "Which requests: the number of a batch of M(lvs_walk), or C(before), C(after) or C(real_servers) of M(lvs_net)."
    type: str
    required: true
attributes:
  check_mode: {support: full, description: Never changes anything.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Probe each service
  lvs_ask: {questions: before}
"""

RETURN = r"""
asked: {description: Number of services that were probed., returned: success, type: int}
answered: {description: Number of services that answered., returned: success, type: int}
"""
