"""Rules about the path of a request: from the director to the real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from .. import modes
from ..contract.key import keys_of
from ..families import of as family_of
from ..topology import Entry, Host, Service, Topology
from ..violations import listed, some
from .addressing import no_hosts
from .catalogue import Finding, service_rule
from .sharing import (
    DIRECTOR,
    ENAT_END,
    LOCAL_BY_DIRECTORS,
    LOCAL_BY_MODE,
    REAL_SERVER,
    REPLYING_END,
    TRANSLATED_VIP,
    VIP,
    ends,
    of_other_directors,
    replied_to_at_one_port,
    sharing,
    translated_otherwise,
    with_new_gateway,
)


def others(
    service: Service, *, port_mapping: bool = False, shared_segment: bool = True, local_real_server: bool = False
) -> str:
    """The possible other modes, as a clause."""
    names = modes.alternatives(
        port_mapping=port_mapping,
        shared_segment=shared_segment,
        protocols=service.protocols,
        ipv6=any(vip.version == 6 for vip in service.vips),
        local_real_server=local_real_server,
    )
    return listed([name for name in names if name != service.mode.name])


def pairs(entry: Entry) -> Iterator[tuple[Host, Host, object]]:
    """Each director with each real server that has an address of one family, and the inventory's word for the latter."""
    family = entry.outer
    for director in entry.service.directors:
        for server in entry.service.real_servers if director.on(family) else ():
            if director is not server.host and server.host.on(family):
                yield director, server.host, server.at


def of_families(service: Service, names: Sequence[str]) -> str:
    """' in IPv6', where a finding does not hold for all families of a service."""
    return f" in {listed(names, 'and')}" if len(names) < len(service.families) else ""


@service_rule(
    "KEY-MODE",
    "a key that means nothing in the service's mode",
    "It would be ignored, although its author expects an effect.",
)
def key_of_another_mode(topology: Topology, service: Service) -> Iterator[Finding]:
    for key in keys_of(Service).values():
        said = key.field and key.name in service.source and getattr(service, key.field)
        if said and key.modes and not key.modes(service.mode):
            users = listed(key.mode_names, "and")
            yield f"{key.name} is for {users} only. Leave it out with {service.mode.name}.", service.at(key.name)


@service_rule(
    "NEEDS-MODE",
    "a mode that does not meet the service's `needs`",
    "The mode determines the path of replies, the address that the application sees, and the kernel modules of hosts.",
)
def needs_are_unmet(topology: Topology, service: Service) -> Iterator[Finding]:
    fitting = dict.fromkeys(mode.name for mode in modes.TABLE if not service.needs.unmet(mode))
    for unmet in service.needs.unmet(service.mode):
        here = f" as it is set (client_address: {service.mode.client_address})" if service.mode.name in fitting else ""
        yield (
            f"{service.mode.name}{here} does not meet the service's needs: {unmet}. Correct needs:, or see "
            f"playbooks/advise.yml (by the table of modes: {listed(list(fitting)) or 'none meets all of them'}).",
            service.at("needs"),
        )


@service_rule(
    "GROUP-MEMBER",
    "a service's director outside the group directors, or real server outside the group real_servers",
    "The playbooks provision only the hosts of these two groups: the service would be incomplete.",
)
def host_is_in_no_role(topology: Topology, service: Service) -> Iterator[Finding]:
    wanted = [("directors", director, service.at("directors"), DIRECTOR) for director in service.directors]
    wanted += [("real_servers", server.host, server.at, REAL_SERVER) for server in service.real_servers]
    for group, host, at, index in wanted:
        if group in topology.groups and host.name not in topology.members(group):
            role = group[:-1].replace("_", " ")
            if topology.register.first(index, host.name) is service:
                yield (
                    f"host {host.name} is not in the group {group}, so the playbooks do not take it for a {role} of service {service.name}. Add it there.",
                    at,
                    host,
                )


