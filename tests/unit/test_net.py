"""When a run has cost a service, and when it only looks so."""

import random

import pytest
from ansible.module_utils.lvs_controller import asking, net

TEN = [f"rs{number}" for number in range(1, 11)]
NETWORKS = {
    "clients": {"cidr": "198.51.100.0/24", "vlan": 10, "gateway": "198.51.100.1"},
    "app": {"cidr": "10.20.1.0/24", "vlan": 30, "gateway": "10.20.1.1"},
}


def plugged(network, address):
    return {"lvs_interfaces": {"eth1": {"network": network, "address": address}}}


HOSTS = {
    "client1": plugged("clients", "198.51.100.10"),
    "client2": plugged("clients", "198.51.100.11"),
    "client3": plugged("clients", "198.51.100.12"),
    "probe": {},
    "lb1": plugged("app", "10.20.1.10"),
    **{name: plugged("app", f"10.20.1.{20 + number}") for number, name in enumerate(TEN)},
}
GROUPS = {"clients": ["probe", "client1", "client2", "client3"], "directors": ["lb1"], "real_servers": TEN}


@pytest.fixture
def topology(environment):
    def make(*services, **groups):
        usual = {"vip": "10.20.1.80", "mode": "dr", "scheduler": "rr", "real_servers": [{"group": "real_servers"}]}
        raw = [
            {**usual, "name": f"service{port}", "port": port, **service} for port, service in enumerate(services, 80)
        ]
        env = environment({"networks": NETWORKS, "hosts": HOSTS, "groups": {**GROUPS, **groups}, "services": raw})
        assert all(violation.warning for violation in env.violations), env.messages
        return env.topology

    return make


def answers(*, ok=(), failed=(), unasked=()):
    found = [{"service": name, "error": ""} for name in ok]
    found += [{"service": name, "error": "timed out"} for name in failed]
    return {"connections": found, "unasked": list(unasked)}


GOOD = answers(ok=["service80"])
BAD = answers(failed=["service80"] * 20)


def verdict(topology, before, after, behind=None):
    return net.verdict(topology, before, after, behind or {})


def test_a_service_that_answers_no_request_any_more_is_lost(topology):
    found = verdict(topology({}), {"client1": GOOD}, {"client1": BAD})
    assert found.lost == {"service80": "timed out"}
    assert not found.doubts


def test_a_service_that_did_not_answer_before_is_not_lost(topology):
    assert not verdict(topology({}), {"client1": BAD}, {"client1": BAD}).lost


def test_a_service_that_begins_to_answer_is_not_lost(topology):
    assert not verdict(topology({}), {"client1": BAD}, {"client1": GOOD}).lost


def test_a_service_that_answers_one_of_many_requests_is_not_lost(topology):
    some = answers(ok=["service80"], failed=["service80"] * 19)
    found = verdict(topology({}), {"client1": GOOD}, {"client1": some})
    assert (found.lost, found.doubts) == ({}, [])


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "twos"])
def test_one_dead_real_server_of_ten_never_makes_a_service_lost(topology, scheduler):
    """Requests that are spread at random: each meets the dead one with a chance of one in ten."""
    random.seed(scheduler)
    services = topology({"scheduler": scheduler})
    questions = net.after(services, "client1", GOOD, None)
    (request,) = questions["requests"]
    assert request["count"] == 20
    for _ in range(2000):
        failures = [random.randrange(10) == 0 for _ in range(request["count"])]
        met = answers(ok=["service80"] * failures.count(False), failed=["service80"] * failures.count(True))
        assert not verdict(services, {"client1": GOOD}, {"client1": met}).lost


ALONE = [
    *({"scheduler": name} for name in ("sh", "mh", "dh", "sed", "nq", "lblc", "lblcr", "fo", "ovf")),
    {"persistence_timeout": 300},
    {"scheduler": "sh", "persistence_timeout": 300},
]


@pytest.mark.parametrize("service", ALONE, ids=str)
def test_where_a_client_always_meets_the_same_real_server_it_is_no_witness_alone(topology, service):
    found = verdict(topology(service), {"client1": GOOD}, {"client1": BAD})
    assert not found.lost
    (doubt,) = found.doubts
    assert "one client always gets the same real server" in doubt


