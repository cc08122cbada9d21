"""Compiles the plan of each host from the topology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from . import checks, director, elections, real_server
from .families import IPV4, IPV6
from .host_plan import TRACKING, BuiltModule, HostPlan
from .needs import Member, Needs
from .topology import Topology


def plans(
    topology: Topology, hosts: Iterable[str] | None = None, drained: Mapping[str, str] | None = None
) -> dict[str, HostPlan]:
    """The plan of every host, or of `hosts` only. `drained`: since when each real server is drained that a run has drained."""
    marks, stand_ins = checks.marks(topology), checks.stand_ins(topology)
    needs = {name: Needs(topology, topology.hosts[name], marks, stand_ins) for name in (hosts or topology.hosts)}
    for service in topology.services:
        for host in service.directors:
            if host.name in needs:
                director.direct(needs[host.name], service)
                needs[host.name].leave_out(service, drained or {})
        for server in service.prepared_servers:  # a director needs nothing more to be its own real server
            if server.host.name in needs:
                real_server.serve(needs[server.host.name], service, server)
        for server in service.prepared_servers if service.mode.receiver else ():
            place = topology.restorer(service, server.host) or server.host
            if place.name in needs:
                real_server.receive(needs[place.name], service, server)
    return {name: _plan(of_host) for name, of_host in needs.items()}


def plan(topology: Topology, host: str) -> HostPlan:
    """The desired state of one host."""
    return plans(topology, [host])[host]


def _plan(needs: Needs) -> HostPlan:
    routes, rules = real_server.routes(needs)
    routers, sync = elections.elections(needs)
    conntrack_sync = elections.translations(needs)
    tracking = TRACKING in needs.sysctls
    if needs.connections and tracking:
        room = max(needs.connections * elections.CONNTRACK_ROOM, elections.CONNTRACK_MOST)
        why = "room for the connections that the services expect, open and closing"
        needs.sysctl("net/netfilter/nf_conntrack_max", room, why)
        needs.sysctl("net/netfilter/nf_conntrack_buckets", room // 4, "one for each four connections")
    made = HostPlan(
        host=needs.host.name,
        interfaces={i.name: tuple(map(str, i.attachments)) for i in needs.host.interfaces},
        programs=tuple(needs.programs),
        modules=(*needs.modules, *needs.built_modules, *needs.foreign_modules),
        sysctls=tuple(needs.sysctls.values()),
        devices_up=tuple(needs.devices_up),
        tunnels_for_both=tuple(needs.tunnels_for_both),
        addresses=tuple(needs.addresses.values()),
        routes=routes,
        rules=rules,
        netfilter=needs.rules[IPV4].build(tracking=tracking),
        netfilter6=needs.rules[IPV6].build(tracking=tracking),
        built_modules=(
            *(
                BuiltModule(
                    name,
                    {parameter: ",".join(map(_member, sorted(found))) for parameter, found in known_by.items()}
                    | {"kind": str(needs.host.option_kind)},
                )
                for name, known_by in needs.built_modules.items()
            ),
            *needs.foreign_modules.values(),
        ),
        services=tuple(needs.services),
        timeouts=(said.tcp, said.tcpfin, said.udp) if needs.services and (said := needs.host.timeouts) else None,
        probes=tuple(needs.probes.values()),
        checks=tuple(needs.checked),
        routers=routers,
        sync=sync,
        conntrack_sync=conntrack_sync,
        drained=tuple(sorted(needs.drained.items())),
    )
    return replace(made, keeper=True) if needs.host.keeper and not made.empty else made


def _member(one: Member) -> str:
    """A member of a set, as parameters of lvskit's modules have it."""
    address, port = one
    return f"{address}:{port}" if port else str(address)
