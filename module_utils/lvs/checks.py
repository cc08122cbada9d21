"""The health checks of a director: for each real server the questions, the way that they take, and what the governor must know.

A check of a VIP goes to the VIP itself. It has a firewall mark, by which IPVS finds a virtual service with this real server alone, and
forwards the check as it forwards requests. The source is the director's own address: as a source the VIP would be taken otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from . import schedulers
from .contract.checks import RETRY_DELAY, HealthCheck
from .contract.marks import MarkRange, numbered
from .families import IPV4, IPV6, Address, bracketed
from .host_plan import CheckedServer, CheckedService, Destination, Probe
from .topology import Attachment, Entry, Host, RealServer, Service, Topology, marks_of

_LOOPBACK = MarkRange(0x7F000000, 0xFF000000)  # 127.0.0.0/8
_NAT64 = IPV6.address_type("64:ff9b::")  # RFC 6052
METHOD_FLAGS = {"gate": "-g", "masq": "-m", "ipip": "-i"}


class Way(NamedTuple):
    """A way from a director to a real server: IPVS' method, the family of the packets, and the real server's end of it.

    `tracked`: conntrack has to see the packets.
    """

    method: str
    family: int
    endpoint: str
    tracked: bool


class Question(NamedTuple):
    """A port of a VIP that is asked of a real server, and the way that it takes; None where it goes to the RIP."""

    entry: Entry
    port: int
    way: Way | None


def of_service(
    topology: Topology, service: Service, director: Host
) -> Iterator[tuple[RealServer, Attachment, list[Question]]]:
    """The questions for each real server of a service that the director sends to, by family."""
    check = service.health_check
    if check is None:
        return
    for first in service.by_family:
        vips = [entry for entry in service.by_vip if entry.family is first.family]
        for server in service.real_servers:
            real = topology.real_interface(first, director, server.host)
            if real is None or server.host.drained:
                continue
            ports = check.ports or (first.port,)
            asked = vips if check.by_vip else vips[:1]
            yield (
                server,
                real,
                [
                    Question(entry, port, _way(entry, director, server, real, port) if check.by_vip else None)
                    for entry in asked
                    for port in ports
                ],
            )


def _way(entry: Entry, director: Host, server: RealServer, real: Attachment, port: int) -> Way:
    mode = entry.mode
    masked = mode.ipvs_method == "masq"
    endpoint = f"{real.bracketed}:{_port(entry.service, server, port) if masked else 0}"
    # A local address is at the master alone, and a standby has to hear the answers, too: checks of a group come from the DIP.
    tracked = entry.service.tracked_by(director) and entry.service.group is None
    return Way(METHOD_FLAGS[mode.ipvs_method], entry.family.version, endpoint, tracked)


def _port(service: Service, server: RealServer, port: int) -> int:
    """The real server's port for one that clients know; any other port is the same there."""
    return server.at_port(port) if any(ports.holds(port) for ports in service.ports) else port


def marks(topology: Topology) -> dict[tuple[MarkRange, Way], int]:
    """The mark of each way, by the marks that its directors use."""
    wanted: dict[MarkRange, dict[Way, str]] = {}
    for service in topology.services:
        if service.health_check and service.health_check.by_vip:
            ways = wanted.setdefault(marks_of(service), {})
            for director in service.directors:
                for _, _, questions in of_service(topology, service, director):
                    ways.update((one.way, " ".join(map(str, one.way))) for one in questions if one.way)
    found: dict[tuple[MarkRange, Way], int] = {}
    for own, ways in wanted.items():
        for tracked, room in ((False, own.untracked), (True, own.tracked)):
            texts = {way: text for way, text in ways.items() if way.tracked is tracked}
            found.update(((own, way), mark) for way, mark in numbered(texts, room).items())
    return found


def stand_ins(topology: Topology) -> dict[tuple[str, int], str]:
    """The address by which keepalived knows a service whose real servers have another family than its VIP: it takes no such service.

    By the service's name and the version of its family. No packet has it: it is in keepalived's own table alone.
    """
    mixed = {
        (service.name, first.family.version): first
        for service in topology.services
        if service.health_check
        for first in service.by_family
        if first.outer is not first.family
    }
    six = {key: f"{key[0]} {first.text}" for key, first in mixed.items() if first.family is IPV6}
    loopback = {key: str(IPV4.address_type(number)) for key, number in numbered(six, _LOOPBACK).items()}
    return loopback | {
        key: str(IPV6.address_type(int(_NAT64) | int(first.vip)))
        for key, first in mixed.items()
        if first.family is IPV4
    }


def source(topology: Topology, entry: Entry, director: Host, real: Attachment) -> Attachment | None:
    """The director's own address that checks come from, in the family of the VIP: towards the real server."""
    if real.address in director.addresses:
        return director.attached(real.network, entry.family)
    if real.family is entry.family:
        route = topology.route(director, real.address)
        return route.interface if route else None
    near = director.attached(real.network, entry.family)
    return near or director.default_interface(entry.family) or next(iter(director.on(entry.family)), None)


