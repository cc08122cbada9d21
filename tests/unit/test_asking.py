"""What a client asks a service, how often, and what a report makes of real servers that got no request."""

from dataclasses import replace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.contract.checks import HealthCheck
from ansible.module_utils.lvs_controller import asking, verification
from ansible.module_utils.lvs_controller.sightings import Sightings
from conftest import BASE
from scenes import CLIENT, Scene
from test_verification import PROBE, column, expectation, report

USUAL = {"name": "a", "vip": "203.0.113.90", "port": 80, "mode": "fullnat", "local_addresses": ["10.20.1.200"]}
BOTH = [{"host": "rs1"}, {"host": "rs2"}]


@pytest.fixture
def service(environment):
    def make(**said):
        made = environment({"services": [{**USUAL, "real_servers": BOTH, **said}]})
        assert all(fault.warning for fault in made.faults), made.messages
        return made.service("a")

    return make


@pytest.mark.parametrize(
    ("port", "protocol", "check", "speaks"),
    [
        *[(port, "tcp", None, "http") for port in (80, 8000, 8008, 8080, 8888)],
        (3306, "tcp", None, "connect"),
        (443, "tcp", None, "connect"),
        (53, "tcp", None, "connect"),
        (53, "udp", None, "dns"),
        (514, "udp", None, "datagram"),
        (9000, "tcp", {"type": "http"}, "http"),
        (80, "tcp", {"type": "https"}, "https"),
        (80, "tcp", {"type": "tcp"}, "connect"),
    ],
)
def test_a_service_is_asked_by_its_health_check_else_by_its_port(service, port, protocol, check, speaks):
    """Of a database even one byte that it does not understand counts as an attack."""
    made = service(port=port, protocol=protocol, **({"health_check": check} if check else {}))
    assert asking.speaks(made.entries[0]) == speaks


@pytest.mark.parametrize(
    ("kind", "protocol", "speaks"),
    [("smtp", "tcp", "connect"), ("dns", "udp", "dns"), ("udp", "udp", "datagram"), ("dns", "tcp", "http"),
     ("http", "udp", "datagram"), ("ping", "tcp", "http")],
)  # fmt: skip
def test_a_check_of_another_protocol_says_nothing_of_the_request(service, kind, protocol, speaks):
    made = service(port=80, protocol=protocol)
    assert asking.speaks(replace(made, health_check=HealthCheck(type=kind)).entries[0]) == speaks


def test_a_request_names_the_service_and_its_path(service):
    made = service(health_check={"type": "http", "path": "/healthz"})
    expected = {
        "service": "a", "address": "203.0.113.90", "port": 80, "protocol": "tcp", "count": 3, "speaks": "http",
        "path": "/healthz",
    }  # fmt: skip
    assert asking.request(made.entries[0], 3) == expected
    assert asking.request(made.entries[0], 3, "/x")["path"] == "/x"
    assert asking.request(service().entries[0], 3)["path"] == "/"


@pytest.mark.parametrize(
    ("weights", "enough"), [((1, 1), 4), ((100, 100), 4), ((100, 50), 6), ((100, 30), 10), ((1000, 1), 60), ((0, 7), 2)]
)
def test_each_real_server_gets_two_requests_by_its_weight(service, weights, enough):
    servers = [{"host": f"rs{n}", "weight": weight} for n, weight in enumerate(weights, 1)]
    assert asking.enough(service(real_servers=servers)) == enough


def test_a_service_of_which_no_real_server_is_in_use_gets_one(service):
    assert asking.enough(service(real_servers=[{"host": "rs1", "weight": 0}])) == 1


def spread(scene, number=2):
    """The report of a number of probes, of which all are the one connection of the scene."""
    probes = [{**PROBE, "port": CLIENT.port}] * number
    return verification.report(expectation(scene), probes, Sightings(scene.frames), scene.vantages)


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        ({"scheduler": "rr"}, True),
        ({"scheduler": "wrr"}, True),
        ({"scheduler": "wlc"}, False),
        ({"scheduler": "sh"}, False),
        ({"scheduler": "rr", "persistence_timeout": 300}, False),
    ],
)
def test_a_real_server_without_a_request_is_a_failure_where_each_gets_its_turn(environment, said, failed):
    found = spread(Scene(environment, "dr", real_servers=BOTH, **said))
    assert found.reached == ["rs1"]
    assert found.not_chosen == ["rs2"]
    assert found.failures == (["rs2 got no request of 2"] if failed else [])


