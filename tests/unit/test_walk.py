"""The walk of each mode is what the table of modes promises on the wire."""

import pytest
from ansible.module_utils.lvs.walk import NoRoute, walk

CLIENT, VIPS = "198.51.100.10:cport", "203.0.113.8"


def hops(environment, name):
    env = environment()
    service = env.service(name)
    return walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1"))


def lines(environment, name):
    return [f"{hop.leg} {hop}" for hop in hops(environment, name).hops]


def test_dr_leaves_the_packet_as_it_is_and_the_reply_bypasses_the_director(environment):
    assert lines(environment, "dr") == [
        "request client1 > gateway 198.51.100.1 on clients: 198.51.100.10:cport > 10.20.1.80:80",
        "request gateway 10.20.1.1 > lb1 on app: 198.51.100.10:cport > 10.20.1.80:80",
        "request lb1 > rs1 on app: 198.51.100.10:cport > 10.20.1.80:80",
        "reply rs1 > gateway 10.20.1.1 on app: 10.20.1.80:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 10.20.1.80:80 > 198.51.100.10:cport",
    ]


def test_nat_maps_the_port_and_the_reply_passes_the_director(environment):
    assert lines(environment, "nat") == [
        "request client1 > gateway 198.51.100.1 on clients: 198.51.100.10:cport > 203.0.113.81:80",
        "request gateway 203.0.113.1 > lb1 on edge: 198.51.100.10:cport > 203.0.113.81:80",
        "request lb1 > rs1 on app: 198.51.100.10:cport > 10.20.1.11:8080",
        "reply rs1 > lb1 on app: 10.20.1.11:8080 > 198.51.100.10:cport",
        "reply lb1 > gateway 203.0.113.1 on edge: 203.0.113.81:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 203.0.113.81:80 > 198.51.100.10:cport",
    ]


def test_tun_wraps_the_request_and_the_reply_bypasses_the_director(environment):
    assert lines(environment, "tun") == [
        "request client1 > gateway 198.51.100.1 on clients: 198.51.100.10:cport > 203.0.113.82:80",
        "request gateway 203.0.113.1 > lb1 on edge: 198.51.100.10:cport > 203.0.113.82:80",
        "request lb1 > gateway 203.0.113.1 on edge: 203.0.113.10 > 10.20.2.13 (198.51.100.10:cport > 203.0.113.82:80)",
        "request gateway 10.20.2.1 > rs3 on farm: 203.0.113.10 > 10.20.2.13 (198.51.100.10:cport > 203.0.113.82:80)",
        "reply rs3 > gateway 10.20.2.1 on farm: 203.0.113.82:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 203.0.113.82:80 > 198.51.100.10:cport",
    ]


RESTORED = {
    "name": "restored",
    "vip": "203.0.113.83",
    "port": 80,
    "mode": "fullnat",
    "client_address": "restore",
    "local_addresses": ["10.20.1.200"],
    "real_servers": [{"host": "rs3", "port": 8080}],
}


def test_a_restored_address_is_not_yet_there_on_the_wire_to_the_real_server_that_restores_it(environment):
    env = environment({"services": [RESTORED]})
    found = walk(
        env.topology,
        env.service("restored").entries[0],
        env.host("lb1"),
        env.service("restored").real_servers[0],
        env.host("client1"),
    )
    arriving = [str(hop.packet) for hop in found.hops if hop.receiver.host == "rs3"]
    assert arriving == ["10.20.1.200:lport > 10.20.2.13:8080 [option 198.51.100.10:cport]"]
    assert str(found.seen) == "198.51.100.10:cport"


def test_the_host_in_front_restores_and_turns_back(environment):
    base = environment().topology.hosts
    hosts = {
        name: {
            "lvs_interfaces": {i.name: {"network": i.network.name, "address": str(i.address)} for i in host.interfaces}
        }
        for name, host in base.items()
    }
    hosts["rs3"]["lvs_restore_on"] = "hv1"
    places = {"eth1": {"network": "app", "address": "10.20.1.1"}, "eth2": {"network": "farm", "address": "10.20.2.1"}}
    hosts["hv1"] = {"lvs_interfaces": places}
    env = environment({"services": [RESTORED], "hosts": hosts})
    server = env.service("restored").real_servers[0]
    found = walk(env.topology, env.service("restored").entries[0], env.host("lb1"), server, env.host("client1"))
    assert [str(hop) for hop in found.hops if "hv1" in (hop.sender.host, hop.receiver.host)] == [
        "hv1 > rs3 on farm: 198.51.100.10:cport > 10.20.2.13:8080 [option 198.51.100.10:cport]",
        "rs3 > hv1 on farm: 10.20.2.13:8080 > 198.51.100.10:cport",
        "hv1 > lb1 on app: 10.20.2.13:8080 > 10.20.1.200:lport",
    ]


