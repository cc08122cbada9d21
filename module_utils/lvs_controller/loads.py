"""What hosts carry: the plan of each host in words, those together that have the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.topology import Service, Topology

from . import segments

Lines = tuple[tuple[str, tuple[str, ...]], ...]  # titles, each with its lines
# What belongs to one host by its nature: alone it makes no host different from others.
_OWN = ("serves", "interfaces", "addresses", "routing rules", "segment size", "answers nobody by itself")


@dataclass(frozen=True)
class Load:
    """What some hosts carry: `parts` all of them, `own` each of them besides."""

    names: tuple[str, ...]
    role: str
    parts: Lines
    own: tuple[tuple[str, Lines], ...] = ()

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def many(self) -> bool:
        """Whether paper has no room for what each of the hosts has of its own."""
        return len(self.own) > segments.NAMED


def loads(topology: Topology, plans: dict[str, HostPlan], hosts: Sequence[str]) -> list[Load]:
    """The loads of hosts, in their order."""
    serving = _serving(topology.services)
    alike: dict[tuple[str, Lines, tuple[str, ...]], list[tuple[str, Lines]]] = {}
    for name in hosts:
        host = topology.hosts[name]
        lines = _lines(plans[name], serving.get(name, []))
        shared = tuple(part for part in lines if part[0] not in _OWN)
        key = segments.kind(topology, host), shared, tuple(title for title, _ in lines)
        alike.setdefault(key, []).append((name, lines))
    return [_load(role, own) for (role, *_), own in alike.items()]


def _load(role: str, hosts: Sequence[tuple[str, Lines]]) -> Load:
    """Hosts with the same titles: what they have in common, and the rest by host."""
    names = tuple(name for name, _ in hosts)
    common = set(hosts[0][1]).intersection(*(lines for _, lines in hosts))
    own = ((name, tuple(part for part in lines if part not in common)) for name, lines in hosts)
    return Load(
        names,
        role,
        tuple(part for part in hosts[0][1] if part in common),
        tuple((name, lines) for name, lines in own if lines),
    )


def _serving(services: Sequence[Service]) -> dict[str, list[str]]:
    """What each real server serves."""
    found: dict[str, list[str]] = {}
    for service in services:
        for server in service.real_servers:
            text = f"{service.name} (port {server.at_ports(service.ports)}, weight {server.weight})"
            found.setdefault(server.host.name, []).append(text)
    return found


def _lines(plan: HostPlan, serves: Sequence[str]) -> Lines:
    """A plan in words."""
    parts = {
        "serves": serves,
        "interfaces": [f"{name}: {' and '.join(addresses)}" for name, addresses in plan.interfaces.items()],
        "virtual services": [
            f"{service.service}: {service.protocol} {service.endpoint} {service.scheduler}, "
            f"{len(service.destinations)} real servers"
            for service in plan.services
        ],
        "addresses": [f"{address.address} on {address.device}" for address in plan.addresses],
        "addresses while it is master": [
            f"{address.address} on {address.device} ({router.group})"
            for router in plan.routers
            for address in router.addresses
        ],
        "kernel settings": [f"{s.key} = {s.value}: {s.why}" for s in plan.sysctls],
        "kernel modules": plan.modules,
        "routes": [f"default via {r.gateway} dev {r.device}, table {r.table}" for r in plan.routes],
        "routing rules": [f"{rule.selector} lookup {rule.lookup}" for rule in plan.rules],
        "source NAT": [
            f"{nat.protocol} {nat.found} from {', '.join(r.addresses for r in nat.ranges)}"
            for nat in plan.netfilter.source_nats
        ],
        "segment size": [f"{clamp.address}: {clamp.mss} bytes" for clamp in plan.netfilter.mss_clamps],
        "answers nobody by itself": [
            f"{guard.address}:{port}" for guard in plan.netfilter.guards for port in guard.ports
        ],
    }
    return tuple((title, tuple(lines)) for title, lines in parts.items() if lines)
