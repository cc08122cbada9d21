"""What a director plans for the groups of which one director is elected: the addresses that move, and how the others know its connections."""

from __future__ import annotations

from .contract.directors import DirectorGroup
from .families import IPV4, IPV6
from .host_plan import Adverts, Chain, ConntrackSync, Sync, VirtualRouter
from .needs import Needs, virtual

CONNTRACK_MOST = (
    262144  # the kernel's own choice where memory is ample: never less, as the file is also applied at boot
)
CONNTRACK_ROOM = 2  # entries for each connection at the same time: closed ones stay for two minutes
# The address that a group's adverts carry, by its number in VRRP. Link-local ones are nobody else's on a loopback device.
_TOKENS = {IPV4: "169.254.76.{}", IPV6: "fe80::4c:{:x}"}


def elections(needs: Needs) -> tuple[tuple[VirtualRouter, ...], Sync | None]:
    """The elections that the host takes part in as a director, and how it tells the others of its connections."""
    groups = [needs.topology.director_groups[name] for name in needs.elected]
    routers = tuple(_router(needs, group) for group in groups)
    synced = [group for group in groups if group.sync == "ipvs" and len(group.directors) > 1]
    if not synced:
        return routers, None
    there = next((i.name for i in needs.host.interfaces if i.network is synced[0].synced), "")
    why = "a connection is told to the other directors when it is established, and again each ten seconds"
    needs.sysctl("net/ipv4/vs/sync_refresh_period", 10, why)
    needs.sysctl("net/ipv4/vs/sync_retries", 1, why)
    return routers, Sync(there, min(group.virtual_router_id for group in synced))


def translations(needs: Needs) -> ConntrackSync | None:
    """How the host tells the other director of a pair of the connections to fullnat's VIPs."""
    services = [
        service
        for service in needs.topology.services
        if service.mode.source_nat and service.group and service.group.name in needs.elected and _is_pair(service.group)
    ]
    if not services or services[0].group is None:
        return None
    group = services[0].group
    own = group.of_sync(needs.host)
    peer = next(group.of_sync(one) for one in group.directors if one is not needs.host)
    assert own is not None and peer is not None  # VRRP-NETWORK
    needs.programs["conntrackd"] = None
    needs.modules["nf_conntrack_netlink"] = None
    why = "a director that takes a connection back has not seen all of it: its packets are not out of place"
    needs.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", 1, why)
    return ConntrackSync(
        interface=own.name,
        source=own.text,
        peer=peer.text,
        entries=max(needs.connections * CONNTRACK_ROOM, CONNTRACK_MOST),
        protocols=tuple(dict.fromkeys(protocol for service in services for protocol in service.protocols)),
        ignored=("127.0.0.1", "::1", *sorted(map(str, needs.host.addresses))),
    )


def _router(needs: Needs, group: DirectorGroup) -> VirtualRouter:
    """The host's part in the election of a group."""
    own = group.of_adverts(needs.host)
    assert own is not None  # VRRP-NETWORK
    needs.programs["keepalived"] = None
    addresses = needs.elected[group.name]
    for network, gateways in group.gateways.items():
        there = next((i.name for i in needs.host.interfaces if i.network.name == network), None)
        for gateway in gateways if there else ():
            addresses.setdefault((str(gateway), there or ""), virtual(str(gateway), there or ""))
    if group.sync == "stateless":
        why = "the director that takes over knows no connection, and takes packets of open ones for the first ones"
        needs.sysctl("net/ipv4/vs/sloppy_tcp", 1, why)
    peers = tuple(
        one.text for director in group.directors if director is not needs.host and (one := group.of_adverts(director))
    )
    needs.netfilter(own.family, Chain("filter", "INPUT")).adverts[Adverts(own.text, peers)] = None
    devices = dict.fromkeys(device for _, device in addresses)
    return VirtualRouter(
        group=group.name,
        interface=own.name,
        number=group.virtual_router_id,
        source=own.text,
        peers=peers,
        priority=group.priority(needs.host),
        interval=str(group.advert_interval),
        preempt=group.preempt,
        token=_TOKENS[own.family].format(group.virtual_router_id),
        tracked=tuple(device for device in devices if device not in ("lo", own.name)),
        addresses=tuple(addresses.values()),
    )


def _is_pair(group: DirectorGroup) -> bool:
    return group.sync == "ipvs" and len(group.directors) == 2
