"""What the page of an environment tells of a service, as pairs of name and value."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from ansible.module_utils.lvs.contract.key import keys_of
from ansible.module_utils.lvs.director import settings
from ansible.module_utils.lvs.modes import Address
from ansible.module_utils.lvs.topology import Service, Topology

_HEADERS = {"tcp": 20, "udp": 8, "sctp": 28}  # bytes, of TCP without options, of SCTP with that of one chunk


def of_service(topology: Topology, service: Service) -> Iterator[tuple[str, str]]:
    mode = service.mode
    yield "directors", ", ".join(director.name for director in service.directors)
    yield from _election(service)
    yield "scheduler", service.scheduler
    for key in settings(service):
        yield key.replace("_", " "), keys_of(Service)[key].kind.shown(getattr(service, key))
    yield "replies", "pass the director" if mode.reply_through_director else "go directly to the client"
    seen = "the client" if mode.client_in_packets else "the client, from accept() and getpeername()"
    yield "applications see", seen if mode.seen is Address.CLIENT else "a local address of the director"
    if mode.needs_modules:
        yield "kernel modules", ", ".join(name for name in (mode.sender, mode.receiver) if name)
    ways = [(e, d, s.host) for e in service.by_family for d in service.directors for s in service.remote_servers]
    sizes = {topology.path_mtu(*way) for way in ways}
    if sizes:
        yield "smallest MTU on the way", f"{min(sizes)} bytes"
    if mode.overhead and sizes:
        header = _HEADERS[service.protocols[0]]
        rooms = [
            (topology.path_mtu(*way) - topology.overhead(way[0]) - way[0].family.header - header, way[0])
            for way in ways
        ]
        room, entry = min(rooms, key=itemgetter(0))
        added = topology.overhead(entry)
        yield "added to each packet of a request", f"{added} bytes; up to {room} bytes of data are left in each"
    yield from _health(service)
    if mode.source_nat:
        room = topology.capacity(service)
        used = (
            f", {service.connections} expected ({100 * service.connections / room:.0f} %)"
            if service.connections
            else ""
        )
        yield "ports for connections at the same time", f"{room}{used}"
        yield "local addresses", ", ".join(map(str, service.local_addresses))


def _election(service: Service) -> Iterator[tuple[str, str]]:
    """Which director is master, and what happens when it dies."""
    group = service.group
    if group is None or group.adverts is None:
        return
    yield "master", f"{group.first.name} at first; VRRP {group.virtual_router_id} in {group.adverts.name}"
    if len(group.directors) == 1:
        yield "when it dies", "nobody takes over: it is the only director"
        return
    ends = service.mode.source_nat and len(group.directors) > 2
    fate = "end" if ends else "older than a few seconds go on" if group.sync == "ipvs" else "go on"
    yield (
        "when it dies",
        f"another director answers after about {3 * group.advert_interval:g} s; open connections {fate}",
    )


def _health(service: Service) -> Iterator[tuple[str, str]]:
    check = service.health_check
    if check is None:
        yield "health check", "none: a dead real server keeps its share of the requests"
        return
    way = "by the VIP's own way" if check.by_vip else "of the real servers' own addresses"
    yield (
        "health check",
        f"{check.type} {way}, every {check.interval} s; a dead real server is out within {check.detection} s",
    )
    yield "floor", f"{service.floor}% of the weight stays in use while checks fail"
    if service.sorry_server:
        yield "sorry server", service.sorry_server.host.name
