"""The order in which directors change, and which of them may do so at the same time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from .topology import Topology


@dataclass(frozen=True)
class Seen:
    """What a director has before the run: whether it `carries` services, the groups in whose elections it takes part, each with whether it is
    the master, and the services (with their families, as `web 4`) of which it sees a real server pass its check.
    """

    carries: bool = False
    elections: Mapping[str, bool] = field(default_factory=dict)
    passing: frozenset[str] = frozenset()


def masters(topology: Topology, seen: Mapping[str, Seen]) -> dict[str, str]:
    """The director of each group that holds its addresses; the first one where several do."""
    return {
        name: next(one for one in group.names if _is_master(seen, one, name))
        for name, group in topology.director_groups.items()
        if any(_is_master(seen, one, name) for one in group.names)
    }


def rivals(topology: Topology, seen: Mapping[str, Seen]) -> dict[str, list[str]]:
    """The groups with several masters, and these."""
    found = {
        name: [one for one in group.names if _is_master(seen, one, name)]
        for name, group in topology.director_groups.items()
    }
    return {name: own for name, own in found.items() if len(own) > 1}


def _is_master(seen: Mapping[str, Seen], director: str, group: str) -> bool:
    return director in seen and seen[director].elections.get(group, False)


def batches(
    topology: Topology, seen: Mapping[str, Seen] | None = None, leaving: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """The directors in batches: two directors of one service are never in the same batch. `leaving`: those that the run removes.

    A master comes behind its standbys, so that a fault of the new plan meets no client; but before a director that is new in the election, and
    would not hear a master that does not know it. One that leaves an election comes first: the others must not go on with it as a
    stranger. Where nobody is master yet, the director that carries the services is first, or the
    preferred one: the first one of all becomes master. The rest is in the inventory's order.
    """
    partners: dict[str, set[str]] = {name: set() for name in topology.groups.get("directors", ())}
    for group in _groups(topology):
        for name in group:
            partners.setdefault(name, set()).update(group)
    found: list[list[str]] = []
    ranks = {name: _rank(topology, seen or {}, name) for name in partners}
    for name in sorted(partners, key=ranks.__getitem__):
        free = next((batch for batch in found if not partners[name].intersection(batch)), None)
        if free is None or any(ranks[other] != ranks[name] for other in free):
            found.append([name])
        else:
            free.append(name)
    electing = [name for name in leaving if seen and name in seen and seen[name].elections]
    others = [name for name in leaving if name not in electing]
    return [*((name,) for name in electing), *map(tuple, found), *((name,) for name in others)]


_LEAVING, _HOLDING, _PREFERRED, _OTHER, _MASTER, _NEW = range(6)


def _rank(topology: Topology, seen: Mapping[str, Seen], name: str) -> int:
    before = seen.get(name, Seen())
    own = [group for group in topology.director_groups.values() if name in group.names]
    if before.elections and not own:
        return _OTHER if any(host.name == name for s in topology.services for host in s.directors) else _LEAVING
    if any(before.elections.get(group.name) for group in own):
        return _MASTER
    known = masters(topology, seen)
    if all(group.name in known for group in own):
        return _OTHER if all(group.name in before.elections for group in own) else _NEW
    if before.carries:
        return _HOLDING
    return _PREFERRED if any(group.first.name == name for group in own) else _OTHER


def _groups(topology: Topology) -> Iterator[tuple[str, ...]]:
    """The names of the directors of each service, each combination once."""
    return iter(dict.fromkeys(tuple(host.name for host in service.directors) for service in topology.services))
