"""Reads the inventory contract into a Topology.

Every fault of form is reported with its value. The topology does not contain objects with a fault, so that
one mistake gives one message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from . import modes
from .contract.checks import HealthCheck, SorryServer
from .contract.directors import DirectorGroup
from .contract.key import keys_of
from .contract.values import Fault, closest, described, nearest
from .inventory_hosts import Networks, networks_and_hosts
from .reader import Reader, Report, about
from .topology import Host, Network, RealServer, Service, Topology
from .violations import Violation


def parse(
    networks: Any,
    services: Any,
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    directors: Any = None,
) -> tuple[Topology, list[Violation]]:
    """The topology of an environment and the faults of form in its description.

    `networks`, `services` and `directors` are the values of lvs_networks, lvs_services and lvs_directors, `hosts` maps each host to
    its variables whose names begin with lvs_, `groups` each group to the names of its hosts.
    """
    violations: list[Violation] = []
    known, read_hosts, unread = networks_and_hosts(networks, hosts, violations.append)
    members = {str(name): tuple(map(str, names)) for name, names in groups.items()}
    topology = Topology(known, read_hosts, (), members, unread)
    elected, ungrouped = _director_groups(directors, topology, violations.append)
    topology = replace(topology, director_groups=elected)
    if services:
        violations += _roles(members)
    entries = _indented(_list_of_services(services, violations.append), violations.append)
    read = [
        _service(raw, number, topology, violations.append)
        for number, raw in entries
        if _group_name(raw) not in ungrouped
    ]
    whole = all(one.warning for one in violations)
    return replace(topology, services=tuple(service for service in read if service), whole=whole), violations


_OF_SERVICES = {"name", "vip", "port", "mode", "real_servers"}  # that an entry of lvs_services has
_OF_SERVERS = {"host", "group"}
# Groups that mean something to lvskit; the first two are needed.
_ROLES = ("directors", "real_servers", "clients", "routers", "hypervisors")


def _director_groups(raw: Any, topology: Topology, report: Report) -> tuple[dict[str, DirectorGroup], frozenset[str]]:
    """The groups of which one director is elected, and the names of those that could not be read."""
    if raw is None:
        return {}, frozenset()
    if not isinstance(raw, Mapping):
        message = f"lvs_directors is {described(raw)}, it must be a mapping of names of groups to mappings"
        report(Violation("VALUE-TYPE", message, raw))
        return {}, frozenset()
    found = {}
    for key, value in raw.items():
        name, place = str(key), f"director group {key}"
        reader = Reader(value, place, report, DirectorGroup, key)
        find = Networks(topology.networks, topology.unread).find
        values = reader.values(network=find, sync_network=find, gateways=partial(_gateways, find))
        try:
            members = _members("DIRECTOR-UNKNOWN", topology, name)
        except Fault as fault:
            reader.fault(fault.rule, f"{name} {fault}", key)
            members = ()
        preferred = values.get("preferred")
        if preferred and members and preferred not in [one.name for one in members]:
            hint = nearest(preferred, [one.name for one in members])
            reader.fault(
                "DIRECTOR-UNKNOWN", f"preferred: {preferred} is no director of it: {hint}", reader.raw["preferred"]
            )
        if reader.finish() and not any(one.name in topology.unread for one in members):
            found[name] = DirectorGroup(name=name, directors=members, source=reader.raw, **values)
    return found, frozenset(map(str, raw)) - found.keys()


def _gateways(find: Callable[[str], Network], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The gateways by network, all of which exist."""
    for name in given:
        find(name)
    return given


def _group_name(raw: Any) -> str:
    """The name of a service's group of directors, as the inventory has it."""
    return str(raw.get("directors", keys_of(Service)["directors"].default)) if isinstance(raw, Mapping) else ""


def _list_of_services(raw: Any, report: Report) -> Sequence[Any]:
    if raw is None:
        message = (
            "lvs_services: no service is described. Say lvs_services: [{name: web, vip: 192.0.2.80, …}] in group_vars/all, or "
            "lvs_services: [] to have none."
        )
        report(Violation("KEY-MISSING", message, raw))
        return []
    if isinstance(raw, str) or not isinstance(raw, Sequence):
        report(Violation("VALUE-TYPE", f"lvs_services is {described(raw)}, it must be a list", raw))
        return []
    return raw


def _roles(groups: Mapping[str, Sequence[str]]) -> Iterator[Violation]:
    """Groups that the playbooks work on, and that the inventory does not have, or has by a name that looks like theirs."""
    others = [name for name in groups if name not in ("all", "ungrouped", *_ROLES)]
    for role in _ROLES[:2]:
        if role not in groups:
            hint = nearest(role, others) if closest(role, others) else "Add one that holds them."
            message = f"there is no group {role}, and the playbooks work on its hosts: {hint}"
            yield Violation("GROUP-MISSING", message, None)
    for role in _ROLES[2:]:
        if role not in groups and (like := _like_a_role(role, others)):
            message = (
                f"the group {like} means nothing to lvskit, and there is no group {role}. Rename it if it is meant."
            )
            yield Violation("GROUP-NAME", message, like, warning=True)


