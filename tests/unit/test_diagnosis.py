"""What is said of a request that went wrong: how far it got, and what explains it."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from ansible.module_utils.lvs.diagnosis import Counts, diagnose, waits
from ansible.module_utils.lvs.findings import Finding
from ansible.module_utils.lvs.walk import Endpoint
from scenes import CLIENT, MACS, ROUTER, Scene


def finding(host, check="SETTING", risk=False):
    return Finding(host, check, "what", "this", "that", "Packets get lost.", risk)


def said(environment, scene, error="timed out", findings=(), before=None, after=None):
    return diagnose(
        environment().topology, scene.service, "lb1", scene.compared(), error, findings, before or {}, after or {}
    )


def until(scene, host, *, arriving):
    """Nothing after the request arrived at the host, or, if not `arriving`, left it."""
    end = next(i for i, f in enumerate(scene.frames) if f.host == host and f.leaving != arriving)
    scene.frames = scene.frames[: end + 1]
    return scene


def test_a_request_as_predicted_is_fine(environment):
    found = said(environment, Scene(environment, "dr"), error="")
    assert (found.fine, found.causes) == (True, ())
    assert "answered by rs1" in found.verdict


def test_what_is_wrong_besides_is_told_of_a_request_that_went_well(environment):
    found = said(environment, Scene(environment, "dr"), error="", findings=[finding("rs2")])
    assert [one.host for one in found.besides] == ["rs2"]


@pytest.mark.parametrize(
    ("name", "host", "arriving", "verdict", "suspect"),
    [
        ("dr", "rs1", True, "the request reached rs1, and no reply to it left rs1", "rs1"),
        ("tun", "rs3", True, "the request reached rs3, and no reply to it left rs3", "rs3"),
        ("dr", "lb1", True, "the request reached lb1, which sent it to no real server", "lb1"),
        ("dr", "client1", False, "the request left client1 and did not arrive at lb1", "lb1"),
    ],
)
def test_the_verdict_says_how_far_it_got_and_the_cause_is_looked_for_there(
    environment, name, host, arriving, verdict, suspect
):
    scene = until(Scene(environment, name), host, arriving=arriving)
    found = said(environment, scene, findings=[finding("client1"), finding(suspect), finding("rs2")])
    assert (found.fine, found.verdict) == (False, verdict)
    assert found.causes[0].host == suspect


HOSTS = ("client1", "lb1", "rs1", "rs2", "rs3")


def blamed(environment, scene):
    """The hosts whose findings are named as causes, in this order, if every host has one."""
    found = said(environment, scene, findings=[finding(host) for host in HOSTS])
    hosts = [cause.host for cause in found.causes]
    assert [one.host for one in found.besides] == [host for host in HOSTS if host not in hosts]
    return hosts


def altered(scene, host, way, nth=0, **fields):
    """The scene with other fields of one frame that left (`out`) or reached (`in`) the host; without fields, it lacks the frame."""
    place = [i for i, f in enumerate(scene.frames) if f.host == host and f.leaving == (way == "out")][nth]
    source = fields.pop("source", None)
    if source:
        fields["packet"] = replace(scene.frames[place].packet, source=Endpoint(IPv4Address(source), 80))
    scene.frames[place : place + 1] = [replace(scene.frames[place], **fields)] if fields else []
    return scene


def only(scene, host):
    """The scene as this host alone has seen it."""
    scene.frames = [frame for frame in scene.frames if frame.host == host]
    return scene


ELSE = "52:54:00:00:00:99"


@pytest.mark.parametrize(
    ("name", "change", "verdict", "hosts"),
    [
        ("dr", lambda s: until(s, "client1", arriving=False), "left client1 and did not arrive at lb1", "lb1 client1"),
        (
            "dr",
            lambda s: only(s, "client1"),
            "left client1 and did not arrive at lb1",
            "lb1 client1",
        ),  # refused on the way
        ("dr", lambda s: until(s, "lb1", arriving=True), "reached lb1, which sent it to no real server", "lb1 rs1 rs2"),
        (
            "dr",
            lambda s: altered(s, "client1", "out"),
            "request did not leave client1 as {client} > {vip}",
            "client1 rs1",
        ),
        ("dr", lambda s: altered(s, "lb1", "in"), "the request reached rs1 without passing lb1", "rs1 lb1 rs2"),
        ("fullnat", lambda s: until(s, "lb1", arriving=False), "did not arrive by gateway 10.20.2.1 at rs3", "rs3 lb1"),
        (
            "nat",
            lambda s: altered(s, "client1", "out", source="10.20.1.99"),
            "the request left client1 as 10.20.1.99:80 > {vip} instead of {client} > {vip}",
            "client1 lb1 rs1",
        ),
        (
            "nat",
            lambda s: altered(s, "lb1", "out", 1, source="10.20.1.99"),
            "the request reached rs1; the reply left lb1 as 10.20.1.99:80 > {client} instead of {vip} > {client}",
            "lb1 rs1",
        ),
        ("nat", lambda s: altered(s, "lb1", "in", 1), "> {client} and did not arrive at lb1", "lb1 rs1"),
        (
            "nat",
            lambda s: altered(s, "lb1", "out", 1),
            "rs1 got the request, but the reply did not leave lb1 as {vip} > {client}",
            "lb1 rs1",
        ),
        (
            "nat",
            lambda s: altered(s, "client1", "in"),
            "the reply left lb1 as {vip} > {client} and did not arrive by gateway 198.51.100.1 at client1",
            "client1 lb1 rs1",
        ),
        (  # a packet that has been changed on the way did not leave the host that received it
            "dr",
            lambda s: altered(s, "client1", "in", source="10.20.1.99"),
            "the reply left rs1 as {vip} > {client} and did not arrive by gateway 198.51.100.1 at client1",
            "client1 rs1 lb1",
        ),
        ("nat", lambda s: altered(s, "rs1", "out", destination_mac=ELSE), f"destination MAC is {ELSE}", "rs1 lb1"),
        ("nat", lambda s: altered(s, "lb1", "out", destination_mac=ELSE), f"destination MAC is {ELSE}", "lb1 rs1"),
        ("dr", lambda s: s, "every packet took the predicted path, but the client got no complete answer", "rs1 lb1"),
    ],
)
def test_the_hosts_at_both_ends_of_the_gap_are_suspected_first_the_one_that_missed_the_packet(
    environment, name, change, verdict, hosts
):
    scene = change(Scene(environment, name))
    entry = scene.service.entries[0]
    words = verdict.format(client=CLIENT, vip=f"{entry.vip}:{entry.port}")
    assert words in said(environment, scene).verdict
    assert blamed(environment, scene) == hosts.split()


def test_without_any_capture_the_client_is_the_suspect(environment):
    scene = Scene(environment, "dr")
    scene.frames = []
    assert said(environment, scene).verdict == "the request did not leave client1"
    assert blamed(environment, scene) == ["client1"]


def test_where_no_suspect_has_a_finding_those_of_other_hosts_are_named(environment):
    found = said(environment, until(Scene(environment, "dr"), "rs1", arriving=True), findings=[finding("rs3")])
    assert [str(cause) for cause in found.causes] == ["rs3: what: found this, needed that. Packets get lost. (SETTING)"]
    assert found.besides == ()


def test_the_destination_of_a_frame_tells_to_which_of_two_real_servers_it_was_sent(environment):
    servers = [{"host": "rs1"}, {"host": "rs2"}]
    scene = until(Scene(environment, "dr", real_servers=servers), "lb1", arriving=False)
    for host in ("rs1", "rs2"):
        scene.vantages.pop(host)  # nobody captured there
        vantage = scene.vantages["lb1"]
        address = next(s.host.interfaces[0].address for s in scene.service.real_servers if s.host.name == host)
        scene.vantages["lb1"] = replace(vantage, neighbours={**vantage.neighbours, address: MACS[host]})
    scene.frames[-1] = replace(scene.frames[-1], destination_mac=MACS["rs2"])
    assert scene.compared().real_server == "rs2"
    scene.frames[-1] = replace(scene.frames[-1], destination_mac="52:54:00:00:00:99")
    found = said(environment, scene)
    assert found.verdict == (
        "the request left lb1 for 52:54:00:00:00:99, and no capture shows it at one of the service's real servers"
    )
    assert blamed(environment, scene) == ["lb1", "rs1", "rs2"]


def test_where_nobody_captured_at_the_director_nothing_is_said_of_it(environment):
    scene = until(Scene(environment, "nat"), "client1", arriving=False)
    scene.vantages.pop("lb1")
    found = said(environment, scene)
    assert found.verdict == "the request left client1 and reached no real server; there is no capture from lb1"
    assert blamed(environment, scene) == ["lb1", "rs1", "rs2", "client1"]


def test_a_tunnelled_request_that_does_not_arrive_is_told_from_one_that_was_not_sent(environment):
    scene = until(Scene(environment, "tun"), "lb1", arriving=False)
    found = said(environment, scene)
    assert found.verdict.startswith("the request left lb1 as 203.0.113.10 > 10.20.2.13")
    assert "did not arrive by gateway 10.20.2.1 at rs3" in found.verdict


def test_a_reply_with_another_source_is_told(environment):
    scene = Scene(environment, "dr")
    wrong = Endpoint(IPv4Address("10.20.1.11"), 80)
    for i, frame in enumerate(scene.frames):
        if frame.host == "rs1" and frame.leaving:
            scene.frames[i] = replace(frame, packet=replace(frame.packet, source=wrong))
    found = said(environment, scene, findings=[finding("rs1")])
    assert found.verdict == (
        "the request reached rs1; the reply left rs1 as 10.20.1.11:80 > 198.51.100.10:40000 instead of "
        "10.20.1.80:80 > 198.51.100.10:40000"
    )
    assert found.causes[0].host == "rs1"


def test_a_request_that_passes_the_director_by_is_told(environment):
    scene = Scene(environment, "dr")
    scene.frames = [
        replace(frame, source_mac=ROUTER) if frame.host == "rs1" and not frame.leaving else frame
        for frame in scene.frames
        if frame.host != "lb1"
    ]
    found = said(environment, scene, findings=[finding("rs2")])
    assert found.verdict == "the request reached rs1 without passing lb1"
    assert found.causes[0].host == "rs2"  # any real server may have answered for the VIP


def test_a_request_that_came_to_the_director_from_another_mac_has_not_passed_it_by(environment):
    scene = Scene(environment, "nat")
    place = next(i for i, f in enumerate(scene.frames) if f.host == "lb1" and not f.leaving)
    scene.frames[place] = replace(
        scene.frames[place], source_mac="52:54:00:00:00:98"
    )  # a router pair sends from its own
    assert said(environment, scene).verdict.endswith(f"source MAC is 52:54:00:00:00:98, expected {ROUTER}")


def test_rules_of_lvskits_own_that_drop_what_comes_of_a_fault_are_not_the_fault(environment):
    scene = Scene(environment, "enat")
    server = scene.server
    until(scene, server, arriving=True)
    guard = "iptables -t mangle -A LVSKIT-POSTROUTING -j DROP"
    before, after = ({server: Counts({guard: number}, {})} for number in (0, 3))
    found = said(environment, scene, findings=[finding(server)], before=before, after=after)
    assert [guard in cause.text for cause in found.causes] == [False, True]


def test_what_a_firewall_has_dropped_meanwhile_comes_first_and_what_the_kernel_has_counted_last(environment):
    scene = until(Scene(environment, "tun"), "rs3", arriving=True)
    before = {"rs3": Counts({"drop ipip": 4, "other": 1}, {"TcpExt.IPReversePathFilter": 2})}
    after = {"rs3": Counts({"drop ipip": 6, "other": 1}, {"TcpExt.IPReversePathFilter": 3})}
    found = said(environment, scene, findings=[finding("rs3")], before=before, after=after)
    assert [cause.counted for cause in found.causes] == [True, False, True]
    assert "dropped 2 packets during the request: drop ipip" in found.causes[0].text
    assert "reverse path" in found.causes[2].text
    assert found.causes[2].text.endswith(" (1 during the request, TcpExt.IPReversePathFilter)")


def test_a_rule_or_counter_that_was_not_there_before_has_begun_at_zero(environment):
    scene = until(Scene(environment, "tun"), "rs3", arriving=True)
    after = {"rs3": Counts({"drop ipip": 2, "other": 0}, {"TcpExt.IPReversePathFilter": 1})}
    found = said(environment, scene, before={"rs3": Counts({}, {})}, after=after)
    assert [cause.text.partition(" during")[0].rpartition("(")[2] for cause in found.causes] == [
        "the firewall has dropped 2 packets",
        "1",
    ]
    assert said(environment, scene, after=after).causes == (), "a host whose counters were not read before"
    assert said(environment, scene, before=after).causes == (), "or not after"


def test_a_rule_that_counts_nothing_is_named_only_where_nothing_else_is_known(environment):
    scene = until(Scene(environment, "tun"), "rs3", arriving=True)
    counts = {"rs3": Counts({"silent": None}, {})}
    assert "may have dropped" in said(environment, scene, before=counts, after=counts).causes[0].text
    found = said(environment, scene, findings=[finding("rs3")], before=counts, after=counts)
    assert not any("silent" in cause.text for cause in found.causes)


def test_a_risk_is_no_cause(environment):
    scene = until(Scene(environment, "dr"), "rs1", arriving=True)
    found = said(environment, scene, findings=[finding("rs1", risk=True)])
    assert found.causes == ()
    assert len(found.besides) == 1


def test_large_packets_that_do_not_arrive_are_told_by_their_size(environment):
    scene = Scene(environment, "tun")
    reply = next(f for f in scene.frames if f.host == "rs3" and f.leaving)
    scene.frames += [replace(reply, length=1494)] * 2
    found = said(environment, scene, findings=[finding("rs3", "PATH-MTU")])
    assert "of the reply, frames up to 1494 bytes left rs3, and none above 60 arrived at client1" in found.verdict
    assert found.causes[0].host == "rs3"


def test_segments_that_are_cut_only_behind_the_capture_are_not_lost(environment):
    scene = Scene(environment, "tun")
    for host, length in (("rs3", 5858), ("client1", 1514)):
        reply = next(
            f for f in scene.frames if f.host == host and f.leaving == (host == "rs3") and f.packet.source.port == 80
        )
        scene.frames.append(replace(reply, length=length))
    assert said(environment, scene, error="reset").verdict == (
        "every packet took the predicted path, but the client got no complete answer (reset)"
    )


def test_an_application_that_sees_another_client_is_told(environment):
    scene = Scene(environment, "fullnat", client_address="toa")
    connection = scene.compared()
    connection.differences.append("the application saw 10.20.1.200:61234 as its client")
    found = diagnose(environment().topology, scene.service, "lb1", connection, "", [finding("rs3")], {}, {})
    assert not found.fine
    assert found.verdict == "the application saw 10.20.1.200:61234 as its client"
    assert found.causes[0].host == "rs3"


def test_waits_are_told_by_one_hosts_clock(environment):
    scene = Scene(environment, "nat")
    times = {"client1": 0.0, "lb1": 1000.0, "rs1": 500.0}  # three clocks that do not agree
    scene.frames = [
        replace(frame, time=times[frame.host] + place * 0.00123456) for place, frame in enumerate(scene.frames)
    ]
    hops = scene.compared().hops
    assert waits(hops) == [None, None, 1.235, 1.235, 1.235, None], "milliseconds, to the microsecond"
    assert [hop.hop.sender.host for hop, wait in zip(hops, waits(hops)) if wait is not None] == ["lb1", "rs1", "lb1"]


def test_the_ends_of_scenes_are_what_this_file_takes_them_for():
    assert str(CLIENT) == "198.51.100.10:40000"
    assert set(MACS) >= {"client1", "lb1", "rs1"}
