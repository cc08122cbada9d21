"""What each host has to carry."""

import copy
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.lvs.host_plan import BuiltModule, Chain, Guard
from ansible.module_utils.lvs.plan import plan, plans

BASE = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
HYPERVISOR = {
    "eth1": {"network": "app", "address": "10.20.1.9"},
    "eth2": {"network": "farm", "address": "10.20.2.1"},
}
IN_FRONT = {
    "hosts": {
        **BASE["hosts"],
        "hv1": {"lvs_interfaces": HYPERVISOR},
        "rs3": {**BASE["hosts"]["rs3"], "lvs_restore_on": "hv1"},
    },
    "groups": {**BASE["groups"], "hypervisors": ["hv1"]},
}


def of(environment, host, changes=None):
    return plan(environment(changes).topology, host)


def settings(host_plan):
    return {setting.key: setting.value for setting in host_plan.sysctls}


def test_conntrack_leaves_alone_what_it_sees_one_way_only(environment):
    """Where nothing of lvskit's needs conntrack, a firewall may ask it, which forgets each packet at once: the last ones are invalid then.

    VIPs that follow each other are one prefix.
    """
    vips = {"10.20.1.80/32", "203.0.113.82/32", "203.0.113.84/31"}
    nat = {"203.0.113.81/32"}  # conntrack sees all of it where it keeps connections
    without = [service for service in BASE["services"] if service["mode"] != "fullnat"]
    for services, ending, found in ((BASE["services"], False, vips), (without, True, vips | nat)):
        host = of(environment, "lb1", {"services": services})
        assert {(u.protocol, u.address, u.ports, u.ending) for u in host.netfilter.untracked} == {
            ("tcp", vip, ("80",), ending) for vip in found
        }
        assert {(one.address, one.ports) for one in host.netfilter.admitted if one.protocol == "tcp"} == {
            (vip, ("80",)) for vip in (found if ending else ())
        }
        assert {Chain("raw", "PREROUTING"), Chain("filter", "INPUT")} <= set(host.netfilter.chains)
        assert "iptables" in host.programs


def test_datagrams_bypass_conntrack_only_where_it_keeps_what_it_has_seen(environment):
    dns = {"name": "dns", "vip": "203.0.113.90", "port": 53, "protocol": "udp", "mode": "tun"}
    dns["real_servers"] = [{"host": "rs3"}]
    alone = of(environment, "lb1", {"services": [dns]}).netfilter
    assert (alone.untracked, alone.chains) == ((), (Chain("filter", "INPUT"),))
    assert [(one.protocol, one.address, one.ports) for one in alone.admitted] == [("icmp", "203.0.113.90/32", ("3",))]
    beside = of(environment, "lb1", {"services": [*BASE["services"], dns]}).netfilter
    assert ("udp", "203.0.113.90/32", ("53",)) in {(u.protocol, u.address, u.ports) for u in beside.untracked}


