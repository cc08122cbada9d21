"""What the lab is made of, read from the Ansible inventory.

`read_inventory` runs ansible-inventory; everything else is pure: `parse` turns its answer into a `Lab`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from lab.errors import LabError

RELEASES = ("bullseye", "bookworm", "trixie", "forky")
MANAGEMENT = IPv4Network("10.0.2.0/24")  # QEMU's user network, behind every machine's eth0
PORTS = ("eth1", "eth2")  # what a machine has for the lab's segments; a snapshot fixes the number
MAX_MTU = 1500  # vde_switch carries 1,504 octets of payload: a full frame and a VLAN tag
MIN_MEMORY = 256  # MiB


@dataclass(frozen=True)
class Network:
    """One layer-2 segment."""

    name: str
    cidr: IPv4Network
    vlan: int
    gateway: IPv4Address | None = None
    mtu: int = 1500


@dataclass(frozen=True)
class Link:
    """An interface of a host on a network: `eth1` untagged, `eth1.20` tagged on the port of eth1."""

    name: str
    network: Network
    address: IPv4Interface

    @property
    def port(self) -> str:
        return self.name.partition(".")[0]

    @property
    def tagged(self) -> bool:
        return "." in self.name


@dataclass(frozen=True)
class Host:
    """One machine. `index` is its place among the lab's hosts: MACs and switch ports derive from it."""

    name: str
    index: int
    release: str
    memory: int  # MiB
    links: tuple[Link, ...]
    gateway: IPv4Address | None = None  # next hop of the default route
    forwards: bool = False
    tcp: tuple[int, ...] = ()  # ports of the demo application
    udp: tuple[int, ...] = ()

    def mac(self, interface: str) -> str:
        """The address of `eth0`, `eth1` or `eth2`; the same in every run."""
        name = hashlib.sha256(self.name.encode()).hexdigest()
        return f"52:54:{name[0:2]}:{name[2:4]}:{self.index + 1:02x}:{int(interface[3:]):02x}"

    def switch_port(self, interface: str) -> int | None:
        """Number of the switch port `eth1` or `eth2` is plugged into; None for one the inventory does not use."""
        if all(link.port != interface for link in self.links):
            return None
        return 1 + self.index * len(PORTS) + PORTS.index(interface)


@dataclass(frozen=True)
class Lab:
    """Everything to start."""

    networks: tuple[Network, ...]
    hosts: tuple[Host, ...]

    def gateways_to_try(self, host: Host) -> tuple[IPv4Address, ...]:
        """The gateways on the host's links that another machine of the lab holds, and so must answer."""
        own = {link.address.ip for link in host.links}
        held = {link.address.ip for other in self.hosts for link in other.links} - own
        wanted = (link.network.gateway for link in host.links)
        return tuple(dict.fromkeys(gateway for gateway in wanted if gateway in held and gateway is not None))