@service_rule(
    "RS-DUPLICATE",
    "the same real server and port twice in a service",
    "The director's table contains a real server's address and port only once.",
)
def real_server_twice(topology: Topology, service: Service) -> Iterator[Finding]:
    names = [server.host.name for server in service.real_servers]
    if len(set(names)) == len(names):
        return
    seen: set[tuple[str, int]] = set()
    for server in service.real_servers:
        keys = {(server.host.name, server.at_port(ports.first)) for ports in service.ports}
        if keys & seen:
            port = min(port for _, port in keys & seen)
            yield f"real server {server.host.name} port {port} is listed twice. Remove one.", server.at
        seen |= keys


@service_rule(
    "PORT-MAPPING",
    "real servers' ports that are not one to one with the service's",
    "Two ports of the service would be one at the real server, or a range would have to be moved, which IPVS cannot do.",
    when=lambda mode: mode.port_mapping,
)
def mapping_is_not_one_to_one(topology: Topology, service: Service) -> Iterator[Finding]:
    if (
        len(service.ports) == 1
        and service.ports[0].single
        and all(not isinstance(s.port, Mapping) for s in service.real_servers)
    ):
        return
    known = {ports.first for ports in service.ports if ports.single}
    for server in service.real_servers:
        if service.persistence_across_ports and any(server.at_port(port) != port for port in known):
            yield (
                f"real server {server.host.name}: ports cannot be mapped with persistence_across_ports, by which IPVS finds all of them by one "
                "firewall mark. Listen on the same ports, or leave it out.",
                server.at,
            )
            continue
        if isinstance(server.port, int) and len(service.ports) > 1:
            ports = listed([str(ports) for ports in service.ports], "and")
            yield (
                f"real server {server.host.name}: port {server.port} is one, and the service's are {ports}. Say which goes where, as in "
                f"port: {{{service.ports[0].first}: {server.port}}}, or leave it out.",
                server.at,
            )
        elif isinstance(server.port, int) and not service.ports[0].single and server.port != service.ports[0].first:
            yield (
                f"real server {server.host.name}: the ports of a range ({service.ports[0]}) cannot be mapped. Listen on the same ones.",
                server.at,
            )
        elif server.port is not None and not isinstance(server.port, int):
            unknown = [str(port) for port in server.port if port not in known]
            if unknown:
                yield (
                    f"real server {server.host.name}: {listed(unknown, 'and')} is no single port of the service. Map only those that "
                    "the service lists by themselves; the ports of a range stay as they are.",
                    server.at,
                )
            taken = [server.at_port(port) for port in known]
            twice = sorted({port for port in taken if taken.count(port) > 1})
            if twice:
                yield (
                    f"real server {server.host.name}: two ports of the service go to {twice[0]}. Give each its own.",
                    server.at,
                )


@service_rule(
    "SELF-DIRECTOR",
    "a director among its own real servers, in a mode that cannot have it or beside another director",
    "IPVS hands requests for the director itself to its own stack: nothing changes them on their way out, and another director "
    "cannot send it any.",
)
def director_is_real_server(topology: Topology, service: Service) -> Iterator[Finding]:
    mode = service.mode
    names = [director.name for director in service.directors]
    both = [server for server in service.real_servers if server.host.name in names]
    if not both or not (mode.not_local or len(names) > 1):
        return
    own = list(dict.fromkeys(server.host.name for server in both))
    it, who = ("it", "is director and real server") if len(own) == 1 else ("them", "are directors and real servers")
    said = f"{some(own)} {who} of this service"
    if mode.not_local:
        maps = any(server.at_port(ports.first) != ports.first for server in both for ports in service.ports)
        remedy = f"Take {it} out of one, or use {others(service, port_mapping=maps, local_real_server=True)}"
        yield f"{said}, and {mode.name} {mode.not_local}. {remedy}.", both[0].at
    else:
        rest = listed([name for name in names if name != own[0]], "and")
        yield (
            f"{said}, and would schedule again what comes from {rest}. Take {it} out of the real servers, or give the service one director.",
            both[0].at,
        )


