"""What a host needs as a director of services: addresses, IPVS' table, health checks, and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from . import checks, families
from .contract.ports import Ports
from .families import IPV4, IPV6, Address, Family, bracketed
from .host_plan import AddressRange, Chain, Destination, SourceNat, VirtualService
from .needs import Needs
from .topology import Attachment, Entry, Service, marks_of

_ANY_PORT = "1:65535"
MPTCP = 30  # a kind of TCP option (RFC 8684, 3)
_PROTOCOL_FLAGS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
# ipvsadm(8)'s options by the key of the service, other than the scheduler, in the order that --save has them in.
_OPTIONS = {
    "persistence_timeout": "-p {}",
    "persistence_netmask": "-M {}",
    "persistence_engine": "--pe {}",
    "one_packet": "-o",
    "scheduler_flags": "-b {}",
}


def direct(needs: Needs, service: Service) -> None:
    """The host is a director of `service`."""
    mode = service.mode
    needs.programs["ipvsadm"] = None
    helper = (f"ip_vs_{service.helper}",) if service.helper else ()
    needs.modules.update(dict.fromkeys(("ip_vs", f"ip_vs_{service.scheduler}", *mode.director_modules, *helper)))
    for entry in service.by_vip:
        entrance = needs.topology.vip_interface(entry, needs.host)
        needs.carry(service, entry.text, entrance.name if entrance else "lo")
        needs.arrives_by(entrance)
        for error in entry.family.errors:
            vips = needs.netfilter(entry.family).errors.setdefault(error.protocol, {})
            vips.setdefault(entry.vip, {})[error.number] = None
        if entrance is None and entry.family is IPV4:
            needs.keep_silent("routers send packets for the VIP to this host, which must not answer ARP for it")
    why = "a connection whose real server has been removed ends at once, and the client can open another one"
    needs.sysctl("net/ipv4/vs/expire_nodest_conn", 1, why)
    for family in service.families if mode.reply_through_director else ():
        _forward(needs, family)
    if mode.reply_through_director:
        needs.connections += service.connections or 0
    if mode.director_is_gateway:
        _let_replies_pass(needs, service)
        if needs.host.conntrack:
            needs.track("a stateful firewall knows replies of real servers as established")
    if not mode.source_nat and not service.helper:  # FTP's helper has conntrack see the control connection
        _pass_by_conntrack(needs, service)
    if mode.source_nat:
        _translate_sources(needs, service)
    if service.persistence_timeout:
        why = "a client that was at a real server with weight 0 gets another one for its next connection"
        needs.sysctl("net/ipv4/vs/expire_quiescent_template", 1, why)
    needs.act_on(mode.sender, service)
    for entry in service.by_vip if mode.sender else ():
        rules = needs.netfilter(entry.family, Chain("mangle", "PREROUTING"))
        kinds = {needs.host.option_kind, *((MPTCP,) if mode.every_packet else ())}
        rules.stripped[str(entry.vip)] = tuple(sorted(kinds))
    found = tuple(_virtual_services(needs, service))
    needs.services += found
    if service.health_check:
        _check(needs, service, found)


def _check(needs: Needs, service: Service, found: tuple[VirtualService, ...]) -> None:
    """The director checks the real servers of a service."""
    needs.programs["keepalived"] = None
    needs.modules["ip_vs_rr"] = None
    named: dict[str, list[str]] = {}
    for one in found:
        six = one.endpoint.startswith("[") or one.endpoint.endswith(" -6")
        named.setdefault("6" if six else "4", []).append(one.name)
    needs.checked += checks.checked(needs.topology, service, needs.host, needs.probe_marks, needs.stand_ins, named)
    own, translated = marks_of(service), dict[tuple[Entry, int], None]()
    for _, real, questions in checks.of_service(needs.topology, service, needs.host):
        for question in questions:
            if question.way:
                _probe(needs, service, real, question, needs.probe_marks[own, question.way])
                if question.way.tracked and service.mode.source_nat:
                    translated[question.entry, question.port] = None
    _translate_checks(needs, service, translated)


def _probe(needs: Needs, service: Service, real: Attachment, question: checks.Question, mark: int) -> None:
    """A check goes by IPVS to one real server, and its answer comes back."""
    entry, way, asked = question.entry, question.way, service.health_check
    assert way is not None and asked is not None
    name = f"{mark} -6" if entry.family is IPV6 else str(mark)
    if name not in needs.probes:
        end = Destination(real.text, way.endpoint, way.method, 1)
        needs.probes[name] = VirtualService("", "-f", name, "rr", (), (end,))
    if way.tracked:
        return
    needs.netfilter(entry.family).unseen = str(marks_of(service).untracked)
    _pass_answers(needs, service, real, question)
    sender = checks.source(needs.topology, entry, needs.host, real)
    if service.mode.reply_through_director or entry.family is IPV6 or sender is None:  # IPv6 takes any source
        return
    why = "answers to health checks have a VIP as their source, which is this host's own"
    needs.sysctl(f"net/ipv4/conf/{sender.name}/accept_local", 1, why)
    needs.sysctl(f"net/ipv4/conf/{sender.name}/rp_filter", 2, why)
    ports = needs.netfilter(IPV4).answers.setdefault((sender.name, sender.text), {})
    ports.update(dict.fromkeys((protocol, question.port) for protocol in asked.kind.protocols))


def _translate_checks(needs: Needs, service: Service, ends: Iterable[tuple[Entry, int]]) -> None:
    """Checks of these ports of VIPs come from a local address, as requests do. They need a rule where requests have no such port, or are
    found by a mark.
    """
    asked = service.health_check
    assert asked is not None
    ranges = {family: _ranges(service.locals_of(family, needs.host)) for family in service.families}
    for entry, port in ends:
        for protocol in asked.kind.protocols:
            usual = SourceNat(protocol, str(entry.vip), port, ranges[entry.family])
            if usual not in needs.rules[entry.family].source_nats:
                own = replace(usual, mark=str(marks_of(service).tracked))
                needs.rules[entry.family].source_nats[own] = None


def _pass_answers(needs: Needs, service: Service, real: Attachment, question: checks.Question) -> None:
    """Conntrack has not seen the check, and must not see its answer either: no firewall can accept it as one that is awaited."""
    entry, asked = question.entry, service.health_check
    assert asked is not None
    sources, directors = [checks.answer(service, real, question)], [needs.host]
    if service.mode.director_is_gateway and len(service.directors) > 1:
        # The master is the gateway: answers to the checks of the others pass it, too, and it may have translated them.
        sources, directors = [*sources, (entry.vip, str(question.port))], list(service.directors)
    hook = "OUTPUT" if real.address in needs.host.addresses else "PREROUTING"
    for director in directors:
        if sender := checks.source(needs.topology, entry, director, real):
            for source, port in sources:
                for protocol in asked.kind.protocols:
                    rules, ends = needs.rules[entry.family], (protocol, sender.text)
                    rules.unseen_answers.setdefault((hook, *ends), {}).setdefault(source, {})[port] = None
                    if director is needs.host and hook == "PREROUTING":
                        rules.taken_answers.setdefault(("INPUT", *ends), {}).setdefault(source, {})[port] = None


def _forward(needs: Needs, family: Family) -> None:
    """Replies pass the director."""
    why = "replies pass the director on their way to the client"
    if family is IPV6:
        needs.sysctl("net/ipv6/conf/all/forwarding", 1, why)
        return
    needs.sysctl("net/ipv4/ip_forward", 1, why)
    why = "a redirect would tell the real server to bypass the director"
    needs.sysctl("net/ipv4/conf/all/send_redirects", 0, why)
    for interface in needs.host.interfaces:
        needs.sysctl(f"net/ipv4/conf/{interface.name}/send_redirects", 0, why)


def _pass_by_conntrack(needs: Needs, service: Service) -> None:
    """Requests: conntrack sees one direction of their connections alone, or IPVS has it forget each packet at once."""
    for entry in service.entries:
        rules = needs.netfilter(entry.family)
        ways = rules.two_way if service.mode.reply_through_director else rules.one_way
        vips = ways.setdefault(entry.protocol, {})
        vips.setdefault(entry.vip, {})[_of_iptables(entry.ports)] = None


def _let_replies_pass(needs: Needs, service: Service) -> None:
    """Replies that the director forwards as the real servers' gateway are accepted, as source NAT's are: conntrack has not seen the
    requests, unless IPVS shows it all packets, so no rule of a firewall can accept them as replies.
    """
    for entry in service.entries:
        rules = needs.netfilter(entry.family, Chain("filter", "FORWARD"))
        for server in service.real_servers:
            real = needs.topology.real_interface(entry, needs.host, server.host)
            onward = needs.host.route_to(real.address) if real and server.host is not needs.host else None
            if real is None or onward is None:
                continue
            by = onward.interface.name
            port = server.at_port(entry.port)
            asked = _of_iptables(entry.ports) if entry.by_mark else str(port)
            errors = [(one.protocol, False, one.number) for one in entry.family.errors]
            passing = [(entry.protocol, False, asked), *errors]
            if (
                service.helper
            ):  # FTP's data come from any port; in connections that the real server opens from the one below
                passing += [(entry.protocol, False, _ANY_PORT), (entry.protocol, True, str(port - 1))]
            for protocol, opening, ports in passing:
                rules.replies.setdefault((by, protocol, opening), {}).setdefault(real.address, {})[ports] = None


def _virtual_services(needs: Needs, service: Service) -> Iterator[VirtualService]:
    """One for each entry; one for all entries of a VIP that are found by a mark."""
    marks: set[int] = set()
    for entry in service.entries:
        flag, endpoint = _PROTOCOL_FLAGS[entry.protocol], f"{bracketed(entry.vip)}:{entry.port}"
        if entry.by_mark:
            mark = needs.topology.mark(entry)
            _mark(needs, entry, mark)
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
            destinations=tuple(_destinations(needs, entry)),
        )


def _mark(needs: Needs, entry: Entry, mark: int) -> None:
    """IPVS finds an entry's packets by a firewall mark."""
    rules = needs.netfilter(entry.family, Chain("mangle", "PREROUTING"))
    key = entry.protocol, str(entry.vip), mark
    rules.marked.setdefault(key, {})[_of_iptables(entry.ports)] = None


