"""Reads networks, and hosts with their interfaces in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .contract.addresses import AddressOf
from .contract.key import keys_of
from .contract.values import Fault, Passed, described, nearest
from .contract.variables import IN_INVENTORIES
from .families import TABLE, TUNNELS, Address, Family
from .reader import Reader, Report, about
from .topology import Host, Interface, Network
from .violations import Violation, some


def networks_and_hosts(
    networks: Any, hosts: Mapping[str, Mapping[str, Any]], report: Report
) -> tuple[dict[str, Network], dict[str, Host], frozenset[str]]:
    """The networks and hosts that can be used, each by its name; and the names of those that could not be read."""
    raw = networks if isinstance(networks, Mapping) else {}
    known = _networks(networks, report)
    for name, misfit in _elsewhere(known, raw, hosts):
        report(misfit)
        known.pop(name, None)
    unread = {str(name) for name in raw if str(name) not in known}
    inside = Counter(name for _, name in {(host, name) for host, name, _ in _in_networks(hosts)})
    plugged = Networks(known, frozenset(unread), inside)
    found = {}
    for name, variables in ((str(name), variables) for name, variables in hosts.items()):
        found[name], sound = _host(name, variables, plugged, about(report, host=name))
        unread |= set() if sound else {name}
    return known, found, frozenset(unread)


_NOT_PLUGGED = {
    "all": "means all interfaces in kernel settings",
    "default": "means later interfaces in kernel settings",
    **dict.fromkeys(("lo", *(tunnel.device for tunnel in TUNNELS.values())), "is the kernel's own, and in no network"),
}
_LONGEST_NAME = 15  # of an interface: IFNAMSIZ in the kernel, dev_valid_name()


@dataclass(frozen=True)
class Networks:
    """The networks that could be read, and the names of those that could not."""

    known: Mapping[str, Network]
    unread: Collection[str]
    hosts: Mapping[str, int] = field(default_factory=dict)  # how many are in each
    missing: set[str] = field(default_factory=set)  # names that have been reported

    def find(self, name: str) -> Network:
        if name in self.known:
            return self.known[name]
        if name in self.unread or name in self.missing or not self.known:
            raise Passed
        self.missing.add(name)
        others = self.hosts.get(name, 0) - 1
        more = f", and {others} more host{'s say' if others > 1 else ' says'} so" if others > 0 else ""
        raise Fault("NETWORK-UNKNOWN", f"is not in lvs_networks{more}: {nearest(name, self.known)}")


def _networks(raw: Any, report: Report) -> dict[str, Network]:
    if raw and not isinstance(raw, Mapping):
        message = f"lvs_networks is {described(raw)}, it must be a mapping of names of networks to mappings"
        report(Violation("VALUE-TYPE", message, raw))
        return {}
    if not raw:
        message = (
            "lvs_networks: no network is described. Say lvs_networks: {name: {cidr: 192.0.2.0/24, vlan: 10}} "
            "in group_vars/all."
        )
        report(Violation("KEY-MISSING", message, raw))
        return {}
    networks = {}
    for name, value in raw.items():
        reader = Reader(value, f"network {name}", report, Network, name)
        values = reader.values()
        if reader.finish():
            networks[str(name)] = Network(name=str(name), at=name, **values)
    return networks


def _elsewhere(
    networks: Mapping[str, Network], raw: Mapping[Any, Any], hosts: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Violation]]:
    """The networks in which several hosts are, and none with an address of the network: else each of them would be a fault."""
    inside: dict[tuple[str, Family], list[tuple[str, Address]]] = {}
    for host, name, given in _in_networks(hosts):
        for family in TABLE if name in networks else ():
            try:
                address = AddressOf(family).read(given.get(f"address{family.suffix}"))
            except Fault:
                continue
            inside.setdefault((name, family), []).append((host, address))
    found = []
    for (name, family), members in inside.items():
        prefix, key = networks[name].prefix(family), f"cidr{family.suffix}"
        if len(members) > 1 and prefix and all(address not in prefix for _, address in members):
            addresses = some([f"{address} of {host}" for host, address in members])
            message = f"network {name}: {key} {prefix} has the address of no host in it: {addresses}. Correct {key}."
            found.append((name, Violation("ADDRESS-NETWORK", message, raw[networks[name].at][key])))
    return found


def _in_networks(hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each interface of the inventory as it is written: the host, the network's name, and the keys."""
    for host, variables in hosts.items():
        interfaces = variables.get("lvs_interfaces")
        for given in interfaces.values() if isinstance(interfaces, Mapping) else ():
            if isinstance(given, Mapping):
                yield host, str(given.get("network")), given


