"""Compiles the plan of each host from the topology."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from . import checks, families
from .contract.values import MarkRange, Ports
from .elections import CONNTRACK_MOST, CONNTRACK_ROOM, Elections, virtual
from .families import IPV4, IPV6, Address, Family, Tunnel, bracketed
from .host_plan import (
    AddressRange,
    BuiltModule,
    Chain,
    CheckedService,
    DefaultRoute,
    Destination,
    HostPlan,
    PolicyRule,
    SourceNat,
    Sysctl,
    Untracked,
    VirtualAddress,
    VirtualService,
)
from .modes import Address as Source
from .rules_of_host import Rules
from .topology import Attachment, Entry, Host, RealServer, Service, Topology, marks_of

MPTCP = 30  # a kind of TCP option (RFC 8684, 3)
FIRST_TABLE = 7600  # routing tables and rule priorities from here on are lvskit's
GATEWAY_TABLE = 7690  # for all packets without a more specific route, after the rules of single services
_PROTOCOL_FLAGS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
# ipvsadm(8)'s options by the key of the service, other than the scheduler, in the order that --save has them in.
_OPTIONS = {
    "persistence_timeout": "-p {}",
    "persistence_netmask": "-M {}",
    "persistence_engine": "--pe {}",
    "one_packet": "-o",
    "scheduler_flags": "-b {}",
}
_Member = tuple[Address, int]  # of a set that a module knows: an address, and a port where it is not 0
# The parameter of lvskit's own modules that names a service's addresses, by what its requests have as their source.
_PARAMETERS = {Source.LOCAL: "lips", Source.VIRTUAL: "vips", Source.CLIENT: "cip_src_vips"}


@dataclass(frozen=True)
class _WayBack:
    """The route of a real server's replies through its director."""

    entry: Entry
    server: RealServer
    gateway: Address
    real: Attachment


