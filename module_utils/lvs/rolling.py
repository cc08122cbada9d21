"""Batches of directors that may change at the same time."""

from __future__ import annotations

from collections.abc import Iterator

from .topology import Topology


def batches(topology: Topology) -> list[tuple[str, ...]]:
    """The directors in batches: two directors of one service are never in the same batch. In the inventory's order."""
    partners: dict[str, set[str]] = {name: set() for name in topology.groups.get("directors", ())}
    for group in _groups(topology):
        for name in group:
            partners.setdefault(name, set()).update(group)
    found: list[list[str]] = []
    for name, others in partners.items():
        free = next((batch for batch in found if not others.intersection(batch)), None)
        if free is None:
            found.append([name])
        else:
            free.append(name)
    return [tuple(batch) for batch in found]


def _groups(topology: Topology) -> Iterator[tuple[str, ...]]:
    """The names of the directors of each service, each combination once."""
    return iter(dict.fromkeys(tuple(host.name for host in service.directors) for service in topology.services))
