"""Whatever the environment: what the rules let pass takes the way that its mode promises, on hosts that are set up for it."""

import os

from ansible.module_utils.lvs import inventory, modes, plan, rules
from ansible.module_utils.lvs.modes import Address
from ansible.module_utils.lvs.walk import walk
from hypothesis import given, settings
from hypothesis import strategies as st

NETWORKS = ("a", "b", "c")


@st.composite
def environments(draw):
    """Networks, services, hosts and groups, as `parse` takes them: small, and more often sound than not."""
    networks = {
        name: {"cidr": f"10.0.{i}.0/24", "vlan": 10 + i, "mtu": draw(st.sampled_from((1500, 1500, 9000)))}
        | ({"gateway": f"10.0.{i}.{draw(st.sampled_from((1, 1, 1, 10)))}"} if draw(st.integers(0, 4)) else {})
        for i, name in enumerate(NETWORKS)
    }
    names = ["client1", "lb1", "rs1", "rs2"]
    hosts = {}
    for number, name in enumerate(names, 9):
        plugged = draw(st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=2, unique=True))
        hosts[name] = {
            "lvs_interfaces": {
                f"eth{i}": {"network": network, "address": f"10.0.{NETWORKS.index(network)}.{number}"}
                for i, network in enumerate(plugged)
            }
        }
        if draw(st.integers(0, 9)) == 0:
            hosts[name]["lvs_default_route"] = "keep"
    groups = {"all": names, "clients": ["client1"], "directors": ["lb1"], "real_servers": ["rs1", "rs2", "lb1"]}
    services = [_service(draw, number, hosts) for number in range(draw(st.integers(1, 2)))]
    return in_families((networks, services, hosts, groups), draw(st.sampled_from(("4", "4", "6", "46"))))


def in_families(raw, families):
    """The same environment in IPv4, in IPv6, or in both: 2001:db8:1::11 for 10.0.1.11, in the keys for it."""
    networks, services, hosts, groups = raw

    def six(text):
        network, number = text.partition("/")[0].split(".")[2:]
        return f"2001:db8:{network}::{number if number != '0' else ''}{'/64' if '/' in text else ''}"

    def keyed(mapping):
        own = {key: value for key, value in mapping.items() if key in ("cidr", "gateway", "address")}
        others = {key: value for key, value in mapping.items() if key not in own}
        return {
            **others,
            **(own if "4" in families else {}),
            **{f"{k}6": six(v) for k, v in own.items() if "6" in families},
        }

    def listed(texts):
        return [*(texts if "4" in families else []), *(map(six, texts) if "6" in families else [])]

    def plugged(host):
        return {**host, "lvs_interfaces": {name: keyed(one) for name, one in host["lvs_interfaces"].items()}}

    services = [
        {
            **one,
            "vip": listed([one["vip"]]),
            **({"local_addresses": listed(own)} if (own := one.get("local_addresses")) else {}),
        }
        for one in services
    ]
    networks = {name: keyed(one) for name, one in networks.items()}
    return networks, services, {name: plugged(host) for name, host in hosts.items()}, groups


def _service(draw, number, hosts):
    mode = draw(st.sampled_from(modes.TABLE))
    at_director = [i["network"] for i in hosts["lb1"]["lvs_interfaces"].values()]
    place = draw(st.sampled_from([*at_director, *at_director, *NETWORKS]))
    possible = ("rs1", "rs2", *(("lb1",) if mode.local_real_server else ()))
    servers = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=2, unique=True))
    port = draw(st.sampled_from((80, 80, 8080))) if mode.port_mapping else 80
    service = {
        "name": f"s{number}",
        "vip": f"10.0.{NETWORKS.index(place)}.{draw(st.sampled_from((80, 81, 11)))}",
        "port": 80,
        "mode": mode.name,
        "protocol": draw(st.sampled_from(("tcp", "tcp", "tcp", "udp"))),
        "real_servers": [{"host": name, "port": port + number * 10} for name in servers]
        if mode.port_mapping
        else [{"host": name} for name in servers],
        **mode.settings,
    }
    if mode.source_nat:
        service["local_addresses"] = [f"10.0.{NETWORKS.index(at_director[0])}.20{number}"]
    if mode.director_is_gateway and draw(st.booleans()):
        service["return_path"] = "policy"
    return service


# The same examples each time; LVSKIT_EXAMPLES=10000 looks for others.
MORE = int(os.environ.get("LVSKIT_EXAMPLES", "0"))


@settings(max_examples=MORE or 500, derandomize=not MORE)
@given(environments())
def test_what_the_rules_let_pass_keeps_its_modes_promise(raw):
    topology, faults = inventory.parse(*raw)
    found = [*faults, *rules.check(topology)]
    if any(not violation.warning for violation in found):
        return
    warned = {violation.rule for violation in found}
    plans = plan.plans(topology)
    client, director = topology.hosts["client1"], topology.hosts["lb1"]
    for service in topology.services:
        for server in service.real_servers:
            by_neighbour = "NAT-CLIENT-SUBNET" in warned and service.mode.director_is_gateway
            for entry in service.by_family:
                if server.host is director:
                    answers_itself(topology, entry, director, server, client)
                    is_director_alone(plans["lb1"], topology, entry, director)
                    continue
                if not by_neighbour:
                    hops = keeps_promise(topology, entry, director, server, client)
                    full_size_requests_fit(plans[server.host.name], topology, entry, server, director, hops)
                is_set_up(plans[server.host.name], topology, entry, server)