def _destinations(needs: Needs, entry: Entry) -> Iterator[Destination]:
    method, marked, asked = checks.METHOD_FLAGS[entry.mode.ipvs_method], entry.by_mark, entry.port
    for server in entry.service.real_servers:
        real = needs.topology.real_interface(entry, needs.host, server.host)
        if real and not server.host.drained:
            port = 0 if marked else server.at_port(asked)  # 0: the one that the client asks for
            limits = server.upper_threshold, server.lower_threshold
            yield Destination(real.text, f"{real.bracketed}:{port}", method, server.weight, *limits)


def _translate_sources(needs: Needs, service: Service) -> None:
    """The source of requests is a local address, so that replies come to it."""
    needs.track("without it netfilter does not see the packets of IPVS, and source NAT does nothing")
    for local in (local for family in families.TABLE for local in service.locals_of(family, needs.host)):
        interface = needs.topology.local_interface(needs.host, local)
        if interface and local not in needs.host.addresses:
            needs.carry(service, str(local), interface.name)
    for entry in service.entries:
        rules = needs.netfilter(entry.family, Chain("nat", "POSTROUTING"), Chain("filter", "FORWARD"))
        vip = str(entry.vip)
        rules.returning_vips[entry.vip] = None
        ranges = _ranges(service.locals_of(entry.family, needs.host))
        mark = f"{needs.topology.mark(entry):#x}" if entry.by_mark else ""
        rules.source_nats[SourceNat(entry.protocol, vip, 0 if mark else entry.port, ranges, mark)] = None
    if service.mode.sender:
        why = "the TOA sender recognizes the first packets of a connection by their number"
        needs.sysctl("net/netfilter/nf_conntrack_acct", 1, why)


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
