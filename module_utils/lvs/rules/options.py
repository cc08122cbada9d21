"""Rules about the TCP option that carries an address: which host sends it, which host reads it, and from which sources it accepts it.

And about variables of hosts on which they do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .. import modes
from ..contract.key import keys_of
from ..contract.values import nearest
from ..families import IPV4
from ..topology import Host, Service, Topology
from ..violations import listed
from .catalogue import Finding, TopologyFinding, service_rule, topology_rule
from .forwarding import others
from .sharing import BELIEVING_HOST, FORGEABLE_HOST, believing_on_one_host, sharing

# Variables of hosts by their fields: where they act, and those hosts of a service.
_ACTING: dict[str, tuple[str, Callable[[Service], Iterable[Host]]]] = {
    "timeouts": ("directors", lambda service: service.directors),
    "conntrack": (
        "directors of nat",
        lambda service: service.directors if service.mode.director_is_gateway else (),
    ),
    "drained": (
        "real servers",
        lambda service: (s.host for s in (*service.real_servers, *service.prepared_servers)),
    ),
    "toa_receiver": (
        "real servers of fullnat with client_address: toa",
        lambda service: (s.host for s in service.real_servers if service.mode.receiver_exchangeable),
    ),
    "restore_on": (
        "real servers of fullnat with client_address: restore",
        lambda service: (s.host for s in service.real_servers if service.mode.restored_in_packet),
    ),
}


@topology_rule(
    "KEY-HOST",
    "a variable of a host that does nothing there, nor on another host that has the same value",
    "Whoever has written it expects an effect.",
    warning=True,
)
def variable_without_effect(topology: Topology) -> Iterator[TopologyFinding]:
    names = {one.field: name for name, one in keys_of(Host).items()}
    for field, (where, acting) in _ACTING.items() if topology.whole else ():
        users = {host.name for service in topology.services for host in acting(service)}
        effective = [getattr(topology.hosts[name], field) for name in users]
        for host in topology.hosts.values():
            value = getattr(host, field)
            if value and host.name not in users and value not in effective:
                said = f"{names[field]} is for {where}, and {host.name} is none in any service"
                yield f"host {host.name}: {said}. Leave it out.", host.said(names[field]), host


@service_rule(
    "ENAT-FORGED-OPTION",
    "a real server in an enat service with cip_src and in a fullnat service without a client address",
    "The real server believes the option from any source, and nobody takes it out where a client of the fullnat service "
    "forges it: replies to the local port that it came by would leave from the VIP, and the next client with that port "
    "gets none.",
    when=lambda mode: mode.cip_src,
    affects=believing_on_one_host,
    by_pair=True,
)
def option_that_nobody_takes_out(topology: Topology, service: Service) -> Iterator[Finding]:
    own = {server.host.name: server for server in service.real_servers}
    for other in sharing(topology, service, BELIEVING_HOST, FORGEABLE_HOST):
        for name in dict.fromkeys(server.host.name for server in other.real_servers if server.host.name in own):
            yield (
                f"{name} is also in service {other.name} ({other.mode.name}), whose clients could forge the option. Give "
                f"{other.name} a client_address, use other real servers for one of them, or leave cip_src out.",
                own[name].at,
            )


@service_rule(
    "FULLNAT-RESTORE-PLACE",
    "a place to restore the client's address that the packets do not pass, or that no playbook provisions",
    "The address must be back in the packet before the real server's stack sees it, and the reply must come through the same host.",
    when=lambda mode: mode.restored_in_packet,
)
def restored_where_packets_do_not_pass(topology: Topology, service: Service) -> Iterator[Finding]:
    for server in service.real_servers:
        name = server.host.restore_on
        if name is None or name == server.host.name:
            continue
        place = topology.hosts.get(name)
        if place is None:
            yield f"lvs_restore_on of {server.host.name} is {name}: {nearest(name, topology.hosts)}", server.at
            continue
        way = server.host.default_interface(IPV4)
        entry = service.by_family[0]  # of IPv4, the only family that the modules know
        passes = not any(topology.shared(entry, director, server.host) for director in service.directors)
        only_link = way is not None and way.gateway in place.addresses and len(server.host.interfaces) == 1
        if not (passes and only_link):
            yield (
                f"lvs_restore_on of {server.host.name} is {name}, which its packets need not pass. Name the host that holds "
                "the gateway of its only link, apart from the director's networks, or leave lvs_restore_on out to restore on the real server itself.",
                server.at,
            )
        if name not in topology.members("hypervisors"):
            yield (
                f"lvs_restore_on of {server.host.name} is {name}, which is not in the group hypervisors, so no playbook would "
                "provision it. Add it there.",
                server.at,
            )


@service_rule(
    "TOA-RECEIVER-TRUST",
    "a third-party receiver, which does not check the sender of the client's address",
    "A host that reaches the real server directly can send the option, and the application accepts it.",
    when=lambda mode: mode.receiver_exchangeable,
    warning=True,
)
def believes_anybody(topology: Topology, service: Service) -> Iterator[Finding]:
    locals_ = listed([str(address) for address in service.local_addresses])
    for server in service.real_servers:
        receiver = server.host.toa_receiver
        if receiver:
            yield (
                f"{server.host.name} has the receiver {receiver.module}. Unless it can be told whom to believe, let nobody but "
                f"{locals_} reach {server.host.name} on port {server.at_port(service.ports[0].first)}.",
                server.at,
            )


@service_rule(
    "{carrier}-OPTION-KIND",
    "a director and a real server with different kinds of the option that carries the client's address",
    "The real server's kernel module looks for another option than the director has sent: to the application the client is the director.",
    when=lambda mode: mode.sender is not None,
)
def option_of_two_kinds(topology: Topology, service: Service) -> Iterator[Finding]:
    for server in service.real_servers:
        if service.mode.receiver_exchangeable and server.host.toa_receiver:
            continue
        reader = topology.restorer(service, server.host) or server.host
        for director in service.directors:
            if director.option_kind != reader.option_kind:
                yield (
                    f"lvs_option_kind is {director.option_kind} on director {director.name} and {reader.option_kind} on "
                    f"{reader.name}. Say it once, in group_vars/all.",
                    server.at,
                )


@service_rule(
    "{carrier}-TCP",
    "an address in a TCP option for a UDP service",
    "A UDP datagram has no options to carry it.",
    when=lambda mode: mode.request.option is not None,
)
def option_needs_tcp(topology: Topology, service: Service) -> Iterator[Finding]:
    for protocol in service.protocols:
        if protocol not in service.mode.protocols:
            yield (
                f"{protocol} has no options to carry an address. Use tcp, or {others(service)} without a client_address.",
                service.at("protocol"),
            )


@service_rule(
    "{carrier}-MARK",
    "a range of ports, or persistence across ports, in a mode whose kernel modules know single ports",
    "IPVS finds such a service by a firewall mark, and the module that adds the option knows its services by address and port.",
    when=lambda mode: mode.sender is not None,
)
def option_needs_single_ports(topology: Topology, service: Service) -> Iterator[Finding]:
    if any(entry.by_mark for entry in service.entries):
        fitting = listed(list(dict.fromkeys(mode.name for mode in modes.TABLE if not mode.sender)))
        yield (
            f"lvskit's kernel modules do not know services by a firewall mark. List the ports one by one, or use {fitting} "
            "without a client_address.",
            service.at("port"),
        )
