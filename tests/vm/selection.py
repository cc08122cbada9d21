"""Which tests on virtual machines an inventory can run, and on which of its hosts.

A test names the hosts it is for (a group of the inventory; without one, all that have a plan) and the services it needs (one of SERVICES)
as markers. LONG marks those that run in `make test-long` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvs.topology import Entry, Topology

GROUPS = ("clients", "routers", "directors", "real_servers")
PLANNED = ("directors", "real_servers")
LONG = "long"

# Marker: what the services are, and whether an entry is one of theirs.
SERVICES = {
    "tcp": ("TCP services", lambda entry: entry.protocol == "tcp"),
    "udp": ("UDP services", lambda entry: entry.protocol == "udp"),
    "sender": ("services whose client address the director's kernel module sends", lambda entry: entry.mode.sender),
    "every_packet": (
        "services of one real server that carry the client's address in every packet",
        lambda entry: entry.mode.every_packet and len(entry.service.real_servers) == 1,
    ),
    "restored": (
        "services whose real servers' packets are given the client's address back",
        lambda entry: entry.mode.receiver == "lvskit_restore",
    ),
    "noted": (
        "services whose real servers tell applications the client's address",
        lambda entry: entry.mode.receiver == "lvskit_toa_peer",
    ),
    "cip_src": ("services that keep the client as source", lambda entry: entry.mode.cip_src),
    "ftp": ("services with the helper of FTP", lambda entry: entry.service.helper),
    "checked": ("services with health checks", lambda entry: entry.service.health_check),
    "translated_checks": (
        "services of fullnat with health checks of their VIPs from a single director",
        lambda entry: (
            entry.mode.source_nat
            and entry.service.group is None
            and entry.service.health_check
            and entry.service.health_check.by_vip
            and "tcp" in entry.service.health_check.kind.protocols
        ),
    ),
    "by_gateway": (
        "services whose director is the gateway of their real servers",
        lambda entry: entry.mode.director_is_gateway and entry.service.return_path == "gateway",
    ),
    "on_a_segment": (
        "services with an IPv4 VIP that is on a segment and not routed",
        lambda entry: entry.family.version == 4 and not entry.service.vip_routed,
    ),
}


def entries(topology: Topology, markers: Iterable[str]) -> Sequence[Entry]:
    """The entries of services that a test with these markers needs; all of them where it names no kind."""
    asked = [SERVICES[marker][1] for marker in markers if marker in SERVICES]
    every = (entry for service in topology.services for entry in service.entries)
    return [entry for entry in every if all(fits(entry) for fits in asked)]


def hosts(topology: Topology, markers: Iterable[str]) -> set[str]:
    """The hosts that a test with these markers runs on."""
    groups = [topology.groups.get(marker, ()) for marker in markers if marker in GROUPS]
    found = set[str]().union(*(topology.groups.get(name, ()) for name in (GROUPS if groups else PLANNED)))
    return found.intersection(*groups) - set(topology.members("absent"))


def lacking(topology: Topology, markers: Sequence[str]) -> str | None:
    """What the inventory lacks for a test with these markers; None where the test can run."""
    kinds = [SERVICES[marker][0] for marker in markers if marker in SERVICES]
    if kinds and not entries(topology, markers):
        return f"no {' that are also '.join(kinds)}"
    if not hosts(topology, markers):
        return f"no host in {' and '.join(marker for marker in markers if marker in GROUPS)}"
    return None
