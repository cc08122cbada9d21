"""What a host needs as a real server of services, or in front of one: VIPs, rules, modules, and the way of its replies."""

from __future__ import annotations

from collections.abc import Iterator

from . import families
from .families import IPV4, IPV6, Tunnel
from .host_plan import BuiltModule, Chain, DefaultRoute, PolicyRule
from .needs import Needs, WayBack
from .topology import Attachment, Entry, Host, RealServer, Service

FIRST_TABLE = 7600  # routing tables and rule priorities from here on are lvskit's
GATEWAY_TABLE = 7690  # for all packets without a more specific route, after the rules of single services


def receive(needs: Needs, service: Service, server: RealServer) -> None:
    """The host receives the client's address from the director, for `server`."""
    mode = service.mode
    other = needs.host.toa_receiver
    if mode.receiver_exchangeable and other:
        needs.foreign_modules[other.module] = BuiltModule(
            other.module, dict(other.parameters), other.source, other.make_arguments
        )
    else:
        needs.act_on(mode.receiver, service)
    if mode.receiver and mode.restored_in_packet:
        addresses = {(real.address, 0) for _, real in _reals(needs, service, server)}
        needs.built_modules[mode.receiver].setdefault("rips", set()).update(addresses)
    if mode.receiver and mode.every_packet:
        ports = {server.at_port(ports.first) for ports in service.ports}
        ends = {(real.address, port) for _, real in _reals(needs, service, server) for port in ports}
        needs.built_modules[mode.receiver].setdefault("services", set()).update(ends)
    if server.host is not needs.host:
        for one in needs.host.on(IPV4):  # the host in front of a real server: clients' packets pass it
            needs.arrives_by(one)


def _reals(needs: Needs, service: Service, server: RealServer) -> Iterator[tuple[Entry, Attachment]]:
    """The interfaces by which a real server gets a service, with an entry of each family; from any of its directors."""
    for entry in service.by_family:
        for director in service.directors:
            real = needs.topology.real_interface(entry, director, server.host)
            if real:
                yield entry, real


def serve(needs: Needs, service: Service, server: RealServer) -> None:
    """The host is a real server of `service`."""
    mode = service.mode
    for module in mode.real_server_modules:
        needs.modules[module] = None
    if mode.client_in_packets:
        for _, real in _reals(needs, service, server):
            needs.arrives_by(real)
    if mode.every_packet:
        _guard(needs, service, server)
        _limit_segments(needs, service, server)
    if mode.holds_vip:
        _hold(needs, service)
    if mode.director_is_gateway:
        _reply_by_director(needs, service, server)


def _hold(needs: Needs, service: Service) -> None:
    """The host has the VIPs, on the loopback device or on that of the tunnel by which their packets come."""
    tunnelled = service.mode.request.encapsulated
    if IPV4 in service.families:
        needs.keep_silent("the director alone answers ARP for the VIP")
    for entry in service.by_vip:
        if not tunnelled:
            needs.hold_address(entry.text, "lo")
            continue
        tunnel = needs.topology.tunnel(entry)
        if tunnel:
            for director in service.directors:
                _decapsulate(needs, entry, tunnel, director)


def _decapsulate(needs: Needs, entry: Entry, tunnel: Tunnel, director: Host) -> None:
    """Packets of an entry come from `director` inside others."""
    needs.modules[tunnel.module] = None
    needs.hold_address(entry.text, tunnel.device)
    if entry.family is IPV4:
        why = "the client of a decapsulated packet is reached by another interface"
        needs.sysctl(f"net/ipv4/conf/{tunnel.device}/rp_filter", 2, why)
    needs.devices_up[tunnel.device] = None
    if tunnel.both:
        needs.tunnels_for_both[tunnel.device] = None
    if "tcp" in entry.service.protocols:
        rules = needs.netfilter(entry.family, Chain("mangle", "OUTPUT"))
        room = needs.topology.path_mtu(entry, director, needs.host)
        mss = room - needs.topology.overhead(entry) - entry.family.tcp_ip_headers
        place = str(entry.vip), 0
        rules.mss[place] = min(mss, rules.mss.get(place, mss))


