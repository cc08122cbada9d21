"""Rules about what IPVS does with the keys of a service: scheduling, weights, persistence, thresholds and timeouts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .. import modes, schedulers
from ..topology import Service, Topology
from ..violations import listed, some
from .catalogue import Finding, service_rule
from .sharing import FTP, FTP_HELPED, FTP_TRANSLATED, VIP, sharing, translated_beside_a_helper

_UDP = ("udp",)


def _scheduler(service: Service) -> schedulers.Scheduler:
    return schedulers.BY_NAME[service.scheduler]


@service_rule(
    "SCHEDULER-FLAGS",
    "a flag of another scheduler",
    "The kernel ignores it.",
)
def flag_of_another_scheduler(topology: Topology, service: Service) -> Iterator[Finding]:
    known = _scheduler(service).flags
    for flag in service.scheduler_flags:
        if flag not in known:
            has = f"has {listed(known, 'and')}" if known else "has no flags"
            yield (
                f"{flag} is no flag of {service.scheduler}, which {has}. Leave it out, or use {flag.partition('-')[0]}.",
                service.at("scheduler_flags"),
            )


@service_rule(
    "SCHEDULER-WEIGHTS",
    "weights that the scheduler does not look at",
    "Each real server gets the same share, whatever its weight; only weight 0 means something.",
    warning=True,
)
def weights_mean_nothing(topology: Topology, service: Service) -> Iterator[Finding]:
    weights = sorted({server.weight for server in service.real_servers if server.weight})
    scheduler = _scheduler(service)
    if not scheduler.weighted and not scheduler.by_destination and len(weights) > 1:
        instead = {"rr": "wrr", "lc": "wlc"}[service.scheduler]
        yield (
            f"{service.scheduler} does not look at weights ({listed([str(w) for w in weights], 'and')}): every real server gets the "
            f"same share. Use {instead}, or leave the weights out.",
            service.at("scheduler"),
        )


@service_rule(
    "SCHEDULER-DESTINATION",
    "a scheduler that chooses a real server by the address that a request is for",
    "That is the VIP: all of its requests go to one real server. These schedulers are for caches in front of many destinations.",
    warning=True,
)
def one_real_server_for_a_vip(topology: Topology, service: Service) -> Iterator[Finding]:
    if _scheduler(service).by_destination and len(service.real_servers) > 1:
        yield (
            f"{service.scheduler} chooses by the address of the request, and all requests for a VIP go to one real server. Use sh or mh, which "
            "choose by the client, or wlc.",
            service.at("scheduler"),
        )


@service_rule(
    "SCHEDULER-OVERFLOW",
    "ovf with weights that are no limits, or with UDP",
    "To ovf a weight is the number of connections that a real server may have at a time: when all have as many, requests are refused. A "
    "connection of UDP has no end that IPVS sees.",
    warning=True,
)
def weights_are_limits(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.scheduler != "ovf":
        return
    if "udp" in service.protocols:
        yield "ovf counts connections, and those of UDP do not end. Use wlc.", service.at("scheduler")
    elif all(server.weight <= 1 for server in service.real_servers):
        yield (
            "to ovf a weight is the number of connections that a real server may have, here 1. Give each real server its number as weight:.",
            service.at("scheduler"),
        )


@service_rule(
    "SCHEDULER-FAILOVER",
    "fo with equal weights",
    "fo sends all connections to the real server of the highest weight; of several, the order in IPVS' table decides.",
    warning=True,
)
def nobody_is_first(topology: Topology, service: Service) -> Iterator[Finding]:
    weights = [server.weight for server in service.real_servers]
    if service.scheduler == "fo" and len(weights) > 1 and weights.count(max(weights)) > 1:
        first = [server.host.name for server in service.real_servers if server.weight == max(weights)]
        yield (
            f"fo uses the real server of the highest weight alone, and {some(first)} have it. Give each its own weight.",
            service.at("scheduler"),
        )


def _instead(scheduler: schedulers.Scheduler) -> str:
    """How the clients of a real server's slots get another one, as a sentence."""
    return f"Say scheduler_flags: [{scheduler.fallback}]" if scheduler.fallback else "Use sh with sh-fallback"


