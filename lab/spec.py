"""What the lab is made of: the machines for an inventory's hosts, and the segments between them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lvs.families import TABLE, Address
from ansible.module_utils.lvs.rules.addressing import address_used_twice

from lab import environment
from lab.errors import LabError
from lab.image import System

if TYPE_CHECKING:
    from lvs.topology import Host as Described
    from lvs.topology import Interface, Network, Topology

RELEASES = ("bullseye", "bookworm", "trixie", "forky")
MANAGEMENT = IPv4Network("10.0.2.0/24")  # QEMU's user network, behind every machine's eth0
PORTS = ("eth1", "eth2")  # what a machine has for the lab's segments; a snapshot fixes the number
MAX_MTU = 1500  # vde_switch carries 1,504 octets of payload: a full frame and a VLAN tag
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
SSH = 22  # sshd listens on this port of every machine
MIN_MEMORY, MAX_MEMORY = 256, 65536  # MiB

PROTOCOLS = ("tcp", "udp", "sctp")
ALWAYS_SERVED = ("tcp", "udp")  # what the demo application's configuration names, without a port too

Ports = Mapping[str, tuple[int, ...]]  # by protocol


def port_of(interface: Interface) -> str:
    """The port that an interface is on: eth1 for `eth1`, which is untagged there, and for `eth1.20`, which is tagged."""
    return interface.name.partition(".")[0]


def tagged(interface: Interface) -> bool:
    return "." in interface.name


@dataclass(frozen=True)
class Host:
    """One machine. `index` is its place among the lab's hosts: MACs and switch ports derive from it."""

    name: str
    index: int
    system: System
    memory: int  # MiB
    interfaces: tuple[Interface, ...]
    gateways: tuple[Address, ...]  # next hops of the default routes, one for each family that has one
    forwards: bool
    serves: Ports  # of the demo application

    def mac(self, port: str) -> str:
        """The address of `eth0`, `eth1` or `eth2`; the same in every run."""
        name = hashlib.sha256(self.name.encode()).hexdigest()
        return f"52:54:{name[0:2]}:{name[2:4]}:{self.index + 1:02x}:{int(port[3:]):02x}"

    def on(self, port: str) -> list[Interface]:
        """The interfaces on `eth1` or `eth2`."""
        return [interface for interface in self.interfaces if port_of(interface) == port]

    def switch_port(self, port: str) -> int | None:
        """Number of the switch port `eth1` or `eth2` is plugged into; None for one the inventory does not use."""
        return 1 + self.index * len(PORTS) + PORTS.index(port) if self.on(port) else None


@dataclass(frozen=True)
class Lab:
    """Everything to start."""

    networks: tuple[Network, ...]
    hosts: tuple[Host, ...]

    def gateways_to_try(self, host: Host) -> tuple[Address, ...]:
        """The gateways in the host's networks that another machine of the lab holds, and so must answer."""
        own = {address for interface in host.interfaces for address in interface.addresses}
        held = {a for other in self.hosts for interface in other.interfaces for a in interface.addresses} - own
        wanted = (one.gateway for interface in host.interfaces for one in interface.attachments)
        return tuple(dict.fromkeys(gateway for gateway in wanted if gateway in held and gateway is not None))


def parse(listing: Mapping[str, Any]) -> Lab:
    """The machines and segments that the answer of `ansible-inventory --list` describes, but for hosts of the group `absent`.

    Raises LabError, naming host and key, for what the lab cannot build.
    """
    topology = environment.topology(listing)
    absent = topology.members("absent")
    plugged = [host for host in topology.hosts.values() if host.interfaces and host.name not in absent]
    if not plugged:
        raise LabError("no host of the inventory has lvs_interfaces: there is nothing to start")
    variables = listing["_meta"]["hostvars"]
    hosts = tuple(_host(index, host, variables[host.name], topology) for index, host in enumerate(plugged))
    lab = Lab(tuple(topology.networks.values()), hosts)
    if faults := [*_faults(lab), *(message for message, *_ in address_used_twice(topology))]:
        raise LabError("\n".join(faults))
    return lab


def _host(index: int, host: Described, variables: Mapping[str, Any], topology: Topology) -> Host:
    ways_out = (host.default_interface(family) for family in TABLE)
    serves = {protocol: _app_ports(topology, host, protocol) for protocol in PROTOCOLS}
    return Host(
        name=host.name,
        index=index,
        system=System(variables.get("lab_release", "bookworm"), tuple(variables.get("lab_packages", []))),
        memory=variables.get("lab_memory", 384),
        interfaces=host.interfaces,
        gateways=tuple(way.gateway for way in ways_out if way and way.gateway),
        forwards=host.name in topology.members("routers"),
        serves={protocol: ports for protocol, ports in serves.items() if ports or protocol in ALWAYS_SERVED},
    )


def _app_ports(topology: Topology, host: Described, protocol: str) -> tuple[int, ...]:
    """Ports on which this host must serve, as a real server of any service."""
    entries = (entry for service in topology.services for entry in service.entries if entry.protocol == protocol)
    ports = (
        server.at_port(port)
        for entry in entries
        for server in (*entry.service.real_servers, *filter(None, [entry.service.apology]))
        if server.host.name == host.name
        for port in range(entry.ports.first, entry.ports.last + 1)
    )
    return tuple(sorted(set(ports)))


def _faults(lab: Lab) -> Iterator[str]:
    """What the model allows and the lab cannot build."""
    for network in lab.networks:
        where = f"network {network.name}"
        if network.cidr and network.cidr.overlaps(MANAGEMENT):
            yield (
                f"{where}: {network.cidr} overlaps {MANAGEMENT}, which the lab manages its machines over; take another"
            )
        if network.mtu > MAX_MTU:
            yield f"{where}: mtu: {network.mtu} is more than the {MAX_MTU} that the lab's switch carries"
    for host in lab.hosts:
        if host.system.release not in RELEASES:
            yield f"{host.name}: lab_release is {host.system.release!r}; the lab knows {', '.join(RELEASES)}"
        if wrong := [name for name in host.system.packages if not _PACKAGE.fullmatch(str(name))]:
            yield f"{host.name}: lab_packages is to be a list of Debian packages, and has {', '.join(map(repr, wrong))}"
        if type(host.memory) is not int or not MIN_MEMORY <= host.memory <= MAX_MEMORY:
            yield f"{host.name}: lab_memory: {host.memory!r} is not a number from {MIN_MEMORY} to {MAX_MEMORY}"
        if SSH in host.serves["tcp"]:
            yield (
                f"{host.name}: a service has port {SSH} of this real server, where the lab's sshd listens; take another port"
            )
        for interface in host.interfaces:
            where = f"{host.name}: lvs_interfaces.{interface.name}"
            if port_of(interface) not in PORTS:
                yield (
                    f"{where}: a lab machine has {' and '.join(PORTS)} for its networks (and their VLANs, as "
                    f"{PORTS[0]}.20); eth0 is the lab's own"
                )
            if len(interface.name) > 15:
                yield f"{where}: Linux allows 15 characters in the name of an interface"
