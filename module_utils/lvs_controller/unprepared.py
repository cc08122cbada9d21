"""Real servers that a director would begin to use although this run has not prepared them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_host import ipvs, kinds

from .run_folder import RunFolder


def candidates(folder: RunFolder, plan: HostPlan) -> dict[str, str]:
    """The real servers of a director's plan that this run has not prepared: address to name."""
    owners = {str(address): host.name for address, host in folder.topology().owners.items()} if plan.services else {}
    addresses = dict.fromkeys(destination.address for service in plan.services for destination in service.destinations)
    applied = set(folder.names("applied"))
    return {
        address: owners[address] for address in addresses if owners.get(address, plan.host) not in applied | {plan.host}
    }


def newly_used(behind: Mapping[str, str], diff: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which of the real servers `behind` get a destination that the director does not have yet, or by another method.

    `diff` is what lvs_state reports: the IPVS table before and after, among others.
    """
    found: dict[str, None] = {}
    for entry in diff:
        if entry.get("before_header") != kinds.IPVS.title:
            continue
        before, after = (_used(str(entry[key])) for key in ("before", "after"))
        for _, address, _ in sorted(after - before):
            if address in behind:
                found[behind[address]] = None
    return list(found)


def _used(text: str) -> set[tuple[str, str, str]]:
    """Service, real server's address and forwarding method of each destination in a table."""
    table = ipvs.parse(text)
    return {
        (" ".join(name), destination.rpartition(":")[0].strip("[]"), options.partition(" ")[0])
        for name, service in table.items()
        for destination, options in service.destinations.items()
    }


def refusal(director: str, names: Sequence[str]) -> str:
    return (
        f"{director} would begin to send requests to {listed(names, 'and')}, which this run has not prepared: without their "
        f"addresses, routes and sysctls they would drop the requests or answer from a wrong address. Add {listed(names, 'and')} to --limit, or run "
        f"without --limit. If they are prepared already, -e lvs_unprepared=true lets the run continue. {director} was not changed."
    )