@service_rule(
    "SCHEDULER-WEIGHT-0",
    "a real server of weight 0, or a drained one, with a scheduler that keeps its place in a table",
    "The clients of its slots get no other real server, and no answer.",
    warning=True,
)
def slots_of_weight_0(topology: Topology, service: Service) -> Iterator[Finding]:
    scheduler = _scheduler(service)
    if not scheduler.slots or scheduler.fallback in service.scheduler_flags:
        return
    for server in service.real_servers:
        if not server.weight or server.host.drained:
            state = "has weight 0" if not server.weight else "is being drained"
            yield (
                f"{server.host.name} {state}, and {service.scheduler} goes on to send it its clients, who get no answer. {_instead(scheduler)}.",
                server.at,
            )


@service_rule(
    "SCHEDULER-THRESHOLD",
    "a threshold of connections with a scheduler that keeps a real server's place in a table",
    "A real server that has reached it gets no new connections, and the clients of its slots get no other real server.",
    warning=True,
)
def slots_of_a_full_server(topology: Topology, service: Service) -> Iterator[Finding]:
    scheduler = _scheduler(service)
    limited = [server for server in service.real_servers if server.upper_threshold]
    if limited and scheduler.slots and scheduler.fallback not in service.scheduler_flags:
        yield (
            f"when {limited[0].host.name} has its upper_threshold of connections, {service.scheduler} gives its other clients no real server, and "
            f"they get no answer. {_instead(scheduler)}.",
            limited[0].at,
        )


@service_rule(
    "SCHEDULER-PERSISTENCE",
    "a scheduler that looks at the client's port, with persistence",
    "Persistence keeps a client at one real server, whatever its port: the flag changes nothing.",
    warning=True,
)
def port_of_a_persistent_client(topology: Topology, service: Service) -> Iterator[Finding]:
    for flag in service.scheduler_flags:
        if flag.endswith("-port") and service.persistence_timeout:
            yield (
                f"{flag} spreads a client's connections by their ports, and persistence_timeout keeps them together. Leave one of them out.",
                service.at("scheduler_flags"),
            )


@service_rule(
    "UDP-WEIGHT-0",
    "a real server of weight 0 in a service of UDP",
    "UDP has no end of a connection: IPVS keeps a sender at its real server as long as datagrams come from the same port.",
    warning=True,
)
def flows_without_end(topology: Topology, service: Service) -> Iterator[Finding]:
    if "udp" not in service.protocols or service.one_packet:
        return
    for server in service.real_servers:
        if not server.weight and not server.host.drained:
            yield (
                f"{server.host.name} has weight 0, and senders that keep their port stay there for ever. Leave it out of real_servers, drain "
                "it (playbooks/drain.yml), or say one_packet: true where the mode allows it.",
                server.at,
            )


@service_rule(
    "ROUTED-SCHEDULER",
    "several directors that choose real servers each for itself",
    "Routers may send the packets of an open connection to another director, for example when one is added. It does not know the "
    "connection, and its own choice is another real server.",
    when=lambda mode: not mode.source_nat,
    warning=True,
)
def directors_choose_differently(topology: Topology, service: Service) -> Iterator[Finding]:
    several = service.vip_routed and len(service.directors) > 1
    if several and (not _scheduler(service).by_source or service.persistence_timeout):
        names = listed([director.name for director in service.directors], "and")
        why = "persistence" if service.persistence_timeout else service.scheduler
        yield (
            f"{names} would choose different real servers for one client, because each has its own {why}. Use scheduler: mh with "
            "scheduler_flags: [mh-fallback], without persistence.",
            service.at("persistence_timeout" if service.persistence_timeout else "scheduler"),
        )


