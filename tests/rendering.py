"""The texts that the role lvs_host lays out for a host, without Ansible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from lvs.host_plan import HostPlan

TEMPLATES = Path(__file__).parents[1] / "roles/lvs_host/templates"
FILES = sorted(path.relative_to(TEMPLATES).with_suffix("") for path in TEMPLATES.rglob("*.j2"))  # without the root's /


def rendered(file: Path | str, plan: HostPlan) -> str:
    """The text of one of FILES for a plan."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,  # as Ansible has it
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return jinja.get_template(f"{file}.j2").render(
        lvs_host_plan=plan.as_dict(), lvs_host_systemd_sysctl="/lib/systemd/systemd-sysctl"
    )
