"""The page that explains an environment, and its pictures of walks."""

import re
from dataclasses import replace
from html import escape
from xml.etree import ElementTree

import pytest
from ansible.module_utils.lvs.walk import walk
from ansible.module_utils.lvs_controller import dependence, explanation, segments
from conftest import BASE

HOSTILE = "<script>alert('x')</script>&\""


def explained(env, only=()):
    return explanation.explain(env.topology, [v for v in env.violations if v.warning], only, "lab", "4f1c2ab")


def test_every_hop_of_every_service_is_on_the_page(environment):
    env = environment()
    page = explained(env).html()
    client, director = env.host("client1"), env.host("lb1")
    for service in env.topology.services:
        for hop in walk(env.topology, service.entries[0], director, service.real_servers[0], client).hops:
            assert escape(str(hop)) in page, hop


def test_real_servers_whose_packets_go_alike_are_drawn_once(environment):
    (part,) = [part for part in explained(environment()).parts if part.service.name == "dr"]
    (way,) = part.ways
    assert way.heading == "By rs1 (the same for rs2)"


def test_real_servers_whose_packets_go_otherwise_are_drawn_too(environment):
    service = {"name": "t", "vip": "203.0.113.82", "port": 80, "mode": "tun"}
    env = environment({"services": [{**service, "real_servers": [{"host": "rs1"}, {"host": "rs3"}]}]})
    assert [way.heading for way in explained(env).parts[0].ways] == ["By rs1", "By rs3"]


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("tun", ("added to each packet of a request", "20 bytes; up to 1440 bytes of data are left in each")),
        ("enat", ("added to each packet of a request", "8 bytes; up to 1452 bytes of data are left in each")),
        ("fullnat", ("ports for connections at the same time", "64512")),
        ("fullnat", ("applications see", "a local address of the director")),
        ("dr", ("replies", "go directly to the client")),
        ("enat", ("replies", "go directly to the client")),
        ("nat", ("replies", "pass the director")),
    ],
)
def test_what_a_mode_costs_is_told_in_figures(environment, name, fact):
    (part,) = [part for part in explained(environment()).parts if part.service.name == name]
    assert fact in part.facts


def test_what_a_host_carries_is_its_plan(environment):
    loads = {load.name: dict(load.parts) for load in explained(environment()).loads}
    assert "10.20.1.80 on lo" in loads["rs1"]["addresses"]
    assert any("arp_ignore = 1: " in line for line in loads["rs1"]["kernel settings"])
    assert "dr (port 80, weight 1)" in loads["rs1"]["serves"]
    assert len(loads["lb1"]["virtual services"]) == 6
    assert "client1" not in loads


def test_each_part_of_a_plan_is_listed_under_its_title(environment):
    nat = {"vip": "203.0.113.81", "port": 80, "mode": "nat", "return_path": "policy"}
    services = [
        {"name": "nat", **nat, "real_servers": [{"host": "rs1", "port": 8080}]},
        {"name": "tun", "vip": "203.0.113.82", "port": 80, "mode": "tun", "real_servers": [{"host": "rs1"}]},
        {
            "name": "fullnat",
            "vip": "203.0.113.83",
            "port": 80,
            "mode": "fullnat",
            "local_addresses": ["10.20.1.200"],
            "real_servers": [{"host": "rs3", "port": 8080}],
        },
    ]
    loads = {load.name: load for load in explained(environment({"services": services})).loads}
    director, server = dict(loads["lb1"].parts), dict(loads["rs1"].parts)
    assert (loads["lb1"].role, loads["rs1"].role) == ("director", "real server")
    assert [*director] == [
        "interfaces",
        "virtual services",
        "addresses",
        "kernel settings",
        "kernel modules",
        "source NAT",
    ]
    assert [*server] == [
        "serves", "interfaces", "addresses", "kernel settings", "kernel modules", "routes", "routing rules", "segment size"
    ]  # fmt: skip
    assert director["interfaces"] == ("eth1.20: 203.0.113.10/24", "eth1.30: 10.20.1.10/24")
    assert director["virtual services"][0] == "nat: -t 203.0.113.81:80 wlc, 1 real servers"
    assert director["source NAT"] == ("tcp 203.0.113.83:80 from 10.20.1.200",)
    assert server["serves"] == ("nat (port 8080, weight 1)", "tun (port 80, weight 1)")
    assert server["kernel modules"] == ("ipip",)
    assert server["routes"] == ("default via 10.20.1.10 dev eth1, table 7600",)
    assert server["routing rules"] == ("from 10.20.1.11 ipproto tcp sport 8080 lookup 7600",)
    assert server["segment size"] == ("203.0.113.82: 1440 bytes",)


