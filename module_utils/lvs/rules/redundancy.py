"""Rules about groups of directors of which one is elected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ..contract.directors import DirectorGroup
from ..families import Address
from ..topology import Network, Service, Topology
from ..violations import listed
from .addressing import no_hosts
from .catalogue import Finding, TopologyFinding, service_rule, topology_rule
from .sharing import VIP


@topology_rule(
    "VRRP-NETWORK",
    "directors of a group that no network connects, as its adverts or its connections' state need it",
    "Directors that do not hear each other would all hold the addresses.",
)
def directors_without_a_network(topology: Topology) -> Iterator[TopologyFinding]:
    for group in topology.director_groups.values():
        for key, network in (("network", group.network), ("sync_network", group.sync_network)):
            absent = _outside(group, network) if network else []
            if network and absent:
                yield (
                    f"director group {group.name}: {key}: {listed(absent, 'and')} {'is' if len(absent) == 1 else 'are'} not in "
                    f"{network.name}. Name a network that all of its directors are in{_of(group.common)}.",
                    group.at(key),
                    None,
                )
        if group.adverts is None:
            yield (
                f"director group {group.name}: {listed(list(group.names), 'and')} have no network in common. Give each an interface in one "
                "network (lvs_interfaces).",
                group.at("redundancy"),
                None,
            )
        elif group.of_adverts(group.first) is None and not (group.network and group.network not in group.common):
            yield (
                f"director group {group.name}: its directors have no addresses of one family in {group.adverts.name}. Give each an IPv4 "
                "address there.",
                group.at("network"),
                None,
            )


def _of(networks: tuple[Network, ...]) -> str:
    return f" ({listed([one.name for one in networks], 'or')})" if networks else ""


@topology_rule(
    "VRRP-ID",
    "two groups with one virtual_router_id in one network",
    "Each would take the other's adverts for those of a master of its own, and one of them would have no master.",
)
def one_id_twice(topology: Topology) -> Iterator[TopologyFinding]:
    for one, other in combinations(topology.director_groups.values(), 2):
        if one.virtual_router_id == other.virtual_router_id and one.adverts and one.adverts is other.adverts:
            yield (
                f"director group {other.name}: virtual_router_id {other.virtual_router_id} is that of {one.name} in network "
                f"{one.adverts.name}, too. Give each its own.",
                other.at("virtual_router_id"),
                None,
            )


@topology_rule(
    "VRRP-CONNTRACK",
    "lvs_conntrack of directors of which one is elected",
    "Directors tell each other of conntrack's entries for fullnat alone. The one that takes over may have none for an open connection of nat, "
    "and its firewall would refuse replies.",
)
def conntrack_does_not_move(topology: Topology) -> Iterator[TopologyFinding]:
    for group in topology.director_groups.values():
        kept = [director for director in group.directors if director.conntrack]
        if kept:
            yield (
                f"director group {group.name}: lvs_conntrack is for a single director, and {listed([one.name for one in kept], 'and')} "
                f"{'is' if len(kept) == 1 else 'are'} of a group that elects one. Leave it out, and have the firewall accept replies of nat's "
                "real servers by their addresses and ports.",
                kept[0].said("lvs_conntrack"),
                kept[0],
            )


@topology_rule(
    "VRRP-GATEWAY",
    "a group's gateway that is outside its network, or somebody else's address, or in a network that a director is not in",
    "Real servers send their replies to this address, and the master alone must have it.",
)
def gateway_is_no_free_address(topology: Topology) -> Iterator[TopologyFinding]:
    for group in topology.director_groups.values():
        for name, addresses in group.gateways.items():
            network = topology.networks.get(name)
            absent = _outside(group, network) if network else []
            for address in addresses if network else ():
                wrong = _taken(topology, group, network, address) if network else ""
                if not wrong and absent:
                    wrong = f"is in {name}, and {listed(absent, 'and')} {'is' if len(absent) == 1 else 'are'} not. Leave it out"
                if wrong:
                    yield f"director group {group.name}: the gateway {address} {wrong}.", group.at("gateways"), None


def _outside(group: DirectorGroup, network: Network) -> list[str]:
    """The group's directors that are not in a network."""
    return [one.name for one in group.directors if one.interface_in(network) is None]


def _taken(topology: Topology, group: DirectorGroup, network: Network, address: Address) -> str:
    """Why an address cannot be the group's gateway in a network; empty if it can."""
    owner = topology.owners.get(address)
    others = [one.name for one in topology.director_groups.values() if one is not group and _has(one, address)]
    if address not in network:
        return f"is not in network {network.name} ({network.addresses}). Choose one there"
    if owner:
        return f"is the address of host {owner.name}. Choose a free one: it moves from director to director"
    if address in network.routers:
        return f"is the router's address in network {network.name}. Choose a free one"
    if any(address in no_hosts(prefix) for prefix in network.prefixes):
        return f"is no host address of network {network.name}. Choose another one"
    if holders := topology.register.all(VIP, address):
        return f"is the VIP of service {holders[0].name}. Choose a free one"
    return f"is that of {others[0]}, too. Give each group its own" if others else ""


def _has(group: DirectorGroup, address: Address) -> bool:
    return any(address in own for own in group.gateways.values())


