"""Determines where one request failed, and which findings on the hosts explain it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible.module_utils.lvs_host.evidence import COUNTERS

from .findings import Finding
from .observation import Connection, Observed, astray
from .topology import Service, Topology

_GUARD = " LVSKIT-"  # in the name of a chain of lvskit's own
_ETHERNET = 14  # bytes of a frame's header


@dataclass(frozen=True)
class Counts:
    """The counters of a host: dropping firewall rules (None where a rule does not count) and kernel counters."""

    drops: Mapping[str, int | None]
    kernel: Mapping[str, int]


@dataclass(frozen=True)
class Cause:
    """A finding on one host that explains the failure. `counted`: counters rose during the request."""

    host: str
    text: str
    counted: bool = False

    def __str__(self) -> str:
        return f"{self.host}: {self.text}"


@dataclass(frozen=True)
class Diagnosis:
    """`verdict` says how far the request got. `causes`: the most likely first; `besides`: other findings, which did not stop the request."""

    fine: bool
    verdict: str
    causes: tuple[Cause, ...] = ()
    besides: tuple[Finding, ...] = ()


def diagnose(
    topology: Topology,
    service: Service,
    director: str,
    connection: Connection,
    error: str,
    findings: Sequence[Finding],
    before: Mapping[str, Counts],
    after: Mapping[str, Counts],
) -> Diagnosis:
    """`error` is the client's error, empty if the request was answered. `before` and `after` the request, by host."""
    broken = next((hop for hop in connection.hops if hop.difference), None)
    if broken is None and not connection.differences and not error:
        return Diagnosis(True, _success(connection), besides=tuple(findings))
    verdict, suspects = _where(service, director, connection, broken, error)
    dropped = [cause for name in suspects for cause in _dropped(name, before.get(name), after.get(name))]
    guards = [cause for cause in dropped if _GUARD in cause.text]  # they drop packets because of another fault
    causes = [cause for cause in dropped if cause not in guards]
    grave = [finding for finding in findings if not finding.risk]
    here = [finding for name in suspects for finding in grave if finding.host == name]
    explaining = here or grave
    causes += [Cause(finding.host, _words(finding)) for finding in explaining]
    causes += guards
    causes += [cause for name in suspects for cause in _risen(name, before.get(name), after.get(name))]
    if not causes:
        causes = [cause for name in suspects for cause in _silent_rules(name, after.get(name))]
    besides = tuple(finding for finding in findings if finding not in explaining)
    return Diagnosis(False, verdict, tuple(dict.fromkeys(causes)), besides)


def _words(finding: Finding) -> str:
    return f"{finding.subject}: found {finding.found}, needed {finding.needed}. {finding.consequence} ({finding.check})"


def _success(connection: Connection) -> str:
    return f"the request was answered by {connection.real_server}, and every packet took the predicted path"


def _where(
    service: Service, director: str, connection: Connection, broken: Observed | None, error: str
) -> tuple[str, list[str]]:
    """How far the request got, and the hosts to check, the most likely first."""
    server = connection.real_server
    if server is None:
        return _never_forwarded(service, director, connection)
    if broken is None:
        return _after_all_hops(connection, server, director, error)
    strangers = [frame for frame in connection.strangers if frame.leaving]
    hop, packet = broken.hop, broken.packet
    if strangers and hop.leg == "reply":
        frame = strangers[0]
        verdict = f"the request reached {server}; the reply left {frame.host} as {frame.packet} instead of {packet}"
        return verdict, list(dict.fromkeys([frame.host, server, director]))
    if strangers:
        frame = strangers[0]
        verdict = f"the request left {frame.host} as {frame.packet} instead of {packet}"
        return verdict, list(dict.fromkeys([frame.host, director, server]))
    unseen = hop.leg == "request" and hop.receiver.host == director and broken.missing == director
    if unseen and server != director and any(frame.host == server for frame in connection.frames):
        verdict = f"the request reached {server} without passing {director}"
        return verdict, [server, director, *service_hosts(service)]
    if not broken.missing:
        return broken.difference, _hosts(hop.sender.host, hop.receiver.host, server)
    if broken.missing == hop.sender.host:
        came = "the request" if hop.leg == "request" else f"{server} got the request, but the reply"
        verdict = f"{came} did not leave {hop.sender} as {packet}"
        if hop.leg == "reply" and server == director:
            verdict = f"the request reached {server}, which neither answered it nor sent it to another real server"
            return verdict, _hosts(server, *service_hosts(service))
        if hop.leg == "reply" and hop.sender.host == server:
            verdict = f"the request reached {server}, and no reply to it left {server}"
        return verdict, _hosts(hop.sender.host, server)
    before = connection.hops[: connection.hops.index(broken) + 1]
    last = next((seen.hop.sender for seen in reversed(before) if seen.sent), hop.sender)
    by = f" by {hop.sender}" if last != hop.sender else ""
    verdict = f"the {hop.leg} left {last} as {packet} and did not arrive{by} at {hop.receiver}"
    return verdict, _hosts(hop.receiver.host, last.host, hop.sender.host, server, director)