def _like_a_role(role: str, names: Sequence[str]) -> str | None:
    """The group that is one of lvskit's, written otherwise: client, Clients, lvs-clients."""
    word = role.rstrip("s")
    return next(
        (name for name in names if re.sub("[^a-z]", "_", name.lower()).replace("lvs_", "").rstrip("s") == word), None
    )


def _indented(entries: Sequence[Any], report: Report) -> Iterator[tuple[int, Any]]:
    """The entries with their numbers, without those that are real servers of the one before them, and without that one."""
    astray = [
        isinstance(raw, Mapping) and not _OF_SERVICES & raw.keys() and bool(_OF_SERVERS & raw.keys()) for raw in entries
    ]
    for number, raw in enumerate(entries):
        follows = astray[number + 1 : number + 2] == [True] and isinstance(raw, Mapping) and not raw.get("real_servers")
        if astray[number]:
            at = next(iter(raw.values()))
            if not number or not astray[number - 1]:
                before = (
                    entries[number - 1].get("name") if number and isinstance(entries[number - 1], Mapping) else None
                )
                above = f"of service {before} above" if before else "of a service"
                message = f"lvs_services, entry {number + 1}: looks like a real server {above}. Indent it below real_servers:."
                report(Violation("KEY-MISSING", message, at))
        elif not follows:
            yield number, raw


def service(raw: Any, topology: Topology) -> tuple[Service | None, list[Violation]]:
    """One entry of lvs_services on its own, and the faults of form in it. The services of `topology` do not matter."""
    faults: list[Violation] = []
    return _service(raw, 0, topology, faults.append), faults


def _service(raw: Any, index: int, topology: Topology, report: Report) -> Service | None:
    name = raw.get("name") if isinstance(raw, Mapping) else None
    place = f"service {name}" if name else f"lvs_services, entry {index + 1}"
    reader = Reader(raw, place, about(report, service=str(name or "")), Service)
    if not reader.ok:
        return None
    values = reader.values(
        directors=partial(_members, "DIRECTOR-UNKNOWN", topology),
        network=Networks(topology.networks, topology.unread).find,
        real_servers=partial(_real_servers, reader, topology),
        health_check=partial(_health_check, reader),
        sorry_server=partial(_sorry_server, reader, topology),
    )
    values["mode"] = _mode(reader)
    values["directors"] = _directors(reader, topology)
    values["locals_by"] = _locals_by(reader, values)
    values["group"] = topology.director_groups.get(_group_name(reader.raw))
    return _without_unread(Service(source=reader.raw, **values), topology) if reader.finish() else None


def _without_unread(service: Service, topology: Topology) -> Service | None:
    """The service without the real servers that could not be read; None if no director or real server is left."""
    if not topology.unread:
        return service
    kept = tuple(server for server in service.real_servers if server.host.name not in topology.unread)
    directors = tuple(host for host in service.directors if host.name not in topology.unread)
    return replace(service, real_servers=kept) if kept and directors == service.directors else None


def _mode(reader: Reader) -> modes.Mode | None:
    """The row of the table of modes for the service's mode and settings."""
    name = reader.get("mode")
    settings = {setting: reader.get(setting) for setting in modes.SETTINGS}
    if name is None:
        return None
    refused = False
    for setting, value in settings.items():
        if setting not in reader.raw:
            continue
        users = dict.fromkeys(row.name for row in modes.TABLE if getattr(row, setting) == value)
        if name not in users:
            said, others = str(value).lower(), " and ".join(users)
            message = f"{setting}: {said} is for {others} only. Leave it out with {name}."
            reader.fault("KEY-MODE", message, reader.at(setting))
            refused = True
    return None if refused else modes.row(name, **settings)


def _health_check(reader: Reader, raw: Any) -> HealthCheck | None:
    """The health check; None if it cannot be used."""
    inner = Reader(raw, f"{reader.place}: health_check", reader.report, HealthCheck, reader.at("health_check"))
    values = inner.values()
    return HealthCheck(source=inner.raw, **values) if inner.finish() else None


def _sorry_server(reader: Reader, topology: Topology, raw: Any) -> SorryServer | None:
    inner = Reader(raw, f"{reader.place}: sorry_server", reader.report, SorryServer, reader.at("sorry_server"))
    values = inner.values(host=partial(_known_host, topology))
    return SorryServer(at=inner.raw["host"], **values) if inner.finish() else None


