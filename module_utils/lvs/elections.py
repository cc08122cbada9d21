"""What a director plans for the groups of which one director is elected: the addresses that move, and how the others know its connections."""

from __future__ import annotations

from abc import ABC, abstractmethod

from . import families
from .contract.directors import DirectorGroup
from .contract.hosts import Host
from .families import IPV4, IPV6, Family
from .host_plan import Adverts, Chain, ConntrackSync, Sync, VirtualAddress, VirtualRouter
from .rules_of_host import Rules
from .topology import Topology

CONNTRACK_MOST = (
    262144  # the kernel's own choice where memory is ample: never less, as the file is also applied at boot
)
CONNTRACK_ROOM = 2  # entries for each connection at the same time: closed ones stay for two minutes
_TUNNELS = {tunnel.device for tunnel in families.TUNNELS.values()}
# The address that a group's adverts carry, by its number in VRRP. Link-local ones are nobody else's on a loopback device.
_TOKENS = {IPV4: "169.254.76.{}", IPV6: "fe80::4c:{:x}"}
_DEPRECATED = ("preferred_lft", "0")  # such an address is not chosen as the source of the host's own packets


class Elections(ABC):
    """The part of plan.py's builder that is about elections. `elected` are the addresses of each group, `connections` those that the services
    of a host expect.
    """

    topology: Topology
    host: Host
    programs: dict[str, None]
    modules: dict[str, None]
    elected: dict[str, dict[tuple[str, str], VirtualAddress]]
    connections: int

    @abstractmethod
    def sysctl(self, key: str, value: int, why: str) -> None: ...

    @abstractmethod
    def netfilter(self, family: Family, *chains: Chain) -> Rules: ...

    def elections(self) -> tuple[tuple[VirtualRouter, ...], Sync | None]:
        """The elections that the host takes part in as a director, and how it tells the others of its connections."""
        groups = [self.topology.director_groups[name] for name in self.elected]
        routers = tuple(self._router(group) for group in groups)
        synced = [group for group in groups if group.sync == "ipvs" and len(group.directors) > 1]
        if not synced:
            return routers, None
        there = next((i.name for i in self.host.interfaces if i.network is synced[0].synced), "")
        why = "a connection is told to the other directors when it is established, and again each ten seconds"
        self.sysctl("net/ipv4/vs/sync_refresh_period", 10, why)
        self.sysctl("net/ipv4/vs/sync_retries", 1, why)
        return routers, Sync(there, min(group.virtual_router_id for group in synced))

    def translations(self) -> ConntrackSync | None:
        """How the host tells the other director of a pair of the connections to fullnat's VIPs."""
        services = [
            service
            for service in self.topology.services
            if service.mode.source_nat
            and service.group
            and service.group.name in self.elected
            and _is_pair(service.group)
        ]
        if not services or services[0].group is None:
            return None
        group = services[0].group
        own = group.of_sync(self.host)
        peer = next(group.of_sync(one) for one in group.directors if one is not self.host)
        assert own is not None and peer is not None  # VRRP-NETWORK
        self.programs["conntrackd"] = None
        self.modules["nf_conntrack_netlink"] = None
        why = "a director that takes a connection back has not seen all of it: its packets are not out of place"
        self.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", 1, why)
        return ConntrackSync(
            interface=own.name,
            source=own.text,
            peer=peer.text,
            entries=max(self.connections * CONNTRACK_ROOM, CONNTRACK_MOST),
            protocols=tuple(dict.fromkeys(protocol for service in services for protocol in service.protocols)),
            ignored=("127.0.0.1", "::1", *sorted(map(str, self.host.addresses))),
        )

    def _router(self, group: DirectorGroup) -> VirtualRouter:
        """The host's part in the election of a group."""
        own = group.of_adverts(self.host)
        assert own is not None  # VRRP-NETWORK
        self.programs["keepalived"] = None
        addresses = self.elected[group.name]
        for network, gateways in group.gateways.items():
            there = next((i.name for i in self.host.interfaces if i.network.name == network), None)
            for gateway in gateways if there else ():
                addresses.setdefault((str(gateway), there or ""), virtual(str(gateway), there or ""))
        if group.sync == "stateless":
            why = "the director that takes over knows no connection, and takes packets of open ones for the first ones"
            self.sysctl("net/ipv4/vs/sloppy_tcp", 1, why)
        peers = tuple(
            one.text
            for director in group.directors
            if director is not self.host and (one := group.of_adverts(director))
        )
        self.netfilter(own.family, Chain("filter", "INPUT")).adverts[Adverts(own.text, peers)] = None
        devices = dict.fromkeys(device for _, device in addresses)
        return VirtualRouter(
            group=group.name,
            interface=own.name,
            number=group.virtual_router_id,
            source=own.text,
            peers=peers,
            priority=group.priority(self.host),
            interval=str(group.advert_interval),
            preempt=group.preempt,
            token=_TOKENS[own.family].format(group.virtual_router_id),
            tracked=tuple(device for device in devices if device not in ("lo", own.name)),
            addresses=tuple(addresses.values()),
        )


def virtual(address: str, device: str) -> VirtualAddress:
    """An address that is not the host's own."""
    if ":" not in address:
        return VirtualAddress(address, device)
    # On a network, duplicate address detection would take the address away where two directors have it one after the other.
    there = device == "lo" or device in _TUNNELS
    return VirtualAddress(address, device, IPV6.bits, _DEPRECATED if there else (*_DEPRECATED, "nodad"))


def _is_pair(group: DirectorGroup) -> bool:
    return group.sync == "ipvs" and len(group.directors) == 2