def _never_forwarded(service: Service, director: str, connection: Connection) -> tuple[str, list[str]]:
    frames = connection.frames
    client = next((hop.hop.sender.host for hop in connection.hops), None)
    went = astray(director, connection.ends.client, frames)
    if went:
        verdict = f"the request left {director} for {went.destination_mac}, and no capture shows it at one of the service's real servers"
        return verdict, _hosts(director, *service_hosts(service))
    if any(frame.host == director and not frame.leaving for frame in frames):
        verdict = f"the request reached {director}, which sent it to no real server"
        return verdict, _hosts(director, *service_hosts(service))
    if frames and not any(director in hop.watched for hop in connection.hops):
        verdict = f"the request left {client} and reached no real server; there is no capture from {director}"
        return verdict, _hosts(director, *service_hosts(service), client)
    if frames:
        return f"the request left {client} and did not arrive at {director}", _hosts(director, client)
    return f"the request did not leave {client}", _hosts(client)


def service_hosts(service: Service) -> list[str]:
    """The names of a service's real servers."""
    return [server.host.name for server in service.real_servers]


def _after_all_hops(connection: Connection, server: str, director: str, error: str) -> tuple[str, list[str]]:
    if not error:
        return "; ".join(connection.differences), [server, director]
    for place, left in enumerate(connection.hops):
        # Behind a router without a capture, the next hop shows the packets that arrived.
        for came in connection.hops[place : place + 2]:
            # A sender's own capture contains segments that are split only later (TSO).
            largest = min(max((frame.length for frame in left.sent), default=0), left.hop.network.mtu + _ETHERNET)
            arrived = max((frame.length for frame in came.arrived), default=0)
            if arrived and largest > arrived and (came.packet, came.hop.leg) == (left.packet, left.hop.leg):
                verdict = (
                    f"the connection opened, then the client got no complete answer ({error}): of the {left.hop.leg}, frames up "
                    f"to {largest} bytes left {left.hop.sender}, and none above {arrived} arrived at {came.hop.receiver}"
                )
                return verdict, _hosts(left.hop.sender.host, came.hop.receiver.host, server, director)
    verdict = f"every packet took the predicted path, but the client got no complete answer ({error})"
    return verdict, [server, director]


def _hosts(*names: str | None) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))


def _dropped(name: str, before: Counts | None, after: Counts | None) -> Iterator[Cause]:
    if before is None or after is None:
        return
    for rule, count in after.drops.items():
        rise = (count or 0) - (before.drops.get(rule) or 0)
        if rise > 0:
            yield Cause(name, f"the firewall has dropped {rise} packets during the request: {rule}", counted=True)


def _risen(name: str, before: Counts | None, after: Counts | None) -> Iterator[Cause]:
    if before is None or after is None:
        return
    for counter, text in COUNTERS.items():
        rise = after.kernel.get(counter, 0) - before.kernel.get(counter, 0)
        if rise > 0:
            yield Cause(name, f"{text} ({rise} during the request, {counter})", counted=True)


def _silent_rules(name: str, after: Counts | None) -> Iterator[Cause]:
    for rule, count in after.drops.items() if after else ():
        if count is None:
            yield Cause(name, f"the firewall may have dropped the packets: {rule} (this rule has no counter)")


def waits(hops: Sequence[Observed]) -> list[float | None]:
    """For each hop the milliseconds between the packet's arrival at the sender and its departure, by the sender's clock.

    Clocks of two hosts are not compared: they may differ. None if it is not known.
    """
    found: list[float | None] = []
    arrivals: dict[str, float] = {}
    for seen in hops:
        sender = seen.hop.sender.host or ""
        start = arrivals.get(sender)
        found.append(round((seen.sent[0].time - start) * 1000, 3) if seen.sent and start is not None else None)
        if seen.arrived and seen.hop.receiver.host:
            arrivals[seen.hop.receiver.host] = seen.arrived[0].time
    return found
