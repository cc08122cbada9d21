"""Rules about health checks: what they ask, what they prove, and what happens when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .. import schedulers
from ..contract.checks import CHECKS
from ..topology import Service, Topology, marks_of
from ..violations import listed
from .catalogue import CATALOGUE, Finding, service_rule

_KEYS = {name: tuple(one.name for one in CHECKS if name in one.keys) for check in CHECKS for name in check.keys}
# An IPVS connection of a check lives for two minutes after its end, and 28,232 ports are free for them (ip_local_port_range).
MOST_CHECKS = 230  # a second, of one VIP and port


@service_rule("CHECK-KEY", "a key of a health check that means nothing for its type", "It would be ignored.")
def key_of_another_type(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check is None:
        return
    for name, users in _KEYS.items():
        if getattr(check, name) and name not in check.kind.keys:
            yield (
                f"health_check: {name} is for {listed(users, 'and')}. Leave it out with type: {check.type}.",
                check.at(name),
            )
    if check.ports and not check.kind.protocols and check.type != "script":
        yield f"health_check: port means nothing to {check.type}. Leave it out.", check.at("port")


@service_rule(
    "CHECK-WAY",
    "a check on the VIP's way that cannot take it",
    "ICMP echo to a VIP is answered by the director itself; IPVS forwards it to nobody.",
)
def way_of_another_type(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check and check.way and check.way not in check.kind.ways:
        yield (
            f"health_check: {check.type} goes to the real server's own address alone. Say way: {check.kind.ways[0]}, or leave it out.",
            check.at("way"),
        )


@service_rule(
    "CHECK-SLOW-START",
    "a slow start with weights that cannot grow",
    "The weight of a real server that returns begins at 1, and schedulers without weights do not look at it.",
    warning=True,
)
def nothing_to_grow(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check is None or not check.slow_start:
        return
    if not schedulers.BY_NAME[service.scheduler].weighted:
        yield (
            f"health_check: slow_start means nothing with {service.scheduler}, which does not look at weights. Use wlc or wrr, or leave it out.",
            check.at("slow_start"),
        )
    elif all(server.weight <= 1 for server in service.real_servers):
        yield (
            "health_check: slow_start means nothing where all weights are 1. Say weight: 100 in real_servers, or leave it out.",
            check.at("slow_start"),
        )


@service_rule(
    "CHECK-PROVES-NOTHING",
    "a check that a dead real server passes, or that every real server fails",
    "UDP has no answer by itself: silence is what a dead host gives, too. A port of another protocol is served by nobody.",
)
def check_proves_nothing(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check is None:
        return
    if check.type == "udp" and not check.reply and "reply" not in check.source:
        yield (
            "health_check: udp without reply cannot tell a dead host from a silent one. Say what the answer begins with, as "
            "reply: 0a0b, or use dns, ping or script.",
            check.at("type"),
        )
    refused = check.command is None and "command" in check.source
    if check.type == "script" and not refused and not (check.command or "").startswith("/"):
        yield (
            "health_check: script needs command, the absolute path of a program on the directors.",
            check.at("command"),
        )
    protocols = check.kind.protocols
    if protocols and not check.ports and not set(protocols) & set(service.protocols):
        yield (
            f"health_check: {check.type} asks by {listed(protocols)}, and the service has {listed(service.protocols, 'and')}. Say port: "
            "which port the real servers serve by it, or use another type.",
            check.at("type"),
        )


_BY_TLS = {"http": (443, "https"), "https": (80, "http")}  # the port of the other one


@service_rule(
    "CHECK-TLS",
    "a check of http on HTTPS' port, or of https on HTTP's",
    "A real server that serves TLS answers a request without it by an error or not at all, and the other way round: every check would fail.",
    warning=True,
)
def check_of_the_other_protocol(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check is None or check.type not in _BY_TLS:
        return
    port, other = _BY_TLS[check.type]
    asked = check.ports or tuple(ports.first for ports in service.ports[:1])
    at = {server.at_port(one) for one in asked for server in service.real_servers}
    if port in at:
        yield (
            f"health_check: the real servers' port {port} is that of {other}. Say type: {other} if they serve it there.",
            check.at("type"),
        )


@service_rule(
    "CHECK-RATE",
    "checks so frequent that IPVS takes one for the packet of an earlier one",
    "IPVS finds a connection by addresses and ports before it looks at the mark, and keeps it for two minutes after its end. When the "
    "director's ports come round earlier, a check goes to the real server of an older one.",
)
def checks_come_round(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check and check.by_vip:
        rate = len(service.real_servers) / check.interval
        if rate > MOST_CHECKS:
            least = -(-len(service.real_servers) // MOST_CHECKS)
            yield (
                f"health_check: {len(service.real_servers)} real servers each {check.interval} seconds are {rate:.0f} checks a second of "
                f"one port, and {MOST_CHECKS} are possible. Say interval: {least}.",
                check.at("interval"),
            )


@service_rule(
    "CHECK-MARKS",
    "more ways of checks than firewall marks",
    "Each real server has a mark of its own, by which IPVS sends a check to it.",
)
def no_mark_is_left(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    if check is None or not check.by_vip:
        return
    room = marks_of(service).untracked.number
    number = len(service.real_servers) * max(len(check.ports), 1) * len(service.families)
    if number > room:
        yield (
            f"its checks need {number} firewall marks, and lvs_mark leaves {room}. Use a shorter mask in lvs_mark.",
            check.at("type"),
        )


@service_rule(
    "CHECK-FLOOR",
    "a floor that keeps every failed real server in use",
    "The floor is the share of the weight that stays in use while a real server passes.",
)
def floor_keeps_all(topology: Topology, service: Service) -> Iterator[Finding]:
    weights = [server.weight for server in service.real_servers if server.weight and not server.host.drained]
    if service.health_check is None or len(weights) < 2:
        return
    left = 100 * (sum(weights) - min(weights)) / sum(weights)
    if left < service.floor:
        yield (
            f"floor: {service.floor}% would keep a dead real server in use: without {min(weights)} of {sum(weights)} weight, {left:.0f}% "
            f"are left. Say floor: {int(left)}% or less.",
            service.at("floor"),
        )


@service_rule(
    "CHECK-SHARE",
    "a real server that the floor keeps in use when it alone is dead",
    "The floor is the share of the weight that stays in use while a real server passes. A server with more than the rest stays, and its share of the "
    "requests gets no answer.",
    warning=True,
)
def floor_keeps_the_largest(topology: Topology, service: Service) -> Iterator[Finding]:
    weights = {
        server.host.name: server.weight for server in service.real_servers if server.weight and not server.host.drained
    }
    if service.health_check is None or len(weights) < 2:
        return
    whole, (least, most) = sum(weights.values()), (min(weights.values()), max(weights.values()))
    left = 100 * (whole - most) / whole
    if left < service.floor <= 100 * (whole - least) / whole:
        name = next(name for name, weight in weights.items() if weight == most)
        yield (
            f"floor: {service.floor}% keeps {name} in use when it is dead: without its {most} of {whole} weight, {left:.0f}% are left. Say floor: "
            f"{int(left)}% or less, or give it less weight.",
            service.at("floor"),
        )


@service_rule(
    "CHECK-MISSING",
    "a floor or a sorry server without a health check",
    "They take effect when checks fail.",
)
def nothing_fails(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.health_check is None:
        for name in ("floor", "sorry_server"):
            if name in service.source:
                yield f"{name} needs health_check: without it no real server is ever taken out.", service.at(name)


@service_rule(
    "CHECK-REMOVAL",
    "mh without mh-fallback, and a health check",
    "A failed real server is removed from the table, which is made again: connections of other real servers' clients move, too. With "
    "mh-fallback it stays with weight 0, and only its own clients move.",
    warning=True,
)
def removal_moves_others(topology: Topology, service: Service) -> Iterator[Finding]:
    scheduler = schedulers.BY_NAME[service.scheduler]
    refused = "scheduler_flags" in service.source and not service.scheduler_flags
    if (
        service.health_check
        and scheduler.fallback
        and scheduler.fallback not in service.scheduler_flags
        and not refused
    ):
        yield (
            f"when a check fails, {service.scheduler} makes its table anew, and clients of other real servers move. Say "
            f"scheduler_flags: [{scheduler.fallback}].",
            service.at("scheduler"),
        )


@service_rule(
    "SORRY-SERVER",
    "a sorry server that cannot take the requests",
    "It gets the service's requests in the same mode, so that the network must carry them to it as to a real server.",
)
def sorry_server_does_not_fit(topology: Topology, service: Service) -> Iterator[Finding]:
    sorry = service.apology
    if sorry is None:
        return
    name = sorry.host.name
    if any(server.host is sorry.host for server in service.real_servers):
        yield (
            f"sorry_server: {name} is one of its real servers, which are all dead when it is needed. Use another host.",
            sorry.at,
        )
        return
    if any(director is sorry.host for director in service.directors):
        yield f"sorry_server: {name} is the service's director. Use another host.", sorry.at
        return
    if sorry.host.drained:
        yield f"sorry_server: {name} is drained, so it takes no requests. Use another host, or undrain it.", sorry.at
        return
    if name not in topology.members("real_servers"):
        yield f"sorry_server: {name} is not in the group real_servers, so nothing prepares it. Put it there.", sorry.at
        return
    others = topology.without(service.name)
    plain = replace(
        service, sorry_server=None, source={key: v for key, v in service.source.items() if key != "sorry_server"}
    )
    known = set(_refused(others, plain))
    for message in _refused(others, replace(plain, real_servers=(sorry,), floor=0)):
        if message not in known:
            yield f"sorry_server: {message.removeprefix(f'{service}: ')}", sorry.at


def _refused(topology: Topology, service: Service) -> list[str]:
    """What the other rules refuse of a service beside those of an environment."""
    after = topology.beside(service)
    found: list[Any] = [violation for rule in CATALOGUE for violation in rule.added(after, service, topology)]
    return [violation.message for violation in found if not violation.warning]