def test_the_facts_of_a_service_name_its_modules_its_sizes_and_how_full_its_ports_are(environment):
    service = {
        "name": "toa",
        "vip": "203.0.113.83",
        "port": 80,
        "mode": "fullnat",
        "client_address": "toa",
        "connections": 32256,
        "local_addresses": ["10.20.1.200"],
        "real_servers": [{"host": "rs3", "port": 8080}],
    }
    (part,) = explained(environment({"services": [service]})).parts
    facts = dict(part.facts)
    assert facts["directors"] == "lb1"
    assert facts["scheduler"] == "wlc"
    assert facts["applications see"] == "the client, from accept() and getpeername()"
    assert facts["kernel modules"] == "lvskit_toa, lvskit_toa_peer"
    assert facts["smallest MTU on the way"] == "1500 bytes"
    assert facts["ports for connections at the same time"] == "64512, 32256 expected (50 %)"
    assert facts["local addresses"] == "10.20.1.200"


@pytest.mark.parametrize(("protocol", "room"), [("tcp", 1340), ("udp", 1352)])
def test_the_room_for_data_is_that_of_the_smallest_mtu(environment, protocol, room):
    """Behind the router of app the way to rs3 has 1400 bytes, that to rs1 1500. 20 bytes go to the tunnel, the rest to headers."""
    networks = {**BASE["networks"], "farm": {**BASE["networks"]["farm"], "mtu": 1400}}
    service = {"name": "tun", "vip": "203.0.113.82", "port": 80, "mode": "tun", "protocol": protocol}
    services = [{**service, "real_servers": [{"host": "rs1"}, {"host": "rs3"}]}]
    (part,) = explained(environment({"networks": networks, "services": services})).parts
    facts = dict(part.facts)
    assert facts["smallest MTU on the way"] == "1400 bytes"
    said = f"20 bytes; up to {room} bytes of data are left in each"
    assert facts["added to each packet of a request"] == said


def test_a_rule_for_some_modes_is_listed_for_those_in_use_only(environment):
    """NAT-SAME-VLAN and DR-SAME-VLAN are one rule; fullnat shares no VLAN with its real servers."""
    ids = [constraint.id for constraint in explained(environment()).constraints]
    assert {"DR-SAME-VLAN", "NAT-SAME-VLAN", "TUN-ROUTE", "FULLNAT-ROUTE", "ENAT-ROUTE"} <= set(ids)
    assert not {"FULLNAT-SAME-VLAN", "TUN-SAME-VLAN", "ENAT-SAME-VLAN", "DR-ROUTE", "NAT-ROUTE"} & set(ids)


def test_the_hosts_of_a_network_stand_in_the_order_of_a_request(environment):
    """Clients, routers, directors, then real servers by their groups, and what is none of them."""
    networks = {"app": {"cidr": "10.20.1.0/24", "vlan": 30, "gateway": "10.20.1.1"}}
    names = ("aside", "rs1", "rs2", "lb1", "gateway1", "client1")
    addresses = {name: f"10.20.1.{number}" for number, name in enumerate(names, 11)} | {"gateway1": "10.20.1.1"}
    hosts = {
        name: {"lvs_interfaces": {"eth1": {"network": "app", "address": address}}}
        for name, address in addresses.items()
    }
    groups = {
        "clients": ["client1"],
        "directors": ["lb1"],
        "real_servers": ["rs1", "rs2"],
        "zebra": ["rs1"],
        "apple": ["rs2"],
    }
    services = [
        {"name": "a", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"group": "real_servers"}]}
    ]
    page = explained(environment({"networks": networks, "hosts": hosts, "groups": groups, "services": services}))
    (segment,) = page.segments
    assert [(box.name, box.kind) for box in segment.boxes] == [
        ("client1", "client"),
        ("gateway1", "router"),
        ("lb1", "director"),
        ("rs2", "real server"),
        ("rs1", "real server"),
        ("aside", "other"),
    ]
    assert segment.boxes[2].note == "10.20.1.14 (eth1)"