@topology_rule(
    "VRRP-KEY",
    "a key of a group of directors that changes nothing",
    "Its author expects an effect.",
    warning=True,
)
def key_of_a_group_without_effect(topology: Topology) -> Iterator[TopologyFinding]:
    for group in topology.director_groups.values():
        ways = [service for service in topology.services if service.group is group and service.mode.director_is_gateway]
        used = {
            interface.network.name
            for service in ways
            for server in service.real_servers
            for interface in server.host.interfaces
        }
        for name in group.gateways:
            if topology.whole and name not in used:
                yield (
                    f"director group {group.name}: gateways: no real server of a service in nat is in {name}, so nobody sends replies to this address. "
                    "Leave it out, or correct the network.",
                    group.at("gateways"),
                    None,
                )
        if group.sync_network and group.sync == "stateless":
            yield (
                f"director group {group.name}: sync_network means nothing with sync: stateless. Leave it out.",
                group.at("sync_network"),
                None,
            )


@topology_rule(
    "SYNC-GROUPS",
    "a director in two groups whose connections' state would go to different directors, or by different networks",
    "The kernel has one sync daemon for each direction: it sends the state of all connections to one place.",
)
def two_places_for_one_state(topology: Topology) -> Iterator[TopologyFinding]:
    synced = [group for group in topology.director_groups.values() if group.sync == "ipvs"]
    for one, other in combinations(synced, 2):
        both = [name for name in one.names if name in other.names]
        if both and (set(one.names) != set(other.names) or one.synced is not other.synced):
            yield (
                f"director group {other.name}: {listed(both, 'and')} {'is' if len(both) == 1 else 'are'} in {one.name}, too, and the two groups "
                "have other directors or another sync_network. Give both the same directors and the same sync_network, or one of them "
                "sync: stateless.",
                other.at("sync_network"),
                None,
            )


@service_rule(
    "VRRP-ROUTED",
    "a routed VIP of a group that elects one of its directors",
    "The network routes it to fixed next hops, also to a director that does not hold it.",
)
def elected_and_routed(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.group and service.vip_routed:
        yield (
            f"the network routes the VIP to its directors, and {service.group.name} elects one that holds it. Choose a VIP in a network of "
            "the directors, or take the group out of lvs_directors.",
            service.at("vip_routed"),
        )


@service_rule(
    "VRRP-LOCAL-ADDRESSES",
    "local addresses for single directors of a group that elects one of them",
    "Established connections keep their local address: it moves to the director that takes over.",
    when=lambda mode: mode.source_nat,
)
def local_addresses_do_not_move(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.group and service.locals_by:
        yield (
            f"local_addresses names single directors, and those of {service.group.name} share them. Write one list: local_addresses: "
            f"[{', '.join(map(str, service.local_addresses[:2]))}].",
            service.at("local_addresses"),
        )


@service_rule(
    "SYNC-TUNNEL",
    "a tunnel between families in a group whose directors tell each other of connections",
    "The kernel refuses one where the other is: a real server of another family than its VIP, and the sync daemon.",
    when=lambda mode: mode.request.encapsulated,
)
def tunnel_between_families(topology: Topology, service: Service) -> Iterator[Finding]:
    groups = [
        group
        for group in topology.director_groups.values()
        if group.sync == "ipvs" and any(director.name in group.names for director in service.directors)
    ]
    if groups and any(entry.outer is not entry.family for entry in service.by_family):
        yield (
            f"outer_family differs from the VIP's, and the kernel has no such tunnel beside the sync daemon of {groups[0].name}. Leave "
            "outer_family out, give the service other directors, or say sync: stateless (lvs_directors).",
            service.at("outer_family"),
        )


@service_rule(
    "SYNC-STATELESS",
    "sync: stateless with a scheduler, or in a mode, that needs the connections' state",
    "The director that takes over knows no connection, and has to find the same real server by itself.",
)
def state_is_needed(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.group is None or service.group.sync != "stateless":
        return
    if service.mode.source_nat:
        yield (
            f"{service.group.name} has sync: stateless, and fullnat's local ports are state that no other director has. Say sync: ipvs.",
            service.at("mode"),
        )
    elif service.scheduler != "mh" or service.persistence_timeout:
        why = "persistence" if service.persistence_timeout else f"scheduler {service.scheduler}"
        yield (
            f"{service.group.name} has sync: stateless, and with {why} the director that takes over chooses other real servers. Say "
            "scheduler: mh without persistence, or sync: ipvs.",
            service.at("persistence_timeout" if service.persistence_timeout else "scheduler"),
        )


@service_rule(
    "VRRP-FULLNAT",
    "a service of fullnat with more than two directors: its connections end when the master dies",
    "The translation to a local address and port is conntrack's, and conntrackd tells one other director of it.",
    when=lambda mode: mode.source_nat,
    warning=True,
)
def translation_is_not_carried(topology: Topology, service: Service) -> Iterator[Finding]:
    if service.group and service.group.sync == "ipvs" and len(service.directors) > 2 and not service.locals_by:
        yield (
            f"when the master of {service.group.name} dies, another director answers new connections, and open ones end: their local ports are "
            "synchronized between two directors only. Make the group a pair, or use another mode for long connections.",
            service.at("mode"),
        )
