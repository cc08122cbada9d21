"""Warnings about many services at once: each is one line for the environment, and not one for each service."""

from __future__ import annotations

from collections.abc import Iterator

from .topology import Attachment, Service, Topology
from .violations import Violation, some


def notices(topology: Topology) -> Iterator[Violation]:
    """The warnings, in the order of the inventory's services."""
    yield from _unchecked(topology)
    yield from _replies_from_another_network(topology)
    yield from _serving_clients(topology)
    yield from _unused_groups(topology)


def _unchecked(topology: Topology) -> Iterator[Violation]:
    """Services whose real servers nobody checks."""
    found = [one for one in topology.services if one.health_check is None and "health_check" not in one.source]
    if found:
        message = (
            f"{some([service.name for service in found])}: nobody checks the real servers, and a dead one keeps its share of the requests. Say "
            "health_check: {type: tcp}, or another type."
        )
        yield Violation("CHECK-NONE", message, found[0].at("name"), True)


def _replies_from_another_network(topology: Topology) -> Iterator[Violation]:
    """Routers that check sources (uRPF, source guard, stateful firewalls) know a VIP to be in its own network."""
    found: dict[tuple[str, str], dict[str, Service]] = {}
    for service in topology.services:
        for entry in service.by_vip if not service.mode.reply_through_director else ():
            for way in {server.host.default_interface(entry.family) for server in service.remote_servers}:
                if way and way.gateway and entry.vip not in way.prefix and _routed(topology, way):
                    place = topology.network_of(entry.vip)
                    found.setdefault((place.name if place else "", way.network.name), {})[service.name] = service
    for (source, network), services in found.items():
        message = (
            f"{some(list(services))}: replies of real servers come to the router of network {network} with a VIP "
            f"{f'of {source} ' if source else ''}as their source, and a router that checks sources drops them. Have it accept them from "
            f"{network}, or use fullnat."
        )
        yield Violation("REPLY-SOURCE", message, next(iter(services.values())).at("vip"), True)


def _routed(topology: Topology, way: Attachment) -> bool:
    """Whether replies by an interface have to pass a router: a client is in another network, or none is described."""
    return not topology.clients or any(not client.attached(way.network, way.family) for client in topology.clients)


def _serving_clients(topology: Topology) -> Iterator[Violation]:
    """Clients that ask services as their directors or real servers would: such requests do not leave the host."""
    serving = {
        host.name
        for service in topology.services
        for host in (*service.directors, *(server.host for server in service.real_servers))
    }
    found = [client for client in topology.clients if client.name in serving]
    if found:
        message = (
            f"{some([client.name for client in found])}: in the group clients, and a director or real server of a service: its requests "
            "for that VIP do not leave it, and prove nothing. Name other hosts as clients."
        )
        yield Violation("CLIENT-SERVES", message, found[0].at, True)


def _unused_groups(topology: Topology) -> Iterator[Violation]:
    """Groups of directors that elect one for no service."""
    used = {service.group.name for service in topology.services if service.group}
    for name, group in topology.director_groups.items():
        if name not in used and topology.services and topology.whole:
            message = f"director group {name}: no service has directors: {name}, so it elects nobody. Say so in services, or leave it out."
            yield Violation("DIRECTORS-UNUSED", message, group.at("redundancy"), True)
