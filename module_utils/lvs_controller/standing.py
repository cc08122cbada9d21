"""The environment as health checks have it now: without the real servers that get no requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils.lvs.topology import Service, Topology

Answers = Mapping[str, Mapping[str, Any]]  # of lvs_health, by director


def now(topology: Topology, answers: Answers) -> tuple[Topology, list[str]]:
    """The environment without real servers that are out, and a sentence for each of them.

    A service of which none would be left stays as it is planned.
    """
    said: list[str] = []
    services = tuple(_now(service, answers, said) for service in topology.services)
    return (replace(topology, services=services), said) if said else (topology, said)


def _now(service: Service, answers: Answers, said: list[str]) -> Service:
    reasons: dict[str, str] = {}
    for director in service.directors:
        states = answers.get(director.name, {}).get("services", {})
        for family in service.families:
            for own in states.get(f"{service.name} {family.version}", {}).get("servers", {}).values():
                if own["planned"] and not own["weight"]:
                    reasons[own["name"]] = own["why"]
    kept = tuple(server for server in service.real_servers if server.host.name not in reasons)
    if not reasons or not kept:
        return service
    said += [
        f"{service.name}: {name} gets no requests ({why}), so none is expected there." for name, why in reasons.items()
    ]
    return replace(service, real_servers=kept)