@pytest.mark.parametrize("service", [{"scheduler": "sh"}, {"scheduler": "mh"}, {"persistence_timeout": 300}], ids=str)
def test_a_second_client_that_finds_the_same_is_a_witness(topology, service):
    both = verdict(
        topology(service), dict.fromkeys(("client1", "client2"), GOOD), dict.fromkeys(("client1", "client2"), BAD)
    )
    assert list(both.lost) == ["service80"]


@pytest.mark.parametrize("scheduler", ["dh", "sed", "nq", "lblc", "lblcr", "fo", "ovf"])
def test_a_second_client_is_none_where_it_meets_the_same_real_server_too(topology, scheduler):
    clients = ("client1", "client2")
    both = verdict(topology({"scheduler": scheduler}), dict.fromkeys(clients, GOOD), dict.fromkeys(clients, BAD))
    assert not both.lost
    assert both.doubts


@pytest.mark.parametrize("service", [{}, {"scheduler": "sh"}], ids=str)
def test_a_service_that_still_answers_another_client_is_not_lost(topology, service):
    after = {"client1": BAD, "client2": GOOD}
    found = verdict(topology(service), dict.fromkeys(after, GOOD), after)
    assert not found.lost
    assert found.doubts == ["service80 answered client1 before this run, and not afterwards. It still answers client2."]


def behind(topology, **errors):
    """What the director gets from the real servers: answers, save from those named."""
    undecided = verdict(topology, {"client1": GOOD}, {"client1": BAD})
    requests = undecided.behind(topology, ["lb1"])["lb1"]["requests"]
    silent = {host: [r["service"] for r in requests if r["service"].startswith(f"{host}:")] for host in errors}
    failed = [name for names in silent.values() for name in names]
    return {"lb1": answers(ok=[r["service"] for r in requests if r["service"] not in failed], failed=failed)}


@pytest.mark.parametrize("service", ALONE, ids=str)
def test_it_is_lost_when_the_director_reaches_all_of_its_real_servers(topology, service):
    services = topology(service)
    found = verdict(services, {"client1": GOOD}, {"client1": BAD}, behind(services))
    assert found.lost == {"service80": "timed out, although its director reaches all of its real servers"}
    assert not found.doubts


@pytest.mark.parametrize("service", ALONE, ids=str)
def test_a_real_server_that_does_not_answer_its_director_either_explains_it(topology, service):
    services = topology(service)
    found = verdict(services, {"client1": GOOD}, {"client1": BAD}, behind(services, rs3="down"))
    assert not found.lost
    assert "rs3 does not answer the director either" in found.doubts[0]


def test_the_director_asks_each_real_server_by_its_own_address_and_port(topology):
    services = topology(
        {
            "scheduler": "sh",
            "mode": "nat",
            "real_servers": [{"host": "rs1", "port": 8080}, {"host": "rs2", "port": 8081}],
            "return_path": "policy",
        }
    )
    questions = verdict(services, {"client1": GOOD}, {"client1": BAD}).behind(services, ["lb1"])
    assert [(r["address"], r["port"], r["speaks"]) for r in questions["lb1"]["requests"]] == [
        ("10.20.1.20", 8080, "http"),
        ("10.20.1.21", 8081, "http"),
    ]


def test_a_director_that_is_not_in_the_run_asks_nobody(topology):
    services = topology({"scheduler": "sh"})
    assert verdict(services, {"client1": GOOD}, {"client1": BAD}).behind(services, ["rs1"]) == {}


def test_a_single_real_server_is_all_that_a_service_has(topology):
    services = topology({"scheduler": "sh", "real_servers": [{"host": "rs1"}, {"host": "rs2", "weight": 0}]})
    assert verdict(services, {"client1": GOOD}, {"client1": BAD}).lost


def test_requests_that_were_not_sent_in_time_say_nothing(topology):
    late = answers(failed=["service80"] * 3, unasked=["service80"])
    found = verdict(topology({}), {"client1": GOOD}, {"client1": late})
    assert not found.lost
    assert "the time limit was reached" in found.doubts[0]