def _directors(reader: Reader, topology: Topology) -> tuple[Host, ...]:
    given = reader.get("directors")
    if isinstance(given, tuple):
        roles = topology.members("directors")
        if given and "directors" in topology.groups and not any(host.name in roles for host in given):
            message = f"directors: {reader.raw['directors']}: none of its hosts is in the group directors. Name a group of directors, or add its hosts to directors."
            reader.fault("GROUP-MEMBER", message, reader.at("directors"))
        return given
    if "directors" not in reader.raw:
        if given not in topology.groups:
            reader.ok = False  # GROUP-MISSING says it
            return ()
        try:
            return _members("DIRECTOR-UNKNOWN", topology, given)
        except Fault as fault:
            reader.fault(fault.rule, f"directors: {given} (the default) {fault}", reader.raw.get("name"))
    return ()


def _locals_by(reader: Reader, values: dict[str, Any]) -> dict[str, Any]:
    """The local addresses of each director, where each has its own; all of them are the service's."""
    given = values["local_addresses"]
    if not isinstance(given, Mapping):
        return {}
    values["local_addresses"] = tuple(dict.fromkeys(local for own in given.values() for local in own))
    names = [director.name for director in values["directors"]]
    for name in given:
        if name not in names and names:
            reader.fault(
                "DIRECTOR-UNKNOWN", f"local_addresses: {name} is no director of it: {nearest(name, names)}", name
            )
    return dict(given)


def _members(rule: str, topology: Topology, group: str) -> tuple[Host, ...]:
    """The hosts of an inventory group."""
    if group not in topology.groups:
        hint = (
            "It is a host; name a group that holds it." if group in topology.hosts else nearest(group, topology.groups)
        )
        raise Fault(rule, f"is no group of the inventory: {hint}")
    members = tuple(topology.hosts[name] for name in topology.groups[group])
    if not members:
        raise Fault("RS-EMPTY" if rule == "RS-UNKNOWN" else rule, "is a group without hosts. Add a host to it.")
    return members


def _real_servers(reader: Reader, topology: Topology, entries: Sequence[Any]) -> tuple[RealServer, ...]:
    find_host, find_group = partial(_known_host, topology), partial(_members, "RS-UNKNOWN", topology)
    found: list[RealServer] = []
    named: list[tuple[Mapping[str, Any], RealServer]] = []
    for index, entry in enumerate(entries):
        item = Reader(entry, f"{reader.place}: real_servers, entry {index + 1}", reader.report, RealServer, entries)
        values = item.values(host=find_host)
        group = item.get("group", find_group) if "group" in item.raw else ()
        if ("group" in item.raw) == ("host" in item.raw) and item.ok:
            item.fault("KEY-MISSING", "must name either a group or a host.", next(iter(item.raw.values()), entries))
        if item.finish():
            host = values.pop("host")
            at = item.raw.get("host", item.raw.get("group"))
            if host:
                found.append(RealServer(host=host, at=at, **values))
                named.append((item.raw, found[-1]))
            else:
                found += [RealServer(host=one, at=at, **values) for one in group or ()]
    return _overridden(found, named)


def _overridden(
    found: Sequence[RealServer], named: Sequence[tuple[Mapping[str, Any], RealServer]]
) -> tuple[RealServer, ...]:
    """The real servers, those of a group as the entry of a host by itself has it: what that one does not say, the group says."""
    if not named or len(named) == len(found):
        return tuple(found)  # as almost everywhere: groups alone, or hosts alone
    by_host: dict[str, list[tuple[Mapping[str, Any], RealServer]]] = {}
    for raw, server in named:
        by_host.setdefault(server.host.name, []).append((raw, server))
    own = {id(server) for _, server in named}
    of_groups = {server.host.name for server in found if id(server) not in own}
    kept: list[RealServer] = []
    for server in found:
        entries = by_host.get(server.host.name, ())
        if id(server) not in own:
            kept += [_like(server, raw, one) for raw, one in entries] if entries else [server]
        elif server.host.name not in of_groups:
            kept.append(server)
    return tuple(kept)


def _like(group: RealServer, raw: Mapping[str, Any], own: RealServer) -> RealServer:
    """The entry of a host, with its group's values for the keys that it does not say."""
    said = {key.field for name, key in keys_of(RealServer).items() if name in raw}
    kept = {
        key.field: getattr(group, key.field)
        for key in keys_of(RealServer).values()
        if key.field and key.field not in said
    }
    return replace(own, **{**kept, "host": own.host})


def _known_host(topology: Topology, name: str) -> Host:
    if name not in topology.hosts:
        hint = "It is a group; say group: instead." if name in topology.groups else nearest(name, topology.hosts)
        raise Fault("RS-UNKNOWN", f"is no host of the inventory: {hint}")
    return topology.hosts[name]