def test_of_a_number_of_requests_that_is_limited_one_of_small_weight_may_get_none(environment):
    scene = Scene(environment, "dr", real_servers=BOTH, scheduler="rr")
    assert spread(scene, asking.MOST_REQUESTS - 1).failures == ["rs2 got no request of 59"]
    assert spread(scene, asking.MOST_REQUESTS).failures == []


def test_each_failure_is_counted_with_the_ports_as_they_are_predicted(environment):
    scene = Scene(environment, "fullnat")
    frames = [frame for frame in scene.frames if frame.host != "rs3"]
    found = report(scene, frames, peer="", error="timed out")
    assert "client client1 got no answer (timed out) (1 of 1 connections)" in found.failures
    assert not any(str(CLIENT.port) in failure for failure in found.failures)
    twice = spread(Scene(environment, "tun"), 2)
    assert (twice.requests, twice.served, twice.failures) == (2, 40, [])


def test_a_service_without_requests_is_a_failure(environment):
    assert spread(Scene(environment, "tun"), 0).failures == ["nothing was asked"]


def test_the_table_shows_expected_before_seen(environment):
    """The director of nat sees the replies; of dr it sees requests alone."""
    by_nat, by_dr = report(Scene(environment, "nat")), report(Scene(environment, "dr"))
    assert column(by_nat, "reply via director") == "yes / yes"
    assert column(by_dr, "reply via director") == "no / no"
    assert column(by_dr, "mode") == "dr"
    assert column(by_dr, "requests") == "1"
    assert column(by_dr, "real servers") == "rs1"
    at_director = sum(frame.length for frame in Scene(environment, "nat").frames if frame.host == "lb1")
    assert column(by_nat, "director bytes / byte") == f"{at_director / 20:.2f}"
    nothing = report(Scene(environment, "dr"), [], bytes=0, error="timed out", peer="")
    assert column(nothing, "director bytes / byte") == "-"
    assert column(nothing, "real servers") == "-"
    assert column(nothing, "result") == "FAILED"
    assert column(nothing, "application sees") == "-"


def test_an_application_that_tells_its_client_only_sometimes_is_shown_so(environment):
    scene = Scene(environment, "tun")
    probes = [PROBE, {**PROBE, "peer": ""}]
    found = verification.report(expectation(scene), probes, Sightings(scene.frames), scene.vantages, peers=True)
    assert column(found, "application sees") == "198.51.100.10 (not always told)"
    assert found.failures == ["the application did not tell its client's address (1 of 2 connections)"]


def test_the_hops_of_a_service_are_listed_by_a_real_server_that_was_reached(environment):
    scene = Scene(environment, "dr", real_servers=BOTH)
    lines = verification.path(report(scene)).splitlines()
    assert lines[0].startswith("    request client1 > ")
    assert "rs1" in "".join(lines)
    lines = verification.path(report(scene, [])).splitlines()
    assert len(lines) == len(scene.walks["rs1"].hops)
    other = report(scene)
    other.reached = ["rs2"]
    assert "rs2" in verification.path(other)


def test_a_verification_needs_a_client_with_an_interface(environment):
    topology = environment({"groups": {**BASE["groups"], "clients": []}}).topology
    with pytest.raises(AnsibleActionFail, match="nobody can send a request: the group clients has no host"):
        verification.expectations(topology, [])


def test_a_service_that_is_named_has_to_have_real_servers_in_use(environment):
    idle = [{**USUAL, "real_servers": [{"host": "rs1", "weight": 0}]}]
    topology = environment({"services": idle}).topology
    assert verification.expectations(topology, []) == []
    with pytest.raises(AnsibleActionFail, match="no real server of a gets requests: each is drained or has weight 0"):
        verification.expectations(topology, ["a"])
