"""Compiles the plan of each host from the topology."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address

from .host_plan import (
    AddressRange,
    BuiltModule,
    Chain,
    DefaultRoute,
    Destination,
    Guard,
    HostPlan,
    MssClamp,
    Netfilter,
    PolicyRule,
    SourceNat,
    Sysctl,
    Untracked,
    VirtualAddress,
    VirtualService,
)
from .modes import Address
from .topology import Host, Interface, RealServer, Service, Topology

FIRST_TABLE = 7600  # routing tables and rule priorities from here on are lvskit's
GATEWAY_TABLE = 7690  # for all packets without a more specific route, after the rules of single services
_METHOD_FLAGS = {"gate": "-g", "masq": "-m", "ipip": "-i"}
_PROTOCOL_FLAGS = {"tcp": "-t", "udp": "-u"}
# ipvsadm(8)'s options by the key of the service, other than the scheduler.
_OPTIONS = {"persistence_timeout": "-p {}"}
_CONNTRACK_DEFAULT = 262144  # the kernel's default on a host with enough memory
_CONNTRACK_ROOM = 2  # entries for each connection at the same time: closed ones stay for two minutes
_TCP_IP_HEADERS = 40  # bytes, without options (RFC 6691)
# The parameter of lvskit's own modules that names a service's addresses, by what its requests have as their source.
_PARAMETERS = {Address.LOCAL: "lips", Address.VIRTUAL: "vips", Address.CLIENT: "cip_src_vips"}


@dataclass
class _Builder:
    """Collects a host's needs service by service; duplicates are kept once, in the order of the services."""

    topology: Topology
    host: Host
    programs: dict[str, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)
    sysctls: dict[str, Sysctl] = field(default_factory=dict)
    devices_up: dict[str, None] = field(default_factory=dict)
    addresses: dict[VirtualAddress, None] = field(default_factory=dict)
    gateways: list[tuple[Service, RealServer, str, str]] = field(default_factory=list)
    chains: dict[Chain, None] = field(default_factory=dict)
    mss: dict[str, int] = field(default_factory=dict)
    source_nats: list[SourceNat] = field(default_factory=list)
    returning_vips: dict[str, None] = field(default_factory=dict)
    one_way: list[Untracked] = field(default_factory=list)
    built_modules: dict[str, dict[str, set[IPv4Address]]] = field(default_factory=dict)
    foreign_modules: dict[str, BuiltModule] = field(default_factory=dict)
    guards: dict[Guard, None] = field(default_factory=dict)
    connections: int = 0
    silent: bool = False
    services: list[VirtualService] = field(default_factory=list)

    def sysctl(self, key: str, value: int, why: str) -> None:
        if key not in self.sysctls:
            self.sysctls[key] = Sysctl(key, value, why)

    def arrives_by(self, interface: Interface | None) -> None:
        """Requests arrive on `interface`; if the route to their senders uses another one, strict reverse path filtering would drop them."""
        if interface and interface != self.host.default_interface:
            why = "clients are reached by another interface"
            self.sysctl(f"net/ipv4/conf/{interface.name}/rp_filter", 2, why)

    def direct(self, service: Service) -> None:
        """The host is a director of `service`."""
        mode = service.mode
        self.programs["ipvsadm"] = None
        self.modules.update(dict.fromkeys(("ip_vs", f"ip_vs_{service.scheduler}", *mode.director_modules)))
        entry = self.topology.vip_interface(service, self.host)
        self.addresses[VirtualAddress(str(service.vip), entry.name if entry else "lo")] = None
        self.arrives_by(entry)
        why = "what is left of the connections of a real server that went is not swallowed"
        self.sysctl("net/ipv4/vs/expire_nodest_conn", 1, why)
        if mode.reply_through_director:
            why = "replies pass the director on their way to the client"
            self.sysctl("net/ipv4/ip_forward", 1, why)
            why = "a redirect would tell the real server to bypass the director"
            self.sysctl("net/ipv4/conf/all/send_redirects", 0, why)
            for interface in self.host.interfaces:
                self.sysctl(f"net/ipv4/conf/{interface.name}/send_redirects", 0, why)
        else:
            self.one_way.append(Untracked(service.protocol, str(service.vip), (str(service.port),)))
        if mode.source_nat:
            self.translate_sources(service)
        if service.persistence_timeout:
            why = "a client that comes again to a real server being drained gets another one"
            self.sysctl("net/ipv4/vs/expire_quiescent_template", 1, why)
        self.act_on(mode.sender, service)
        self.services.append(
            VirtualService(
                service=service.name,
                protocol=_PROTOCOL_FLAGS[service.protocol],
                endpoint=f"{service.vip}:{service.port}",
                scheduler=service.scheduler,
                options=tuple(settings(service).values()),
                destinations=tuple(self._destinations(service)),
            )
        )

    def translate_sources(self, service: Service) -> None:
        """The source of requests is a local address, so that replies come to it."""
        self.programs["iptables"] = None
        self.sysctl(
            "net/ipv4/vs/conntrack",
            1,
            "without it netfilter does not see the packets of IPVS, and source NAT does nothing",
        )
        self.connections += service.connections or 0
        for local in service.local_addresses:
            interface = self.topology.local_interface(self.host, local)
            if interface and local not in self.host.addresses:
                self.addresses[VirtualAddress(str(local), interface.name)] = None
        self.chains[Chain("nat", "POSTROUTING")] = None
        self.chains[Chain("filter", "FORWARD")] = None
        vip = str(service.vip)
        self.returning_vips[vip] = None
        self.source_nats.append(SourceNat(service.protocol, vip, service.port, _ranges(service.local_addresses)))
        if service.mode.sender:
            why = "the TOA sender tells a connection's first packets by their count"
            self.sysctl("net/netfilter/nf_conntrack_acct", 1, why)

    def act_on(self, module: str | None, service: Service) -> None:
        """The host needs one of lvskit's modules, with the addresses that identify the service's packets."""
        if module:
            addresses = service.local_addresses if service.mode.source_nat else (service.vip,)
            parameter = _PARAMETERS[service.mode.request.source]
            self.built_modules.setdefault(module, {}).setdefault(parameter, set()).update(addresses)

    def receive(self, service: Service, server: RealServer) -> None:
        """The host receives the client's address from the director, for `server`."""
        mode = service.mode
        other = self.host.toa_receiver
        if mode.receiver_exchangeable and other:
            self.foreign_modules[other.module] = BuiltModule(
                other.module, dict(other.parameters), other.source, other.make_arguments
            )
        else:
            self.act_on(mode.receiver, service)
        if mode.receiver and mode.restored_in_packet:
            found = (self.topology.real_interface(service, director, server.host) for director in service.directors)
            addresses = {interface.address for interface in found if interface}
            self.built_modules[mode.receiver].setdefault("rips", set()).update(addresses)
        if server.host is not self.host:
            for interface in self.host.interfaces:  # the host in front of a real server: clients' packets pass it
                self.arrives_by(interface)

    def _destinations(self, service: Service) -> Iterator[Destination]:
        method = _METHOD_FLAGS[service.mode.ipvs_method]
        for server in service.real_servers:
            real = self.topology.real_interface(service, self.host, server.host)
            if real and not server.host.drained:
                yield Destination(real.text, f"{real.text}:{server.port}", method, server.weight)

    def serve(self, service: Service, server: RealServer) -> None:
        """The host is a real server of `service`."""
        mode = service.mode
        self.modules.update(dict.fromkeys(mode.real_server_modules))
        if mode.client_in_packets:
            for director in service.directors:
                self.arrives_by(self.topology.real_interface(service, director, self.host))
        if mode.every_packet:
            self.guard(service, server)
        if mode.vip_device:
            self.keep_silent()
            self.addresses[_virtual_address(service.vip, mode.vip_device)] = None
        if mode.tunnel_device:
            why = "the client of a decapsulated packet is reached by another interface"
            self.sysctl(f"net/ipv4/conf/{mode.tunnel_device}/rp_filter", 2, why)
            self.devices_up[mode.tunnel_device] = None
            if service.protocol == "tcp":
                self.programs["iptables"] = None
                self.chains[Chain("mangle", "OUTPUT")] = None
                room = min(self.topology.path_mtu(service, d, self.host) for d in service.directors)
                mss = room - mode.overhead - _TCP_IP_HEADERS
                self.mss[str(service.vip)] = min(mss, self.mss.get(str(service.vip), mss))
        if mode.director_is_gateway:
            director = service.directors[0]
            real = self.topology.real_interface(service, director, self.host)
            gateway = self.topology.gateway(service, director, self.host)
            if real and gateway:
                self.gateways.append((service, server, str(gateway), real.name))

    def keep_silent(self) -> None:
        """The host has a VIP for which it must not answer ARP. Once for all VIPs: a host may have thousands."""
        if self.silent:
            return
        self.silent = True
        for interface in self.host.interfaces:
            conf = f"net/ipv4/conf/{interface.name}"
            self.sysctl(f"{conf}/arp_ignore", 1, "the director alone answers ARP for the VIP")
            self.sysctl(f"{conf}/arp_announce", 2, "ARP requests must not carry the VIP as sender")

    def guard(self, service: Service, server: RealServer) -> None:
        """Without its module the host would answer clients from its own address, and they would reset the connection."""
        self.programs["iptables"] = None
        self.chains[Chain("mangle", "POSTROUTING")] = None
        directors = sorted(address for director in service.directors for address in director.addresses)
        for director in service.directors:
            real = self.topology.real_interface(service, director, self.host)
            if real:
                self.guards[Guard(str(real.address), server.port, tuple(str(a) for a in directors))] = None

    def routes(self) -> tuple[tuple[DefaultRoute, ...], tuple[PolicyRule, ...]]:
        """The default routes through directors, and the rules that route the replies of single services there."""
        policies = sorted(
            {(IPv4Address(gw), device) for s, _, gw, device in self.gateways if s.return_path == "policy"}
        )
        tables = {(str(gateway), device): FIRST_TABLE + i for i, (gateway, device) in enumerate(policies)}
        routes = {DefaultRoute(gateway, device, table): None for (gateway, device), table in tables.items()}
        rules: dict[PolicyRule, None] = {}
        for service, server, gateway, device in self.gateways:
            if service.return_path == "gateway":
                routes[DefaultRoute(gateway, device, GATEWAY_TABLE)] = None
                # Not two default routes in one table: the kernel would choose either of the gateways.
                rules[PolicyRule("from all", "main", GATEWAY_TABLE - 1, suppress_default=True)] = None
                rules[PolicyRule("from all", str(GATEWAY_TABLE), GATEWAY_TABLE)] = None
            else:
                real = self.topology.real_interface(service, service.directors[0], self.host)
                table = tables[gateway, device]
                source = real.address if real else ""
                selector = f"from {source} ipproto {service.protocol} sport {server.port}"
                rules[PolicyRule(selector, str(table), table)] = None
        return tuple(routes), tuple(rules)

    def build(self) -> HostPlan:
        routes, rules = self.routes()
        if self.connections * _CONNTRACK_ROOM > _CONNTRACK_DEFAULT:
            why = "room for the connections that the services expect, open and closing"
            self.sysctl("net/netfilter/nf_conntrack_max", self.connections * _CONNTRACK_ROOM, why)
            self.sysctl(
                "net/netfilter/nf_conntrack_buckets",
                self.connections * _CONNTRACK_ROOM // 4,
                "one for each four connections",
            )
        if self.source_nats and self.one_way:
            self.chains[Chain("raw", "PREROUTING")] = None
        return HostPlan(
            host=self.host.name,
            interfaces={i.name: (str(i),) for i in self.host.interfaces},
            programs=tuple(self.programs),
            modules=(*self.modules, *self.built_modules, *self.foreign_modules),
            sysctls=tuple(self.sysctls.values()),
            devices_up=tuple(self.devices_up),
            addresses=tuple(self.addresses),
            routes=routes,
            rules=rules,
            netfilter=Netfilter(
                chains=tuple(self.chains),
                mss_clamps=tuple(MssClamp(vip, mss) for vip, mss in self.mss.items()),
                source_nats=tuple(self.source_nats),
                returning_vips=tuple(self.returning_vips),
                untracked=tuple(self.one_way) if self.source_nats else (),
                guards=tuple(self.guards),
            ),
            built_modules=(
                *(
                    BuiltModule(
                        name,
                        {parameter: ",".join(map(str, sorted(found))) for parameter, found in known_by.items()}
                        | {"kind": str(self.host.option_kind)},
                    )
                    for name, known_by in self.built_modules.items()
                ),
                *self.foreign_modules.values(),
            ),
            services=tuple(self.services),
        )


