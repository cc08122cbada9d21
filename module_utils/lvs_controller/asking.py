"""The requests that probe a service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.lvs.topology import Entry, RealServer, Service

MOST_ENTRIES = 16  # of one service that are probed; each VIP and protocol at least once
MOST_REQUESTS = 60  # for one service; a real server of very small weight may then get none
HTTP_PORTS = (80, 8000, 8008, 8080, 8888)  # a service without a health check on one of these is probed by HTTP
DNS_PORT = 53

# The kind of request of lvs_probe, by the type of the service's health check.
_BY_CHECK = {
    "http": "http",
    "https": "https",
    "tcp": "connect",
    "smtp": "connect",
    "dns": "dns",
    "udp": "datagram",
}
_OF_UDP = ("dns", "datagram")


def probed(service: Service) -> Sequence[Entry]:
    """The entries that requests go to: all, or of a service with many the first of each VIP and protocol, then further ports."""
    firsts = {(entry.vip, entry.protocol): entry for entry in reversed(service.entries)}
    ordered = dict.fromkeys([*reversed(firsts.values()), *service.entries])
    return list(ordered)[: max(MOST_ENTRIES, len(firsts))]


def speaks(entry: Entry) -> str:
    """The kind of request of lvs_probe. If neither health check nor port of a TCP service names a protocol, only a connection is opened.

    Servers of other protocols, for example MySQL, count bytes that they do not understand as attacks.
    """
    check = entry.service.health_check
    said = _BY_CHECK.get(check.type) if check else None
    if said and (said in _OF_UDP) == (entry.protocol == "udp"):
        return said
    if entry.protocol == "udp":
        return "dns" if entry.port == DNS_PORT else "datagram"
    return "http" if entry.port in HTTP_PORTS else "connect"


def request(entry: Entry, count: int, path: str | None = None) -> dict[str, Any]:
    """`count` requests to the VIP, for lvs_probe. `path` is that of HTTP requests; None: the path of the health check, else `/`."""
    check = entry.service.health_check
    return {
        "service": entry.label,
        "address": str(entry.vip),
        "port": entry.port,
        "protocol": entry.protocol,
        "count": count,
        "speaks": speaks(entry),
        "path": path or (check.path if check else None) or "/",
    }


def in_use(service: Service) -> list[RealServer]:
    """The real servers that get new connections."""
    return [server for server in service.real_servers if server.weight and not server.host.drained]


def enough(service: Service) -> int:
    """The number of requests with which each real server gets two by its weight; at most MOST_REQUESTS."""
    weights = [server.weight for server in in_use(service)]
    return min(MOST_REQUESTS, 2 * math.ceil(sum(weights) / min(weights))) if weights else 1
