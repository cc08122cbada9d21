"""What a director is given for health checks: questions, marks, the ways that they take, and what guards them."""

import pytest
from ansible.module_utils.lvs.contract.checks import HealthCheck
from ansible.module_utils.lvs.plan import plan, plans
from ansible.module_utils.lvs.questions import questions
from conftest import BASE

CHECK = {"type": "tcp"}


def directed(environment, check=CHECK, host="lb1", hosts=None, **service):
    plain = {"name": "s", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"group": "app"}]}
    raw = {**plain, **service, **({"health_check": check} if check else {})}
    changes = {"services": [raw], **({"hosts": hosts} if hosts else {})}
    made = environment(changes)
    assert [one for one in made.violations if not one.warning] == []
    return plan(made.topology, host)


def probes(found):
    return [probe for service in found.checks for server in service.servers for probe in server.probes]


MODES = {
    "dr": ({}, "-g", "10.20.1.11:0"),
    "nat": (
        {
            "vip": "203.0.113.81",
            "mode": "nat",
            "real_servers": [{"group": "app", "port": 8080}],
            "return_path": "policy",
        },
        "-m",
        "10.20.1.11:8080",
    ),
    "tun": ({"vip": "203.0.113.82", "mode": "tun", "real_servers": [{"group": "farm"}]}, "-i", "10.20.2.13:0"),
    "fullnat": (
        {
            "vip": "203.0.113.83",
            "mode": "fullnat",
            "local_addresses": ["10.20.1.200"],
            "real_servers": [{"group": "farm", "port": 8081}],
        },
        "-m",
        "10.20.2.13:8081",
    ),
    "enat": (
        {"vip": "203.0.113.84", "mode": "enat", "real_servers": [{"group": "farm", "port": 8082}]},
        "-m",
        "10.20.2.13:8082",
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_check_goes_to_the_vip_and_its_mark_leads_to_one_real_server(environment, mode):
    service, method, endpoint = MODES[mode]
    found = directed(environment, **service)
    probe = probes(found)[0]
    assert (probe.block, probe.address, probe.port) == ("TCP_CHECK", service.get("vip", "10.20.1.80"), 80)
    assert probe.source in ("203.0.113.10", "10.20.1.10")
    by_mark = {one.endpoint: one.destinations for one in found.probes}
    (destination,) = by_mark[str(probe.mark)]
    assert (destination.method, destination.endpoint) == (method, endpoint)
    assert "keepalived" in found.programs


@pytest.mark.parametrize(
    ("mode", "guarded"), [("dr", True), ("tun", True), ("enat", True), ("nat", False), ("fullnat", False)]
)
def test_where_answers_have_the_vip_as_their_source_they_are_let_in_and_forged_ones_are_not(environment, mode, guarded):
    found = directed(environment, **MODES[mode][0])
    settings = {one.key: one.value for one in found.sysctls}
    guards = found.netfilter.local_sources
    assert len(guards) == guarded
    for one in guards:
        assert settings[f"net/ipv4/conf/{one.interface}/accept_local"] == 1
        assert settings[f"net/ipv4/conf/{one.interface}/rp_filter"] == 2
        assert one.ports == (("tcp", ("80",)),)
    assert any("accept_local" in key for key in settings) == guarded


def test_checks_in_nat_are_conntracks_where_it_keeps_nats_connections(environment):
    nat = {"name": "n", "port": 80, **MODES["nat"][0], "health_check": CHECK}
    for kept, mark in ((False, 0x6C800000), (True, 0x6CC00000)):
        hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_conntrack": kept}}
        found = plan(environment({"services": [nat], "hosts": hosts}).topology, "lb1")
        assert {probe.mark & 0xFFC00000 for probe in probes(found)} == {mark}
        assert bool(found.netfilter.unseen_answers) is not kept, "a firewall knows them as established"


def test_checks_pass_by_conntrack_except_those_that_source_nat_needs(environment):
    fullnat = MODES["fullnat"][0]
    alone = directed(environment, **fullnat)
    assert {probe.mark & 0x6CC00000 for probe in probes(alone)} == {0x6CC00000}
    services = [
        {"name": "f", "port": 80, **fullnat, "health_check": CHECK},
        {
            "name": "d",
            "vip": "10.20.1.80",
            "port": 80,
            "mode": "dr",
            "real_servers": [{"group": "app"}],
            "health_check": CHECK,
        },
    ]
    both = plan(environment({"services": services}).topology, "lb1")
    assert both.netfilter.unseen == "0x6c800000/0xffc00000"
    marks = {service.service: {p.mark for server in service.servers for p in server.probes} for service in both.checks}
    assert all(mark & 0xFFC00000 == 0x6C800000 for mark in marks["d"])
    assert all(mark & 0xFFC00000 == 0x6CC00000 for mark in marks["f"])
    answers = both.netfilter.unseen_answers
    assert [(one.hook, one.protocol, one.source, one.address, one.ports) for one in answers] == [
        ("PREROUTING", "tcp", "10.20.1.80/32", "10.20.1.10", ("80",))
    ]
    # Conntrack calls answers invalid of which it has not seen the question: a firewall would drop them.
    alone = directed(environment).netfilter
    assert alone.unseen == both.netfilter.unseen and alone.unseen_answers == answers
    topology = environment({"services": services[1:]}).topology
    (passage,) = [
        p for p in questions(topology, plans(topology), ["lb1"])["lb1"].passages if p.source and p.destination
    ]
    assert (str(passage), passage.hooks, passage.states, passage.iif, passage.accepted) == (
        "tcp from 10.20.1.80 to 10.20.1.10 sport 80", ("prerouting", "input"), ("untracked",), "eth1.30", True,
    )  # fmt: skip
    assert [(one.hook, one.source, one.address, one.ports) for one in alone.taken_answers] == [
        ("INPUT", "10.20.1.80/32", "10.20.1.10", ("80",))
    ]


def test_services_with_the_same_way_to_a_real_server_share_its_mark(environment):
    one = {"vip": "10.20.1.80", "mode": "dr", "real_servers": [{"group": "app"}], "health_check": CHECK}
    services = [{"name": "a", "port": 80, **one}, {"name": "b", "port": 443, **one}]
    found = plan(environment({"services": services}).topology, "lb1")
    assert len(found.probes) == 2
    assert len(probes(found)) == 4


def test_a_service_that_is_added_moves_no_mark(environment):
    before = directed(environment)
    services = [
        {"name": "new", "port": 443, **MODES["nat"][0], "health_check": CHECK},
        {
            "name": "s",
            "vip": "10.20.1.80",
            "port": 80,
            "mode": "dr",
            "real_servers": [{"group": "app"}],
            "health_check": CHECK,
        },
    ]
    after = plan(environment({"services": services}).topology, "lb1")
    assert {one.endpoint for one in before.probes} < {one.endpoint for one in after.probes}


def test_a_check_of_the_rip_needs_no_mark_and_asks_the_real_servers_port(environment):
    found = directed(environment, {"type": "http", "way": "rip"}, **MODES["nat"][0])
    assert [(probe.address, probe.port, probe.mark, probe.source) for probe in probes(found)] == [
        ("10.20.1.11", 8080, 0, ""),
        ("10.20.1.12", 8080, 0, ""),
    ]
    assert found.probes == ()
    assert not any("accept_local" in one.key for one in found.sysctls)


def test_each_port_and_each_vip_is_asked(environment):
    found = directed(environment, {"type": "tcp", "port": [80, 9000]}, vip=["10.20.1.80", "10.20.1.81"])
    asked = {(probe.address, probe.port) for server in found.checks[0].servers[:1] for probe in server.probes}
    assert asked == {(vip, port) for vip in ("10.20.1.80", "10.20.1.81") for port in (80, 9000)}
    assert len(found.checks) == 1


def test_a_port_that_is_none_of_the_service_is_the_same_on_the_real_server(environment):
    found = directed(environment, {"type": "tcp", "port": 9000}, **MODES["nat"][0])
    assert [one.destinations[0].endpoint for one in found.probes] == ["10.20.1.11:9000", "10.20.1.12:9000"]


BOTH = {
    "networks": {
        "edge": {"cidr": "203.0.113.0/24", "cidr6": "2001:db8:20::/64", "vlan": 20, "gateway": "203.0.113.1", "gateway6": "2001:db8:20::1"},
        "farm": {"cidr": "10.20.2.0/24", "cidr6": "2001:db8:40::/64", "vlan": 40, "gateway": "10.20.2.1", "gateway6": "2001:db8:40::1"},
    },
    "hosts": {
        "lb1": {"lvs_interfaces": {"eth1": {"network": "edge", "address": "203.0.113.10", "address6": "2001:db8:20::10"}}},
        "rs1": {"lvs_interfaces": {"eth1": {"network": "farm", "address": "10.20.2.13", "address6": "2001:db8:40::13"}}},
    },
    "groups": {"directors": ["lb1"], "real_servers": ["rs1"]},
}  # fmt: skip


def tunnels(environment, *services):
    plain = {"port": 80, "mode": "tun", "real_servers": [{"host": "rs1"}], "health_check": CHECK}
    made = environment({**BOTH, "services": [{"name": f"s{vip}", "vip": vip, **plain, **own} for vip, own in services]})
    assert [one for one in made.violations if not one.warning] == []
    return {one.service: one for one in plan(made.topology, "lb1").checks}


def test_keepalived_knows_a_tunnel_between_the_families_by_an_address_of_the_real_servers_family(environment):
    """It takes no virtual server whose real servers have another family; the check itself goes to the VIP."""
    six, four = ("2001:db8:20::84", {"outer_family": 4}), ("203.0.113.85", {"outer_family": 6})
    found = tunnels(environment, six, four, ("203.0.113.86", {}))
    addresses = {name: (one.address, one.servers[0].address) for name, one in found.items()}
    assert addresses["s2001:db8:20::84"][0].startswith("127.")
    assert addresses["s2001:db8:20::84"][1] == "10.20.2.13"
    assert addresses["s203.0.113.85"] == ("64:ff9b::cb00:7155", "2001:db8:40::13")
    assert addresses["s203.0.113.86"] == ("203.0.113.86", "10.20.2.13")
    assert found["s2001:db8:20::84"].servers[0].probes[0].address == "2001:db8:20::84"
    assert found["s2001:db8:20::84"].record["verdicts"] == f"-t {addresses['s2001:db8:20::84'][0]}:80"
    others = tunnels(environment, six, ("2001:db8:20::85", {"outer_family": 4}))
    assert others["s2001:db8:20::84"].address == addresses["s2001:db8:20::84"][0] != others["s2001:db8:20::85"].address


def test_the_governor_is_told_of_every_virtual_service(environment):
    found = directed(environment, port=[80, "8000-8010"], scheduler="mh", scheduler_flags=["mh-fallback"])
    (record,) = (one.record for one in found.checks)
    assert record["entries"] == [one.name for one in found.services]
    assert len(record["entries"]) == 2
    assert (record["verdicts"], record["quiesce"]) == ("-t 10.20.1.80:80", True)
    assert record["servers"] == {"10.20.1.11:80": "rs1", "10.20.1.12:80": "rs2"}


@pytest.mark.parametrize(
    ("scheduler", "flags", "udp", "stays"),
    [
        ("mh", ["mh-fallback"], {}, True),
        ("sh", ["sh-fallback"], {}, True),
        ("mh", [], {}, False),
        ("wrr", [], {}, False),
        # Flows of UDP would stay at a dead real server of weight 0 for ever.
        ("mh", ["mh-fallback"], {"protocol": "udp"}, False),
        ("mh", ["mh-fallback"], {"protocol": ["tcp", "udp"]}, False),
        ("mh", ["mh-fallback"], {"protocol": "udp", "one_packet": True}, True),
    ],
)
def test_a_failed_real_server_keeps_its_place_in_a_table_of_slots_unless_flows_would_stay_there(
    environment, scheduler, flags, udp, stays
):
    check = {"type": "dns"} if udp.get("protocol") == "udp" else CHECK
    found = directed(environment, check, scheduler=scheduler, scheduler_flags=flags, **udp)
    assert {service.quiesce for service in found.checks} == {stays}


def test_a_drained_real_server_is_not_asked(environment):
    plain = environment().topology
    hosts = {
        name: {
            "lvs_interfaces": {i.name: {"network": i.network.name, "address": str(i.address)} for i in host.interfaces}
        }
        for name, host in plain.hosts.items()
    }
    hosts["rs1"]["lvs_drained"] = True
    found = directed(environment, hosts=hosts)
    assert [server.name for server in found.checks[0].servers] == ["rs2"]


def test_a_sorry_server_is_prepared_like_a_real_server_and_takes_no_requests(environment):
    service = {"real_servers": [{"host": "rs1"}], "sorry_server": {"host": "rs2", "port": None}}
    service["sorry_server"].pop("port")
    director = directed(environment, **service)
    assert [one.address for one in director.services[0].destinations] == ["10.20.1.11"]
    (record,) = (one.record for one in director.checks)
    assert (record["sorry"], record["apologies"]) == ("rs2", {"-t 10.20.1.80:80": "10.20.1.12:80 -g"})
    held = directed(environment, host="rs2", **service)
    assert [one.address for one in held.addresses] == ["10.20.1.80"]


@pytest.mark.parametrize(
    ("service", "sorry", "apologies"),
    [
        (
            {"port": [80, 443]},
            {},
            {"-t 10.20.1.80:80": "10.20.1.12:80 -g", "-t 10.20.1.80:443": "10.20.1.12:443 -g"},
        ),
        ({"port": "8000-8100"}, {}, {"-f 1819830428": "10.20.1.12:0 -g"}),
        (
            {"vip": "203.0.113.81", "mode": "nat", "return_path": "policy"},
            {"port": 8080},
            {"-t 203.0.113.81:80": "10.20.1.12:8080 -m"},
        ),
    ],
)
def test_a_sorry_server_stands_in_each_virtual_service_with_its_port(environment, service, sorry, apologies):
    """Of a mark there is no port: packets keep theirs."""
    given = {**service, "real_servers": [{"host": "rs1"}], "sorry_server": {"host": "rs2", **sorry}}
    check = {"type": "tcp", "port": 80}
    (record,) = (one.record for one in directed(environment, check, **given).checks)
    assert record["apologies"] == apologies


def test_without_a_check_nothing_of_this_is_there(environment):
    found = directed(environment, None)
    assert (found.checks, found.probes, found.netfilter.local_sources, found.netfilter.unseen) == ((), (), (), "")
    assert "keepalived" not in found.programs


@pytest.mark.parametrize(
    ("check", "detection"),
    [({}, 3 + 2 + 1 * 3), ({"retries": 0}, 5), ({"interval": 60, "timeout": 5, "retries": 2}, 60 + 5 + 2 * 6)],
)
def test_the_detection_time_is_that_of_a_host_that_says_nothing(check, detection):
    assert HealthCheck(type="tcp", **check).detection == detection


URL = {"path": "/healthz", "host": "shop.example.com", "status": "200-204", "match": "fine"}


@pytest.mark.parametrize(
    ("check", "settings", "url"),
    [
        ({"type": "http"}, (), (("path", '"/"'), ("virtualhost", '"10.20.1.80"'), ("status_code", "200-299"))),
        (
            {"type": "https", **URL},
            (("enable_sni", ""),),
            (
                ("path", '"/healthz"'),
                ("virtualhost", '"shop.example.com"'),
                ("status_code", "200-204"),
                ("regex", '"fine"'),
            ),
        ),
        ({"type": "smtp", "helo": "lb1"}, (("helo_name", '"lb1"'),), ()),
        ({"type": "smtp"}, (), ()),
        ({"type": "ping"}, (), ()),
        ({"type": "script", "command": "/opt/check -v"}, None, ()),
    ],
)
def test_the_keys_of_a_check_are_keepalived_settings(environment, check, settings, url):
    probe = probes(directed(environment, check))[0]
    if check["type"] == "script":
        assert probe.settings == (
            ("misc_path", f'"/usr/bin/env VIP=10.20.1.80 RIP=10.20.1.11 PORT=80 MARK={probe.mark} /opt/check -v"'),
        )
        assert probe.mark
    else:
        assert (probe.settings, probe.url) == (settings, url)


def test_datagrams_are_asked_by_their_protocol(environment):
    udp = {"port": 514, "protocol": "udp"}
    found = directed(environment, {"type": "udp", "payload": "00FF", "reply": "0A"}, **udp)
    assert probes(found)[0].settings == (("payload", "00ff"), ("require_reply", "0a"))
    assert found.netfilter.local_sources[0].ports == (("udp", ("514",)),)
    dns = directed(environment, {"type": "dns", "query": "example.com", "query_type": "A"}, port=53, protocol="udp")
    assert probes(dns)[0].settings == (("type", "A"), ("name", '"example.com"'))
