"""A director that is one of its own real servers (IPVS calls it a local node), from the inventory to the verification."""

from dataclasses import replace

import pytest
from ansible.module_utils.lvs import advice
from ansible.module_utils.lvs.diagnosis import diagnose
from ansible.module_utils.lvs.plan import plan
from ansible.module_utils.lvs.questions import questions
from ansible.module_utils.lvs.walk import Endpoint, walk
from ansible.module_utils.lvs_controller import explanation, tracing, unprepared, verification
from ansible.module_utils.lvs_controller.batches import sets_of
from ansible.module_utils.lvs_controller.run_folder import RunFolder
from ansible.module_utils.lvs_controller.sightings import Sightings
from ansible.module_utils.lvs_controller.stages import Applied
from ansible.module_utils.lvs_controller.verification import Expectation
from conftest import BASE
from scenes import CLIENT, Scene

GROUPS = {**BASE["groups"], "real_servers": ["rs1", "rs2", "rs3", "lb1"]}
BOTH = [{"host": "rs1"}, {"host": "lb1"}]
SERVICES = {
    "dr": {"vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": BOTH},
    "nat": {"vip": "203.0.113.81", "port": 80, "mode": "nat", "real_servers": [{**s, "port": 8080} for s in BOTH]},
    "tun": {"vip": "203.0.113.82", "port": 80, "mode": "tun", "real_servers": BOTH},
}
MODES = list(SERVICES)
PROBE = {"service": "x", "port": CLIENT.port, "bytes": 20, "seconds": 0.5, "peer": str(CLIENT), "error": ""}


def of(environment, name, **more):
    """The environment with one service, which rs1 and the director serve. `more` are keys of it, and what replaces the base's hosts and so on."""
    keys = {key: value for key, value in more.items() if key not in BASE}
    changes = {key: value for key, value in more.items() if key in BASE}
    return environment({"groups": GROUPS, "services": [{"name": name, **SERVICES[name], **keys}], **changes})


def walked(env, host):
    service = env.topology.services[0]
    server = next(server for server in service.real_servers if server.host.name == host)
    return walk(env.topology, service.entries[0], env.host("lb1"), server, env.host("client1"))


# The inventory


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accepted_beside_others_and_alone(environment, mode):
    assert of(environment, mode).messages == []
    alone = [server for server in SERVICES[mode]["real_servers"] if server["host"] == "lb1"]
    assert of(environment, mode, real_servers=alone).messages == []


def test_no_rule_asks_it_to_share_a_network_with_itself_or_to_be_its_own_gateway(environment):
    """It shares both of its networks with itself, keeps its default route, and is the director of two nat services."""
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_default_route": "keep"}}
    second = {"name": "second", **SERVICES["nat"], "port": 81, "network": "edge"}
    services = [{"name": "first", **SERVICES["nat"], "network": "app"}, second]
    services = [{**one, "real_servers": [{"host": "lb1", "port": 8080 + n}]} for n, one in enumerate(services)]
    assert environment({"groups": GROUPS, "hosts": hosts, "services": services}).messages == []


def test_a_nat_service_of_its_own_does_not_make_it_its_own_gateway(environment):
    env = of(environment, "nat")
    assert env.topology.route(env.host("lb1"), CLIENT.address) == env.host("lb1").route_to(CLIENT.address)
    assert env.topology.route(env.host("rs1"), CLIENT.address) != env.host("rs1").route_to(CLIENT.address)