@service_rule(
    "SCHEDULER-TABLE",
    "weights of sh that fill its table of 256 slots before all real servers have one",
    "The kernel gives each real server as many slots as its weight, until the table is full; the others get no connection.",
)
def table_is_full_too_early(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.scheduler != "sh":
        return
    servers = [server for server in service.real_servers if not server.host.drained]
    slots = schedulers.sh_slots([server.weight for server in servers])
    without = [server for server, number in zip(servers, slots) if not number and server.weight]
    if without:
        divisor = math.gcd(*(server.weight for server in servers))
        smaller = "" if divisor == 1 else f", {servers[0].weight // divisor} for {servers[0].weight} and so on"
        yield (
            f"{listed([server.host.name for server in without], 'and')} would get no connection: sh has {sum(slots)} slots, and the "
            f"weights are {sum(server.weight for server in servers)} together. Use smaller weights{smaller}, or mh.",
            without[0].at,
        )


@service_rule(
    "SCHEDULER-TABLE-ROUGH",
    "weights of mh that its table cannot tell apart",
    f"mh divides weights by their common divisor and keeps {schedulers.MH_WEIGHT_BITS} bits of them; small ones count as 1.",
    warning=True,
)
def weights_are_rounded(topology: Topology, service: Service) -> Iterator[Finding]:
    weights = [server.weight for server in service.real_servers if server.weight]
    if service.scheduler != "mh" or not weights:
        return
    divisor = math.gcd(*weights)
    most = max(weights) // divisor
    shift = max(most.bit_length() - schedulers.MH_WEIGHT_BITS, 0)
    if shift and any((weight // divisor) % (1 << shift) for weight in weights):
        yield (
            f"mh keeps {schedulers.MH_WEIGHT_BITS} bits of a weight, so that {min(weights)} to {max(weights)} become "
            f"{max((min(weights) // divisor) >> shift, 1)} to {most >> shift}. Use weights from 1 to {(1 << schedulers.MH_WEIGHT_BITS) - 1}.",
            service.at("scheduler"),
        )


@service_rule(
    "SCHEDULER-KERNEL",
    "a scheduler that older kernels do not have",
    "The run would be refused on such a director.",
    warning=True,
)
def scheduler_is_new(topology: Topology, service: Service) -> Iterator[Finding]:
    since = _scheduler(service).since
    if since:
        yield (
            f"the kernels before Debian {since} have no module ip_vs_{service.scheduler}. Use it on directors with that release or a newer "
            "one, or use wlc.",
            service.at("scheduler"),
        )


@service_rule(
    "ONE-PACKET",
    "one-packet scheduling of another protocol than UDP, or where replies pass the director",
    "IPVS keeps no entry for such a datagram: the reply to it would not be translated, and the client would drop it.",
)
def one_packet_does_not_fit(topology: Topology, service: Service) -> Iterator[Finding]:
    if not service.one_packet:
        return
    if service.protocols != _UDP:
        yield (
            f"one_packet: true is for udp only, and the service has {listed(service.protocols, 'and')}. Leave it out, or say "
            "protocol: udp.",
            service.at("one_packet"),
        )
    elif service.mode.reply_through_director or service.mode.every_packet:
        fitting = [mode.name for mode in modes.TABLE if not mode.reply_through_director and "udp" in mode.protocols]
        yield (
            f"one_packet: true leaves no entry by which {service.mode.name} could translate the reply. Use "
            f"{listed(fitting)}, or leave it out.",
            service.at("one_packet"),
        )


@service_rule(
    "PERSISTENCE",
    "keys of persistence without persistence, or persistence of a kind that the kernel does not have",
    "They would be ignored.",
)
def persistence_is_not_there(topology: Topology, service: Service) -> Iterator[Finding]:
    for name in ("persistence_netmask", "persistence_engine", "persistence_across_ports"):
        if getattr(service, name) and not service.persistence_timeout:
            yield f"{name} needs persistence_timeout. Say for how many seconds, or leave it out.", service.at(name)
    if service.persistence_engine and service.persistence_timeout and service.protocols != _UDP:
        yield (
            f"persistence_engine: {service.persistence_engine} reads datagrams: it is for udp only. Leave it out.",
            service.at("persistence_engine"),
        )
    for version in service.persistence_netmask:
        if version not in [family.version for family in service.families]:
            yield (
                f"persistence_netmask has a length for IPv{version}, and no VIP is of that family. Leave it out.",
                service.at("persistence_netmask"),
            )


@service_rule(
    "PERSISTENCE-RANGE",
    "persistence of a range of ports that is not across its ports",
    "IPVS finds the range by one firewall mark, and remembers a client for the mark, not for each port.",
)
def range_is_persistent_as_a_whole(topology: Topology, service: Service) -> Iterator[Finding]:
    ranges = [str(ports) for ports in service.ports if not ports.single]
    if ranges and service.persistence_timeout and not service.persistence_across_ports:
        yield (
            f"a client would get one real server for all ports of {listed(ranges, 'and')}. Say persistence_across_ports: true if it may "
            "have it for all ports of the service; else list the ports one by one.",
            service.at("port"),
        )


@service_rule(
    "PERSISTENCE-PORTS",
    "persistence of one VIP on several ports, each for itself",
    "A client gets a real server for each port, and they need not be the same one.",
    warning=True,
)
def ports_are_persistent_each_for_itself(topology: Topology, service: Service) -> Iterator[Finding]:
    if not service.persistence_timeout or service.persistence_across_ports:
        return
    if len(service.ports) > 1 and all(ports.single for ports in service.ports):
        yield (
            f"a client may get another real server on each of the ports {listed([str(ports) for ports in service.ports], 'and')}. Say "
            "persistence_across_ports: true if it has to be the same one.",
            service.at("port"),
        )
    for vip in service.vips:
        others = [
            s for s in topology.register.all(VIP, vip) if s.persistence_timeout and s.protocols == service.protocols
        ]
        if len(others) > 1 and others[0] is not service and others[-1] is service:
            names = listed([other.name for other in others], "and")
            yield (
                f"{names} have persistence on the VIP {vip}, each for its own ports: a client may get another real server in each. Make one "
                "service of them with persistence_across_ports: true if it has to be the same one.",
                service.at("persistence_timeout"),
            )


@service_rule(
    "THRESHOLD",
    "thresholds of connections that contradict each other",
    "A real server that has been overloaded would get no connections again, or the kernel refuses both.",
)
def thresholds_do_not_fit(topology: Topology, service: Service) -> Iterator[Finding]:
    for server in service.real_servers:
        if server.lower_threshold and server.lower_threshold >= (server.upper_threshold or 0):
            said = f"real server {server.host.name}: lower_threshold {server.lower_threshold}"
            if server.upper_threshold:
                yield f"{said} is not below {server.upper_threshold}. Make it smaller than upper_threshold.", server.at
            else:
                yield f"{said} does nothing without upper_threshold. Add one, or leave it out.", server.at


@service_rule(
    "DIRECTORS-ALIKE",
    "directors of one service with different lvs_timeouts or lvs_mark",
    "A connection would live as long as the director that it comes by has it, and the directors would not agree on marks.",
)
def directors_differ(topology: Topology, service: Service) -> Iterator[Finding]:
    for name, field in (("lvs_timeouts", "timeouts"), ("lvs_mark", "mark")):
        if len({getattr(director, field) for director in service.directors}) > 1:
            names = listed([director.name for director in service.directors], "and")
            yield (
                f"{name} is not the same on {names}. Say it once, in group_vars of their group.",
                service.at("directors"),
            )


@service_rule(
    "FTP-PORT",
    "FTP's control port in a service that does not carry its data connections",
    "They have other ports, and come to no real server, or to another one.",
    warning=True,
)
def ftp_needs_more(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.helper or "tcp" not in service.protocols or not any(ports.holds(FTP) for ports in service.ports):
        return
    if service.mode.ipvs_method != "masq" and service.persistence_timeout:
        return  # IPVS gives the data ports to a persistent service of port 21
    if sharing(topology, service, FTP_TRANSLATED, FTP_HELPED):
        return  # FTP-HELPER-SHARED says it
    if service.mode.ipvs_method != "masq":
        remedy = "Say persistence_timeout, by which IPVS sends them to the same real server"
    elif service.mode.director_is_gateway:
        remedy = "Say helper: ftp"
    else:
        remedy = "Use nat with helper: ftp, or dr or tun with persistence_timeout for passive FTP"
    yield f"port 21 is FTP's, and its data connections have other ports. {remedy}.", service.at("port")


@service_rule(
    "FTP-HELPER",
    "FTP's helper in a service where it finds no control connection, or cannot carry the data connections",
    "It reads the connections of TCP port 21 alone. Data connections leave a real server from any of its ports.",
)
def helper_does_not_fit(topology: Topology, service: Service) -> Iterator[Finding]:
    if not service.helper:
        return
    if service.protocols != ("tcp",) or not any(ports.holds(FTP) for ports in service.ports):
        yield f"helper: ftp is for tcp port {FTP} alone. Say port: {FTP}, or leave it out.", service.at("helper")
    if service.return_path == "policy":
        yield (
            "return_path: policy brings only the replies from the service's own ports to the director, and those of data connections "
            "have others. Say return_path: gateway, or leave helper out.",
            service.at("return_path"),
        )


@service_rule(
    "FTP-HELPER-SHARED",
    "a service of TCP port 21 in fullnat or enat on a director that has FTP's helper",
    "The helper is one of the whole host: it would act on this service, too, and its data connections would leave from another "
    "address than the real server or the client expects.",
    when=lambda mode: mode.ipvs_method == "masq" and not mode.director_is_gateway,
    affects=translated_beside_a_helper,
)
def helper_of_another_service(topology: Topology, service: Service) -> Iterator[Finding]:
    for other in sharing(topology, service, FTP_TRANSLATED, FTP_HELPED):
        yield (
            f"{other.name} has helper: ftp on the same director, which would act on this service, too. Give them different "
            f"directors, or use nat.",
            service.at("port"),
        )
