"""What clients notice when a host of the environment dies, as the inventory has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible.module_utils.lvs.topology import Service, Topology
from ansible.module_utils.lvs.violations import listed

_SHOWN = 6  # services that are named one by one


@dataclass(frozen=True)
class Loss:
    """What is lost with each of some hosts, for which it is the same. `ends`: a service has no answer any more, or some requests have none
    for longer than a check takes.
    """

    hosts: tuple[str, ...]
    role: str
    effects: tuple[str, ...]
    ends: bool


def losses(topology: Topology) -> list[Loss]:
    """Directors first, then real servers, in the inventory's order; hosts with the same effects are together."""
    found: dict[tuple[str, tuple[str, ...], bool], list[str]] = {}
    carried: dict[str, list[Service]] = {}
    served: dict[str, list[Service]] = {}
    for service in topology.services:
        for director in service.directors:
            carried.setdefault(director.name, []).append(service)
        for name in dict.fromkeys(server.host.name for server in service.real_servers if not server.host.drained):
            served.setdefault(name, []).append(service)
    for role, names, effects in (("director", carried, _of_director), ("real server", served, _of_real_server)):
        for name in (one for one in topology.hosts if one in names):
            told = list(effects(name, names[name]))
            key = (role, tuple(text for text, _ in told), any(ends for _, ends in told))
            found.setdefault(key, []).append(name)
    return [Loss(tuple(hosts), role, effects, ends) for (role, effects, ends), hosts in found.items()]


def _of_director(name: str, services: list[Service]) -> Iterator[tuple[str, bool]]:
    alone = [service for service in services if len(service.directors) == 1]
    if alone:
        yield f"{_names(alone)}: no answer until it is back", True
    by_group: dict[str, list[Service]] = {}
    for service in services:
        if service not in alone:
            by_group.setdefault(service.group.name if service.group else "", []).append(service)
    for group, own in by_group.items():
        if not group:
            yield f"{_names(own)}: the network's routes decide when the other directors get its share", True
            continue
        elected = own[0].group
        assert elected
        others = [director.name for director in elected.directors if director.name != name]
        after = f"{3 * elected.advert_interval:g} s"
        yield f"{_names(own)}: {listed(others, 'or')} answers after about {after} if {name} was the master", False


def _of_real_server(name: str, services: list[Service]) -> Iterator[tuple[str, bool]]:
    last = [one for one in services if {s.host.name for s in one.real_servers if not s.host.drained} == {name}]
    sorry = [service for service in last if service.sorry_server]
    checked = [service for service in services if service not in last and service.health_check]
    unchecked = [service for service in services if service not in last and not service.health_check]
    ended = [service for service in last if service not in sorry]
    if ended:
        yield f"{_names(ended)}: no answer, it is the only real server", True
    if sorry:
        yield f"{_names(sorry)}: the sorry server answers", False
    if checked:
        most = max(service.health_check.detection for service in checked if service.health_check)
        yield f"{_names(checked)}: its requests have no answer for up to {most} s", False
    if unchecked:
        yield (
            f"{_names(unchecked)}: its share of the requests has no answer until somebody drains it (no health check)",
            True,
        )


def _names(services: list[Service]) -> str:
    names = [service.name for service in services]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
