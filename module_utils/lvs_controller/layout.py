"""Renders a host's plan as the contents of its files of record, with the templates of the role lvs_host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs_host import program, verdicts
from ansible.module_utils.lvs_host.kinds import KINDS, ROUTE_PROTOCOL


@lru_cache(maxsize=4)
def _templates(folder: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # plain text
    )


def texts(plan: HostPlan, folder: str, systemd_sysctl: str) -> dict[str, str]:
    """The content of each file of record, by the name of its option of `lvs_state`. `folder` contains the templates."""
    templates = _templates(folder)
    facts = {
        "plan": plan,
        "systemd_sysctl": systemd_sysctl,
        "route_protocol": ROUTE_PROTOCOL,
        "program": program.PATH,
        "verdicts": verdicts,
    }
    return {kind.name: templates.get_template(kind.template).render(facts) for kind in KINDS}


def arguments(plan: HostPlan, folder: str, systemd_sysctl: str) -> Mapping[str, Any]:
    """The arguments of `lvs_state` for a plan."""
    return {
        **texts(plan, folder, systemd_sysctl),
        "programs": list(plan.programs),
        "interfaces": {name: list(addresses) for name, addresses in plan.interfaces.items()},
    }