@service_rule(
    "{mode}-SAME-VLAN",
    "a real server with no interface in a VLAN and subnet that the director is in",
    "dr rewrites only the destination MAC, and a nat reply must be sent to the director as next hop: both need one "
    "layer-2 segment.",
    when=lambda mode: mode.shared_segment,
)
def no_shared_segment(topology: Topology, service: Service) -> Iterator[Finding]:
    lacking: dict[tuple[str, str], tuple[Host, Host, object, list[str]]] = {}
    for entry in service.by_family:
        for director, host, at in pairs(entry):
            if not topology.shared(entry, director, host):
                found = lacking.setdefault((director.name, host.name), (director, host, at, []))
                found[3].append(entry.family.name)
    for director, host, at, names in lacking.values():
        if service.network:
            missing = [h.name for h in (director, host) if not h.interface_in(service.network)]
            yield (
                f"network {service.network.name} (VLAN {service.network.vlan}) is to be shared, but "
                f"{listed(missing, 'and') or 'one of both'} has no interface there{of_families(service, names)}. "
                f"{service.mode.promise}. Plug it in there, or correct network:.",
                service.at("network"),
            )
            continue
        here = listed([f"VLAN {i.network.vlan} ({i})" for i in host.interfaces], "and")
        there = listed([str(i.network.vlan) for i in director.interfaces])
        yield (
            f"real server {host.name} is on {here}, director {director.name} has no interface there{of_families(service, names)}. "
            f"{service.mode.promise}. Move {host.name} to VLAN {there}, or use {others(service, shared_segment=False)}.",
            at,
        )


@service_rule(
    "NETWORK-AMBIGUOUS",
    "director and real server sharing several networks, with none chosen",
    "The real server has a different RIP in each, and only one of them can be the destination.",
    when=lambda mode: mode.shared_segment,
)
def several_shared_segments(topology: Topology, service: Service) -> Iterator[Finding]:
    for entry in service.by_family:
        for director, host, at in pairs(entry):
            shared = topology.shared(entry, director, host)
            if len(shared) > 1:
                names = listed([network.name for network in shared])
                yield f"director {director.name} and {host.name} share several networks. Say network: {names}.", at


@service_rule(
    "{mode}-PORT",
    "a real server port other than the service's",
    "The packet reaches the real server with the VIP's port; no application listens there.",
    when=lambda mode: not mode.port_mapping,
)
def port_cannot_be_mapped(topology: Topology, service: Service) -> Iterator[Finding]:
    for server in service.real_servers:
        for ports in service.ports:
            port, other = ports.first, server.at_port(ports.first)
            if other != port:
                yield (
                    f"real server {server.host.name} is to listen on port {other}, but {service.mode.name} leaves the "
                    f"port of the request ({port}) as it is. Listen on {port}, or use "
                    f"{others(service, port_mapping=True)}.",
                    server.at,
                )


@service_rule(
    "{mode}-PROTOCOL",
    "a transport protocol that the mode does not carry",
    "fullnat has SCTP translated by IPVS and by source NAT, and in IPv4 real servers do not answer such packets (seen with Linux 6.1).",
    when=lambda mode: mode.request.option is None,
)
def protocol_is_not_carried(topology: Topology, service: Service) -> Iterator[Finding]:
    for protocol in service.protocols:
        if protocol not in service.mode.protocols:
            yield f"{service.mode.name} does not carry {protocol}. Use {others(service)}.", service.at("protocol")


@service_rule(
    "{mode}-ROUTE",
    "no route between director and real server in the described networks",
    "The forwarded request, or in fullnat its reply, would have no next hop.",
    when=lambda mode: not mode.shared_segment,
    affects=with_new_gateway,
    by_server=True,
)
def no_route(topology: Topology, service: Service) -> Iterator[Finding]:
    for entry in service.by_family:
        for director, host, at in pairs(entry):
            locals_ = [local for local in service.locals_of(entry.family, director) if topology.network_of(local)]
            real = topology.real_interface(entry, director, host)
            if real and not topology.reaches(director, real.address, host):
                yield (
                    f"director {director.name} has no route to real server {host.name} ({real}, network {real.network.name}). "
                    "Give both networks a gateway, or put both hosts in one network.",
                    at,
                )
                continue
            for local in locals_:
                if not topology.reaches(host, local, director):
                    yield (
                        f"real server {host.name} has no route back to the local address {local}. Give its network a gateway "
                        f"that is not {director.name} itself.",
                        at,
                    )