@dataclass
class _Builder(Elections):
    """Collects a host's needs service by service; duplicates are kept once, in the order of the services."""

    topology: Topology
    host: Host
    probe_marks: Mapping[tuple[MarkRange, checks.Way], int]
    stand_ins: Mapping[tuple[str, int], str]
    programs: dict[str, None] = field(default_factory=dict)
    modules: dict[str, None] = field(default_factory=dict)
    sysctls: dict[str, Sysctl] = field(default_factory=dict)
    devices_up: dict[str, None] = field(default_factory=dict)
    tunnels_for_both: dict[str, None] = field(default_factory=dict)
    addresses: dict[tuple[str, str], VirtualAddress] = field(default_factory=dict)  # by address and device
    ways_back: list[_WayBack] = field(default_factory=list)
    rules: dict[Family, Rules] = field(default_factory=lambda: {family: Rules() for family in families.TABLE})
    built_modules: dict[str, dict[str, set[_Member]]] = field(default_factory=dict)  # by module and parameter
    foreign_modules: dict[str, BuiltModule] = field(default_factory=dict)
    connections: int = 0
    services: list[VirtualService] = field(default_factory=list)
    checked: list[CheckedService] = field(default_factory=list)
    probes: dict[str, VirtualService] = field(default_factory=dict)  # by the mark, and the family where it is IPv6
    drained: dict[str, str] = field(default_factory=dict)
    elected: dict[str, dict[tuple[str, str], VirtualAddress]] = field(default_factory=dict)  # addresses by the group

    def sysctl(self, key: str, value: int, why: str) -> None:
        if key not in self.sysctls:
            self.sysctls[key] = Sysctl(key, value, why)

    def netfilter(self, family: Family, *chains: Chain) -> Rules:
        """The rules of a family, with these chains."""
        self.programs[family.iptables] = None
        rules = self.rules[family]
        rules.chains.update(dict.fromkeys(chains))
        return rules

    def hold_address(self, address: str, device: str) -> None:
        """The host has an address that is not its own, with the whole length of its family as prefix."""
        if (address, device) not in self.addresses:
            self.addresses[address, device] = virtual(address, device)

    def carry(self, service: Service, address: str, device: str) -> None:
        """As a director of a service the host has an address: always, or while it is elected."""
        if service.group is None:
            self.hold_address(address, device)
        else:
            self.elected.setdefault(service.group.name, {}).setdefault((address, device), virtual(address, device))

    def arrives_by(self, one: Attachment | None) -> None:
        """Requests arrive on an interface; if the route to their senders uses another one, strict reverse path filtering would drop them."""
        if one and one.family is IPV4 and one != self.host.default_interface(IPV4):  # IPv6 has no such filter
            why = "clients are reached by another interface"
            self.sysctl(f"net/ipv4/conf/{one.name}/rp_filter", 2, why)

    def direct(self, service: Service) -> None:
        """The host is a director of `service`."""
        mode = service.mode
        self.programs["ipvsadm"] = None
        helper = (f"ip_vs_{service.helper}",) if service.helper else ()
        self.modules.update(dict.fromkeys(("ip_vs", f"ip_vs_{service.scheduler}", *mode.director_modules, *helper)))
        for entry in service.by_vip:
            entrance = self.topology.vip_interface(entry, self.host)
            self.carry(service, entry.text, entrance.name if entrance else "lo")
            self.arrives_by(entrance)
            if entrance is None and entry.family is IPV4:
                self.keep_silent("routers send packets for the VIP to this host, which must not answer ARP for it")
        why = "a connection whose real server has been removed ends at once, and the client can open another one"
        self.sysctl("net/ipv4/vs/expire_nodest_conn", 1, why)
        for family in service.families if mode.reply_through_director else ():
            self.forward(family)
        if not mode.reply_through_director:
            self.pass_by_conntrack(service)
        if mode.source_nat:
            self.translate_sources(service)
        if service.persistence_timeout:
            why = "a client that was at a real server with weight 0 gets another one for its next connection"
            self.sysctl("net/ipv4/vs/expire_quiescent_template", 1, why)
        self.act_on(mode.sender, service)
        for entry in service.by_vip if mode.sender else ():
            rules = self.netfilter(entry.family, Chain("mangle", "PREROUTING"))
            kinds = {self.host.option_kind, *((MPTCP,) if mode.every_packet else ())}
            rules.stripped[str(entry.vip)] = tuple(sorted(kinds))
        found = tuple(self._virtual_services(service))
        self.services += found
        if service.health_check:
            self.check(service, found)

    def check(self, service: Service, found: tuple[VirtualService, ...]) -> None:
        """The director checks the real servers of a service."""
        self.programs["keepalived"] = None
        self.modules["ip_vs_rr"] = None
        named: dict[str, list[str]] = {}
        for one in found:
            six = one.endpoint.startswith("[") or one.endpoint.endswith(" -6")
            named.setdefault("6" if six else "4", []).append(one.name)
        self.checked += checks.checked(self.topology, service, self.host, self.probe_marks, self.stand_ins, named)
        own = marks_of(service)
        for _, real, questions in checks.of_service(self.topology, service, self.host):
            for question in questions:
                if question.way:
                    self.probe(service, real, question, self.probe_marks[own, question.way])

    def probe(self, service: Service, real: Attachment, question: checks.Question, mark: int) -> None:
        """A check goes by IPVS to one real server, and its answer comes back."""
        entry, way, asked = question.entry, question.way, service.health_check
        assert way is not None and asked is not None
        name = f"{mark} -6" if entry.family is IPV6 else str(mark)
        if name not in self.probes:
            end = Destination(real.text, way.endpoint, way.method, 1)
            self.probes[name] = VirtualService("", "-f", name, "rr", (), (end,))
        if way.tracked:
            return
        self.rules[entry.family].unseen = str(marks_of(service).untracked)
        sender = checks.source(self.topology, entry, self.host, real)
        if service.mode.reply_through_director or entry.family is IPV6 or sender is None:  # IPv6 takes any source
            return
        why = "answers to health checks have a VIP as their source, which is this host's own"
        self.sysctl(f"net/ipv4/conf/{sender.name}/accept_local", 1, why)
        self.sysctl(f"net/ipv4/conf/{sender.name}/rp_filter", 2, why)
        ports = self.netfilter(IPV4).answers.setdefault((sender.name, sender.text), {})
        ports.update(dict.fromkeys((protocol, question.port) for protocol in asked.kind.protocols))

    def forward(self, family: Family) -> None:
        """Replies pass the director."""
        why = "replies pass the director on their way to the client"
        if family is IPV6:
            self.sysctl("net/ipv6/conf/all/forwarding", 1, why)
            return
        self.sysctl("net/ipv4/ip_forward", 1, why)
        why = "a redirect would tell the real server to bypass the director"
        self.sysctl("net/ipv4/conf/all/send_redirects", 0, why)
        for interface in self.host.interfaces:
            self.sysctl(f"net/ipv4/conf/{interface.name}/send_redirects", 0, why)

    def pass_by_conntrack(self, service: Service) -> None:
        """Requests whose replies take another way: conntrack would see half of each connection."""
        ports: dict[tuple[Family, str, str], list[str]] = {}
        for entry in service.entries:
            ports.setdefault((entry.family, entry.protocol, str(entry.vip)), []).append(_of_iptables(entry.ports))
        for (family, protocol, vip), own in ports.items():
            self.rules[family].one_way.append(Untracked(protocol, vip, tuple(own)))

    def _virtual_services(self, service: Service) -> Iterator[VirtualService]:
        """One for each entry; one for all entries of a VIP that are found by a mark."""
        marks: set[int] = set()
        for entry in service.entries:
            flag, endpoint = _PROTOCOL_FLAGS[entry.protocol], f"{bracketed(entry.vip)}:{entry.port}"
            if entry.by_mark:
                mark = self.topology.mark(entry)
                self.mark(entry, mark)
                if mark in marks:
                    continue
                marks.add(mark)
                flag, endpoint = "-f", f"{mark} -6" if entry.family is IPV6 else str(mark)
            yield VirtualService(
                service=service.name,
                protocol=flag,
                endpoint=endpoint,
                scheduler=service.scheduler,
                options=tuple(settings(service, entry.family).values()),
                destinations=tuple(self._destinations(entry)),
            )

    def mark(self, entry: Entry, mark: int) -> None:
        """IPVS finds an entry's packets by a firewall mark."""
        rules = self.netfilter(entry.family, Chain("mangle", "PREROUTING"))
        key = entry.protocol, str(entry.vip), mark
        rules.marked.setdefault(key, {})[_of_iptables(entry.ports)] = None

    def _destinations(self, entry: Entry) -> Iterator[Destination]:
        method, marked, asked = checks.METHOD_FLAGS[entry.mode.ipvs_method], entry.by_mark, entry.port
        for server in entry.service.real_servers:
            real = self.topology.real_interface(entry, self.host, server.host)
            if real and not server.host.drained:
                port = 0 if marked else server.at_port(asked)  # 0: the one that the client asks for
                limits = server.upper_threshold, server.lower_threshold
                yield Destination(real.text, f"{real.bracketed}:{port}", method, server.weight, *limits)

    def translate_sources(self, service: Service) -> None:
        """The source of requests is a local address, so that replies come to it."""
        self.sysctl(
            "net/ipv4/vs/conntrack",
            1,
            "without it netfilter does not see the packets of IPVS, and source NAT does nothing",
        )
        self.connections += service.connections or 0
        for local in (local for family in families.TABLE for local in service.locals_of(family, self.host)):
            interface = self.topology.local_interface(self.host, local)
            if interface and local not in self.host.addresses:
                self.carry(service, str(local), interface.name)
        for entry in service.entries:
            rules = self.netfilter(entry.family, Chain("nat", "POSTROUTING"), Chain("filter", "FORWARD"))
            vip = str(entry.vip)
            rules.returning_vips[vip] = None
            ranges = _ranges(service.locals_of(entry.family, self.host))
            mark = self.topology.mark(entry) if entry.by_mark else 0
            nat = SourceNat(entry.protocol, vip, 0 if mark else entry.port, ranges, mark)
            if nat not in rules.source_nats[-1:]:
                rules.source_nats.append(nat)
        if service.mode.sender:
            why = "the TOA sender recognizes the first packets of a connection by their number"
            self.sysctl("net/netfilter/nf_conntrack_acct", 1, why)

    def act_on(self, module: str | None, service: Service) -> None:
        """The host needs one of lvskit's modules, with the addresses that identify the service's packets."""
        if module:
            addresses = service.local_addresses if service.mode.source_nat else service.vips
            parameter = _PARAMETERS[service.mode.request.source]
            self.built_modules.setdefault(module, {}).setdefault(parameter, set()).update((one, 0) for one in addresses)

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
            addresses = {(real.address, 0) for _, real in self._reals(service, server)}
            self.built_modules[mode.receiver].setdefault("rips", set()).update(addresses)
        if mode.receiver and mode.every_packet:
            ports = {server.at_port(ports.first) for ports in service.ports}
            ends = {(real.address, port) for _, real in self._reals(service, server) for port in ports}
            self.built_modules[mode.receiver].setdefault("services", set()).update(ends)
        if server.host is not self.host:
            for one in self.host.on(IPV4):  # the host in front of a real server: clients' packets pass it
                self.arrives_by(one)

    def _reals(self, service: Service, server: RealServer) -> Iterator[tuple[Entry, Attachment]]:
        """The interfaces by which a real server gets a service, with an entry of each family; from any of its directors."""
        for entry in service.by_family:
            for director in service.directors:
                real = self.topology.real_interface(entry, director, server.host)
                if real:
                    yield entry, real

    def serve(self, service: Service, server: RealServer) -> None:
        """The host is a real server of `service`."""
        mode = service.mode
        for module in mode.real_server_modules:
            self.modules[module] = None
        if mode.client_in_packets:
            for _, real in self._reals(service, server):
                self.arrives_by(real)
        if mode.every_packet:
            self.guard(service, server)
            self.limit_segments(service, server)
        if mode.holds_vip:
            self.hold(service)
        if mode.director_is_gateway:
            self.reply_by_director(service, server)

    def hold(self, service: Service) -> None:
        """The host has the VIPs, on the loopback device or on that of the tunnel by which their packets come."""
        tunnelled = service.mode.request.encapsulated
        if IPV4 in service.families:
            self.keep_silent("the director alone answers ARP for the VIP")
        for entry in service.by_vip:
            if not tunnelled:
                self.hold_address(entry.text, "lo")
                continue
            tunnel = self.topology.tunnel(entry)
            if tunnel:
                for director in service.directors:
                    self.decapsulate(entry, tunnel, director)

    def decapsulate(self, entry: Entry, tunnel: Tunnel, director: Host) -> None:
        """Packets of an entry come from `director` inside others."""
        self.modules[tunnel.module] = None
        self.hold_address(entry.text, tunnel.device)
        if entry.family is IPV4:
            why = "the client of a decapsulated packet is reached by another interface"
            self.sysctl(f"net/ipv4/conf/{tunnel.device}/rp_filter", 2, why)
        self.devices_up[tunnel.device] = None
        if tunnel.both:
            self.tunnels_for_both[tunnel.device] = None
        if "tcp" in entry.service.protocols:
            rules = self.netfilter(entry.family, Chain("mangle", "OUTPUT"))
            room = self.topology.path_mtu(entry, director, self.host)
            mss = room - self.topology.overhead(entry) - entry.family.tcp_ip_headers
            place = str(entry.vip), 0
            rules.mss[place] = min(mss, rules.mss.get(place, mss))

    def reply_by_director(self, service: Service, server: RealServer) -> None:
        """Replies leave by the director. The rules have seen to it that there is only one."""
        for entry in service.by_family:
            for director in service.directors:
                real = self.topology.real_interface(entry, director, self.host)
                gateway = self.topology.gateway(entry, director, self.host)
                if real and gateway:
                    self.ways_back.append(_WayBack(entry, server, gateway, real))
                    if entry.family is IPV4 and service.return_path == "policy" and "tcp" in service.protocols:
                        # __ip_rt_update_pmtu looks the route up without ports, and notes the size at another route.
                        why = "path MTU discovery of IPv4 does not work on a route that is chosen by the port"
                        self.sysctl("net/ipv4/tcp_mtu_probing", 1, why)
                    if entry.family is IPV6:
                        why = "the director would tell this host to send replies to the router directly"
                        self.sysctl(f"net/ipv6/conf/{real.name}/accept_redirects", 0, why)

    def keep_silent(self, why: str) -> None:
        """The host has a VIP for which it must not answer ARP: on no interface, also on one that the inventory does not describe, or
        that comes later.

        For IPv6 there is nothing to set: the kernel answers only for addresses of the interface that the question comes by.
        """
        if "net/ipv4/conf/all/arp_ignore" in self.sysctls:  # a host may hold thousands of VIPs
            return
        self.sysctl("net/ipv4/conf/all/arp_ignore", 1, why)
        self.sysctl("net/ipv4/conf/all/arp_announce", 2, "ARP requests must not carry the VIP as sender")

    def guard(self, service: Service, server: RealServer) -> None:
        """Without its module the host would answer clients from its own address, and they would reset the connection."""
        for entry, real in self._reals(service, server):
            rules = self.netfilter(entry.family, Chain("mangle", "POSTROUTING"))
            addresses = (address for director in service.directors for address in director.addresses)
            directors = tuple(str(one) for one in sorted(a for a in addresses if families.of(a) is entry.family))
            own = rules.guarded.setdefault((real.text, directors, self.host.option_kind), {})
            own.update((str(server.at_port(ports.first)), None) for ports in service.ports)

    def limit_segments(self, service: Service, server: RealServer) -> None:
        """The host announces segments that fit the way from each director; its kernel module takes the length of the option off."""
        for entry, real in self._reals(service, server):
            rooms = [self.topology.path_mtu(entry, director, self.host) for director in service.directors]
            if min(rooms) < real.network.mtu:
                rules = self.netfilter(entry.family, Chain("mangle", "OUTPUT"))
                for ports in service.ports:
                    rules.mss[real.text, server.at_port(ports.first)] = min(rooms) - entry.family.tcp_ip_headers

    def routes(self) -> tuple[tuple[DefaultRoute, ...], tuple[PolicyRule, ...]]:
        """The default routes through directors, and the rules that route the replies of single services there."""
        policies = sorted(
            {(way.gateway.version, way.gateway, way.real.name) for way in self.ways_back if _by_policy(way)}
        )
        tables = {(gateway, device): FIRST_TABLE + i for i, (_, gateway, device) in enumerate(policies)}
        routes = {DefaultRoute(str(gateway), device, table): None for (gateway, device), table in tables.items()}
        rules: dict[PolicyRule, None] = {}
        for way in self.ways_back:
            service, version = way.entry.service, way.entry.family.version
            # Other sources keep their way: that of the host's management, for example.
            sources = tuple(filter(None, (way.real.text, way.entry.family.unbound)))
            if not _by_policy(way):
                routes[DefaultRoute(str(way.gateway), way.real.name, GATEWAY_TABLE)] = None
                # Not two default routes in one table: the kernel would choose either of the gateways.
                rules[PolicyRule("from all", "main", GATEWAY_TABLE - 1, True, version)] = None
                for source in sources:
                    rules[PolicyRule(f"from {source}", str(GATEWAY_TABLE), GATEWAY_TABLE, False, version)] = None
                continue
            table = tables[way.gateway, way.real.name]
            for protocol in service.protocols:
                for ports in service.ports:
                    port = way.server.at_port(ports.first)
                    selector = f"ipproto {protocol} sport {port if ports.single else ports}"
                    for source in sources if protocol == "udp" else sources[:1]:
                        rules[PolicyRule(f"from {source} {selector}", str(table), table, False, version)] = None
        return tuple(routes), tuple(rules)

    def leave_out(self, service: Service, drained: Mapping[str, str]) -> None:
        """Real servers of `service` are drained."""
        names = (server.host.name for server in service.real_servers)
        self.drained.update((name, drained[name]) for name in names if name in drained)

    def build(self) -> HostPlan:
        routes, rules = self.routes()
        routers, sync = self.elections()
        conntrack_sync = self.translations()
        if self.connections:
            room = max(self.connections * CONNTRACK_ROOM, CONNTRACK_MOST)
            why = "room for the connections that the services expect, open and closing"
            self.sysctl("net/netfilter/nf_conntrack_max", room, why)
            self.sysctl("net/netfilter/nf_conntrack_buckets", room // 4, "one for each four connections")
        return HostPlan(
            host=self.host.name,
            interfaces={i.name: tuple(map(str, i.attachments)) for i in self.host.interfaces},
            programs=tuple(self.programs),
            modules=(*self.modules, *self.built_modules, *self.foreign_modules),
            sysctls=tuple(self.sysctls.values()),
            devices_up=tuple(self.devices_up),
            tunnels_for_both=tuple(self.tunnels_for_both),
            addresses=tuple(self.addresses.values()),
            routes=routes,
            rules=rules,
            netfilter=self.rules[IPV4].build(),
            netfilter6=self.rules[IPV6].build(),
            built_modules=(
                *(
                    BuiltModule(
                        name,
                        {parameter: ",".join(map(_member, sorted(found))) for parameter, found in known_by.items()}
                        | {"kind": str(self.host.option_kind)},
                    )
                    for name, known_by in self.built_modules.items()
                ),
                *self.foreign_modules.values(),
            ),
            services=tuple(self.services),
            timeouts=(said.tcp, said.tcpfin, said.udp) if self.services and (said := self.host.timeouts) else None,
            probes=tuple(self.probes.values()),
            checks=tuple(self.checked),
            routers=routers,
            sync=sync,
            conntrack_sync=conntrack_sync,
            drained=tuple(sorted(self.drained.items())),
        )


def _by_policy(way: _WayBack) -> bool:
    return way.entry.service.return_path == "policy"


def settings(service: Service, family: Family = IPV4) -> dict[str, str]:
    """ipvsadm's options of a service, other than the scheduler, by the inventory's keys."""
    values = {key: getattr(service, key) for key in _OPTIONS}
    values["persistence_netmask"] = _netmask(service, family)
    return {key: form.format(_words(values[key])) for key, form in _OPTIONS.items() if values[key]}


def _netmask(service: Service, family: Family) -> str:
    """ipvsadm's -M: dotted in IPv4, the length of a prefix in IPv6. Single addresses are the default."""
    length = service.persistence_netmask.get(family.version, family.bits)
    if length == family.bits:
        return ""
    return str(IPv4Network((0, length)).netmask) if family is IPV4 else str(length)


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _member(one: _Member) -> str:
    """A member of a set, as parameters of lvskit's modules have it."""
    address, port = one
    return f"{address}:{port}" if port else str(address)


def _of_iptables(ports: Ports) -> str:
    return str(ports.first) if ports.single else f"{ports.first}:{ports.last}"


def _ranges(addresses: Iterable[Address]) -> tuple[AddressRange, ...]:
    """The addresses as ranges, each of which gets its share of the connections by its size."""
    runs: list[list[Address]] = []
    for address in sorted(set(addresses), key=int):
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


def plans(
    topology: Topology, hosts: Iterable[str] | None = None, drained: Mapping[str, str] | None = None
) -> dict[str, HostPlan]:
    """The plan of every host, or of `hosts` only. `drained`: since when each real server is drained that a run has drained."""
    marks, stand_ins = checks.marks(topology), checks.stand_ins(topology)
    builders = {name: _Builder(topology, topology.hosts[name], marks, stand_ins) for name in (hosts or topology.hosts)}
    for service in topology.services:
        for director in service.directors:
            if director.name in builders:
                builders[director.name].direct(service)
                builders[director.name].leave_out(service, drained or {})
        for server in service.prepared_servers:  # a director needs nothing more to be its own real server
            if server.host.name in builders:
                builders[server.host.name].serve(service, server)
            place = topology.restorer(service, server.host) or server.host
            if place.name in builders:
                builders[place.name].receive(service, server)
    return {name: builder.build() for name, builder in builders.items()}


def plan(topology: Topology, host: str) -> HostPlan:
    """The desired state of one host."""
    return plans(topology, [host])[host]
