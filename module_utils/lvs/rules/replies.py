"""Rules about the path of a reply: from the real server to the client."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from ..topology import BEHIND_DIRECTOR, Host, Interface, RealServer, Service, Topology
from .catalogue import Finding, service_rule
from .forwarding import others, pairs
from .sharing import GATEWAY, HELD_VIP, gateway_key, with_excluded_role, with_new_gateway


@service_rule(
    "{mode}-RETURN",
    "a real server whose route to clients is the director, or that has no route to them",
    "The reply has the VIP as source; the director has that address itself and drops the packet as a martian.",
    when=lambda mode: not mode.reply_through_director,
    affects=with_new_gateway,
    by_server=True,
)
def reply_meets_director(topology: Topology, service: Service) -> Iterator[Finding]:
    clients = [(client, _asks_by(service, client)) for client in topology.clients]
    for director, host, at in pairs(service):
        route = host.default_interface
        if route and route.network.gateway in director.addresses:
            yield (
                f"the default route of real server {host.name} is director {director.name} ({route.network.gateway}), "
                f"which drops replies from its own VIP. Give network {route.network.name} a gateway that is not the "
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
            if asking.network.gateway in director.addresses and not host.interface_in(asking.network):
                yield (
                    f"replies of real server {host.name} to {client.name} ({asking}) would pass director {director.name}, the "
                    f"gateway of network {asking.network.name}, which drops replies from its own VIP. Give that network a "
                    f"gateway that is not the director, or use {others(service)}.",
                    at,
                )
                break


def _asks_by(service: Service, client: Host) -> Interface | None:
    """The interface from which a client sends requests to a service: its address is the CIP."""
    route = client.route_to(service.vip)
    return route.interface if route else None


@service_rule(
    "CLIENT-ROUTE",
    "a client whose requests would not arrive at the director",
    "The service itself may be fine, but verify.yml and site.yml could not test it from this client.",
)
def client_cannot_ask(topology: Topology, service: Service) -> Iterator[Finding]:
    remedy = "or take it out of the group clients"
    for client in topology.clients:
        route = client.route_to(service.vip)
        for director in service.directors:
            entry = topology.vip_interface(service, director) or director.default_interface
            if not client.interfaces or entry is None or (route and route.gateway is None):
                continue
            network = entry.network
            if route is None or network.gateway is None:
                missing = network if route else client.interfaces[0].network
                yield (
                    f"client {client.name} has no route to the VIP. Give network {missing.name} a gateway, {remedy}.",
                    service.at("vip"),
                )
            elif network.gateway in director.addresses and route.gateway not in director.addresses:
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
    for server in service.real_servers:
        if service.return_path == "gateway" and server.host.keep_default_route:
            yield (
                f"real server {server.host.name} must keep its default route (lvs_default_route: keep), but its replies "
                "have to leave by the director. Say return_path: policy, which routes only this service's replies there.",
                server.at,
            )
    if len(service.directors) > 1:
        names = " and ".join(director.name for director in service.directors)
        yield (
            f"replies would have to leave by {names} at once, and a real server cannot tell by which of them a request "
            f"came. Give the service one director, or use {others(service)}.",
            service.at("directors"),
        )


@service_rule(
    "NAT-GATEWAY",
    "one real server with two directors as its gateway",
    "It has one default route, and one route for the replies of an address and port.",
    when=lambda mode: mode.director_is_gateway,
)
def two_gateways(topology: Topology, service: Service) -> Iterator[Finding]:
    if len(service.directors) != 1:
        return
    for server in service.real_servers:
        gateway = topology.gateway(service, service.directors[0], server.host)
        first = _first_gateway(topology, service, server)
        if gateway and first and first[1] != gateway:
            yield (
                f"real server {server.host.name} would need {gateway} as gateway, and {first[1]} for service "
                f"{first[0].name}. Use one director for both, or return_path: policy with different ports.",
                server.at,
            )


def _first_gateway(topology: Topology, service: Service, server: RealServer) -> tuple[Service, IPv4Address] | None:
    """The gateway that the first service with the same way back needs, and that service."""
    firsts = topology.register.firsts(GATEWAY, gateway_key(service, server.host.name, server.port)).values()
    for first in topology.register.in_order(firsts):
        gateway = topology.gateway(first, first.directors[0], server.host)
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
    clients = [(client, _asks_by(service, client)) for client in topology.clients]
    for director, host, at in pairs(service):
        real = topology.real_interface(service, director, host)
        for client, asking in clients:
            if real and asking and asking.network == real.network:
                yield (
                    f"client {client.name} is in the subnet of real server {host.name} ({real.network.cidr}): replies to "
                    "it would bypass the director. Say return_path: policy, or use fullnat.",
                    at,
                )


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
    holders = () if service.mode.vip_device else topology.register.all(HELD_VIP, service.vip)
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
            yield (
                f"{name} holds the VIP {service.vip} on {holder.mode.vip_device} for service "
                f"{holder.name} ({holder.mode.name}); {service.mode.name} needs it to be foreign there. "
                "Use another VIP for one of them.",
                server.at,
            )