def settings(service: Service) -> dict[str, str]:
    """ipvsadm's options of a service, other than the scheduler, by the inventory's keys."""
    return {key: form.format(_words(service, key)) for key, form in _OPTIONS.items() if getattr(service, key)}


def _words(service: Service, key: str) -> str:
    value = getattr(service, key)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@lru_cache(maxsize=1024)  # all real servers of a service have the same one
def _virtual_address(vip: IPv4Address, device: str) -> VirtualAddress:
    return VirtualAddress(str(vip), device)


def _ranges(addresses: Iterable[IPv4Address]) -> tuple[AddressRange, ...]:
    """The addresses as ranges, each of which gets its share of the connections by its size."""
    runs: list[list[IPv4Address]] = []
    for address in sorted(set(addresses)):
        if runs and int(address) == int(runs[-1][-1]) + 1:
            runs[-1].append(address)
        else:
            runs.append([address])
    left = sum(len(run) for run in runs)
    ranges = []
    for run in runs:
        text = str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
        share = round(2**31 * len(run) / left) / 2**31
        ranges.append(AddressRange(text, None if len(run) == left else f"{share:.11f}"))
        left -= len(run)
    return tuple(ranges)


def plans(topology: Topology, hosts: Iterable[str] | None = None) -> dict[str, HostPlan]:
    """The plan of every host, or of `hosts` only."""
    builders = {name: _Builder(topology, topology.hosts[name]) for name in (hosts or topology.hosts)}
    for service in topology.services:
        for director in service.directors:
            if director.name in builders:
                builders[director.name].direct(service)
        for server in service.real_servers:
            if server.host.name in builders:
                builders[server.host.name].serve(service, server)
            place = topology.restorer(service, server.host) or server.host
            if place.name in builders:
                builders[place.name].receive(service, server)
    return {name: builder.build() for name, builder in builders.items()}


def plan(topology: Topology, host: str) -> HostPlan:
    """The desired state of one host."""
    return plans(topology, [host])[host]
