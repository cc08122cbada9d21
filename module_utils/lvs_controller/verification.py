"""What a verification captures and asks, and what it reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.inventory import TURN_TAKING_SCHEDULERS
from ansible.module_utils.lvs.observation import Connection, Ends, Frame, Vantage, compare, find_ends
from ansible.module_utils.lvs.topology import Host, Service, Topology
from ansible.module_utils.lvs.walk import CLIENT_PORT, LOCAL_PORT, Endpoint, Walk, walk

from .environment import named

MOST_REQUESTS = 60  # for one service; a real server of very small weight may then stay unasked


@dataclass(frozen=True)
class Expectation:
    """The walks of one service from one client: one for each real server that is to get requests."""

    service: Service
    director: Host
    client: Host
    walks: Mapping[str, Walk]


def expectations(topology: Topology, names: Sequence[str]) -> list[Expectation]:
    """What is to be seen of each service that has real servers in use, or of those named; asked by the first client that has an
    interface. Raises AnsibleActionFail where nobody can ask, or there is nothing to ask for.
    """
    client = next((host for host in topology.clients if host.interfaces), None)
    if client is None:
        raise AnsibleActionFail(
            "nobody can send a request: the group clients has no host with lvs_interfaces. Add a host that may send probes."
        )
    found = []
    for service in named(topology, names):
        director = service.directors[0]
        serving = [server for server in service.real_servers if server.weight and not server.host.drained]
        walks = {server.host.name: walk(topology, service, director, server, client) for server in serving}
        if walks:
            found.append(Expectation(service, director, client, walks))
        elif names:
            raise AnsibleActionFail(f"no real server of {service.name} gets requests: each is drained or has weight 0")
    return found


def requests(expectation: Expectation) -> dict[str, Any]:
    """Enough requests that each real server gets some, by its weight."""
    service = expectation.service
    weights = [s.weight for s in service.real_servers if s.weight and not s.host.drained]
    count = min(MOST_REQUESTS, 2 * math.ceil(sum(weights) / min(weights))) if weights else 1
    return {
        "service": service.name,
        "address": str(service.vip),
        "port": service.port,
        "protocol": service.protocol,
        "count": count,
    }


def capture_filter(expected: Iterable[Expectation]) -> str:
    """A pcap filter for the packets of all walks, on any hop."""
    terms: dict[str, None] = {}
    for item in expected:
        for each in item.walks.values():
            for hop in each.hops:
                if hop.packet.outer:
                    source, destination = hop.packet.outer
                    terms[f"(ip proto 4 and host {source} and host {destination})"] = None
                    continue
                ends = (hop.packet.source, hop.packet.destination)
                port = next(end.port for end in ends if isinstance(end.port, int))
                for one in _hosts(ends[0], item.service):
                    for other in _hosts(ends[1], item.service):
                        terms[f"({hop.packet.protocol} port {port} and host {one} and host {other})"] = None
                # What must not be seen, such as a reply from the RIP, has the client's address and one of these ports.
                terms[f"({hop.packet.protocol} port {port} and host {item.client.interfaces[0].address})"] = None
    return " or ".join(terms)


def _hosts(end: Endpoint, service: Service) -> Iterable[object]:
    """The addresses that one end of a hop may have: any local one, where the director chooses."""
    return service.local_addresses if end.port == LOCAL_PORT else (end.address,)


@dataclass
class Report:
    """One service: what was expected and seen. `failures` is empty when both agree."""

    expectation: Expectation
    connections: Sequence[Connection]
    served: int  # bytes that the client received
    failures: list[str]
    not_chosen: list[str]
    seen: list[str]  # the client's addresses as the applications say; empty when they do not tell

    @property
    def reached(self) -> list[str]:
        return sorted({c.real_server for c in self.connections if c.real_server})

    @property
    def replies_at_director(self) -> int:
        """Packets from the VIP's side to the client's port that the director saw."""
        director = self.expectation.director.name
        return sum(
            frame.host == director and frame.packet.destination == c.ends.client
            for c in self.connections
            for frame in c.frames
        )

    @property
    def director_bytes(self) -> int:
        return sum(c.bytes_at(self.expectation.director.name) for c in self.connections)


def report(
    expectation: Expectation,
    probes: Sequence[Mapping[str, Any]],
    frames: Sequence[Frame],
    vantages: Mapping[str, Vantage],
) -> Report:
    """Compares every connection of one service with its walk."""
    service, client = expectation.service, expectation.client
    connections = []
    peers: set[str] = set()
    failures: dict[str, int] = {}
    for probe in probes:
        connection = followed(expectation, probe, frames, vantages)
        port, ends = int(probe["port"]), connection.ends
        connections.append(connection)
        peers.add(str(probe["peer"]))
        if probe["error"]:
            text = f"client {client.name} got no answer ({probe['error']})"
            failures[text] = failures.get(text, 0) + 1
        for difference in connection.differences:
            text = difference.replace(f":{port}", f":{CLIENT_PORT}")
            text = text.replace(f":{ends.local.port}", f":{LOCAL_PORT}") if ends.local else text
            failures[text] = failures.get(text, 0) + 1
    reached = {connection.real_server for connection in connections}
    not_chosen = [name for name in expectation.walks if name not in reached]
    lines = [f"{text} ({count} of {len(probes)} connections)" for text, count in failures.items()]
    spreads = service.scheduler in TURN_TAKING_SCHEDULERS and not service.persistence_timeout
    if spreads and not_chosen and len(probes) < MOST_REQUESTS:
        lines.append(f"{', '.join(not_chosen)} got no request of {len(probes)}")
    if not probes:
        lines.append("nothing was asked")
    seen = sorted({peer.rpartition(":")[0] for peer in peers if peer})
    return Report(expectation, connections, sum(int(probe["bytes"]) for probe in probes), lines, not_chosen, seen)


def followed(
    expectation: Expectation, probe: Mapping[str, Any], frames: Sequence[Frame], vantages: Mapping[str, Vantage]
) -> Connection:
    """One connection of a probe, held against its walk, and against what the application says of its client."""
    address = next(iter(expectation.walks.values())).hops[0].packet.source.address
    director = expectation.director.name
    ends = find_ends(Endpoint(address, int(probe["port"])), expectation.service, director, frames)
    own = [frame for frame in frames if ends.concern(frame.packet)]
    connection = compare(expectation.service, expectation.walks, director, ends, own, vantages)
    if connection.walk and probe["peer"]:
        connection.differences += _told(connection.walk, ends, str(probe["peer"]))
    return connection


def _told(walk: Walk, ends: Ends, peer: str) -> list[str]:
    """What differs between the peer that the application says it has and the predicted one."""
    expected = ends.client if walk.seen.port == CLIENT_PORT else ends.local
    return [] if peer == str(expected) else [f"the application saw {peer} as its client, expected {expected}"]


COLUMNS = (
    "service",
    "mode",
    "requests",
    "real servers",
    "reply via director",
    "application sees",
    "director bytes / byte",
    "result",
)


def table(reports: Sequence[Report]) -> str:
    """One line for each service, expected before observed where both could differ."""
    rows = [COLUMNS]
    for item in reports:
        mode = item.expectation.service.mode
        through = "yes" if item.replies_at_director else "no"
        expected = "yes" if mode.reply_through_director else "no"
        rows.append(
            (
                item.expectation.service.name,
                mode.label,
                str(len(item.connections)),
                f"{','.join(item.reached) or '-'}",
                f"{expected} / {through}",
                ",".join(item.seen) or "-",
                f"{item.director_bytes / item.served:.2f}" if item.served else "-",
                "FAILED" if item.failures else "ok",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def path(item: Report) -> str:
    """The hops of a service by one of its real servers, as predicted; each was compared with what was captured."""
    walks = item.expectation.walks
    name = item.reached[0] if item.reached else next(iter(walks))
    return "\n".join(
        f"    {hop.leg:<8}{hop.sender} > {hop.receiver} ({hop.network.name}): {hop.packet}" for hop in walks[name].hops
    )