def _reply_by_director(needs: Needs, service: Service, server: RealServer) -> None:
    """Replies leave by the director. The rules have seen to it that there is only one."""
    for entry in service.by_family:
        for director in service.directors:
            real = needs.topology.real_interface(entry, director, needs.host)
            gateway = needs.topology.gateway(entry, director, needs.host)
            if real and gateway:
                if service.return_path == "policy":
                    needs.ways_back.append(WayBack(service, server, gateway, real))
                else:
                    needs.gateways[gateway, real.name] = real
                if entry.family is IPV4 and service.return_path == "policy" and "tcp" in service.protocols:
                    # __ip_rt_update_pmtu looks the route up without ports, and notes the size at another route.
                    why = "path MTU discovery of IPv4 does not work on a route that is chosen by the port"
                    needs.sysctl("net/ipv4/tcp_mtu_probing", 1, why)
                if entry.family is IPV6:
                    why = "the director would tell this host to send replies to the router directly"
                    needs.sysctl(f"net/ipv6/conf/{real.name}/accept_redirects", 0, why)


def _guard(needs: Needs, service: Service, server: RealServer) -> None:
    """Without its module the host would answer clients from its own address, and they would reset the connection."""
    for entry, real in _reals(needs, service, server):
        rules = needs.netfilter(entry.family, Chain("mangle", "POSTROUTING"))
        addresses = (address for director in service.directors for address in director.addresses)
        directors = tuple(str(one) for one in sorted(a for a in addresses if families.of(a) is entry.family))
        own = rules.guarded.setdefault((real.text, directors, needs.host.option_kind), {})
        own.update((str(server.at_port(ports.first)), None) for ports in service.ports)


def _limit_segments(needs: Needs, service: Service, server: RealServer) -> None:
    """The host announces segments that fit the way from each director; its kernel module takes the length of the option off."""
    for entry, real in _reals(needs, service, server):
        rooms = [needs.topology.path_mtu(entry, director, needs.host) for director in service.directors]
        if min(rooms) < real.network.mtu:
            rules = needs.netfilter(entry.family, Chain("mangle", "OUTPUT"))
            for ports in service.ports:
                rules.mss[real.text, server.at_port(ports.first)] = min(rooms) - entry.family.tcp_ip_headers


def routes(needs: Needs) -> tuple[tuple[DefaultRoute, ...], tuple[PolicyRule, ...]]:
    """The default routes through directors, and the rules that route the replies of single services there."""
    policies = sorted({(way.gateway.version, way.gateway, way.real.name) for way in needs.ways_back})
    tables = {(gateway, device): FIRST_TABLE + i for i, (_, gateway, device) in enumerate(policies)}
    routes = {DefaultRoute(str(gateway), device, table): None for (gateway, device), table in tables.items()}
    rules: dict[PolicyRule, None] = {}
    for (gateway, device), real in needs.gateways.items():
        routes[DefaultRoute(str(gateway), device, GATEWAY_TABLE)] = None
        # Not two default routes in one table: the kernel would choose either of the gateways.
        rules[PolicyRule("from all", "main", GATEWAY_TABLE - 1, True, gateway.version)] = None
        for source in _sources(real):
            rules[PolicyRule(f"from {source}", str(GATEWAY_TABLE), GATEWAY_TABLE, False, gateway.version)] = None
    for way in needs.ways_back:
        table, sources = tables[way.gateway, way.real.name], _sources(way.real)
        for protocol in way.service.protocols:
            for ports in way.service.ports:
                port = way.server.at_port(ports.first)
                selector = f"ipproto {protocol} sport {port if ports.single else ports}"
                for source in sources if protocol == "udp" else sources[:1]:
                    rules[PolicyRule(f"from {source} {selector}", str(table), table, False, way.gateway.version)] = None
    return tuple(routes), tuple(rules)


def _sources(real: Attachment) -> tuple[str, ...]:
    """What a real server's replies have as their source when they are routed. Others keep their way: that of its management, for example."""
    return tuple(filter(None, (real.text, real.family.unbound)))
