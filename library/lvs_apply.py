#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; no code of this file runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_apply
short_description: Bring a host to its plan
version_added: "0.2.0"
description:
  - Renders the plan that M(lvs_compile) has compiled for the host, and runs M(lvs_state) with it on the host; or brings the host back to the run
    that M(lvs_choose) has chosen.
  - Refuses a director that would begin to send to real servers which this run has not prepared.
  - If the plan contains a route, checks with a new connection that the host can still be reached.
options:
  templates: {description: The folder of the role lvs_host's templates. Required without I(rollback)., type: path}
  systemd_sysctl: {description: The program that applies one file of kernel settings., type: path, default: /lib/systemd/systemd-sysctl}
  rollback: {description: Whether the host goes back to the chosen run., type: bool, default: false}
  remove: {description: Whether to remove state that the plan no longer contains., type: bool, default: true}
  purge_foreign: {description: Whether virtual services that lvskit did not create are removed., type: bool, default: false}
  drain_timeout: {description: "Seconds to wait for open connections before a director removes a real server, a service or a local address.", type: int, default: 60}
  last_server: {description: "Whether the run may remove the last real server of a service that passes its health check.", type: bool, default: false}
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
commands: {description: "The commands that were run, or would be run in check mode, in order; the first fifty.", returned: always, type: list, elements: str}
missing_programs: {description: Programs that must be installed first., returned: always, type: list, elements: str}
stale: {description: "State to remove that was kept because of I(remove=false).", returned: always, type: list, elements: str}
drift: {description: Commands that restore state which the last run had set and something else has changed., returned: always, type: list, elements: str}
foreign: {description: Virtual services that lvskit did not create., returned: always, type: list, elements: str}
"""
