"""Verification in batches: each has its own requests and captures, so that a capture stays small with any number of services."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.lvs.topology import Topology

from . import asking
from .filters import Sets
from .verification import Expectation

MOST = 1000  # requests of a batch; their packets fit in some MiB of /run on each host
PARALLEL = 32
TIMEOUT = 5  # seconds
PACKETS_OF_A_REQUEST = 100  # 20 kB with their acknowledgements, in and out of a director, and some of other clients
FEWEST_PACKETS = 50_000
# Seconds for all hosts, and more for each. Busy hosts take a minute to start a capture, and another one to stop it.
START_AND_STOP = 300, 3


@dataclass(frozen=True)
class Capture:
    """The capture on one host, and its limits."""

    interfaces: tuple[str, ...]
    filter: str
    seconds: int
    packets: int

    def as_arguments(self) -> dict[str, Any]:
        """For the module lvs_capture."""
        return {
            "interfaces": list(self.interfaces),
            "filter": self.filter,
            "seconds": self.seconds,
            "packets": self.packets,
        }


@dataclass(frozen=True)
class Batch:
    """Services that one client probes together."""

    expectations: tuple[Expectation, ...]
    requests: tuple[Mapping[str, Any], ...]
    captures: Mapping[str, Capture]  # by host

    @property
    def client(self) -> str:
        return self.expectations[0].client.name

    @property
    def questions(self) -> dict[str, Any]:
        """For the module lvs_probe."""
        return {
            "requests": [dict(request) for request in self.requests],
            "parallel": PARALLEL,
            "timeout": TIMEOUT,
            "seconds": seconds(self.requests),
        }


def batches(
    topology: Topology, expected: Sequence[Expectation], path: str | None = None, count: int | None = None
) -> list[Batch]:
    """All services, in the inventory's order. `count`: requests to each service, None for as many as meet each real server."""
    return [_batch(topology, together, path, count) for together in _together(expected, count)]


def _together(expected: Sequence[Expectation], count: int | None) -> Iterator[list[Expectation]]:
    found: list[Expectation] = []
    requests = 0
    for item in expected:
        more = count or asking.enough(item.service)
        if found and (requests + more > MOST or item.client is not found[0].client):
            yield found
            found, requests = [], 0
        found.append(item)
        requests += more
    if found:
        yield found


def _batch(topology: Topology, expected: Sequence[Expectation], path: str | None, count: int | None) -> Batch:
    requests = tuple(asking.request(item.entry, count or asking.enough(item.service), path) for item in expected)
    sets = sets_of(expected)
    fixed, each = START_AND_STOP
    lasts = math.ceil(seconds(requests)) + fixed + each * len(sets)
    packets = max(FEWEST_PACKETS, PACKETS_OF_A_REQUEST * sum(request["count"] for request in requests))
    captures = {
        name: Capture(tuple(i.name for i in topology.hosts[name].interfaces), own.text(), lasts, packets)
        for name, own in sets.items()
    }
    return Batch(tuple(expected), requests, captures)


def sets_of(expected: Sequence[Expectation]) -> dict[str, Sets]:
    """What each host captures: the packets of all clients of its services, and of the inner legs that begin or end at the host."""
    sets: dict[str, Sets] = {}
    for item in expected:
        own = {host.name: sets.setdefault(host.name, Sets()) for host in item.hosts}
        hops = [hop for walk in item.walks.values() for hop in walk.hops]
        port = item.entry.port
        ports = {port, *(server.at_port(port) for server in item.service.real_servers)}
        for one in own.values():
            one.add_client(item.source, ports)
        for hop in hops:
            for name in {hop.sender.host, hop.receiver.host} & own.keys():
                own[name].add_hop(hop, item.service.local_addresses)
    return sets


def seconds(requests: Sequence[Mapping[str, Any]]) -> float:
    """The longest time that requests take: none is answered, and each waits for the timeout."""
    turns = math.ceil(sum(int(request["count"]) for request in requests) / PARALLEL)
    return float(TIMEOUT * (turns + 1))
