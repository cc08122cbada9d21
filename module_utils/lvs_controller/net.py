"""The safety net of a run: services that answered before it, and do not afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.lvs.topology import Topology


def requests(topology: Topology) -> list[dict[str, Any]]:
    """One request to each service, for the module lvs_probe."""
    return [
        {"service": s.name, "address": str(s.vip), "port": s.port, "protocol": s.protocol, "count": 1}
        for s in topology.services
    ]


def lost(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The services that answered before and not after, each with what the client met."""
    answered = {str(one["service"]) for one in before if not one["error"]}
    return {str(one["service"]): str(one["error"]) for one in after if one["error"] and str(one["service"]) in answered}
