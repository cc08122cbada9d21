#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; nothing of it runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_apply
short_description: Bring a host to its plan
version_added: "0.2.0"
description:
  - Lays out the plan that M(lvs_compile) has compiled for the host, and hands it to M(lvs_state) on the host; or brings the host back to the run
    that M(lvs_choose) has chosen.
  - Refuses a director that would begin to send to real servers which this run has not prepared.
  - Where the plan changes the host's default route, it proves with a new connection that the host can still be reached.
options:
  templates: {description: The folder of the role lvs_host's templates. Required without I(rollback)., type: path}
  systemd_sysctl: {description: The program that applies one file of kernel settings., type: path, default: /lib/systemd/systemd-sysctl}
  rollback: {description: Whether the host goes back to the chosen run., type: bool, default: false}
  remove: {description: Whether what the plan no longer has is removed., type: bool, default: true}
  purge_foreign: {description: Whether virtual services that lvskit did not create are removed., type: bool, default: false}
  drain_timeout: {description: Seconds to wait for the open connections of what leaves a director., type: int, default: 60}
  unprepared: {description: Whether a director may use real servers that this run has not prepared., type: bool, default: false}
attributes:
  check_mode: {support: full, description: Reports the commands a run would issue and changes nothing.}
  diff_mode: {support: full, description: Shows each kind of state before and after.}
author: lvskit
"""

EXAMPLES = r"""
- name: Bring the host to its plan
  lvs_apply:
    templates: "{{ role_path }}/templates"
"""

RETURN = r"""
commands: {description: "What was issued, or would be in check mode, in order; the first fifty.", returned: always, type: list, elements: str}
missing_programs: {description: Commands that have to be installed first., returned: always, type: list, elements: str}
stale: {description: "What is to be removed and was left, with I(remove=false).", returned: always, type: list, elements: str}
drift: {description: What restores what the last run had set and something else has changed., returned: always, type: list, elements: str}
foreign: {description: Virtual services that are not lvskit's., returned: always, type: list, elements: str}
"""