def test_warnings_stand_beside_their_rule(environment):
    service = {"name": "f", "vip": "203.0.113.83", "port": 80, "mode": "fullnat", "local_addresses": ["10.20.1.200"]}
    env = environment({"services": [{**service, "connections": 100000, "real_servers": [{"host": "rs3"}]}]})
    (warning,) = env.violations
    (found,) = [constraint for constraint in explained(env).constraints if constraint.messages]
    assert str(warning) in found.messages[0]
    assert explained(env).warnings == 1


def test_only_rules_of_the_modes_in_use_are_listed(environment):
    env = environment(
        {"services": [{"name": "d", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}]}
    )
    ids = {constraint.id for constraint in explained(env).constraints}
    assert "DR-RETURN" in ids
    assert not [id for id in ids if id.startswith(("NAT-", "TUN-", "ENAT-", "FULLNAT-"))]


def test_what_is_left_out_is_said(environment, monkeypatch):
    monkeypatch.setattr(explanation, "DRAWN", 2)
    page = explained(environment())
    assert [bool(part.ways) for part in page.parts] == [True, True, False, False, False, False]
    assert "The walks of 2 of 6 services are drawn" in page.limits[0]
    assert [part.service.name for part in explained(environment(), ["tun"]).parts if part.ways] == ["tun"]


def test_of_many_hosts_the_first_are_listed_and_directors_among_them(environment, monkeypatch):
    monkeypatch.setattr(explanation, "HOSTS", 3)
    hosts = {name: BASE["hosts"][name] for name in ("rs1", "client1", "lb1", "rs2", "rs3")}
    page = explained(environment({"hosts": hosts}))
    assert [load.names for load in page.loads] == [("lb1",), ("rs1",), ("rs2",)]
    assert page.limits == ["What hosts carry is listed for the first 3 of 4."]
    monkeypatch.setattr(explanation, "HOSTS", 4)
    assert explained(environment()).limits == []


def test_an_environment_without_a_client_is_explained_without_pictures(environment):
    env = environment(
        {
            "groups": {
                "directors": ["lb1"],
                "real_servers": ["rs1", "rs2", "rs3"],
                "app": ["rs1", "rs2"],
                "farm": ["rs3"],
            }
        }
    )
    page = explained(env)
    assert not any(part.ways for part in page.parts)
    assert "no walk can be drawn" in page.html()


def test_names_cannot_break_the_page(environment):
    env = environment()
    services = tuple(replace(service, name=f"{HOSTILE}{i}") for i, service in enumerate(env.topology.services))
    page = explanation.explain(replace(env.topology, services=services), [], [], HOSTILE, HOSTILE).html()
    assert page.count("<script") == 1  # the page's own
    assert HOSTILE not in page
    for picture in re.findall(r"<svg.*?</svg>", page, re.S):
        ElementTree.fromstring(picture)


def test_the_same_inventory_gives_the_same_page(environment):
    assert explained(environment()).html() == explained(environment()).html()


WEB = {"port": 80, "mode": "dr", "real_servers": [{"host": "rs1", "weight": 3}, {"host": "rs2"}]}


def test_services_that_differ_in_names_and_vips_alone_are_together(environment):
    services = [{"name": f"s{n}", "vip": f"10.20.1.8{n}", **WEB} for n in range(3)]
    other = {"name": "other", "vip": "10.20.1.89", **WEB, "scheduler": "rr"}
    env = environment({"services": [*services, other]})
    page = explained(env)
    assert [[service.name for service in part.services] for part in page.parts] == [["s0", "s1", "s2"], ["other"]]
    assert page.services == 4
    assert "The same way, with their own VIPs, ports and real servers, go s1, s2." in page.html()
    assert [[s.name for s in part.services] for part in explained(env, ["s1"]).parts] == [
        ["s0", "s2"],
        ["s1"],
        ["other"],
    ]
    assert not page.limits


def test_the_real_servers_of_a_service_have_address_port_weight_and_state(environment):
    hosts = {**BASE["hosts"], "rs2": {**BASE["hosts"]["rs2"], "lvs_drained": True}}
    env = environment({"hosts": hosts, "services": [{"name": "web", "vip": "10.20.1.80", **WEB}]})
    (part,) = explained(env).parts
    assert [(one.name, one.ends, one.weight, one.drained) for one in part.servers] == [
        ("rs1", "10.20.1.11:80", 3, False),
        ("rs2", "10.20.1.12:80", 1, True),
    ]
    assert [row.drained for row in part.rows] == [1]
    text = explained(env).html()
    assert "1 drained" in text
    assert "<li>rs1 <code>10.20.1.11:80</code>, weight 3</li>" in text
    assert '<li>rs2 <code>10.20.1.12:80</code>, <b class="out">drained</b></li>' in text


