"""The expected packets of each service, and the report of the captured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.observation import Connection, Ends, Vantage, compare
from ansible.module_utils.lvs.schedulers import TURN_TAKING
from ansible.module_utils.lvs.topology import Host, Service, Topology
from ansible.module_utils.lvs.walk import CLIENT_PORT, LOCAL_PORT, Endpoint, Walk, walk

from .asking import MOST_REQUESTS, in_use, speaks
from .environment import named
from .sightings import Sightings


@dataclass(frozen=True)
class Expectation:
    """The walks of one service from one client: one for each real server that is to get requests."""

    service: Service
    director: Host
    client: Host
    walks: Mapping[str, Walk]

    @property
    def hosts(self) -> list[Host]:
        """Client, director and real servers."""
        serving = [server.host for server in self.service.real_servers if server.host.name in self.walks]
        return [self.client, self.director, *serving]

    @property
    def source(self) -> IPv4Address:
        """The source address of the client's requests."""
        return next(iter(self.walks.values())).hops[0].packet.source.address

    @cached_property
    def addresses(self) -> frozenset[IPv4Address]:
        """The addresses of the service and of its real servers."""
        packets = [hop.packet for each in self.walks.values() for hop in each.hops]
        ends = [end for packet in packets for end in (packet.source, packet.destination)]
        return frozenset(end.address for end in ends if isinstance(end.port, int))


def expectations(topology: Topology, names: Sequence[str]) -> list[Expectation]:
    """The expected packets of each service with real servers in use, or of the named services; the first client with an
    interface sends the requests. Raises AnsibleActionFail if there is no client, or no real server in use.
    """
    client = next((host for host in topology.clients if host.interfaces), None)
    if client is None:
        raise AnsibleActionFail(
            "no host can send a request: the group clients has no host with lvs_interfaces. Add a host that may send requests."
        )
    found = []
    for service in named(topology, names):
        director = service.directors[0]
        walks = {server.host.name: walk(topology, service, director, server, client) for server in in_use(service)}
        if walks:
            found.append(Expectation(service, director, client, walks))
        elif names:
            raise AnsibleActionFail(f"no real server of {service.name} gets requests: each is drained or has weight 0")
    return found


@dataclass
class Report:
    """One service: expected and observed packets. `failures` is empty when both agree."""

    expectation: Expectation
    connections: Sequence[Connection]
    served: int  # bytes that the client received
    failures: list[str]
    not_chosen: list[str]
    seen: list[str]  # the client's addresses as reported by the applications; empty if they do not report them
    untold: int = 0  # answers without the client's address

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
    sightings: Sightings,
    vantages: Mapping[str, Vantage],
    *,
    peers: bool = False,
) -> Report:
    """Compares every connection of one service with its walk. `peers`: an application that does not report its client is a failure."""
    service, client = expectation.service, expectation.client
    connections = []
    seen: set[str] = set()
    failures: dict[str, int] = {}
    untold = 0
    for probe in probes:
        connection = followed(expectation, probe, sightings, vantages)
        port, ends = int(probe["port"]), connection.ends
        connections.append(connection)
        if probe["error"]:
            text = f"client {client.name} got no answer ({probe['error']})"
            failures[text] = failures.get(text, 0) + 1
        elif probe["peer"]:
            seen.add(str(probe["peer"]).rpartition(":")[0])
        else:
            untold += 1
        for difference in connection.differences:
            text = difference.replace(f":{port}", f":{CLIENT_PORT}")
            text = text.replace(f":{ends.local.port}", f":{LOCAL_PORT}") if ends.local else text
            failures[text] = failures.get(text, 0) + 1
    if peers and untold:
        failures["the application did not report its client's address"] = untold
    reached = {connection.real_server for connection in connections}
    not_chosen = [name for name in expectation.walks if name not in reached]
    lines = [f"{text} ({count} of {len(probes)} connections)" for text, count in failures.items()]
    spreads = service.scheduler in TURN_TAKING and not service.persistence_timeout
    if spreads and not_chosen and len(probes) < MOST_REQUESTS:
        lines.append(f"{', '.join(not_chosen)} got no request of {len(probes)}")
    if not probes:
        lines.append("no request was sent")
    served = sum(int(probe["bytes"]) for probe in probes)
    return Report(expectation, connections, served, lines, not_chosen, sorted(seen), untold)


def followed(
    expectation: Expectation, probe: Mapping[str, Any], sightings: Sightings, vantages: Mapping[str, Vantage]
) -> Connection:
    """One connection of a probe, compared with its walk, and with the client address that the application reports."""
    director = expectation.director.name
    ends = sightings.ends(Endpoint(expectation.source, int(probe["port"])), expectation.service, director)
    own = sightings.of(ends, expectation.addresses)
    connection = compare(expectation.service, expectation.walks, director, ends, own, vantages)
    if connection.walk and probe["peer"]:
        connection.differences += _told(connection.walk, ends, str(probe["peer"]))
    return connection


def _told(walk: Walk, ends: Ends, peer: str) -> list[str]:
    """The difference between the peer that the application reports and the predicted one."""
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
                _sees(item),
                f"{item.director_bytes / item.served:.2f}" if item.served else "-",
                "FAILED" if item.failures else "ok",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _sees(item: Report) -> str:
    """The clients' addresses as the application reports them, or why they are not known."""
    if item.seen:
        return ",".join(item.seen) + (" (not always reported)" if item.untold else "")
    if speaks(item.expectation.service) == "connect":
        return "not asked"
    return "not reported" if item.untold else "-"


def path(item: Report) -> str:
    """The predicted hops of a service through one of its real servers; each was compared with the captures."""
    walks = item.expectation.walks
    name = item.reached[0] if item.reached else next(iter(walks))
    return "\n".join(
        f"    {hop.leg:<8}{hop.sender} > {hop.receiver} ({hop.network.name}): {hop.packet}" for hop in walks[name].hops
    )