@service_rule(
    "FULLNAT-LOCAL-ADDRESS",
    "no local address, or one that is a VIP, another host's address, or in no network of the director",
    "Replies go to the local address, so only this director may have it.",
    when=lambda mode: mode.source_nat,
    affects=of_other_directors,
)
def local_address(topology: Topology, service: Service) -> Iterator[Finding]:
    if not service.local_addresses and not service.source.get("local_addresses"):
        yield "no local address to use as source. Say local_addresses: [ADDRESS, ...].", service.at("mode")
    elif service.local_addresses:
        for director, family in product(service.directors, service.families):
            if not service.locals_of(family, director):
                yield (
                    f"no local address of {director.name} is {family}, and a VIP is. Add one of {family} to local_addresses.",
                    service.at("local_addresses"),
                )
    for address, at, owners in service.local_owners():
        if len(owners) > 1 and service.group is None:
            names = [director.name for director in owners]
            yield (
                f"directors {listed(names, 'and')} would all hold the local address {address}, and replies come to the one that "
                f"answered ARP last. Give each its own: local_addresses: {{{names[0]}: [ADDRESS], {names[1]}: [ADDRESS]}}.",
                at,
            )
        owner = topology.owners.get(address)
        network = topology.network_of(address)
        holders = topology.register.all(VIP, address)
        if holders:
            yield f"local address {address} is the VIP of service {holders[-1].name}. Choose another address.", at
        elif owner and (service.group is not None or owner not in owners):
            yield f"local address {address} is the address of host {owner.name}. Choose another address.", at
        elif network and (
            address in network.routers or any(address in no_hosts(prefix) for prefix in network.prefixes)
        ):
            yield f"local address {address} is no free address of network {network.name}. Choose another address.", at
        for director in owners:
            if network is None or not director.attached(network, family_of(address)):
                yield f"local address {address} is in no network of director {director.name}. Choose one there.", at
        other = topology.register.first_other(LOCAL_BY_DIRECTORS, address, tuple(d.name for d in owners))
        if other:
            theirs = " and ".join(host.name for host in other.directors)
            yield (
                f"local address {address} is {theirs}'s too, for service {other.name}. Each director needs its own.",
                at,
            )


@service_rule(
    "FULLNAT-LOCAL-ADDRESS-SHARED",
    "a local address that services with and without a client address use, or with different values of client_address",
    "The kernel modules decide by the local address how to process a connection. The first service that uses the address "
    "decides the way; each service that differs from it is named.",
    when=lambda mode: mode.source_nat,
)
def local_address_for_two_ways(topology: Topology, service: Service) -> Iterator[Finding]:
    for address, at, _ in service.local_owners():
        users = topology.register.firsts(LOCAL_BY_MODE, address).values()
        first = min(users, key=topology.register.position)
        if first.mode.title != service.mode.title:
            yield (
                f"local address {address} is also used by service {first.name}, whose client_address is "
                f"{first.mode.client_address}. Give the two services different local addresses.",
                at,
            )


@service_rule(
    "ENAT-VIP",
    "a VIP that an enat service shares with a nat or fullnat service, or with an enat service of another cip_src",
    "The director's kernel module decides by the VIP which translated packets belong to enat, and which address is their source.",
    when=lambda mode: mode.every_packet,
    affects=translated_otherwise,
    by_pair=True,
)
def vip_of_enat_and_others(topology: Topology, service: Service) -> Iterator[Finding]:
    found = (topology.register.others(TRANSLATED_VIP, vip, service.mode.title) for vip in service.vips)
    for other in topology.register.in_order(other for others in found for other in others):
        if other.mode.every_packet:
            yield (
                f"service {other.name} has the same VIP and another cip_src. Give one of them another VIP, or both the "
                "same cip_src.",
                service.at("vip"),
            )
        else:
            yield (
                f"service {other.name} ({other.mode.name}) has the same VIP. Give one of them another.",
                service.at("vip"),
            )