def test_services_with_other_real_servers_are_other_rows_of_what_goes_alike(environment):
    first = {"name": "first", "vip": "10.20.1.80", **WEB}
    second = {**first, "name": "second", "vip": "10.20.1.81", "real_servers": [{"host": "rs2"}]}
    third = {**first, "name": "third", "vip": "10.20.1.82", "port": 81}
    fourth = {**first, "name": "fourth", "vip": "10.20.1.83"}
    (part,) = explained(environment({"services": [first, second, third, fourth]})).parts
    assert [([s.name for s in row.services], [s.ends for s in row.servers]) for row in part.rows] == [
        (["first", "fourth"], ["10.20.1.11:80", "10.20.1.12:80"]),
        (["second"], ["10.20.1.12:80"]),
        (["third"], ["10.20.1.11:81", "10.20.1.12:81"]),
    ]


def test_ranges_that_begin_alike_are_other_rows(environment):
    first = {"name": "first", "vip": "10.20.1.80", **WEB, "port": "8000-8100"}
    second = {**first, "name": "second", "vip": "10.20.1.81", "port": "8000-8200"}
    (part,) = explained(environment({"services": [first, second]})).parts
    assert [row.servers[0].ends for row in part.rows] == ["10.20.1.11:8000-8100", "10.20.1.11:8000-8200"]


def test_services_whose_packets_go_by_other_networks_are_other_parts(environment):
    tun = {"name": "near", "vip": "203.0.113.82", "port": 80, "mode": "tun", "real_servers": [{"host": "rs1"}]}
    far = {**tun, "name": "far", "vip": "203.0.113.83", "real_servers": [{"host": "rs3"}]}
    parts = explained(environment({"services": [tun, far]})).parts
    assert [part.service.name for part in parts] == ["near", "far"]


def test_many_real_servers_that_are_alike_are_one_row(environment):
    hosts = dict(BASE["hosts"])
    names = [f"web{n}" for n in range(1, 9)]
    hosts |= {
        name: {"lvs_interfaces": {"eth1": {"network": "app", "address": f"10.20.1.{100 + n}"}}}
        for n, name in enumerate(names)
    }
    hosts["lb1"] = hosts.pop("lb1")  # the last one of the inventory, and the first one on the page
    groups = {**BASE["groups"], "real_servers": [*BASE["groups"]["real_servers"], *names], "web": names}
    service = {"name": "web", "vip": "10.20.1.80", **WEB, "real_servers": [{"group": "web"}]}
    page = explained(environment({"hosts": hosts, "groups": groups, "services": [service]}))
    assert page.segments[2].boxes == (
        segments.Box("lb1", "director", "10.20.1.10 (eth1.30)"),
        segments.Box("rs1", "real server", "10.20.1.11 (eth1)"),
        segments.Box("rs2", "real server", "10.20.1.12 (eth1)"),
        segments.Box("web: 8 hosts", "real server", "web1 \u2026 web8"),
    )
    assert page.parts[0].ways[0].heading == "By web1 (the same for web2, web3, web4, web5, web6, web7 and 1 more)"
    (row,) = page.parts[0].servers
    assert (row.name, row.ends) == ("web1 \u2026 web8 (8 hosts)", "10.20.1.100:80 \u2026 10.20.1.107:80")
    director, servers = page.loads
    assert (director.names, servers.names) == (("lb1",), tuple(names))
    assert servers.own[1] == ("web2", (("interfaces", ("eth1: 10.20.1.101/24",)),))
    assert [*dict(servers.parts)] == ["serves", "addresses", "kernel settings"]
    assert servers.many
    assert not director.own


@pytest.mark.parametrize(
    ("named", "boxes", "rows"),
    [
        (2, ["lb1", "rs1", "rs2"], ["rs1", "rs2"]),
        (1, ["lb1", "app: 2 hosts"], ["rs1 \u2026 rs2 (2 hosts)"]),
    ],
)
def test_from_a_number_on_hosts_of_a_group_are_not_named_one_by_one(environment, monkeypatch, named, boxes, rows):
    monkeypatch.setattr(segments, "NAMED", named)
    page = explained(environment())
    assert [box.name for box in page.segments[2].boxes] == boxes
    assert [server.name for server in page.parts[0].servers] == rows
    assert page.parts[0].ways[0].heading == "By rs1 (the same for rs2)"


