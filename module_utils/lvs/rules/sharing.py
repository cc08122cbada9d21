"""What services share with each other, as far as rules depend on it; and which services one that is added affects by that."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from .. import modes
from ..contract.ports import Ports
from ..register import Index
from ..topology import RealServer, Service, Topology

_Keys = Iterable[tuple[Hashable, Hashable]]

FTP = 21  # the port of its control connections


def director_names(service: Service) -> tuple[str, ...]:
    return tuple(director.name for director in service.directors)


def _unplugged(service: Service) -> _Keys:
    hosts = (*service.directors, *(server.host for server in service.real_servers))
    return [(host.name, None) for host in hosts if not host.interfaces]


def _gateways(service: Service) -> _Keys:
    group = service.group
    if service.mode.director_is_gateway and (group or len(service.directors) == 1):
        way = (service.network.name if service.network else None, group.name if group else service.directors[0].name)
        for server in service.remote_servers:
            for key in gateway_keys(service, server):
                yield key, way


def gateway_keys(service: Service, server: RealServer) -> Iterator[tuple[Hashable, ...]]:
    """What of a real server has one way back: all it sends in a family, or replies from a port."""
    name = server.host.name
    for family in service.families:
        if service.return_path != "policy":
            yield name, family
        else:
            for protocol, ports in ends(service, server):
                yield name, family, protocol, ports


def ends(service: Service, server: RealServer) -> Iterator[tuple[str, Ports]]:
    """The protocols and ports by which a real server answers."""
    for protocol in service.protocols:
        for ports in service.ports:
            first = server.at_port(ports.first)
            yield protocol, Ports(first, first) if ports.single else ports


def _ends(service: Service) -> _Keys:
    for server in service.real_servers:
        for protocol, ports in ends(service, server):
            yield (server.host.name, ports, protocol), None


def _ftp_directors(service: Service) -> _Keys:
    if "tcp" in service.protocols and any(ports.holds(FTP) for ports in service.ports):
        yield from ((name, None) for name in director_names(service))


def _hosts(service: Service) -> _Keys:
    for protocol in service.protocols:
        yield from (((server.host.name, protocol), None) for server in service.real_servers)


NAME = Index(lambda s: [(s.name, None)])
END = Index(lambda s: [((e.vip, e.ports, e.protocol), None) for e in s.entries])
RANGE = Index(lambda s: [((e.vip, e.protocol), None) for e in s.entries if not e.ports.single])
SAME_PROTOCOL = Index(lambda s: [((vip, protocol), None) for vip in s.vips for protocol in s.protocols])
VIP = Index(lambda s: [(vip, None) for vip in s.vips])
VIP_BY_DIRECTOR = Index(lambda s: [(vip, name) for vip in s.vips for name in director_names(s)])
# Services whose requests the director translates, by the VIP; the kinds are rows of the table of modes, as below.
TRANSLATED_VIP = Index(lambda s: [(vip, s.mode.title) for vip in s.vips] if s.mode.ipvs_method == "masq" else ())
HELD_VIP = Index(lambda s: [(vip, None) for vip in s.vips] if s.mode.holds_vip else ())
UNPLUGGED = Index(_unplugged)
DIRECTOR = Index(lambda s: [(name, None) for name in director_names(s)])
REAL_SERVER = Index(lambda s: ((server.host.name, None) for server in s.real_servers))
GATEWAY = Index(_gateways)  # the kinds are the ways to a director: two services with the same one have the same gateway
LOCAL_BY_DIRECTORS = Index(lambda s: [(local, tuple(d.name for d in owners)) for local, _, owners in s.local_owners()])
LOCAL_BY_MODE = Index(lambda s: [(local, s.mode.title) for local in s.local_addresses] if s.mode.source_nat else ())
REPLYING_END = Index(lambda s: _ends(s) if s.mode.reply.source is modes.Address.REAL else ())
ENAT_END = Index(lambda s: _ends(s) if s.mode.every_packet else ())
FORGEABLE_HOST = Index(lambda s: _hosts(s) if s.mode.source_nat and not s.mode.sender else ())
BELIEVING_HOST = Index(lambda s: _hosts(s) if s.mode.cip_src else ())
FTP_HELPED = Index(lambda s: _ftp_directors(s) if s.helper else ())
# Services of FTP's port that the helper would act on, and spoil.
FTP_TRANSLATED = Index(
    lambda s: _ftp_directors(s) if s.mode.ipvs_method == "masq" and not s.mode.director_is_gateway else ()
)


def sharing(topology: Topology, service: Service, own: Index, others: Index) -> list[Service]:
    """The services that `others` has under the keys that a service has by `own`, each once, in the inventory's order."""
    keys = dict.fromkeys(key for key, _ in own.of(service))
    return topology.register.in_order(other for key in keys for other in topology.register.all(others, key))


def replied_to_at_one_port(topology: Topology, service: Service) -> Iterable[Service]:
    """Services of enat with a port of a real server that replies from its own address in `service`."""
    return sharing(topology, service, REPLYING_END, ENAT_END)


def believing_on_one_host(topology: Topology, service: Service) -> Iterable[Service]:
    """Services with cip_src and a real server for which clients of `service` can forge the option."""
    return sharing(topology, service, FORGEABLE_HOST, BELIEVING_HOST)


def of_other_directors(topology: Topology, service: Service) -> Iterator[Service]:
    """Services that send from a local address which is a VIP of `service`, or which it uses on other directors."""
    for vip in service.vips:
        for kind in topology.register.firsts(LOCAL_BY_DIRECTORS, vip):
            yield from topology.register.all(LOCAL_BY_DIRECTORS, vip, kind)
    yield from _of_other_kinds(topology, service, LOCAL_BY_DIRECTORS)


def translated_otherwise(topology: Topology, service: Service) -> Iterator[Service]:
    """Services with the VIP of `service` whose requests the director translates in another way."""
    return _of_other_kinds(topology, service, TRANSLATED_VIP)


def _of_other_kinds(topology: Topology, service: Service, index: Index) -> Iterator[Service]:
    for key, kind in index.of(service):
        yield from topology.register.others(index, key, kind)


def translated_beside_a_helper(topology: Topology, service: Service) -> Iterable[Service]:
    """Services of FTP's port in fullnat or enat on a director where `service` has FTP's helper."""
    return sharing(topology, service, FTP_HELPED, FTP_TRANSLATED)


def with_new_gateway(topology: Topology, service: Service) -> Iterator[Service]:
    """Services of the hosts whose default route `service` lets lead to its director."""
    if service.mode.director_is_gateway:
        for server in service.real_servers:
            if topology.redirects(service, server.host):
                yield from topology.register.all(DIRECTOR, server.host.name)
                yield from topology.register.all(REAL_SERVER, server.host.name)


def with_excluded_role(topology: Topology, service: Service) -> Iterable[Service]:
    """Services whose real servers `service` gives a default route by its director, or holds its VIP on."""
    if service.mode.director_is_gateway and service.return_path == "gateway":
        return sharing(topology, service, REAL_SERVER, REAL_SERVER)
    return sharing(topology, service, VIP, VIP) if service.mode.holds_vip else ()
