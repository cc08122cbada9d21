"""What is sent to a service to find out whether it answers."""

from __future__ import annotations

import math
from typing import Any

from ansible.module_utils.lvs.topology import RealServer, Service

MOST_REQUESTS = 60  # for one service; a real server of very small weight may then stay unasked
HTTP_PORTS = (80, 8000, 8008, 8080, 8888)  # where a service without a health check is taken for a web server
DNS_PORT = 53

# What lvs_probe speaks, by the type of the service's health check.
_BY_CHECK = {
    "http": "http",
    "https": "https",
    "tcp": "connect",
    "smtp": "connect",
    "dns": "dns",
    "udp": "datagram",
}
_OF_UDP = ("dns", "datagram")


def speaks(service: Service) -> str:
    """What lvs_probe sends. A TCP service gets nothing but a connection where neither its check nor its port says more.

    Servers of other protocols count bytes that they do not understand as attacks, MySQL for one.
    """
    said = _BY_CHECK.get(str(service.health_check.get("type", "")))
    if said and (said in _OF_UDP) == (service.protocol == "udp"):
        return said
    if service.protocol == "udp":
        return "dns" if service.port == DNS_PORT else "datagram"
    return "http" if service.port in HTTP_PORTS else "connect"


def request(service: Service, count: int, path: str | None = None) -> dict[str, Any]:
    """So many requests to the VIP, for lvs_probe. `path` is that of HTTP requests; None: the health check's, else `/`."""
    return {
        "service": service.name,
        "address": str(service.vip),
        "port": service.port,
        "protocol": service.protocol,
        "count": count,
        "speaks": speaks(service),
        "path": path or str(service.health_check.get("path") or "/"),
    }


def in_use(service: Service) -> list[RealServer]:
    """The real servers that get new connections."""
    return [server for server in service.real_servers if server.weight and not server.host.drained]


def enough(service: Service) -> int:
    """A number of requests by which each real server gets two by its weight, MOST_REQUESTS at most."""
    weights = [server.weight for server in in_use(service)]
    return min(MOST_REQUESTS, 2 * math.ceil(sum(weights) / min(weights))) if weights else 1