def test_source_nat_in_one_family_has_conntrack_keep_connections_of_both(environment):
    """net/ipv4/vs/conntrack is one for both."""
    networks, hosts = (copy.deepcopy(BASE[key]) for key in ("networks", "hosts"))
    networks["app"].update(cidr6="2001:db8:30::/64", gateway6="2001:db8:30::1")
    for number, name in enumerate(("lb1", "rs1")):
        for one in hosts[name]["lvs_interfaces"].values():
            if one["network"] == "app":
                one["address6"] = f"2001:db8:30::1{number}"
    six = {"name": "six", "vip": "2001:db8:30::80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
    for services, ending in (([six], True), ([*BASE["services"], six], False)):
        host = of(environment, "lb1", {"networks": networks, "hosts": hosts, "services": services})
        assert [(u.address, u.ending) for u in host.netfilter6.untracked] == [("2001:db8:30::80/128", ending)]
    translated = {
        "name": "f",
        "vip": "2001:db8:30::81",
        "port": 80,
        "mode": "fullnat",
        "real_servers": [{"host": "rs1"}],
    }
    services = [BASE["services"][0], {**translated, "local_addresses": ["2001:db8:30::200"]}]
    host = of(environment, "lb1", {"networks": networks, "hosts": hosts, "services": services})
    assert [(u.address, u.ending) for u in host.netfilter.untracked] == [("10.20.1.80/32", False)]


def passing(host):
    return {(one.protocol, one.address, one.interface, one.ports, one.opening) for one in host.netfilter.replies}


def test_nats_replies_pass_the_director_whatever_conntrack_says_of_them(environment):
    nat = [service for service in BASE["services"] if service["mode"] == "nat"]
    host = of(environment, "lb1", {"services": nat})
    assert passing(host) == {
        (protocol, f"10.20.1.{number}/32", "eth1.30", ports, False)
        for number in (11, 12)
        for protocol, ports in (("tcp", ("8080",)), ("icmp", ("3",)))
    }
    assert Chain("filter", "FORWARD") in host.netfilter.chains
    assert host.netfilter6.replies == ()
    others = [service for service in BASE["services"] if service["mode"] != "nat"]
    assert of(environment, "lb1", {"services": others}).netfilter.replies == ()


def test_conntrack_keeps_nats_connections_where_a_firewall_has_to_know_them(environment):
    """Then the last packets of nat's connections are no exception any more, and those of other modes are untracked as beside fullnat."""
    without = [{**service, "connections": 300_000} for service in BASE["services"] if service["mode"] != "fullnat"]
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_conntrack": True}}
    kept = of(environment, "lb1", {"services": without, "hosts": hosts})
    assert settings(kept)["net/ipv4/vs/conntrack"] == 1
    assert settings(kept)["net/netfilter/nf_conntrack_max"] == 600_000, "nat's connections alone have entries"
    assert "nf_conntrack" in kept.modules
    assert {(one.address, one.ending) for one in kept.netfilter.untracked} == {
        (vip, False) for vip in ("10.20.1.80/32", "203.0.113.82/32", "203.0.113.84/31")
    }
    assert "tcp" not in {one.protocol for one in kept.netfilter.admitted}
    usual = of(environment, "lb1", {"services": without})
    assert "net/ipv4/vs/conntrack" not in settings(usual)
    assert "net/netfilter/nf_conntrack_max" not in settings(usual), "conntrack forgets each packet"
    others = [service for service in without if service["mode"] != "nat"]
    assert "net/ipv4/vs/conntrack" not in settings(of(environment, "lb1", {"services": others, "hosts": hosts}))


def test_replies_of_ftps_data_come_from_any_port_and_open_connections_from_one(environment):
    servers = [{"group": "app"}]
    ftp = {"name": "ftp", "vip": "203.0.113.81", "port": 21, "mode": "nat", "helper": "ftp", "real_servers": servers}
    host = of(environment, "lb1", {"services": [ftp]})
    assert host.netfilter.untracked == (), "the helper has IPVS show the control connection to conntrack"
    tcp = {one for one in passing(host) if one[0] == "tcp"}
    assert {(address, ports, opening) for _, address, _, ports, opening in tcp} == {
        (f"10.20.1.{number}/32", *rest) for number in (11, 12) for rest in ((("21", "1:65535"), False), (("20",), True))
    }


def test_dr_real_server_has_the_vip_on_lo_and_hides_it_on_its_segment(environment):
    services = [service for service in BASE["services"] if service["mode"] == "dr"]
    host = of(environment, "rs1", {"services": services})
    assert [(vip.address, vip.device) for vip in host.addresses] == [("10.20.1.80", "lo")]
    assert settings(host) == {"net/ipv4/conf/all/arp_ignore": 1, "net/ipv4/conf/all/arp_announce": 2}


def test_tun_real_server_has_the_vip_on_tunl0_with_loose_reverse_path_filter(environment):
    host = of(environment, "rs3")
    assert host.modules == ("ipip", "lvskit_ctk")
    assert host.devices_up == ("tunl0",)
    assert [(vip.address, vip.device) for vip in host.addresses] == [("203.0.113.82", "tunl0")]
    assert settings(host)["net/ipv4/conf/tunl0/rp_filter"] == 2


def test_tun_real_server_announces_segments_that_leave_room_for_the_outer_header(environment):
    assert [(clamp.address, clamp.mss) for clamp in of(environment, "rs3").netfilter.mss_clamps] == [
        ("203.0.113.82", 1440)
    ]


def test_the_smallest_mtu_on_the_way_decides_the_segment_size(environment):
    networks = {
        "clients": {"cidr": "198.51.100.0/24", "vlan": 10, "gateway": "198.51.100.1"},
        "edge": {"cidr": "203.0.113.0/24", "vlan": 20, "gateway": "203.0.113.1", "mtu": 1400},
        "app": {"cidr": "10.20.1.0/24", "vlan": 30, "gateway": "10.20.1.1"},
        "farm": {"cidr": "10.20.2.0/24", "vlan": 40, "gateway": "10.20.2.1", "mtu": 9000},
    }
    assert of(environment, "rs3", {"networks": networks}).netfilter.mss_clamps[0].mss == 1400 - 20 - 40


def test_an_enat_real_server_announces_segments_that_fit_the_way_from_the_director(environment):
    networks = {
        "clients": {"cidr": "198.51.100.0/24", "vlan": 10, "gateway": "198.51.100.1"},
        "edge": {"cidr": "203.0.113.0/24", "vlan": 20, "gateway": "203.0.113.1"},
        "app": {"cidr": "10.20.1.0/24", "vlan": 30, "gateway": "10.20.1.1"},
        "farm": {"cidr": "10.20.2.0/24", "vlan": 40, "gateway": "10.20.2.1", "mtu": 9000},
    }
    service = {"name": "e", "vip": "203.0.113.86", "port": 80, "mode": "enat", "scheduler": "rr"}
    changes = {"services": [{**service, "real_servers": [{"host": "rs3", "port": 8081}]}]}
    (clamp,) = of(environment, "rs3", {**changes, "networks": networks}).netfilter.mss_clamps
    address = environment(changes).topology.hosts["rs3"].interfaces[0].address
    assert (clamp.address, clamp.port, clamp.mss) == (str(address), 8081, 1460)
    assert of(environment, "rs3", changes).netfilter.mss_clamps == ()

    narrow = {"cidr": "203.0.114.0/24", "vlan": 50, "gateway": "203.0.114.1", "mtu": 1400}
    lb2 = {"lvs_interfaces": {"eth1": {"network": "narrow", "address": "203.0.114.10"}}}
    both = {
        "networks": {**networks, "narrow": narrow},
        "hosts": {**BASE["hosts"], "lb2": lb2},
        "groups": {**BASE["groups"], "directors": ["lb1", "lb2"], "both": ["lb1", "lb2"]},
        "services": [
            {
                **changes["services"][0],
                "vip": "192.0.2.80",
                "vip_routed": True,
                "directors": "both",
                "scheduler": "mh",
            }
        ],
    }
    assert environment(both).violations == []
    assert [clamp.mss for clamp in of(environment, "rs3", both).netfilter.mss_clamps] == [1360]


def test_a_director_strips_the_kind_of_option_that_its_real_servers_read(environment):
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_option_kind": 200}}
    service = {"name": "e", "vip": "203.0.113.86", "port": 80, "mode": "enat", "scheduler": "rr"}
    changes = {"hosts": hosts, "services": [{**service, "real_servers": [{"host": "rs3", "port": 8081}]}]}
    strips = of(environment, "lb1", changes).netfilter.strips
    assert [(one.vip, one.kinds) for one in strips] == [
        ("203.0.113.86", (30, 200))
    ]  # and MPTCP, for which enat has no room


@pytest.mark.parametrize("first", ["lb1", "lb2"])
def test_of_two_directors_the_one_with_the_smaller_mtu_on_its_way_decides(environment, first):
    narrow = {"cidr": "203.0.114.0/24", "vlan": 50, "gateway": "203.0.114.1", "mtu": 1400}
    lb2 = {"lvs_interfaces": {"eth1": {"network": "narrow", "address": "203.0.114.10"}}}
    service = {
        "name": "t",
        "vip": "192.0.2.80",
        "port": 80,
        "mode": "tun",
        "vip_routed": True,
        "directors": "both",
        "scheduler": "mh",
    }
    changes = {
        "networks": {**BASE["networks"], "narrow": narrow},
        "hosts": {**BASE["hosts"], "lb2": lb2},
        "groups": {**BASE["groups"], "directors": ["lb1", "lb2"], "both": sorted(("lb1", "lb2"), key=first.__ne__)},
        "services": [{**service, "real_servers": [{"host": "rs3"}]}],
    }
    assert environment(changes).violations == []
    assert [clamp.mss for clamp in of(environment, "rs3", changes).netfilter.mss_clamps] == [1400 - 20 - 40]


def test_nat_by_policy_routes_only_the_services_replies_to_the_director(environment):
    host = of(environment, "rs1")
    assert [(route.gateway, route.device, route.table) for route in host.routes] == [("10.20.1.10", "eth1", 7600)]
    assert [(rule.selector, rule.lookup) for rule in host.rules] == [("from 10.20.1.11 ipproto tcp sport 8080", "7600")]
    assert settings(host)["net/ipv4/tcp_mtu_probing"] == 1  # the kernel does not find such a route by an ICMP error


def test_nat_by_policy_routes_datagrams_of_a_socket_without_an_address_too(environment):
    """Routing rules do not find them in IPv6, and each TCP connection has an address."""
    networks, hosts = (copy.deepcopy(BASE[key]) for key in ("networks", "hosts"))
    for name, length in (("edge", "20"), ("app", "30")):
        networks[name]["cidr6"] = f"2001:db8:{length}::/64"
    hosts["lb1"]["lvs_interfaces"]["eth1.20"]["address6"] = "2001:db8:20::10"
    hosts["lb1"]["lvs_interfaces"]["eth1.30"]["address6"] = "2001:db8:30::10"
    hosts["rs1"]["lvs_interfaces"]["eth1"]["address6"] = "2001:db8:30::11"
    service = {"name": "n", "vip": ["203.0.113.81", "2001:db8:20::81"], "port": 53, "protocol": ["tcp", "udp"]}
    services = [{**service, "mode": "nat", "return_path": "policy", "real_servers": [{"host": "rs1"}]}]
    host = of(environment, "rs1", {"networks": networks, "hosts": hosts, "services": services})
    assert [(rule.selector, rule.lookup) for rule in host.rules] == [
        ("from 10.20.1.11 ipproto tcp sport 53", "7600"),
        ("from 10.20.1.11 ipproto udp sport 53", "7600"),
        ("from 0.0.0.0 ipproto udp sport 53", "7600"),
        ("from 2001:db8:30::11 ipproto tcp sport 53", "7601"),
        ("from 2001:db8:30::11 ipproto udp sport 53", "7601"),
    ]


def test_nat_by_gateway_makes_the_director_the_default_route(environment):
    services = [{"name": "n", "vip": "203.0.113.81", "port": 80, "mode": "nat", "real_servers": [{"host": "rs1"}]}]
    host = of(environment, "rs1", {"services": services})
    assert [(route.gateway, route.table) for route in host.routes] == [("10.20.1.10", 7690)]
    assert "net/ipv4/tcp_mtu_probing" not in settings(host)
    assert [(rule.selector, rule.lookup, rule.suppress_default) for rule in host.rules] == [
        ("from all", "main", True),
        ("from 10.20.1.11", "7690", False),
        (
            "from 0.0.0.0",
            "7690",
            False,
        ),  # sockets without an address of their own; the host's other addresses keep their way
    ]


def test_director_forwards_and_sends_no_redirects_only_where_replies_pass_it(environment):
    assert settings(of(environment, "lb1"))["net/ipv4/ip_forward"] == 1
    assert settings(of(environment, "lb1"))["net/ipv4/conf/all/send_redirects"] == 0
    dr_only = [{"name": "d", "vip": "203.0.113.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}]
    assert settings(of(environment, "lb1", {"services": dr_only})) == {"net/ipv4/vs/expire_nodest_conn": 1}


def test_director_accepts_requests_whose_sender_is_reached_by_another_interface(environment):
    """The VIP lies in app, the way to clients is edge: a strict reverse path filter would drop each request."""
    assert settings(of(environment, "lb1"))["net/ipv4/conf/eth1.30/rp_filter"] == 2


def test_director_holds_each_vip_on_the_interface_of_its_network(environment):
    places = {vip.address: vip.device for vip in of(environment, "lb1").addresses}
    assert places == {
        "10.20.1.80": "eth1.30",
        "203.0.113.81": "eth1.20",
        "203.0.113.82": "eth1.20",
        "203.0.113.83": "eth1.20",
        "203.0.113.84": "eth1.20",
        "203.0.113.85": "eth1.20",
        "10.20.1.200": "eth1.30",  # a local address, which replies come to
    }


def test_a_routed_vip_lies_on_lo(environment):
    service = {
        "name": "d",
        "vip": "192.0.2.80",
        "port": 80,
        "mode": "dr",
        "vip_routed": True,
        "real_servers": [{"host": "rs1"}],
    }
    assert [(vip.address, vip.device) for vip in of(environment, "lb1", {"services": [service]}).addresses] == [
        ("192.0.2.80", "lo")
    ]


def test_every_service_has_its_row_in_the_directors_table(environment):
    methods = {service.service: service.destinations[0].method for service in of(environment, "lb1").services}
    assert methods == {"dr": "-g", "nat": "-m", "tun": "-i", "fullnat": "-m", "enat": "-m", "enat-cip-src": "-m"}


def test_an_enat_real_server_answers_nobody_but_the_director_by_itself(environment):
    host = of(environment, "rs3")
    directors = ("10.20.1.10", "203.0.113.10")
    assert host.netfilter.guards == (Guard("10.20.2.13", ("8081",), directors, 254),)
    assert [(m.name, m.parameters) for m in host.built_modules] == [
        ("lvskit_ctk", {"vips": "203.0.113.84", "services": "10.20.2.13:8081", "kind": "254"})
    ]
    assert "203.0.113.84" not in [vip.address for vip in host.addresses]


def test_an_enat_real_server_with_cip_src_is_guarded_too(environment):
    host = of(environment, "rs2")
    assert [(g.address, g.ports) for g in host.netfilter.guards] == [("10.20.1.12", ("8082",))]
    assert [(m.name, m.parameters) for m in host.built_modules] == [
        ("lvskit_ctk", {"cip_src_vips": "203.0.113.85", "services": "10.20.1.12:8082", "kind": "254"})
    ]


def test_both_forms_of_enat_on_one_host_are_parameters_of_one_module(environment):
    servers = [{"host": "rs2", "port": 8081}]
    several = [{"host": "rs2"}]
    services = [
        {"name": "e", "vip": "203.0.113.84", "port": [80, 443, 8443], "mode": "enat", "real_servers": several},
        {"name": "s", "vip": "203.0.113.85", "port": 80, "mode": "enat", "cip_src": True, "real_servers": servers},
        {"name": "t", "vip": "203.0.113.86", "port": 80, "mode": "enat", "cip_src": False, "real_servers": servers},
    ]
    built = {name: of(environment, name, {"services": services}).built_modules for name in ("lb1", "rs2")}
    addresses = {"vips": "203.0.113.84,203.0.113.86", "cip_src_vips": "203.0.113.85", "kind": "254"}
    assert {name: [(m.name, m.parameters) for m in modules] for name, modules in built.items()} == {
        "lb1": [("lvskit_enat", addresses)],
        "rs2": [
            ("lvskit_ctk", addresses | {"services": ",".join(f"10.20.1.12:{port}" for port in (80, 443, 8081, 8443))})
        ],
    }
    (guard,) = of(environment, "rs2", {"services": services}).netfilter.guards
    assert guard.ports == ("80", "443", "8443", "8081")


@pytest.mark.parametrize("cip_src", [False, True])
def test_an_enat_real_server_accepts_clients_from_the_directors_side(environment, cip_src):
    """The director is on eth1 and the way to clients is eth2: a strict reverse path filter would drop each request."""
    interfaces = {
        "eth1": {"network": "app", "address": "10.20.1.12"},
        "eth2": {"network": "farm", "address": "10.20.2.12", "default_route": True},
    }
    service = {"name": "e", "vip": "203.0.113.84", "port": 80, "mode": "enat", "cip_src": cip_src}
    changes = {
        "hosts": {**BASE["hosts"], "rs2": {"lvs_interfaces": interfaces}},
        "services": [{**service, "real_servers": [{"host": "rs2", "port": 8081}]}],
    }
    assert settings(of(environment, "rs2", changes)) == {"net/ipv4/conf/eth1/rp_filter": 2}


def test_a_host_in_no_service_has_an_empty_plan(environment):
    host = of(environment, "rs3", {"services": []})
    assert (host.addresses, host.sysctls, host.modules, host.services) == ((), (), (), ())


def test_plans_of_all_hosts_are_those_of_each_host_and_plain_data(environment):
    topology = environment().topology
    compiled = plans(topology)
    assert all(compiled[name] == plan(topology, name) for name in topology.hosts)
    json.dumps({name: host.as_dict() for name, host in compiled.items()})


def fullnat(**changes):
    service = {
        "name": "f",
        "vip": "203.0.113.83",
        "port": 80,
        "mode": "fullnat",
        "local_addresses": ["10.20.1.200"],
        "real_servers": [{"host": "rs3", "port": 8080}],
    }
    return {"services": [{**service, **changes}]}


def test_a_fullnat_real_server_needs_nothing(environment):
    host = of(environment, "rs3", fullnat())
    assert (host.addresses, host.sysctls, host.modules, host.netfilter.chains) == ((), (), (), ())


def test_consecutive_local_addresses_are_one_range_and_others_share_by_size(environment):
    pool = ["10.20.1.203", "10.20.1.200", "10.20.1.201", "10.20.1.202", "10.20.1.210"]
    (nat,) = of(environment, "lb1", fullnat(local_addresses=pool)).netfilter.source_nats
    assert [(r.addresses, r.probability) for r in nat.ranges] == [
        ("10.20.1.200-10.20.1.203", "0.79999999981"),  # 0.8 as the kernel keeps it, in 31 bits
        ("10.20.1.210", None),
    ]


def test_a_directors_own_address_as_local_address_is_not_added_to_it(environment):
    host = of(environment, "lb1", fullnat(local_addresses=["10.20.1.10"]))
    assert [vip.address for vip in host.addresses] == ["203.0.113.83"]


@pytest.mark.parametrize("helper", ["ftp", None])
def test_the_director_of_a_service_with_a_helper_has_its_module(environment, helper):
    service = {"name": "files", "vip": "203.0.113.81", "port": 21, "mode": "nat", "real_servers": [{"group": "app"}]}
    host = of(environment, "lb1", {"services": [{**service, **({"helper": helper} if helper else {})}]})
    assert ("ip_vs_ftp" in host.modules) is bool(helper)


def test_conntrack_is_sized_by_the_expected_connections(environment):
    def sizes(connections):
        settings = of(environment, "lb1", fullnat(**({"connections": connections} if connections else {}))).sysctls
        return {s.key.rpartition("/")[2]: s.value for s in settings if "nf_conntrack_" in s.key}

    assert sizes(None) == {}
    assert (
        sizes(1000) == sizes(100_000) == {"nf_conntrack_max": 262_144, "nf_conntrack_buckets": 65_536}
    )  # the kernel's most
    assert sizes(200_000) == {"nf_conntrack_max": 400_000, "nf_conntrack_buckets": 100_000}


@pytest.mark.parametrize(
    ("client_address", "director", "server"),
    [("none", [], []), ("toa", ["lvskit_toa"], ["lvskit_toa_peer"]), ("restore", ["lvskit_toa"], ["lvskit_restore"])],
)
def test_kernel_modules_for_the_clients_address(environment, client_address, director, server):
    changes = fullnat(client_address=client_address)
    built = {name: of(environment, name, changes).built_modules for name in ("lb1", "rs3")}
    assert {name: [module.name for module in modules] for name, modules in built.items()} == {
        "lb1": director,
        "rs3": server,
    }
    assert all(module.parameters["lips"] == "10.20.1.200" for modules in built.values() for module in modules)


def test_the_host_in_front_of_a_real_server_restores_for_it(environment):
    changes = {**fullnat(client_address="restore"), **IN_FRONT}
    names = {name: [m.name for m in of(environment, name, changes).built_modules] for name in ("hv1", "rs3")}
    assert names == {"hv1": ["lvskit_restore"], "rs3": []}


def test_a_host_in_front_restores_for_no_other_real_server_that_it_routes(environment):
    hosts = {**IN_FRONT["hosts"], "rs4": {"lvs_interfaces": {"eth1": {"network": "farm", "address": "10.20.2.14"}}}}
    servers = [{"host": "rs3", "port": 8080}, {"host": "rs4", "port": 8080}]
    changes = {**fullnat(client_address="restore", real_servers=servers), **IN_FRONT, "hosts": hosts}
    rips = {name: of(environment, name, changes).built_modules[0].parameters["rips"] for name in ("hv1", "rs4")}
    assert rips == {"hv1": "10.20.2.13", "rs4": "10.20.2.14"}


def test_another_makers_receiver_takes_the_place_of_lvskits_own(environment):
    receiver = {"module": "toa", "source": "toa.tar.gz", "make_arguments": ["A=1"], "parameters": {"ro": 1}}
    hosts = {**BASE["hosts"], "rs3": {**BASE["hosts"]["rs3"], "lvs_toa_receiver": receiver}}
    host = of(environment, "rs3", {**fullnat(client_address="toa"), "hosts": hosts})
    assert host.built_modules == (BuiltModule("toa", {"ro": "1"}, "toa.tar.gz", ("A=1",)),)
    assert host.modules == ("toa",)
    restoring = of(environment, "rs3", {**fullnat(client_address="restore"), "hosts": hosts})
    assert [module.name for module in restoring.built_modules] == ["lvskit_restore"]


def test_a_drained_real_server_leaves_the_directors_table_and_keeps_the_rest(environment):
    hosts = {**BASE["hosts"], "rs1": {**BASE["hosts"]["rs1"], "lvs_drained": True}}
    there = {d.address for service in of(environment, "lb1", {"hosts": hosts}).services for d in service.destinations}
    assert there == {"10.20.1.12", "10.20.2.13"}
    assert of(environment, "rs1", {"hosts": hosts}) == of(environment, "rs1")


def test_a_routed_vip_is_on_no_interface_and_nobody_answers_for_it(environment):
    """Several directors may have it, also where it lies in a network of theirs."""
    service = {"name": "d", "vip": "203.0.113.80", "vip_routed": True, "port": 80, "mode": "dr"}
    host = of(environment, "lb1", {"services": [{**service, "real_servers": [{"host": "rs1"}]}]})
    assert [(vip.address, vip.device) for vip in host.addresses] == [("203.0.113.80", "lo")]
    assert settings(host)["net/ipv4/conf/all/arp_ignore"] == 1
    assert settings(host)["net/ipv4/conf/all/arp_announce"] == 2


def test_each_of_several_directors_has_its_own_local_addresses(environment):
    hosts = {**BASE["hosts"], "lb2": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.9"}}}}
    pool = {"lb1": ["10.20.1.200"], "lb2": ["10.20.1.201", "10.20.1.202"]}
    service = {**fullnat(local_addresses=pool)["services"][0], "vip": "192.0.2.80", "vip_routed": True}
    groups = {**BASE["groups"], "directors": ["lb1", "lb2"]}
    changes = {"hosts": hosts, "groups": groups, "services": [service]}
    assert environment(changes).messages == []
    sources = {name: of(environment, name, changes).netfilter.source_nats[0].ranges for name in ("lb1", "lb2")}
    assert {name: [r.addresses for r in ranges] for name, ranges in sources.items()} == {
        "lb1": ["10.20.1.200"],
        "lb2": ["10.20.1.201-10.20.1.202"],
    }
    held = {a.address for a in of(environment, "lb2", changes).addresses}
    assert held == {"192.0.2.80", "10.20.1.201", "10.20.1.202"}


MANY = {
    "name": "shop",
    "vip": "203.0.113.80",
    "port": [80, 443, "8000-8100"],
    "mode": "dr",
    "vip_routed": True,
    "real_servers": [{"host": "rs1", "weight": 3}, {"host": "rs2", "upper_threshold": 20, "lower_threshold": 15}],
}


def table(environment, **service):
    """The director's virtual services: option, endpoint, scheduler and options; and the destinations of the last one."""
    host = of(environment, "lb1", {"services": [{**MANY, **service}]})
    services = [(v.protocol, v.endpoint, " ".join((v.scheduler, *v.options))) for v in host.services]
    return (
        host,
        services,
        [(d.endpoint, d.weight, d.upper_threshold, d.lower_threshold) for d in host.services[-1].destinations],
    )


def test_each_port_is_an_entry_and_a_range_is_found_by_a_mark(environment):
    host, services, servers = table(environment)
    mark = host.netfilter.marks[0]
    assert services == [
        ("-t", "203.0.113.80:80", "wlc"),
        ("-t", "203.0.113.80:443", "wlc"),
        ("-f", str(mark.mark), "wlc"),
    ]
    assert (mark.protocol, mark.address, mark.ports) == ("tcp", "203.0.113.80", ("8000:8100",))
    assert mark.mark & 0xFF800000 == 0x6C000000  # the upper half of lvskit's marks is for checks
    assert servers == [
        ("10.20.1.11:0", 3, 0, 0),
        ("10.20.1.12:0", 1, 20, 15),
    ]  # port 0: the one that the client asks for
    assert Chain("mangle", "PREROUTING") in host.netfilter.chains


def test_persistence_across_ports_is_one_entry_by_a_mark_for_all_ports_and_protocols(environment):
    more = {"persistence_timeout": 300, "persistence_across_ports": True, "protocol": ["tcp", "udp"]}
    host, services, _ = table(environment, **more, persistence_netmask={4: 24})
    assert [(flag, options) for flag, _, options in services] == [("-f", "wlc -p 300 -M 255.255.255.0")]
    assert {(m.protocol, m.ports) for m in host.netfilter.marks} == {
        ("tcp", ("80", "443", "8000:8100")),
        ("udp", ("80", "443", "8000:8100")),
    }
    assert len({m.mark for m in host.netfilter.marks}) == 1


def test_a_mark_is_made_of_the_services_name_and_its_vip_and_of_nothing_else(environment):
    def marks(*services):
        host = of(environment, "lb1", {"services": [{**MANY, **service} for service in services]})
        return {(m.address, m.mark) for m in host.netfilter.marks}

    alone = marks({})
    other = {"name": "other", "vip": "203.0.113.81"}
    assert alone < marks({}, other) == marks(other, {})
    assert len({mark for _, mark in marks({}, other)}) == 2


def test_marks_that_meet_are_told_apart(environment, monkeypatch):
    monkeypatch.setattr(hashlib, "sha256", lambda text: SimpleNamespace(digest=lambda: bytes(32)))
    services = [{**MANY, "name": name, "vip": vip} for name, vip in (("a", "203.0.113.80"), ("b", "203.0.113.81"))]
    host = of(environment, "lb1", {"services": services})
    assert {(m.address, m.mark) for m in host.netfilter.marks} == {
        ("203.0.113.80", 0x6C000000),
        ("203.0.113.81", 0x6C000001),
    }


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({"scheduler": "mh", "scheduler_flags": ["mh-fallback", "mh-port"]}, "mh -b mh-fallback,mh-port"),
        ({"protocol": "udp", "one_packet": True}, "wlc -o"),
        ({"protocol": "udp", "persistence_timeout": 60, "persistence_engine": "sip"}, "wlc -p 60 --pe sip"),
        ({"persistence_timeout": 60, "persistence_netmask": {4: 32}}, "wlc -p 60"),  # single addresses are the default
    ],
)
def test_what_ipvs_can_do_besides_is_an_option(environment, keys, options):
    _, services, _ = table(environment, port=80, **keys)
    assert [words for _, _, words in services] == [options]


@pytest.mark.parametrize(
    ("keys", "port", "own"),
    [
        ({"port": 80}, 80, False),
        ({"port": "8000-8100"}, 8000, True),
        ({"port": 80, "check": {"port": 9000}}, 9000, True),
    ],
)
def test_checks_come_from_a_local_address_as_requests_do(environment, keys, port, own):
    """A rule of their own finds those that the service's rule does not: by the marks of checks, and by the port, as other services may have it."""
    check = {"type": "tcp", **keys.pop("check", {})}
    host = of(environment, "lb1", fullnat(real_servers=[{"host": "rs3"}], health_check=check, **keys))
    service, *checks = host.netfilter.source_nats
    assert [(nat.port, nat.mark) for nat in checks] == ([(port, "0x6cc00000/0xffc00000")] if own else [])
    assert {nat.ranges for nat in checks} <= {service.ranges}
    (probe,) = host.checks[0].servers[0].probes
    assert probe.mark & 0xFFC00000 == 0x6CC00000
    found = {f"203.0.113.83:{port} mark 0x6cc00000/0xffc00000"} if own else set()
    assert {nat.found for nat in checks} == found
    assert service.found == ("203.0.113.83 mark " + service.mark if service.mark else "203.0.113.83:80")


def test_fullnat_by_a_mark_takes_its_source_by_the_mark(environment):
    changes = fullnat(port="8000-8100", real_servers=[{"host": "rs3"}])
    host = of(environment, "lb1", changes)
    (nat,) = host.netfilter.source_nats
    assert int(nat.mark, 16) == host.netfilter.marks[0].mark
    assert int(host.services[0].endpoint) == int(nat.mark, 16)


def test_timeouts_are_the_directors(environment):
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_timeouts": {"tcp": 7200}}}
    assert of(environment, "lb1", {"hosts": hosts}).timeouts == (7200, 120, 300)
    assert of(environment, "lb1").timeouts is None