def keeps_promise(topology, entry, director, server, client):
    mode = entry.mode
    hops = walk(topology, entry, director, server, client).hops
    replies = [hop for hop in hops if hop.leg == "reply"]
    through = any(director.name in (hop.sender.host, hop.receiver.host) for hop in replies)
    assert through == mode.reply_through_director
    first, last = hops[0].packet, hops[-1].packet
    assert (first.source, first.destination) == (last.destination, last.source)
    assert first.destination.address == entry.vip
    assert {end.address.version for hop in hops for end in (hop.packet.source, hop.packet.destination)} == {
        entry.family.version
    }
    assert all(before.receiver.host == after.sender.host for before, after in zip(hops, hops[1:]))
    assert hops[0].sender.host == hops[-1].receiver.host == client.name
    onward = [hop for hop in hops if hop.leg == "request" and hop.sender.host == director.name]
    assert len(onward) == 1
    assert (onward[0].receiver.host == server.host.name) or not mode.shared_segment
    assert replies[0].sender.host == server.host.name
    return hops


def answers_itself(topology, entry, director, server, client):
    """Between client and director, and on no other host of the inventory than a router between them."""
    hops = walk(topology, entry, director, server, client).hops
    assert {str(hop.packet) for hop in hops if hop.leg == "request"} == {str(hops[0].packet)}
    assert {str(hop.packet) for hop in hops if hop.leg == "reply"} == {str(hops[-1].packet)}
    assert (hops[0].packet.source, hops[0].packet.destination) == (hops[-1].packet.destination, hops[-1].packet.source)
    assert all(before.receiver.host == after.sender.host for before, after in zip(hops, hops[1:]))
    assert hops[0].sender.host == hops[-1].receiver.host == client.name
    assert [hop.receiver.host for hop in hops if hop.leg == "request"][-1] == director.name
    assert next(hop.sender.host for hop in hops if hop.leg == "reply") == director.name


def is_director_alone(host_plan, topology, entry, director):
    """The host holds the VIP once, where a director does, answers ARP for it, and has no route by itself."""
    interface = topology.vip_interface(entry, director)
    assert [one.device for one in host_plan.addresses if one.address == str(entry.vip)] == [interface.name]
    assert "net/ipv4/conf/all/arp_ignore" not in [setting.key for setting in host_plan.sysctls]
    assert (host_plan.routes, host_plan.rules) == ((), ())
    real = topology.real_interface(entry, director, director).text
    assert real in [one.address for service in host_plan.services for one in service.destinations]


def full_size_requests_fit(host_plan, topology, entry, server, director, hops):
    """A segment of the size that the real server announces, in its outer header, is no larger than any network's MTU."""
    start = next(i for i, hop in enumerate(hops) if hop.leg == "request" and hop.sender.host == director.name)
    room = min(hop.network.mtu for hop in hops[start:] if hop.leg == "request")
    rules_ = host_plan.netfilter if entry.family.version == 4 else host_plan.netfilter6
    announced = {(clamp.address, clamp.port): clamp.mss for clamp in rules_.mss_clamps}
    header = {4: 20, 6: 40}[entry.family.version]
    if entry.mode.request.encapsulated and entry.protocol == "tcp":
        assert announced[str(entry.vip), 0] + 20 + 2 * header <= room
    if entry.mode.every_packet:  # the module on the real server takes the length of the option off
        real = topology.real_interface(entry, director, server.host)
        mss = announced.get((real.text, server.at_port(entry.port)), real.network.mtu - 2 * header)
        assert mss + 2 * header <= room


def is_set_up(host_plan, topology, entry, server):
    """The real server holds the VIP where its services' modes have it, silently, and nowhere else."""
    service = entry.service
    tunnel = {4: "tunl0", 6: "ip6tnl0"}[entry.family.version]
    held = {address.device for address in host_plan.addresses if address.address == str(entry.vip)}
    here = [s for s in topology.services if entry.vip in s.vips and server.host in [r.host for r in s.real_servers]]
    assert held == {tunnel if s.mode.request.encapsulated else "lo" for s in here if s.mode.holds_vip}
    settings_of = {item.key: item.value for item in host_plan.sysctls}
    if service.mode.holds_vip and entry.family.version == 4:
        assert settings_of["net/ipv4/conf/all/arp_ignore"] == 1
        assert settings_of["net/ipv4/conf/all/arp_announce"] == 2
    if service.mode.seen is Address.CLIENT and service.mode.receiver:
        assert service.mode.receiver in host_plan.modules
    if service.mode.director_is_gateway:
        assert entry.family.version in [rule.family for rule in host_plan.rules]
        assert any((":" in route.gateway) == (entry.family.version == 6) for route in host_plan.routes)


def test_a_good_part_of_what_is_tried_passes():
    """The property above would be empty if the rules refused everything; every mode has to come through."""
    passed, local = set(), set()

    @settings(max_examples=2500, derandomize=True, database=None)
    @given(environments())
    def collect(raw):
        topology, faults = inventory.parse(*raw)
        if not any(not violation.warning for violation in [*faults, *rules.check(topology)]):
            passed.update((s.mode.title, tuple(f.version for f in s.families)) for s in topology.services)
            local.update(s.mode.name for s in topology.services if s.remote_servers != s.real_servers)

    collect()
    families = ((4,), (6,), (4, 6))
    assert passed == {(mode.title, found) for mode in modes.TABLE for found in families if mode.ipv6 or found == (4,)}
    assert local == {mode.name for mode in modes.TABLE if mode.local_real_server}
