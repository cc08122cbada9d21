"""What is to be seen of each service, and what was seen of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.families import Address, parsed
from ansible.module_utils.lvs.observation import Connection, Ends, Vantage, compare
from ansible.module_utils.lvs.schedulers import TURN_TAKING
from ansible.module_utils.lvs.topology import Entry, Host, Service, Topology
from ansible.module_utils.lvs.walk import CLIENT_PORT, LOCAL_PORT, Endpoint, Walk, walk

from .asking import MOST_REQUESTS, in_use, probed, speaks
from .environment import named
from .sightings import Sightings


@dataclass(frozen=True)
class Expectation:
    """The walks of one entry of a service from one client: one for each real server that is to get requests."""

    entry: Entry
    director: Host
    client: Host
    walks: Mapping[str, Walk]

    @property
    def service(self) -> Service:
        return self.entry.service

    @property
    def hosts(self) -> list[Host]:
        """Client, director and real servers."""
        serving = [server.host for server in self.service.real_servers if server.host.name in self.walks]
        return [self.client, self.director, *serving]

    @property
    def source(self) -> Address:
        """The address that the client asks from."""
        return next(iter(self.walks.values())).hops[0].packet.source.address

    @cached_property
    def addresses(self) -> frozenset[Address]:
        """The addresses of the service and of its real servers."""
        packets = [hop.packet for each in self.walks.values() for hop in each.hops]
        ends = [end for packet in packets for end in (packet.source, packet.destination)]
        return frozenset(end.address for end in ends if isinstance(end.port, int))


def expectations(
    topology: Topology, names: Sequence[str], *, vip: str | None = None, one: bool = False
) -> list[Expectation]:
    """What is to be seen of each service that has real servers in use, or of those named; asked by the first client that has an
    address of its family. `vip`: only the entries of this VIP. `one`: only the first entry of each service.

    Raises AnsibleActionFail where nobody can ask, or there is nothing to ask for.
    """
    clients = [host for host in topology.clients if host.interfaces]
    if not clients:
        raise AnsibleActionFail(
            "nobody can send a request: the group clients has no host with lvs_interfaces. Add a host that may send probes."
        )
    found = []
    for service in named(topology, names):
        if names and not in_use(service):
            raise AnsibleActionFail(f"no real server of {service.name} gets requests: each is drained or has weight 0")
        entries = [entry for entry in probed(service) if vip in (None, str(entry.vip))]
        if names and not entries:
            known = ", ".join(map(str, service.vips))
            raise AnsibleActionFail(f"{vip} is no VIP of {service.name}, which has {known}")
        own = [item for entry in entries for item in _expected(topology, entry, clients)]
        if names and entries and in_use(service) and not own:
            raise AnsibleActionFail(
                f"no client can ask {service.name} at {entries[0].vip}: none has an {entries[0].family} address. Give one to a "
                "host of the group clients."
            )
        found += own[:1] if one else own
    return found


def _expected(topology: Topology, entry: Entry, clients: Sequence[Host]) -> Iterator[Expectation]:
    """What is to be seen of one entry; it is asked by the first client with an address of its family."""
    client = next((host for host in clients if host.on(entry.family)), None)
    for director in topology.answering(entry.service)[:1] if client else ():
        servers = in_use(entry.service)
        walks = {server.host.name: walk(topology, entry, director, server, client) for server in servers if client}
        if client and walks:
            yield Expectation(entry, director, client, walks)


@dataclass
class Report:
    """One service: what was expected and seen. `failures` is empty when both agree.

    `replies_at_director` are packets to the client's ports that the director saw. The frames themselves are not kept: a
    verification of many services has millions.
    """

    expectation: Expectation
    requests: int
    served: int  # bytes that the client received
    failures: list[str]
    not_chosen: list[str]
    seen: list[str]  # the client's addresses as the applications say; empty when they do not tell
    untold: int = 0  # answers in which the application did not tell its client's address
    reached: list[str] = field(default_factory=list)  # real servers
    replies_at_director: int = 0
    director_bytes: int = 0

    def count(self, connection: Connection) -> None:
        """Adds what one connection has seen of the director."""
        director = self.expectation.director.name
        self.director_bytes += connection.bytes_at(director)
        self.replies_at_director += sum(
            frame.host == director and frame.packet.destination == connection.ends.client for frame in connection.frames
        )


def report(
    expectation: Expectation,
    probes: Sequence[Mapping[str, Any]],
    sightings: Sightings,
    vantages: Mapping[str, Vantage],
    *,
    peers: bool = False,
) -> Report:
    """Compares every connection of one service with its walk. `peers`: an application that does not tell its client is a failure."""
    service, client = expectation.service, expectation.client
    found = Report(expectation, len(probes), sum(int(probe["bytes"]) for probe in probes), [], [], [])
    seen: set[str] = set()
    reached: set[str] = set()
    failures: Counter[str] = Counter()
    for probe in probes:
        connection = followed(expectation, probe, sightings, vantages)
        port, ends = int(probe["port"]), connection.ends
        found.count(connection)
        reached |= {connection.real_server} if connection.real_server else set()
        if probe["error"]:
            failures[f"client {client.name} got no answer ({probe['error']})"] += 1
        elif probe["peer"]:
            told = endpoint(str(probe["peer"]))
            seen.add(str(told.address) if told else str(probe["peer"]))
        else:
            found.untold += 1
        for difference in connection.differences:
            text = _symbolic(difference, port, CLIENT_PORT)
            failures[_symbolic(text, ends.local.port, LOCAL_PORT) if ends.local else text] += 1
    if peers and found.untold and speaks(expectation.entry) != "connect":  # which asks the application nothing
        failures["the application did not tell its client's address"] = found.untold
    found.seen, found.reached = sorted(seen), sorted(reached)
    found.not_chosen = [name for name in expectation.walks if name not in reached]
    found.failures = [f"{text} ({count} of {len(probes)} connections)" for text, count in failures.items()]
    spreads = service.scheduler in TURN_TAKING and not service.persistence_timeout
    if spreads and found.not_chosen and len(probes) < MOST_REQUESTS:
        found.failures.append(f"{', '.join(found.not_chosen)} got no request of {len(probes)}")
    if not probes:
        found.failures.append("nothing was asked")
    return found


def followed(
    expectation: Expectation, probe: Mapping[str, Any], sightings: Sightings, vantages: Mapping[str, Vantage]
) -> Connection:
    """One connection of a probe, compared with its walk, and with what the application says of its client."""
    director = expectation.director.name
    ends = sightings.ends(Endpoint(expectation.source, int(probe["port"])), expectation.service, director)
    own = sightings.of(ends, expectation.addresses)
    connection = compare(expectation.service, expectation.walks, director, ends, own, vantages)
    if connection.walk and probe["peer"]:
        connection.differences += _told(connection.walk, ends, str(probe["peer"]))
    return connection


def _told(walk: Walk, ends: Ends, peer: str) -> list[str]:
    """What differs between the peer that the application says it has and the predicted one."""
    expected = ends.client if walk.seen.port == CLIENT_PORT else ends.local
    return [] if endpoint(peer) == expected else [f"the application saw {peer} as its client, expected {expected}"]


def endpoint(text: str) -> Endpoint | None:
    """Address and port as an application tells them; None if it is something else.

    A socket that serves both families has IPv4 clients as IPv6 addresses (RFC 4291, 2.5.5.2); they count as what they are.
    """
    host, _, port = text.rpartition(":")
    try:
        address = parsed(host.strip("[]").partition("%")[0])
        return Endpoint(getattr(address, "ipv4_mapped", None) or address, int(port))
    except ValueError:
        return None


def _symbolic(text: str, port: int | str, symbol: str) -> str:
    """The text with a symbol for a port that each connection has another of. (`:80` may also be part of an IPv6 address.)"""
    return re.sub(rf"(\.\d+|\]):{port}\b", rf"\1:{symbol}", text)


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


def by_service(reports: Sequence[Report]) -> list[list[Report]]:
    """The reports of each service together: one for each of its entries."""
    found: dict[str, list[Report]] = {}
    for item in reports:
        found.setdefault(item.expectation.service.name, []).append(item)
    return list(found.values())


def table(services: Sequence[Sequence[Report]]) -> str:
    """One line for each service, expected before observed where both could differ."""
    rows = [COLUMNS]
    for items in services:
        name, mode = items[0].expectation.service.name, items[0].expectation.service.mode
        through = "yes" if any(item.replies_at_director for item in items) else "no"
        expected = "yes" if any(map(_replies_by_director, items)) else "no"
        served = sum(item.served for item in items)
        reached = dict.fromkeys(server for item in items for server in item.reached)
        rows.append(
            (
                name,
                mode.label,
                str(sum(item.requests for item in items)),
                f"{','.join(reached) or '-'}",
                f"{expected} / {through}",
                " ".join(dict.fromkeys(map(_sees, items))),
                f"{sum(item.director_bytes for item in items) / served:.2f}" if served else "-",
                "FAILED" if any(item.failures for item in items) else "ok",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _replies_by_director(item: Report) -> bool:
    """Whether replies pass the director, or begin there: of those real servers that got a request, if any did."""
    director, walks = item.expectation.director.name, item.expectation.walks
    hops = (hop for name in item.reached or walks for hop in walks[name].hops)
    return any(hop.leg == "reply" and director in (hop.sender.host, hop.receiver.host) for hop in hops)


def _sees(item: Report) -> str:
    """The clients' addresses as the application tells them, or why they are not known."""
    if item.seen:
        return ",".join(item.seen) + (" (not always told)" if item.untold else "")
    if speaks(item.expectation.entry) == "connect":
        return "not asked"
    return "not told" if item.untold else "-"


def path(item: Report) -> str:
    """The hops of a service by one of its real servers, as predicted; each was compared with what was captured. A real server that
    is not the director itself has more of them.
    """
    walks = item.expectation.walks
    name = max(item.reached or walks, key=lambda name: len(walks[name].hops))
    return "\n".join(
        f"    {hop.leg:<8}{hop.sender} > {hop.receiver} ({hop.network.name}): {hop.packet}" for hop in walks[name].hops
    )