@pytest.mark.parametrize(("names", "said"), [("abcdef", "a, b, c, d, e, f"), ("abcdefg", "a \u2026 g (7 hosts)")])
def test_many_names_are_the_first_and_the_last_one_with_their_number(names, said):
    assert segments.some([*names]) == said


def test_the_page_says_when_it_was_made_and_gives_commands_for_its_inventory(environment):
    env = environment({"services": [{"name": "web", "vip": "10.20.1.80", **WEB}]})
    page = explanation.explain(
        env.topology, [], [], "lab", "abc-dirty", date="2026-03-01", given="-i inventory/lab"
    ).html()
    assert "(revision <code>abc-dirty</code>), on 2026-03-01." in page
    assert "ansible-playbook -i inventory/lab playbooks/trace.yml -e lvs_trace_service=web" in page
    assert "ansible-playbook -i inventory/lab playbooks/rollback.yml" in page
    assert "failover.yml" not in page  # there is one director


LB2 = {"lvs_interfaces": {"eth1.30": {"network": "app", "address": "10.20.1.9"}}}


PAIR = {
    "hosts": {
        **BASE["hosts"],
        "lb2": LB2,
        "rs4": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.19"}}},
    },
    "groups": {**BASE["groups"], "directors": ["lb1", "lb2"], "real_servers": ["rs1", "rs2", "rs3", "rs4"]},
    "services": [
        {
            "name": "ranges",
            "vip": "10.20.1.80",
            "port": [80, "8000-8100"],
            "mode": "dr",
            "scheduler": "mh",
            "scheduler_flags": ["mh-fallback"],
            "real_servers": [{"host": "rs1", "weight": 3}, {"host": "rs2"}],
            "health_check": {"type": "tcp", "port": 80},
            "floor": "25%",
            "sorry_server": {"host": "rs4"},
        },
        {
            "name": "mapped",
            "vip": "10.20.1.81",
            "port": 80,
            "mode": "fullnat",
            "client_address": "restore",
            "local_addresses": ["10.20.1.200"],
            "connections": 16128,
            "real_servers": [{"host": "rs1", "port": 8080}],
            "health_check": {"type": "http", "way": "rip"},
        },
        {"name": "tunnel", "vip": "10.20.1.82", "port": 80, "mode": "tun", "real_servers": [{"host": "rs1"}]},
    ],
    "directors": {"directors": {"redundancy": "vrrp", "virtual_router_id": 51}},
}


def test_a_pair_and_its_services_are_told_completely(environment):
    page = explained(environment(PAIR))
    election = (
        ("directors", "lb1, lb2"),
        ("master", "lb1 at first; VRRP 51 in app"),
        ("when it dies", "another director answers after about 2.1 s; open connections older than a few seconds go on"),
    )
    assert {part.service.name: part.facts for part in page.parts} == {
        "ranges": (
            *election,
            ("scheduler", "mh"),
            ("scheduler flags", "mh-fallback"),
            ("replies", "go directly to the client"),
            ("applications see", "the client"),
            ("smallest MTU on the way", "1500 bytes"),
            ("health check", "tcp by the VIP's own way, every 3 s; a dead real server is out within 8 s"),
            ("floor", "25% of the weight stays in use while checks fail"),
            ("sorry server", "rs4"),
        ),
        "mapped": (
            *election,
            ("scheduler", "wlc"),
            ("replies", "pass the director"),
            ("applications see", "the client"),
            ("kernel modules", "lvskit_toa, lvskit_restore"),
            ("smallest MTU on the way", "1500 bytes"),
            (
                "health check",
                "http of the real servers' own addresses, every 3 s; a dead real server is out within 8 s",
            ),
            ("floor", "50% of the weight stays in use while checks fail"),
            ("ports for connections at the same time", "64512, 16128 expected (25 %)"),
            ("local addresses", "10.20.1.200"),
        ),
        "tunnel": (
            *election,
            ("scheduler", "wlc"),
            ("replies", "go directly to the client"),
            ("applications see", "the client"),
            ("smallest MTU on the way", "1500 bytes"),
            ("added to each packet of a request", "20 bytes; up to 1440 bytes of data are left in each"),
            ("health check", "none: a dead real server keeps its share of the requests"),
        ),
    }
    assert [part.servers for part in page.parts] == [
        (
            explanation.Server("rs1", "10.20.1.11:80, 8000-8100", 3, False),
            explanation.Server("rs2", "10.20.1.12:80, 8000-8100", 1, False),
        ),
        (explanation.Server("rs1", "10.20.1.11:8080", 1, False),),
        (explanation.Server("rs1", "10.20.1.11:80", 1, False),),
    ]
    loads = {load.name: dict(load.parts) for load in page.loads}
    assert loads["rs1"]["serves"] == (
        "ranges (port 80, 8000-8100, weight 3)",
        "mapped (port 8080, weight 1)",
        "tunnel (port 80, weight 1)",
    )
    assert loads["lb2"]["addresses while it is master"] == tuple(
        f"10.20.1.{number} on eth1.30 (directors)" for number in (80, 81, 200, 82)
    )
    assert [part.anchor for part in page.parts] == ["service-1", "service-2", "service-3"]
    assert (page.groups, page.client, page.hosts, page.limits, page.warnings) == (["directors"], "client1", 7, [], 0)