def test_it_may_have_another_director_as_its_gateway_for_that_ones_service(environment):
    lb2 = {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.9"}}}
    groups = {**GROUPS, "directors": ["lb1", "lb2"], "own": ["lb1"], "other": ["lb2"]}
    own = {**SERVICES["nat"], "name": "own", "directors": "own", "return_path": "policy"}
    other = {
        **own,
        "name": "other",
        "vip": "10.20.1.81",
        "directors": "other",
        "real_servers": [{"host": "lb1", "port": 8080}],
    }
    alone = {**own, "real_servers": other["real_servers"]}
    for services in ([alone, other], [other, alone]):
        changes = {"groups": groups, "hosts": {**BASE["hosts"], "lb2": lb2}, "services": services}
        assert environment(changes).messages == []
        assert [route.gateway for route in plan(environment(changes).topology, "lb1").routes] == ["10.20.1.9"]


def test_it_must_be_in_both_groups(environment):
    (message,) = of(environment, "dr", groups=BASE["groups"]).messages
    assert "host lb1 is not in the group real_servers" in message


def test_a_refusal_names_the_modes_that_can_have_it(environment):
    """By the ports and the protocol of the service: dr and tun map no port."""
    wanted = {"mode": "fullnat", "local_addresses": ["10.20.1.200"]}
    (mapped,) = of(environment, "nat", **wanted).messages
    (plain,) = of(environment, "dr", **wanted).messages
    assert mapped.endswith("or use nat.")
    assert plain.endswith("or use dr, nat or tun.")


def test_advice_says_for_each_mode_whether_the_director_may_serve(environment):
    raw = {"name": "new", "vip": "10.20.1.90", "port": 80, "real_servers": BOTH}
    found = advice.options(raw, environment({"groups": GROUPS, "services": []}).topology)
    assert {option.mode.name for option in found if option.possible} == {"dr", "nat", "tun"}
    obstacles = {text.split(":")[0] for option in found for text in option.obstacles}
    assert obstacles == {"SELF-DIRECTOR"}
    may = "the director may be a real server, too"
    assert all((may in option.mode.effects) == option.possible for option in found)


# Its address and its plan


@pytest.mark.parametrize(
    ("keys", "address"),
    [
        ({"vip": "10.20.1.80"}, "10.20.1.10"),
        ({"vip": "203.0.113.80"}, "203.0.113.10"),
        ({"vip": "203.0.113.80", "network": "app"}, "10.20.1.10"),
        ({"vip": "192.0.2.80", "vip_routed": True}, "203.0.113.10"),
    ],
)
def test_its_rip_is_in_the_network_that_is_named_else_in_the_vips_else_on_its_first_interface(
    environment, keys, address
):
    env = of(environment, "nat", **keys)
    lb1 = env.host("lb1")
    assert env.topology.real_interface(env.topology.services[0].entries[0], lb1, lb1).text == address


@pytest.mark.parametrize(("mode", "method"), [("dr", "-g"), ("nat", "-m"), ("tun", "-i")])
def test_it_is_in_its_own_table_and_has_nothing_that_a_real_server_has_besides(environment, mode, method):
    without = [server for server in SERVICES[mode]["real_servers"] if server["host"] != "lb1"]
    host = plan(of(environment, mode).topology, "lb1")
    (service,) = host.services
    address, port = ("10.20.1.10" if mode == "dr" else "203.0.113.10"), (8080 if mode == "nat" else 80)
    (own,) = [one for one in service.destinations if one.address == address]
    assert (own.endpoint, own.method, own.weight) == (f"{address}:{port}", method, 1)
    assert len(service.destinations) == 2
    beside = plan(of(environment, mode, real_servers=without).topology, "lb1")
    assert replace(host, services=()) == replace(beside, services=())


def test_a_tunnel_of_another_family_takes_its_address_of_that_family(environment):
    networks = {name: dict(network) for name, network in BASE["networks"].items()}
    networks["edge"] |= {"cidr6": "2001:db8:20::/64", "gateway6": "2001:db8:20::1"}
    places = {
        name: {key: dict(one) for key, one in BASE["hosts"][name]["lvs_interfaces"].items()}
        for name in ("lb1", "client1")
    }
    places["lb1"]["eth1.20"]["address6"] = "2001:db8:20::10"
    hosts = {**BASE["hosts"], **{name: {"lvs_interfaces": own} for name, own in places.items()}}
    alone = {"real_servers": [{"host": "lb1"}], "outer_family": 6}
    env = of(environment, "tun", networks=networks, hosts=hosts, **alone)
    assert env.messages == []
    (service,) = plan(env.topology, "lb1").services
    assert [one.endpoint for one in service.destinations] == ["[2001:db8:20::10]:80"]


def test_drained_it_leaves_its_table_like_any_other(environment):
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_drained": True}}
    (service,) = plan(of(environment, "dr", hosts=hosts).topology, "lb1").services
    assert [one.address for one in service.destinations] == ["10.20.1.11"]


# Its packets


@pytest.mark.parametrize("mode", MODES)
def test_requests_end_at_it_and_replies_begin_there(environment, mode):
    vip, entrance, gateway = SERVICES[mode]["vip"], "edge", "203.0.113.1"
    if mode == "dr":
        entrance, gateway = "app", "10.20.1.1"
    found = walked(of(environment, mode), "lb1")
    assert [f"{hop.leg} {hop}" for hop in found.hops] == [
        f"request client1 > gateway 198.51.100.1 on clients: 198.51.100.10:cport > {vip}:80",
        f"request gateway {gateway} > lb1 on {entrance}: 198.51.100.10:cport > {vip}:80",
        f"reply lb1 > gateway 203.0.113.1 on edge: {vip}:80 > 198.51.100.10:cport",
        f"reply gateway 198.51.100.1 > client1 on clients: {vip}:80 > 198.51.100.10:cport",
    ]
    assert str(found.seen) == "198.51.100.10:cport"


def test_a_client_on_its_segment_gets_replies_from_it_without_a_router(environment):
    client = {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.50"}}}
    hosts = {**BASE["hosts"], "client1": client}
    found = walked(of(environment, "dr", hosts=hosts), "lb1")
    assert [(hop.sender.host, hop.receiver.host) for hop in found.hops] == [("client1", "lb1"), ("lb1", "client1")]


@pytest.mark.parametrize("mode", MODES)
def test_where_replies_do_not_pass_the_director_its_conntrack_does_not_see_connections_end(environment, mode):
    env = of(environment, mode)
    asked = questions(env.topology, {"lb1": plan(env.topology, "lb1")}, ["lb1"])["lb1"]
    vips, service = env.topology.services[0].vips, env.topology.services[0]
    incoming = {
        one.states: one.accepted for one in asked.passages if one.destination in vips and one.hooks[-1] == "input"
    }
    begun = {("untracked",): True} if "tcp" in service.protocols else {}
    assert incoming == {("new", "untracked"): False, **begun}


@pytest.mark.parametrize("mode", MODES)
def test_it_is_asked_for_its_way_to_the_client_and_for_none_to_itself(environment, mode):
    env = of(environment, mode, real_servers=[s for s in SERVICES[mode]["real_servers"] if s["host"] == "lb1"])
    asked = questions(env.topology, {"lb1": plan(env.topology, "lb1")}, ["lb1"])["lb1"]
    source = None if mode == "nat" else SERVICES[mode]["vip"]
    ways = [(str(way.to), way.source and str(way.source), str(way.gateway)) for way in asked.ways]
    assert ways == [("198.51.100.10", source, "203.0.113.1")]
    assert {path.to for path in asked.paths} == {"client1"}


def test_the_page_draws_its_walk_as_one_of_its_own(environment):
    env = of(environment, "dr")
    (part,) = explanation.explain(env.topology, [], [], "lab", "").parts
    assert [way.heading for way in part.ways] == ["By rs1", "By lb1, the director itself"]
    alone = of(environment, "tun", real_servers=[{"host": "lb1"}])
    (part,) = explanation.explain(alone.topology, [], [], "lab", "").parts
    assert "smallest MTU on the way" not in dict(part.facts)  # there is none to another host


# The comparison with captures


@pytest.fixture(params=MODES)
def scene(request, environment):
    """A connection that the director has answered; rs1 is a real server, too."""
    return local(environment, request.param)


def local(environment, mode, **keys):
    servers = SERVICES[mode]["real_servers"][::-1]
    return Scene(environment, mode, **{**SERVICES[mode], "real_servers": servers, **keys})


def report(scene, **probe):
    env = scene.environment
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
    return verification.report(expected, [{**PROBE, **probe}], Sightings(scene.frames), scene.vantages)


def test_a_connection_that_it_answers_is_told_from_one_of_another_real_server(scene):
    assert scene.server == "lb1"
    assert (scene.compared().real_server, scene.differences()) == ("lb1", [])
    scene.frames = [frame for hop in scene.walks["rs1"].hops for frame in scene._seen(hop)]
    assert (scene.compared().real_server, scene.differences()) == ("rs1", [])


def test_every_frame_of_its_connections_matters(scene):
    complete = scene.frames
    for missing in complete:
        scene.frames = [frame for frame in complete if frame is not missing]
        assert scene.differences(), missing


def test_a_reply_that_it_does_not_send_is_a_failure(scene):
    scene.frames = [frame for frame in scene.frames if not (frame.host == "lb1" and frame.leaving)][:-1]
    found = report(scene, error="timed out", bytes=0, peer="")
    assert any("was not seen leaving lb1" in failure for failure in found.failures)
    assert any("client client1 got no answer (timed out)" in failure for failure in found.failures)


def test_a_request_that_it_sends_to_another_real_server_in_vain_is_not_its_own(environment):
    for mode in MODES:
        scene = local(environment, mode)
        onward = [frame for hop in scene.walks["rs1"].hops for frame in scene._seen(hop)]
        until = next(i for i, frame in enumerate(onward) if frame.host == "lb1" and frame.leaving)
        scene.frames = onward[: until + 1]
        assert scene.compared().real_server == "rs1", mode


def test_a_request_that_it_sends_to_nobody_who_serves_is_not_its_own(environment):
    scene = local(environment, "dr", real_servers=[{"host": "lb1"}, {"host": "rs1"}, {"host": "rs2"}])
    arrived = next(frame for frame in scene.frames if frame.host == "lb1")
    astray = replace(arrived, leaving=True, destination_mac="52:54:00:00:00:99")
    scene.frames = [*scene.frames[:2], astray]
    assert scene.compared().real_server is None
    assert "sent it to 52:54:00:00:00:99, no real server of dr" in scene.differences()[0]


def test_a_request_that_does_not_arrive_at_it_is_not_its_own(scene):
    sent = [frame for frame in scene.frames if frame.host == "client1" and frame.leaving]
    scene.frames = sent
    assert scene.differences() == ["request: left the client, but never arrived at director lb1"]
    reply = next(frame for frame in scene._seen(scene.walks["lb1"].hops[-1]))
    scene.frames = [*sent, replace(reply, host="lb1", leaving=False)]  # of another host, by way of the director
    assert scene.compared().real_server is None


def test_a_reply_that_leaves_it_from_its_own_address_is_named(environment):
    """As in nat without IPVS in LOCAL_OUT; the filter has the port of the real server, so that the capture has the packet."""
    scene = local(environment, "nat")
    for place, frame in enumerate(scene.frames):
        if frame.host == "lb1" and frame.leaving:
            source = Endpoint(scene.environment.host("lb1").interfaces[0].address, 8080)
            scene.frames[place] = replace(frame, packet=replace(frame.packet, source=source))
    assert any(text.startswith("unexpected: 203.0.113.10:8080 >") for text in scene.differences())
    env = scene.environment
    own = {"lb1": scene.walks["lb1"]}
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), own)
    assert sets_of([expected])["lb1"].client_ports == {80, 8080}


