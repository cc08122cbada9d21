"""Rules about the path of a reply: from the real server to the client."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract.directors import DirectorGroup
from ..families import Address
from ..topology import BEHIND_DIRECTOR, Attachment, Entry, Host, RealServer, Service, Topology
from ..violations import listed
from .catalogue import Finding, service_rule
from .forwarding import others, pairs
from .sharing import GATEWAY, HELD_VIP, VIP, gateway_keys, sharing, with_excluded_role, with_new_gateway


@service_rule(
    "{mode}-RETURN",
    "a real server whose route to clients is the director, or that has no route to them",
    "The reply has the VIP as source; the director has that address itself and drops the packet as a martian.",
    when=lambda mode: not mode.reply_through_director,
    affects=with_new_gateway,
    by_server=True,
)
def reply_meets_director(topology: Topology, service: Service) -> Iterator[Finding]:
    for entry in service.by_family:
        clients = [(client, _asks_by(entry, client)) for client in topology.clients]
        for director, host, at in pairs(entry):
            way = host.default_interface(entry.family)
            if way and way.gateway in director.addresses:
                yield (
                    f"the default route of real server {host.name} is director {director.name} ({way.gateway}), "
                    f"which drops replies from its own VIP. Give network {way.network.name} a gateway that is not the "
                    f"director, or use {others(service)}.",
                    at,
                )
            for client, asking in clients:
                if asking is None:
                    continue
                if not topology.reaches(host, asking.address, client):
                    yield (
                        f"real server {host.name} replies to clients itself, but has no route to {client.name} "
                        f"({asking}). Give its network a gateway.",
                        at,
                    )
                    break
                if asking.gateway in director.addresses and not host.attached(asking.network, entry.family):
                    yield (
                        f"replies of real server {host.name} to {client.name} ({asking}) would pass director {director.name}, the "
                        f"gateway of network {asking.network.name}, which drops replies from its own VIP. Give that network a "
                        f"gateway that is not the director, or use {others(service)}.",
                        at,
                    )
                    break


def _asks_by(entry: Entry, client: Host) -> Attachment | None:
    """The interface from which a client sends requests to an entry: its address is the CIP."""
    route = client.route_to(entry.vip)
    return route.interface if route else None


@service_rule(
    "CLIENT-ROUTE",
    "a client whose requests would not arrive at the director",
    "The service itself may be fine, but verify.yml and site.yml could not test it from this client.",
)
def client_cannot_ask(topology: Topology, service: Service) -> Iterator[Finding]:
    remedy = "or take it out of the group clients"
    for entry in service.by_vip:
        for client in topology.clients:
            route = client.route_to(entry.vip)
            for director in service.directors:
                entrance = topology.entrance(entry, director)
                if not client.on(entry.family) or entrance is None:
                    continue
                if route and route.gateway is None and service.vip_routed:
                    yield (
                        f"client {client.name} is in the VIP's own network {route.interface.network.name} and asks there for its MAC, but a "
                        f"routed VIP has none (vip_routed). Choose a VIP in a network without hosts, {remedy}.",
                        service.at("vip"),
                    )
                if route and route.gateway is None:
                    continue
                network = entrance.network
                if route is None or entrance.gateway is None:
                    missing = network if route else client.on(entry.family)[0].network
                    yield (
                        f"client {client.name} has no route to the VIP. Give network {missing.name} a gateway, {remedy}.",
                        service.at("vip"),
                    )
                elif entrance.gateway in director.addresses and route.gateway not in director.addresses:
                    yield (
                        f"requests of client {client.name} come to network {network.name} by its gateway, which is director "
                        f"{director.name} itself. Choose a VIP in a network by which they reach the director, {remedy}.",
                        service.at("vip"),
                    )


@service_rule(
    "{mode}-GATEWAY",
    "a real server whose default route must be kept while its replies need the director as gateway, or one that would "
    "need two directors as gateway at once",
    "A reply through another gateway keeps the RIP as source, and the client answers it with a reset.",
    when=lambda mode: mode.director_is_gateway,
)
def gateway_cannot_change(topology: Topology, service: Service) -> Iterator[Finding]:
    for server in service.remote_servers:
        if service.return_path == "gateway" and server.host.keep_default_route:
            yield (
                f"real server {server.host.name} must keep its default route (lvs_default_route: keep), but its replies "
                "have to leave by the director. Say return_path: policy, which routes only this service's replies there.",
                server.at,
            )
    if service.group:
        yield from _without_floating_gateway(topology, service, service.group)
    elif len(service.directors) > 1:
        names = " and ".join(director.name for director in service.directors)
        yield (
            f"replies would have to leave by {names} at once, and a real server cannot tell by which of them a request "
            f"came. Give the service one director, let lvs_directors elect one (redundancy: vrrp, gateways), or use {others(service)}.",
            service.at("directors"),
        )


def _without_floating_gateway(topology: Topology, service: Service, group: DirectorGroup) -> Iterator[Finding]:
    """Real servers in networks where the group has no gateway that moves with the VIPs."""
    for entry in service.by_family:
        for server in service.remote_servers:
            shared = topology.shared(entry, group.first, server.host)
            if shared and topology.gateway(entry, group.first, server.host) is None:
                yield (
                    f"real server {server.host.name} needs a next hop in network {shared[0].name} that moves from director to director. "
                    f"Add it in lvs_directors: {group.name}: gateways: {{{shared[0].name}: [FREE {entry.family} ADDRESS]}}.",
                    server.at,
                )


@service_rule(
    "NAT-GATEWAY",
    "one real server with two directors as its gateway",
    "It has one default route, and one route for the replies of an address and port.",
    when=lambda mode: mode.director_is_gateway,
)
def two_gateways(topology: Topology, service: Service) -> Iterator[Finding]:
    if len(service.directors) != 1 and service.group is None:
        return
    for entry in service.by_family:
        for director in service.directors:
            for server in service.remote_servers:
                gateway = topology.gateway(entry, director, server.host)
                first = _first_gateway(topology, entry, server)
                if gateway and first and first[1] != gateway:
                    yield (
                        f"real server {server.host.name} would need {gateway} as gateway, and {first[1]} for service "
                        f"{first[0].name}. Use one director for both, or return_path: policy with different ports.",
                        server.at,
                    )


def _first_gateway(topology: Topology, entry: Entry, server: RealServer) -> tuple[Service, Address] | None:
    """The gateway that the first service with the same way back needs, and that service."""
    keys = [key for key in gateway_keys(entry.service, server) if key[1] is entry.family]
    firsts = (first for key in keys for first in topology.register.firsts(GATEWAY, key).values())
    for first in topology.register.in_order(firsts):
        for other in first.by_family:
            if other.family is entry.family:
                for director in first.directors:
                    gateway = topology.gateway(other, director, server.host)
                    if gateway:
                        return first, gateway
    return None


@service_rule(
    "{mode}-CLIENT-SUBNET",
    "clients in the real servers' own subnet",
    "The real server has a connected route to them: its reply bypasses the director and arrives from the RIP.",
    when=lambda mode: mode.director_is_gateway,
    warning=True,
)
def client_is_a_neighbour(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.return_path == "policy":
        return  # the policy route holds for neighbours too
    for entry in service.by_family:
        clients = [(client, _asks_by(entry, client)) for client in topology.clients]
        for director, host, at in pairs(entry):
            real = topology.real_interface(entry, director, host)
            for client, asking in clients:
                if real and asking and asking.network == real.network:
                    yield (
                        f"client {client.name} is in the subnet of real server {host.name} ({real.prefix}): replies to "
                        "it would bypass the director. Say return_path: policy, or use fullnat.",
                        at,
                    )


@service_rule(
    "{mode}-UNBOUND",
    "UDP in IPv6 on real servers with a default route of their own",
    "A socket that is bound to no address has no source until the route is chosen, and a routing rule of IPv6 with a source does not "
    "match it (with return_path: policy neither): the reply bypasses the director, and the client does not know it.",
    when=lambda mode: mode.director_is_gateway,
    warning=True,
)
def reply_without_a_source(topology: Topology, service: Service) -> Iterator[Finding]:
    for entry in (one for one in service.by_family if "udp" in service.protocols and not one.family.unbound):
        for director, host, at in pairs(entry):
            real, way = topology.real_interface(entry, director, host), host.default_interface(entry.family)
            if real and way and way.gateway not in director.addresses:
                yield (
                    f"UDP replies of real server {host.name} leave by its own default route ({way.gateway}) and bypass director "
                    f"{director.name}, if the application's socket is not bound to an address. Bind it to {real.address}, or give network "
                    f"{way.network.name} the director as gateway.",
                    at,
                )


@service_rule(
    "UDP-UNBOUND",
    "UDP in a mode whose real servers answer clients themselves",
    "A socket that is bound to no address sends from the address of the interface, which is the RIP. The client has asked the VIP, and "
    "drops the answer.",
    when=lambda mode: not mode.reply_through_director and "udp" in mode.protocols,
    warning=True,
)
def answers_from_rip(topology: Topology, service: Service) -> Iterator[Finding]:
    check = service.health_check
    seen = check is not None and check.by_vip and (check.type == "dns" or bool(check.reply))
    if "udp" in service.protocols and service.remote_servers and not seen:
        yield (
            f"an application that listens on 0.0.0.0 or :: answers from the real server's own address, and clients that have asked "
            f"{listed(list(map(str, service.vips)), 'and')} drop the answer. Have it listen on the VIP, or answer from the address that was "
            "asked (IP_PKTINFO). A health_check of type dns, or udp with reply, takes a real server out that does not.",
            service.at("protocol"),
        )


def _device(service: Service) -> str:
    """Where the real servers of a service hold its VIP, for a message."""
    return "a tunnel's device" if service.mode.request.encapsulated else "lo"


@service_rule(
    "RS-CONFLICT",
    "services with contradictory requirements on one host",
    "A default route at the director and replies that must not pass it cannot both be had; nor a VIP that is local for one "
    "service and must not be for another.",
    when=lambda mode: not mode.reply_through_director,
    affects=with_excluded_role,
    by_server=True,
)
def excluded_roles(topology: Topology, service: Service) -> Iterator[Finding]:
    holders = [] if service.mode.holds_vip else sharing(topology, service, VIP, HELD_VIP)
    for server in service.real_servers:
        name = server.host.name
        behind = topology.register.all(BEHIND_DIRECTOR, name)
        if behind:
            yield (
                f"{name} replies to clients itself, but service {behind[-1].name} ({behind[-1].mode.name}) makes the "
                f"director its default gateway. Say return_path: policy for {behind[-1].name}.",
                server.at,
            )
        holder = next((h for h in reversed(holders) if any(own.host.name == name for own in h.real_servers)), None)
        if holder:
            vip = next(vip for vip in service.vips if vip in holder.vips)
            yield (
                f"{name} holds the VIP {vip} on {_device(holder)} for service "
                f"{holder.name} ({holder.mode.name}); {service.mode.name} needs it to be foreign there. "
                "Use another VIP for one of them.",
                server.at,
            )