@service_rule(
    "ENAT-REAL-SERVER",
    "a port of a real server that is in an enat service and in a nat or fullnat service",
    "Packets from that port with another source than the VIP are dropped, and nat and fullnat need them.",
    when=lambda mode: mode.every_packet,
    affects=replied_to_at_one_port,
    by_pair=True,
)
def real_server_of_enat_and_others(topology: Topology, service: Service) -> Iterator[Finding]:
    own = {(server.host.name, ports): server for server in service.real_servers for _, ports in ends(service, server)}
    for other in sharing(topology, service, ENAT_END, REPLYING_END):
        theirs = ((server.host.name, ports) for server in other.real_servers for _, ports in ends(other, server))
        first, *more = dict.fromkeys(end for end in theirs if end in own)
        also = f", as {'are' if len(more) > 1 else 'is'} {len(more)} more of its ports" if more else ""
        yield (
            f"port {first[1]} of {first[0]} is also in service {other.name} ({other.mode.name}){also}. Listen on another port "
            "for one of them.",
            own[first].at,
        )


@service_rule(
    "ENAT-FOREIGN-SOURCE",
    "requests that routers between director and real server receive with the client as source",
    "Routers that check sources (uRPF, source guard) know the client to be elsewhere, and drop what comes from the director's "
    "network in its name.",
    when=lambda mode: mode.cip_src,
    warning=True,
)
def source_is_foreign_to_routers(topology: Topology, service: Service) -> Iterator[Finding]:
    for director in service.directors:
        entry = service.by_family[0]  # of IPv4, the only family that the modules know
        own = [(host, at) for other, host, at in pairs(entry) if other is director]
        routed = {host.name: at for host, at in own if not topology.shared(entry, director, host)}
        if routed:
            names = listed(list(routed), "and")
            yield (
                f"director {director.name} shares no network with {names}, and routers on the way that check sources would "
                f"drop clients' addresses that come from {director.name}. Have them let these pass, put the hosts into one "
                "network, or leave cip_src out.",
                next(iter(routed.values())),
            )


@service_rule(
    "FULLNAT-CAPACITY",
    "more expected connections than the local addresses have ports for",
    "Each connection to one real server and port needs a source port of its own; the next client gets no answer.",
    when=lambda mode: mode.source_nat,
    warning=True,
)
def too_few_ports(topology: Topology, service: Service) -> Iterator[Finding]:
    capacity = topology.capacity(service)
    if service.connections and capacity and service.connections > capacity:
        each = capacity // len(set(service.local_addresses))
        needed = -(-service.connections // each)
        yield (
            f"{service.connections} connections are expected, but {len(set(service.local_addresses))} local addresses have "
            f"ports for {capacity}. Add local addresses: {needed} are enough.",
            service.at("connections"),
        )


@service_rule(
    "RS-DRAINED",
    "a service all of whose real servers are drained, or have weight 0",
    "The director has no destination for a request, and rejects it.",
    warning=True,
)
def nobody_left(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.real_servers and all(server.host.drained or not server.weight for server in service.real_servers):
        names = listed(list(dict.fromkeys(server.host.name for server in service.real_servers)), "and")
        drained = all(server.host.drained for server in service.real_servers)
        yield (
            f"{names} are drained{'' if drained else ' or have weight 0'}, and there is no other real server. Leave one in service.",
            service.at("real_servers"),
        )


@service_rule(
    "{mode}-MTU",
    "packets that grow on the way to the real server beyond the MTU, without an MSS clamp",
    "A full-size datagram plus the new header exceeds the MTU and is fragmented or dropped.",
    when=lambda mode: mode.overhead > 0,
    warning=True,
)
def no_room(topology: Topology, service: Service) -> Iterator[Finding]:
    protocols = [name for name in service.protocols if name != "tcp" and name in service.mode.protocols]
    if not protocols:
        return  # for tcp the role real_server lowers the MSS of its SYN-ACKs
    for entry in service.by_family:
        for director, host, at in pairs(entry):
            room = topology.path_mtu(entry, director, host)
            edge = topology.vip_interface(entry, director)
            largest = edge.network.mtu if edge else 1500
            added = topology.overhead(entry)
            if room < largest + added:
                yield (
                    f"datagrams of {room - added + 1} to {largest} bytes do not fit on the way to {host.name} "
                    f"(MTU {room}, {service.mode.name} adds {added}), and {protocols[0]} has no MSS to lower. Raise the "
                    f"MTU of that network to {largest + added}, or keep datagrams smaller.",
                    at,
                )
                return