def test_a_service_whose_real_servers_have_all_been_taken_out_is_meant_not_to_answer(topology):
    services = topology({"real_servers": [{"group": "real_servers", "weight": 0}]})
    found = verdict(services, {"client1": GOOD}, {"client1": answers()})
    assert (found.lost, found.doubts) == ({}, [])


def test_clients_that_cannot_ask_again_leave_it_unknown(topology):
    found = verdict(topology({}), {"client1": GOOD}, {})
    assert found.unknown
    assert not found.lost
    assert "Nothing was rolled back" in net.report(found, rolled_back=False)[0]
    assert not verdict(topology({}), {"client1": GOOD, "client2": GOOD}, {"client2": GOOD}).unknown
    assert not verdict(topology({}), {"client1": BAD}, {}).unknown


def test_only_the_lost_services_are_lost(topology):
    services = topology({}, {}, {})
    before = answers(ok=["service80", "service81"], failed=["service82"])
    after = answers(ok=["service81"], failed=["service80", "service82"])
    assert list(verdict(services, {"client1": before}, {"client1": after}).lost) == ["service80"]


def test_before_the_run_only_what_a_director_carries_is_asked(topology):
    """The first run of 1,000 services asks none: it would wait for each VIP."""
    services = topology({}, {"protocol": "udp"}, {})
    recorded = {"lb1": {"tcp 10.20.1.80:80", "tcp 10.20.1.80:81"}}
    assert [r["service"] for r in net.before(services, "client1", recorded, None)["requests"]] == ["service80"]
    assert net.before(services, "client1", {"lb1": set()}, None)["requests"] == []
    assert len(net.before(services, "client1", {}, None)["requests"]) == 3


def test_a_silent_service_costs_the_first_question_a_second_for_each_of_its_requests(topology):
    questions = net.before(topology({}), "client1", {}, None)
    assert (questions["timeout"], questions["until_answered"]) == (1, True)
    assert questions["requests"][0]["count"] <= 3


def test_after_the_run_only_what_answered_is_asked_often_enough_to_meet_each_real_server(topology):
    weighted = {"real_servers": [{"host": "rs1", "weight": 3}, {"host": "rs2", "weight": 1}]}
    services = topology({}, weighted, {})
    questions = net.after(services, "client1", answers(ok=["service80", "service81"], failed=["service82"]), "/bytes/5")
    assert [(r["service"], r["count"], r["path"]) for r in questions["requests"]] == [
        ("service80", 20, "/bytes/5"),
        ("service81", 8, "/bytes/5"),
    ]
    assert questions["until_answered"]


def test_where_health_checks_take_dead_real_servers_out_few_requests_are_enough_but_later(topology):
    fast, slow = ({"health_check": {"type": "tcp", "interval": seconds, "timeout": 2}} for seconds in (3, 60))
    services = topology(fast, slow)
    questions = net.after(services, "client1", answers(ok=["service80", "service81"]), None)["requests"]
    detection = services.services[0].health_check.detection
    assert [(r["count"], r.get("patience")) for r in questions] == [(3, detection + 1), (20, None)]
    assert detection >= 5


def test_the_first_two_clients_with_an_interface_ask(topology):
    services = topology({})
    assert net.askers(services, HOSTS) == ["client1", "client2"]
    assert net.askers(services, ["client3", "lb1"]) == ["client3"]


def test_a_run_in_which_nobody_asks_says_why(topology):
    assert net.askers(topology({}), ["lb1"]) == []
    assert "--limit excludes client1, client2 and client3" in net.nobody_asks(topology({}))
    assert "the group clients has no host" in net.nobody_asks(topology({}, clients=[]))


@pytest.mark.parametrize(
    ("rolled_back", "end"), [(True, "hosts were rolled back"), (False, "lvs_site_rollback: false")]
)
def test_the_report_says_what_was_lost_and_whether_the_hosts_went_back(topology, rolled_back, end):
    found = verdict(topology({}), {"client1": GOOD}, {"client1": BAD})
    (line,) = net.report(found, rolled_back=rolled_back)
    assert line.startswith("service80 answered before this run, and not afterwards: timed out.")
    assert end in line