def test_fullnat_replaces_both_addresses_and_the_reply_goes_to_the_local_address(environment):
    assert lines(environment, "fullnat")[2:] == [
        "request lb1 > gateway 203.0.113.1 on edge: 10.20.1.200:lport > 10.20.2.13:8080",
        "request gateway 10.20.2.1 > rs3 on farm: 10.20.1.200:lport > 10.20.2.13:8080",
        "reply rs3 > gateway 10.20.2.1 on farm: 10.20.2.13:8080 > 10.20.1.200:lport",
        "reply gateway 10.20.1.1 > lb1 on app: 10.20.2.13:8080 > 10.20.1.200:lport",
        "reply lb1 > gateway 203.0.113.1 on edge: 203.0.113.83:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 203.0.113.83:80 > 198.51.100.10:cport",
    ]


def test_enat_sends_from_the_vip_with_the_client_in_an_option_and_the_reply_bypasses_the_director(environment):
    assert lines(environment, "enat")[2:] == [
        "request lb1 > gateway 203.0.113.1 on edge: 203.0.113.84:80 > 10.20.2.13:8081 [option 198.51.100.10:cport]",
        "request gateway 10.20.2.1 > rs3 on farm: 203.0.113.84:80 > 10.20.2.13:8081 [option 198.51.100.10:cport]",
        "reply rs3 > gateway 10.20.2.1 on farm: 203.0.113.84:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 203.0.113.84:80 > 198.51.100.10:cport",
    ]


def test_enat_with_cip_src_leaves_the_client_as_source_and_has_the_virtual_end_in_the_option(environment):
    assert lines(environment, "enat-cip-src")[2:] == [
        "request lb1 > rs2 on app: 198.51.100.10:cport > 10.20.1.12:8082 [option 203.0.113.85:80]",
        "reply rs2 > gateway 10.20.1.1 on app: 203.0.113.85:80 > 198.51.100.10:cport",
        "reply gateway 198.51.100.1 > client1 on clients: 203.0.113.85:80 > 198.51.100.10:cport",
    ]
    assert str(hops(environment, "enat-cip-src").seen) == CLIENT


MODES = ["dr", "nat", "tun", "fullnat", "enat", "enat-cip-src"]


@pytest.mark.parametrize("name", MODES)
def test_the_reply_passes_the_director_exactly_where_the_mode_says_so(environment, name):
    replies = [hop for hop in hops(environment, name).hops if hop.leg == "reply"]
    through = any("lb1" in (hop.sender.host, hop.receiver.host) for hop in replies)
    assert through == environment().service(name).mode.reply_through_director


@pytest.mark.parametrize("name", MODES)
def test_the_client_only_ever_sees_the_vip(environment, name):
    first, *_, last = hops(environment, name).hops
    assert (first.packet.source, first.packet.destination) == (last.packet.destination, last.packet.source)


@pytest.mark.parametrize("name", MODES)
def test_hops_join_up(environment, name):
    """What arrives at a host leaves it again, until the real server and then the client."""
    path = hops(environment, name).hops
    for before, after in zip(path, path[1:]):
        assert before.receiver.host == after.sender.host


def test_a_client_on_the_vips_own_segment_needs_no_router(environment):
    env = environment(
        {
            "hosts": {
                "client1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.50"}}},
                "lb1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.10"}}},
                "rs1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.11"}}},
            },
            "groups": {"clients": ["client1"], "directors": ["lb1"], "real_servers": ["rs1"]},
            "services": [
                {"name": "dr", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
            ],
        }
    )
    service = env.service("dr")
    path = walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1")).hops
    assert [str(hop.sender) for hop in path] == ["client1", "lb1", "rs1"]


def test_a_network_without_gateway_is_isolated(environment):
    networks = {
        "clients": {"cidr": "198.51.100.0/24", "vlan": 10},
        "edge": {"cidr": "203.0.113.0/24", "vlan": 20},
        "app": {"cidr": "10.20.1.0/24", "vlan": 30},
        "farm": {"cidr": "10.20.2.0/24", "vlan": 40},
    }
    env = environment({"networks": networks})
    service = env.service("dr")
    with pytest.raises(NoRoute):
        walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1"))


def test_replies_go_to_a_local_address_by_the_director_where_it_is_the_real_servers_gateway(environment):
    """nat makes the director the gateway for everything, and so for what fullnat's local address is told, too."""
    services = [
        {"name": "n", "vip": "203.0.113.81", "port": 80, "mode": "nat", "real_servers": [{"host": "rs1", "port": 8080}]},
        {
            "name": "f", "vip": "203.0.113.84", "port": 80, "mode": "fullnat", "local_addresses": ["203.0.113.200"],
            "real_servers": [{"host": "rs1", "port": 8081}],
        },
    ]  # fmt: skip
    env = environment({"services": services})
    assert env.messages == []
    found = walk(
        env.topology,
        env.service("f").entries[0],
        env.host("lb1"),
        env.service("f").real_servers[0],
        env.host("client1"),
    )
    reply = [hop for hop in found.hops if hop.leg == "reply"]
    assert [(hop.sender.host, hop.receiver.host, hop.network.name) for hop in reply[:1]] == [("rs1", "lb1", "app")]