def answer(service: Service, real: Attachment, question: Question) -> tuple[Address, str]:
    """Address and port that the answer to a check on the VIP's way comes from, as the director meets it first."""
    assert question.way is not None
    if service.mode.reply_through_director:
        return real.address, question.way.endpoint.rpartition(":")[2]
    return question.entry.vip, str(question.port)


def checked(
    topology: Topology,
    service: Service,
    director: Host,
    known: Mapping[tuple[MarkRange, Way], int],
    instead: Mapping[tuple[str, int], str],
    named: Mapping[str, list[str]],
) -> Iterator[CheckedService]:
    """The service in each family. `known` are the marks, `instead` the stand-ins for its VIPs, `named` its virtual services as ipvsadm names
    them, by the version of their family.
    """
    check = service.health_check
    if check is None:
        return
    own = marks_of(service)
    for first in service.by_family:
        servers = []
        for server, real, questions in of_service(topology, service, director):
            if questions[0].entry.family is first.family:
                probes = tuple(_probe(topology, check, one, director, server, real, known, own) for one in questions)
                servers.append(CheckedServer(server.host.name, real.text, server.at_port(first.port), probes))
        entries = tuple(named[str(first.family.version)])
        sorry = _apologies(topology, service, director, first, entries)
        yield CheckedService(
            service=service.name,
            family=first.family.version,
            address=instead.get((service.name, first.family.version), first.text),
            port=first.port,
            protocol=first.protocol,
            entries=entries,
            servers=tuple(servers),
            interval=check.interval,
            retries=check.retries,
            retry_delay=RETRY_DELAY,
            detection=check.detection,
            hold=check.hold,
            slow_start=check.slow_start,
            floor=service.floor,
            quiesce=_quiesce(service),
            sorry=service.sorry_server.host.name if service.sorry_server and sorry else "",
            apologies=sorry,
        )


def _quiesce(service: Service) -> bool:
    """Whether a failed real server stays in the table with weight 0: so the table of mh or sh stays as it is, and only its own clients move.

    Flows of UDP would stay with it for ever; they leave when it is removed.
    """
    scheduler = schedulers.BY_NAME[service.scheduler]
    endless = "udp" in service.protocols and not service.one_packet
    return bool(scheduler.slots) and scheduler.fallback in service.scheduler_flags and not endless


def _apologies(
    topology: Topology, service: Service, director: Host, first: Entry, entries: tuple[str, ...]
) -> tuple[Destination, ...]:
    """The sorry server as a destination of each virtual service."""
    sorry = service.apology
    real = topology.real_interface(first, director, sorry.host) if sorry else None
    if sorry is None or real is None:
        return ()
    method = METHOD_FLAGS[service.mode.ipvs_method]
    found = []
    for name in entries:
        flag, end = name.split()[:2]
        port = 0 if flag == "-f" else sorry.at_port(int(end.rpartition(":")[2]))
        found.append(Destination(real.text, f"{real.bracketed}:{port}", method, 1))
    return tuple(found)


def _probe(
    topology: Topology,
    check: HealthCheck,
    question: Question,
    director: Host,
    server: RealServer,
    real: Attachment,
    known: Mapping[tuple[MarkRange, Way], int],
    own: MarkRange,
) -> Probe:
    entry, port, way = question
    mark, sender = 0, ""
    real_port = _port(entry.service, server, port)
    address, asked = real.text, real_port
    if way:
        from_ = source(topology, entry, director, real)
        mark, sender, address, asked = known[own, way], from_.text if from_ else "", entry.text, port
    settings, url = _settings(check, entry, real, asked, mark)
    return Probe(check.kind.block, address, asked, sender, mark, check.timeout, real_port, settings, url)


def _settings(
    check: HealthCheck, entry: Entry, real: Attachment, port: int, mark: int
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The settings of keepalived's block, and those of a block url in it."""
    if check.type in ("http", "https"):
        url = [("path", _quoted(check.path or "/")), ("virtualhost", _quoted(check.host or bracketed(entry.vip)))]
        url += [("digest", check.digest.lower())] if check.digest else []
        url += [("status_code", " ".join(map(str, check.status or ("200-299",))))]
        url += [("regex", _quoted(check.match))] if check.match else []
        return ((("enable_sni", ""),) if check.type == "https" else ()), tuple(url)
    if check.type == "dns":
        return (("type", check.query_type or "SOA"), ("name", _quoted(check.query or "."))), ()
    if check.type == "smtp":
        return (("helo_name", _quoted(check.helo)),) if check.helo else (), ()
    if check.type == "udp":
        said = (("payload", check.payload), ("require_reply", check.reply))
        return tuple((name, value.lower()) for name, value in said if value), ()
    if check.type == "script":
        about = f"VIP={entry.text} RIP={real.text} PORT={port} MARK={mark}"
        return (("misc_path", _quoted(f"/usr/bin/env {about} {check.command}")),), ()
    return (), ()


def _quoted(text: str | None) -> str:
    return f'"{text}"'