@pytest.mark.parametrize(("server", "replies"), [("lb1", "yes / yes"), ("rs1", "no / no")])
def test_the_table_expects_replies_by_the_director_where_it_has_answered(environment, server, replies):
    scene = local(environment, "dr")
    scene.frames = [frame for hop in scene.walks[server].hops for frame in scene._seen(hop)]
    found = report(scene)
    assert (found.failures, found.reached) == ([], [server])
    assert replies in verification.table([[found]])


def test_the_path_in_the_report_is_that_by_another_real_server_where_there_is_one(environment):
    scene = local(environment, "dr")
    found = report(scene)
    assert "rs1" not in verification.path(found)
    found.reached = ["lb1", "rs1"]
    assert "lb1 > rs1 (app)" in verification.path(found)


def test_a_trace_of_a_request_that_it_answers_is_complete(environment):
    scene = local(environment, "nat")
    env = scene.environment
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
    found = tracing.follow(env.topology, expected, PROBE, (Sightings(scene.frames), scene.vantages), {}, {}, {})
    assert (set(found.states()), found.diagnosis.fine) == ({"seen"}, True)
    assert "answered by lb1" in found.summary()[0]
    assert [wait is not None for wait in found.waits] == [False, False, True, False]
    assert "<svg" in found.svg()