def _host(name: str, variables: Mapping[str, Any], networks: Networks, report: Report) -> tuple[Host, bool]:
    """The host, and whether all of its interfaces could be read."""
    for variable in variables:
        if variable not in IN_INVENTORIES:
            hint = nearest(variable, IN_INVENTORIES)
            report(Violation("KEY-UNKNOWN", f"host {name}: unknown variable {variable}: {hint}", variable))
    own = {key: value for key, value in variables.items() if key in keys_of(Host)}
    raw = own.get("lvs_interfaces", {})
    reader = Reader(own, f"host {name}", report, Host)
    values = reader.values(lvs_interfaces=partial(_interfaces, name, networks, report))
    _check_default_route(name, values["interfaces"], report)
    host = Host(name=name, at=next(iter(raw), None) if isinstance(raw, Mapping) else None, source=own, **values)
    return host, isinstance(raw, Mapping) and len(host.interfaces) == len(raw)


def _interfaces(host: str, networks: Networks, report: Report, raw: Mapping[Any, Any]) -> tuple[Interface, ...]:
    found = (
        _interface(name, Reader(value, f"host {host}: interface {name}", report, Interface, name), networks)
        for name, value in raw.items()
    )
    return tuple(interface for interface in found if interface)


def _interface(key: Any, reader: Reader, networks: Networks) -> Interface | None:
    name = str(key)
    if len(name) > _LONGEST_NAME or name in ("", ".", "..") or re.search(r"[\s/:%]", name):
        reader.fault(
            "INTERFACE-NAME",
            f"the kernel allows {_LONGEST_NAME} characters at most, without spaces, / and :. Correct the name.",
            key,
        )
    elif name in _NOT_PLUGGED or name.endswith("+"):
        what = _NOT_PLUGGED.get(name, "stands for several interfaces in rules of iptables")
        reader.fault("INTERFACE-NAME", f"{name} {what}. Name the interface that is plugged into the network.", key)
    values = reader.values(network=networks.find)
    if not reader.finish():
        return None
    places = [reader.raw[f"address{family.suffix}"] for family in TABLE if f"address{family.suffix}" in reader.raw]
    read = Interface(name=name, at=places[0], **values)
    for one, place in zip(read.attachments, places):
        if one.address not in read.network:
            there = read.network.prefix(one.family) or f"it has no {one.family}: say cidr{one.family.suffix}"
            reader.fault(
                "ADDRESS-NETWORK",
                f"address{one.family.suffix} {one.address} is outside its network {read.network.name} ({there}). "
                "Correct the address or the network.",
                place,
            )
    return read if reader.ok else None


def _check_default_route(name: str, interfaces: Sequence[Interface], report: Report) -> None:
    chosen = [interface for interface in interfaces if interface.default_route]
    for interface in chosen:
        if not interface.network.routers:
            message = (
                f"host {name}: interface {interface.name} is to have the default route, and its network "
                f"{interface.network.name} has no gateway. Say it of another interface, or give the network a gateway."
            )
            report(Violation("DEFAULT-ROUTE", message, interface.at))
    if len(chosen) > 1:
        names = " and ".join(interface.name for interface in chosen)
        message = f"host {name}: {names} are both to have the default route. Say default_route: true of one of them."
        report(Violation("DEFAULT-ROUTE", message, chosen[1].at))