def read_inventory(inventories: Sequence[str], root: Path) -> dict[str, Any]:
    """The answer of `ansible-inventory --list`, run in `root` (whose ansible.cfg names the default inventory).

    Raises LabError when ansible-inventory is missing or refuses the inventory.
    """
    beside = Path(sys.executable).parent / "ansible-inventory"
    program = str(beside) if beside.exists() else shutil.which("ansible-inventory")
    if program is None:
        raise LabError("ansible-inventory is not installed: run this from the project's environment (make .venv)")
    options = [word for directory in inventories for word in ("--inventory", directory)]
    answer = subprocess.run([program, "--list", *options], cwd=root, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise LabError(f"ansible-inventory refuses the inventory:\n{answer.stderr.strip()}")
    inventory: dict[str, Any] = json.loads(answer.stdout)
    return inventory


def parse(inventory: Mapping[str, Any]) -> Lab:
    """The machines and segments the inventory describes.

    Raises LabError, naming host and key, for what the lab cannot build.
    """
    variables: Mapping[str, Mapping[str, Any]] = inventory.get("_meta", {}).get("hostvars", {})
    names = [name for name, own in variables.items() if own.get("lvs_interfaces")]
    if not names:
        raise LabError("no host of the inventory has lvs_interfaces: there is nothing to start")
    names.sort(key=_order(inventory))
    hosts = tuple(_host(name, index, variables[name], inventory) for index, name in enumerate(names))
    networks = {network.name: network for name in names for network in _networks(name, variables[name]).values()}
    _refuse_shared_addresses(hosts)
    return Lab(tuple(networks.values()), hosts)


def _order(inventory: Mapping[str, Any]) -> Any:
    """Sort key: inventory order, which is the order of the groups and of the hosts in them."""
    seen: dict[str, int] = {}
    for host in members(inventory, "all"):
        seen.setdefault(host, len(seen))
    return lambda name: (seen.get(name, len(seen)), name)


def members(inventory: Mapping[str, Any], group: str) -> list[str]:
    """Hosts of a group and of its children, each once."""
    found: dict[str, None] = {}
    waiting, visited = [group], set()
    while waiting:
        name = waiting.pop(0)
        if name in visited:
            continue
        visited.add(name)
        content = inventory.get(name, {})
        found.update(dict.fromkeys(content.get("hosts", ())))
        waiting.extend(content.get("children", ()))
    return list(found)


def _host(name: str, index: int, own: Mapping[str, Any], inventory: Mapping[str, Any]) -> Host:
    release = own.get("lab_release", "bookworm")
    if release not in RELEASES:
        raise LabError(f"{name}: lab_release is {release!r}; the lab knows {', '.join(RELEASES)}")
    memory = _integer(f"{name}: lab_memory", own.get("lab_memory", 384), MIN_MEMORY, 65536)
    links = _links(name, own)
    services = own.get("lvs_services") or ()
    return Host(
        name=name,
        index=index,
        release=release,
        memory=memory,
        links=links,
        gateway=_default_gateway(links, own["lvs_interfaces"]),
        forwards=name in members(inventory, "routers"),
        tcp=_app_ports(name, "tcp", services, inventory),
        udp=_app_ports(name, "udp", services, inventory),
    )


def _networks(host: str, own: Mapping[str, Any]) -> dict[str, Network]:
    return {
        name: _network(f"{host}: lvs_networks.{name}", name, said)
        for name, said in (own.get("lvs_networks") or {}).items()
    }


def _network(where: str, name: str, said: Mapping[str, Any]) -> Network:
    try:
        cidr = IPv4Network(said["cidr"])
        gateway = IPv4Address(said["gateway"]) if said.get("gateway") else None
    except (KeyError, AddressValueError, ValueError, TypeError) as error:
        raise LabError(f"{where}: needs a cidr such as 10.20.1.0/24 and an address as gateway: {error}") from error
    if cidr.overlaps(MANAGEMENT):
        raise LabError(f"{where}: {cidr} overlaps {MANAGEMENT}, which the lab manages its machines over; take another")
    vlan = _integer(f"{where}.vlan", said.get("vlan"), 1, 4094)
    mtu = _integer(f"{where}.mtu", said.get("mtu", 1500), 576, MAX_MTU)
    return Network(name, cidr, vlan, gateway, mtu)


def _links(host: str, own: Mapping[str, Any]) -> tuple[Link, ...]:
    networks = _networks(host, own)
    links = []
    for name, said in sorted(own["lvs_interfaces"].items(), key=_natural):
        where = f"{host}: lvs_interfaces.{name}"
        port, _, _ = name.partition(".")
        if port not in PORTS:
            raise LabError(
                f"{where}: a lab machine has {' and '.join(PORTS)} for its networks (and their VLANs, as "
                f"{PORTS[0]}.20); eth0 is the lab's own"
            )
        if len(name) > 15:
            raise LabError(f"{where}: Linux allows 15 characters in the name of an interface")
        network = networks.get(said.get("network", ""))
        if network is None:
            raise LabError(f"{where}: network {said.get('network')!r} is none of lvs_networks ({', '.join(networks)})")
        try:
            address = IPv4Interface(f"{IPv4Address(said['address'])}/{network.cidr.prefixlen}")
        except (KeyError, AddressValueError) as error:
            raise LabError(f"{where}: needs an address inside {network.cidr}: {error}") from error
        if address.ip not in network.cidr:
            raise LabError(f"{where}: {address.ip} is outside {network.name} ({network.cidr})")
        links.append(Link(name, network, address))
    return tuple(links)


def _natural(item: tuple[str, Any]) -> list[int]:
    """Sort key of interfaces: eth1, eth1.20, eth1.100, eth2. (ansible-inventory does not keep the order of a mapping.)"""
    return [int(number) for number in re.findall(r"\d+", item[0])]


def _default_gateway(links: Sequence[Link], said: Mapping[str, Any]) -> IPv4Address | None:
    """Next hop of the default route; None for a host that is itself a gateway, and where no network has one."""
    own = {link.address.ip for link in links}
    if any(link.network.gateway in own for link in links):
        return None
    chosen = [link for link in links if said[link.name].get("default_route") is True]
    return next((link.network.gateway for link in (*chosen, *links) if link.network.gateway), None)


def _app_ports(
    host: str, protocol: str, services: Iterable[Mapping[str, Any]], inventory: Mapping[str, Any]
) -> tuple[int, ...]:
    """Ports on which this host must serve, as a real server of any service."""
    ports = set()
    for service in services:
        if service.get("protocol", "tcp") != protocol:
            continue
        for entry in service.get("real_servers") or ():
            if host == entry.get("host") or ("group" in entry and host in members(inventory, entry["group"])):
                port = entry.get("port", service.get("port"))
                ports.add(_integer(f"service {service.get('name')}: port of real server {host}", port, 1, 65535))
    return tuple(sorted(ports))


def _refuse_shared_addresses(hosts: Iterable[Host]) -> None:
    holders: dict[IPv4Address, str] = {}
    for host in hosts:
        for link in host.links:
            holder = holders.setdefault(link.address.ip, host.name)
            if holder != host.name:
                raise LabError(f"{host.name}: lvs_interfaces.{link.name}: {holder} already has {link.address.ip}")


def _integer(where: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise LabError(f"{where}: {value!r} is not a number from {low} to {high}")
    return value