def test_of_a_director_alone_nobody_takes_over(environment):
    service = {"name": "web", "vip": "10.20.1.80", **WEB}
    changes = {"services": [service], "directors": PAIR["directors"]}
    assert explained(environment(changes)).parts[0].facts[:3] == (
        ("directors", "lb1"),
        ("master", "lb1 at first; VRRP 51 in edge"),
        ("when it dies", "nobody takes over: it is the only director"),
    )


def effects(environment, *services, directors=None, drained=(), groups=()):
    hosts = {**BASE["hosts"], **({"lb2": LB2} if directors else {})}
    hosts |= {name: {**hosts[name], "lvs_drained": True} for name in drained}
    described = {"hosts": hosts, "services": list(services), "directors": directors}
    if directors:
        described["groups"] = {**BASE["groups"], "directors": ["lb1", "lb2"]}
    return [
        (loss.hosts, loss.role, loss.effects, loss.ends) for loss in dependence.losses(environment(described).topology)
    ]


CHECK = {"type": "tcp", "interval": 3, "timeout": 2, "retries": 1}


def test_without_a_second_director_or_real_server_a_service_ends(environment):
    alone = {"name": "alone", "vip": "10.20.1.81", **WEB, "real_servers": [{"host": "rs1"}]}
    assert effects(environment, alone) == [
        (("lb1",), "director", ("alone: no answer until it is back",), True),
        (("rs1",), "real server", ("alone: no answer, it is the only real server",), True),
    ]


def test_a_checked_real_server_is_missed_for_a_while_and_an_unchecked_one_for_long(environment):
    checked = {"name": "checked", "vip": "10.20.1.80", **WEB, "health_check": CHECK}
    plain = {"name": "plain", "vip": "10.20.1.81", **WEB, "real_servers": [{"host": "rs2"}, {"host": "rs1"}]}
    found = effects(environment, checked, plain)
    (service,) = (s for s in environment({"services": [checked]}).topology.services)
    assert found[1] == (
        ("rs1", "rs2"),
        "real server",
        (
            f"checked: its requests have no answer for up to {service.health_check.detection} s",
            "plain: its share of the requests has no answer until somebody drains it (no health check)",
        ),
        True,
    )
    assert effects(environment, checked)[1][3] is False


def test_a_drained_real_server_is_nobodys_loss_and_makes_the_other_one_the_last(environment):
    checked = {"name": "web", "vip": "10.20.1.80", **WEB, "health_check": CHECK}
    assert effects(environment, checked, drained=["rs2"])[1:] == [
        (("rs1",), "real server", ("web: no answer, it is the only real server",), True)
    ]
    sorry = {**checked, "sorry_server": {"host": "rs3", "port": 80}, "mode": "nat", "return_path": "policy"}
    sorry |= {"vip": "203.0.113.81", "sorry_server": {"host": "rs2", "port": 81}, "real_servers": [{"host": "rs1"}]}
    assert effects(environment, sorry)[1] == (("rs1",), "real server", ("web: the sorry server answers",), False)


def test_of_a_pair_the_other_one_answers(environment):
    pair = {"directors": {"redundancy": "vrrp", "virtual_router_id": 51}}
    assert effects(environment, {"name": "web", "vip": "10.20.1.80", **WEB}, directors=pair)[:2] == [
        (("lb1",), "director", ("web: lb2 answers after about 2.1 s if lb1 was the master",), False),
        (("lb2",), "director", ("web: lb1 answers after about 2.1 s if lb2 was the master",), False),
    ]