def test_a_request_that_goes_no_further_than_to_it_may_have_been_meant_for_others(environment):
    scene = local(environment, "dr")
    scene.frames = scene.frames[:2]
    found = diagnose(scene.environment.topology, scene.service, "lb1", scene.compared(), "timed out", [], {}, {})
    assert found.verdict == "the request reached lb1, which neither answered it nor sent it to another real server"


def test_a_request_that_comes_to_it_otherwise_than_predicted_has_not_passed_it_by(environment):
    scene = local(environment, "dr")
    place = next(i for i, frame in enumerate(scene.frames) if frame.host == "lb1" and not frame.leaving)
    packet = scene.frames[place].packet
    wrong = replace(packet, destination=replace(packet.destination, port=81))
    scene.frames[place] = replace(scene.frames[place], packet=wrong)
    found = diagnose(scene.environment.topology, scene.service, "lb1", scene.compared(), "", [], {}, {})
    assert not found.fine
    assert "without passing" not in found.verdict


# The run


def test_it_needs_no_preparation_of_itself(environment, tmp_path):
    env = of(environment, "dr")
    folder = RunFolder(tmp_path / "run")
    folder.keep_topology(env.topology)
    own = plan(env.topology, "lb1")
    assert unprepared.candidates(folder, own) == {"10.20.1.11": "rs1"}
    folder.keep("applied/rs1", Applied(stale=False))
    assert unprepared.candidates(folder, own) == {}
