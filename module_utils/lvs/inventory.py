"""Reads the inventory contract into a Topology.

Every fault of form is reported with the value that it concerns; what has a fault is left out of the topology, so that
one mistake gives one message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from . import modes
from .reader import (
    Fault,
    Passed,
    Reader,
    address,
    choice,
    cidr,
    described,
    flag,
    listing,
    nearest,
    number,
    one_name,
    text,
)
from .topology import Host, Interface, Network, RealServer, Receiver, Service, Topology
from .violations import Violation

# ipvsadm(8), --scheduler. The first ones give each real server of some weight its turn, however many connections it has.
TURN_TAKING_SCHEDULERS = ("rr", "wrr")
SCHEDULERS = (*TURN_TAKING_SCHEDULERS, "lc", "wlc", "sed", "nq", "lblc", "lblcr", "dh", "sh", "fo", "ovf", "mh", "twos")
# TCP options that Linux and its peers send (IANA, TCP Parameters).
KINDS_IN_USE = {
    1: "padding", 2: "the segment size", 3: "the window scale", 4: "permitting SACK", 5: "SACK", 8: "timestamps",
    19: "MD5 signatures", 28: "the user timeout", 29: "authentication", 30: "multipath TCP", 34: "fast open",
}  # fmt: skip
HOST_VARIABLES = (
    "lvs_networks", "lvs_services", "lvs_interfaces", "lvs_default_route", "lvs_restore_on", "lvs_toa_receiver",
    "lvs_drained", "lvs_option_kind",
)  # fmt: skip
# Variables of playbooks and of the role lvs_host: they may stand in an inventory, too, and are not the topology's.
OTHER_VARIABLES = (
    "lvs_advise_needs", "lvs_advise_services", "lvs_batches", "lvs_drain", "lvs_explain_services", "lvs_explain_to",
    "lvs_preflight_services", "lvs_rollback_to", "lvs_teardown_hosts", "lvs_teardown_services", "lvs_trace_service",
    "lvs_trace_to", "lvs_verify_path", "lvs_verify_services",
    "lvs_host_drain_timeout", "lvs_host_packages", "lvs_host_purge_foreign", "lvs_host_systemd_sysctl",
)  # fmt: skip

_port = number("PORT-RANGE", 1, 65535)
_weight = number("WEIGHT-RANGE", 0, 65535)


def parse(
    networks: Any,
    services: Any,
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> tuple[Topology, list[Violation]]:
    """The topology of an environment and the faults of form in its description.

    `networks` and `services` are the values of lvs_networks and lvs_services, `hosts` maps each host to its variables
    whose names begin with lvs_, `groups` each group to the names of its hosts.
    """
    violations: list[Violation] = []
    known = _networks(networks, violations.append)
    described_networks = networks if isinstance(networks, Mapping) else {}
    unread = {str(name) for name in described_networks if str(name) not in known}
    read_hosts = {}
    for name, variables in ((str(name), variables) for name, variables in hosts.items()):
        read_hosts[name], sound = _host(name, variables, _Networks(known, unread), violations.append)
        unread |= set() if sound else {name}
    members = {str(name): tuple(map(str, names)) for name, names in groups.items()}
    topology = Topology(known, read_hosts, (), members, frozenset(unread))
    listed = enumerate(_list_of_services(services, violations.append))
    read = [_service(raw, number, topology, violations.append) for number, raw in listed]
    return replace(topology, services=tuple(service for service in read if service)), violations


@dataclass(frozen=True)
class _Networks:
    """The networks that could be read, and the names of those that could not."""

    known: Mapping[str, Network]
    unread: Collection[str]

    def find(self, value: Any) -> Network:
        said = one_name(value)
        if said in self.known:
            return self.known[said]
        if said in self.unread or not self.known:
            raise Passed
        raise Fault("NETWORK-UNKNOWN", f"is not in lvs_networks: {nearest(said, self.known)}")


def _networks(raw: Any, report: Any) -> dict[str, Network]:
    if not isinstance(raw, Mapping) or not raw:
        report(
            Violation(
                "KEY-MISSING",
                "lvs_networks: no network is described. Say lvs_networks: {name: {cidr: 192.0.2.0/24, vlan: 10}} "
                "in group_vars/all.",
                raw,
            )
        )
        return {}
    networks = {}
    for name, value in raw.items():
        reader = Reader(value, f"network {name}", report)
        network = Network(
            name=str(name),
            cidr=reader.get("cidr", cidr),
            vlan=reader.get("vlan", number("VLAN-ID", 1, 4094)),
            gateway=reader.get("gateway", address, None),
            mtu=reader.get("mtu", number("MTU-RANGE", 576, 65535), 1500),
            at=name,
        )
        if reader.finish():
            networks[network.name] = network
    return networks


def _host(name: str, variables: Mapping[str, Any], networks: _Networks, report: Any) -> tuple[Host, bool]:
    """The host, and whether all of its interfaces could be read."""
    for variable in variables:
        if variable not in HOST_VARIABLES and variable not in OTHER_VARIABLES:
            hint = nearest(variable, (*HOST_VARIABLES, *OTHER_VARIABLES))
            report(Violation("KEY-UNKNOWN", f"host {name} has an unknown variable {variable}: {hint}", variable))
    own = ("lvs_default_route", "lvs_restore_on", "lvs_toa_receiver", "lvs_drained", "lvs_option_kind")
    reader = Reader({key: variables[key] for key in own if key in variables}, f"host {name}", report)
    default_route = reader.get("lvs_default_route", choice("VALUE-CHOICE", ("managed", "keep")), "managed")
    restore_on = reader.get("lvs_restore_on", text, None)
    receiver = reader.get("lvs_toa_receiver", partial(_receiver, reader), None)
    drained = reader.get("lvs_drained", flag, False)
    kind = reader.get("lvs_option_kind", _option_kind, modes.OPTION_KIND)
    raw = variables.get("lvs_interfaces", {})
    interfaces = []
    if not isinstance(raw, Mapping):
        report(Violation("VALUE-TYPE", f"host {name}: lvs_interfaces is {described(raw)}, it must be a mapping", raw))
        raw = {}
    for interface, value in raw.items():
        read = _interface(str(interface), Reader(value, f"host {name}: interface {interface}", report), networks)
        if read:
            interfaces.append(read)
    _check_default_route(name, interfaces, report)
    keep = default_route == "keep"
    host = Host(name, tuple(interfaces), keep, restore_on, receiver, drained, kind, at=next(iter(raw), None))
    return host, len(interfaces) == len(raw) and isinstance(variables.get("lvs_interfaces", {}), Mapping)


def _check_default_route(name: str, interfaces: Sequence[Interface], report: Any) -> None:
    chosen = [interface for interface in interfaces if interface.default_route]
    for interface in chosen:
        if interface.network.gateway is None:
            message = (
                f"host {name}: interface {interface.name} is to have the default route, and its network "
                f"{interface.network.name} has no gateway. Say it of another interface, or give the network a gateway."
            )
            report(Violation("DEFAULT-ROUTE", message, interface.at))
    if len(chosen) > 1:
        names = " and ".join(interface.name for interface in chosen)
        message = f"host {name}: {names} are both to have the default route. Say default_route: true of one of them."
        report(Violation("DEFAULT-ROUTE", message, chosen[1].at))


def _option_kind(value: Any) -> int:
    kind = number("OPTION-KIND", 1, 255)(value)
    if kind in KINDS_IN_USE:
        raise Fault(
            "OPTION-KIND", f"is TCP's own option for {KINDS_IN_USE[kind]}. Use 254, or another one that nobody has"
        )
    return kind


def _receiver(host: Reader, raw: Any) -> Receiver | None:
    reader = Reader(raw, f"{host.place}: lvs_toa_receiver", host.report)

    def module(value: Any) -> str:
        name = text(value)
        if not name.replace("_", "a").isalnum():
            raise Fault("VALUE-TYPE", "is not the name of a kernel module (letters, digits and underscores)")
        return name

    def words(value: Any) -> tuple[str, ...]:
        return tuple(text(item) for item in listing(value))

    def parameters(value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise Fault(
                "VALUE-TYPE", f"is {described(value)}, it must be a mapping of the module's parameters to values"
            )
        return {str(name): str(said) for name, said in value.items()}

    read = Receiver(
        module=reader.get("module", module),
        source=reader.get("source", text),
        make_arguments=reader.get("make_arguments", words, ()),
        parameters=reader.get("parameters", parameters, {}),
    )
    return read if reader.finish() else None


def _interface(name: str, reader: Reader, networks: _Networks) -> Interface | None:
    read = Interface(
        name=name,
        network=reader.get("network", networks.find),
        address=reader.get("address", address),
        default_route=reader.get("default_route", flag, False),
        at=reader.raw.get("address"),
    )
    if not reader.finish():
        return None
    if read.address not in read.network.cidr:
        reader.fault(
            "ADDRESS-NETWORK",
            f"address {read.address} is outside its network {read.network.name} ({read.network.cidr}). "
            "Correct the address or the network.",
            read.at,
        )
        return None
    return read


def _list_of_services(raw: Any, report: Any) -> Sequence[Any]:
    if raw is None:
        message = (
            "lvs_services: no service is described. Say lvs_services: [{name: web, vip: 192.0.2.80, …}] in group_vars/all, or "
            "lvs_services: [] to have none."
        )
        report(Violation("KEY-MISSING", message, raw))
        return []
    if isinstance(raw, str) or not isinstance(raw, Sequence):
        report(Violation("VALUE-TYPE", f"lvs_services is {described(raw)}, it must be a list", raw))
        return []
    return raw


def service(raw: Any, topology: Topology) -> tuple[Service | None, list[Violation]]:
    """One entry of lvs_services on its own, and the faults of form in it. Of `topology` the services do not matter."""
    faults: list[Violation] = []
    return _service(raw, 0, topology, faults.append), faults


def _service(raw: Any, index: int, topology: Topology, report: Any) -> Service | None:
    name = raw.get("name") if isinstance(raw, Mapping) else None
    reader = Reader(raw, f"service {name}" if name else f"lvs_services, entry {index + 1}", report)
    if not reader.ok:
        return None

    def addresses(value: Any) -> tuple[IPv4Address, ...]:
        return tuple(address(item) for item in listing(value))

    port = reader.get("port", _port)
    service = Service(
        name=reader.get("name", _service_name),
        vip=reader.get("vip", address),
        port=port,
        protocol=reader.get("protocol", choice("PROTOCOL-UNKNOWN", ("tcp", "udp")), "tcp"),
        mode=_mode(reader),
        scheduler=reader.get("scheduler", choice("SCHEDULER-UNKNOWN", SCHEDULERS), "wlc"),
        persistence_timeout=reader.get("persistence_timeout", number("TIMEOUT-RANGE", 0, 31 * 86400), 0),
        directors=_directors(reader, topology),
        real_servers=reader.get("real_servers", partial(_real_servers, reader, topology, port)),
        network=reader.get("network", _Networks(topology.networks, topology.unread).find, None),
        vip_routed=reader.get("vip_routed", flag, False),
        local_addresses=reader.get("local_addresses", addresses, ()),
        return_path=reader.get("return_path", choice("VALUE-CHOICE", ("gateway", "policy")), "gateway"),
        connections=reader.get("connections", number("VALUE-RANGE", 1, 10**9), None),
        needs=reader.get("needs", partial(_needs, reader), modes.Needs()),
        health_check=_health_check(reader, report),
        source=reader.raw,
    )
    return _without_unread(service, topology) if reader.finish() else None


def _without_unread(service: Service, topology: Topology) -> Service | None:
    """The service without the real servers that could not be read; None where nobody is left to carry it."""
    if not topology.unread:
        return service
    kept = tuple(server for server in service.real_servers if server.host.name not in topology.unread)
    directors = tuple(host for host in service.directors if host.name not in topology.unread)
    return replace(service, real_servers=kept) if kept and directors == service.directors else None


def _service_name(value: Any) -> str:
    said = text(value)
    if said == "all" or "," in said:
        raise Fault("VALUE-TYPE", "cannot be told from what stands for all services, or for several. Use another name")
    return said


def _mode_name(value: Any) -> str:
    if value == "auto":
        raise Fault("MODE-AUTO", "is no mode: which one to run is decided by people, and then the packets are known")
    return choice("MODE-UNKNOWN", modes.NAMES)(value)


def _needs(service: Reader, raw: Any) -> modes.Needs:
    reader = Reader(raw, f"{service.place}: needs", service.report)
    read = modes.Needs(**{item.name: reader.get(item.name, flag, item.default) for item in fields(modes.Needs)})
    reader.finish()
    return read


def _mode(reader: Reader) -> Any:
    name = reader.get("mode", _mode_name)
    form: dict[str, Any] = {
        "client_address": reader.get("client_address", choice("VALUE-CHOICE", modes.CLIENT_ADDRESSES), "none"),
        "cip_src": reader.get("cip_src", flag, False),
    }
    if name is None:
        return None
    refused = False
    for key, value in form.items():
        users = dict.fromkeys(row.name for row in modes.TABLE if getattr(row, key) == value)
        if name not in users:
            said, others = str(value).lower(), " and ".join(users)
            reader.fault("KEY-MODE", f"{key}: {said} is for {others} only. Leave it out with {name}.", reader.raw[key])
            refused = True
    return None if refused else modes.row(name, **form)


def _health_check(reader: Reader, report: Any) -> dict[str, str]:
    check = reader.get("health_check", lambda value: value, None)
    if check is not None:
        message = (
            f"{reader.place}: health_check: lvskit does not run health checks yet; a dead real server keeps its weight."
        )
        report(Violation("HEALTH-CHECK", message, check, warning=True))
    return {str(key): str(value) for key, value in check.items()} if isinstance(check, Mapping) else {}


def _directors(reader: Reader, topology: Topology) -> tuple[Host, ...]:
    given = reader.get("directors", partial(_members, "DIRECTOR-UNKNOWN", topology), None)
    if given is None and "directors" not in reader.raw:
        try:
            return _members("DIRECTOR-UNKNOWN", topology, "directors")
        except Fault as fault:
            reader.fault(fault.rule, f"directors: directors (the default) {fault}", reader.raw.get("name"))
    return given or ()


def _members(rule: str, topology: Topology, group: Any) -> tuple[Host, ...]:
    """The hosts of an inventory group."""
    group = one_name(group)
    if group not in topology.groups:
        hint = (
            "It is a host; name a group that holds it."
            if group in topology.hosts
            else nearest(str(group), topology.groups)
        )
        raise Fault(rule, f"is no group of the inventory: {hint}")
    members = tuple(topology.hosts[name] for name in topology.groups[group])
    if not members:
        raise Fault("RS-EMPTY" if rule == "RS-UNKNOWN" else rule, "is a group without hosts. Add a host to it.")
    return members


def _real_servers(reader: Reader, topology: Topology, port: int | None, raw: Any) -> tuple[RealServer, ...]:
    entries = listing(raw)
    if not entries:
        raise Fault("RS-EMPTY", "has no entry. Add {group: NAME} or {host: NAME} to it.")
    found: list[RealServer] = []
    for index, entry in enumerate(entries):
        item = Reader(entry, f"{reader.place}: real_servers, entry {index + 1}", reader.report)
        group = item.get("group", partial(_members, "RS-UNKNOWN", topology), ())
        host = item.get("host", partial(_known_host, topology), None)
        if ("group" in item.raw) == ("host" in item.raw) and item.ok:
            item.fault("KEY-MISSING", "must name either a group or a host.", next(iter(item.raw.values()), raw))
        own_port = item.get("port", _port, port)
        weight = item.get("weight", _weight, 1)
        if item.finish():
            at = item.raw.get("host", item.raw.get("group"))
            found += [RealServer(h, own_port or 0, weight, at) for h in ([host] if host else group)]
    return tuple(found)


def _known_host(topology: Topology, value: Any) -> Host:
    said = one_name(value)
    if said not in topology.hosts:
        hint = "It is a group; say group: instead." if said in topology.groups else nearest(said, topology.hosts)
        raise Fault("RS-UNKNOWN", f"is no host of the inventory: {hint}")
    return topology.hosts[said]