@pytest.mark.parametrize(
    ("service", "speaks"),
    [
        ({"port": 80}, "http"),
        ({"port": 8080}, "http"),
        ({"port": 3306}, "connect"),
        ({"port": 443}, "connect"),
        ({"port": 3306, "health_check": {"type": "http"}}, "http"),
        ({"port": 443, "health_check": {"type": "https"}}, "https"),
        ({"port": 80, "health_check": {"type": "tcp"}}, "connect"),
        ({"port": 25, "health_check": {"type": "smtp"}}, "connect"),
        ({"port": 80, "health_check": {"type": "ping"}}, "http"),
        ({"port": 514, "protocol": "udp"}, "datagram"),
        ({"port": 53, "protocol": "udp"}, "dns"),
        ({"port": 5353, "protocol": "udp", "health_check": {"type": "dns"}}, "dns"),
        ({"port": 53, "protocol": "udp", "health_check": {"type": "udp"}}, "datagram"),
        ({"port": 514, "protocol": "udp", "health_check": {"type": "http"}}, "datagram"),
    ],
    ids=str,
)
def test_a_service_is_asked_in_its_own_protocol(environment, service, speaks):
    raw = {"name": "x", "vip": "10.20.1.80", "mode": "dr", "real_servers": [{"host": "rs1"}], **service}
    topology = environment({"services": [raw]}).topology
    assert asking.request(topology.services[0].entries[0], 1)["speaks"] == speaks


def test_the_path_is_the_one_that_was_given_or_the_health_checks(environment):
    raw = {"name": "x", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
    checked = {**raw, "health_check": {"type": "http", "path": "/healthz"}}
    (plain,) = environment({"services": [raw]}).topology.services
    (own,) = environment({"services": [checked]}).topology.services
    assert [asking.request(plain.entries[0], 1)["path"], asking.request(own.entries[0], 1)["path"]] == ["/", "/healthz"]
    assert asking.request(own.entries[0], 1, "/bytes/5")["path"] == "/bytes/5"


def test_few_real_servers_of_very_different_weight_get_no_endless_requests(topology):
    services = topology({"real_servers": [{"host": "rs1", "weight": 1}, {"host": "rs2", "weight": 1000}]})
    assert asking.enough(services.services[0]) == asking.MOST_REQUESTS


def test_each_entry_of_a_service_is_lost_by_itself(topology):
    services = topology({"port": [80, 443]})
    names = [entry.label for entry in services.services[0].entries]
    found = verdict(services, {"client1": answers(ok=names)}, {"client1": answers(ok=names[:1], failed=names[1:])})
    assert found.lost == {"service80 10.20.1.80:443/tcp": "timed out"}


def test_a_director_carries_a_range_if_its_record_has_the_mark(topology):
    services = topology({"port": "8000-8100"})
    mark = services.mark(services.services[0].entries[0])
    for recorded, asked in (({f"mark {mark}"}, ["service80"]), ({"tcp 10.20.1.80:8000", f"mark {mark + 1}"}, [])):
        found = net.before(services, "client1", {"lb1": recorded}, None)["requests"]
        assert [request["service"] for request in found] == asked


def test_a_client_asks_only_in_the_families_of_its_addresses(environment):
    both = {**NETWORKS, "app": {**NETWORKS["app"], "cidr6": "2001:db8:30::/64", "gateway6": "2001:db8:30::1"}}
    six = {"lb1": "2001:db8:30::10", "rs1": "2001:db8:30::11"}
    hosts = dict(HOSTS)
    for name, address in six.items():
        ((interface, own),) = HOSTS[name]["lvs_interfaces"].items()
        hosts[name] = {"lvs_interfaces": {interface: {**own, "address6": address}}}
    service = {"name": "a", "vip": ["10.20.1.80", "2001:db8:30::80"], "port": 80, "mode": "dr"}
    raw = {
        "networks": both,
        "hosts": hosts,
        "groups": GROUPS,
        "services": [{**service, "real_servers": [{"host": "rs1"}]}],
    }
    found = net.before(environment(raw).topology, "client1", {}, None)["requests"]
    assert [request["address"] for request in found] == ["10.20.1.80"]
