"""A verification of many services: its batches, and what is made of the captures."""

import base64
import gzip
import re
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.walk import Endpoint
from ansible.module_utils.lvs_controller import batches, comparison, verification
from ansible.module_utils.lvs_controller.run_folder import RunFolder
from ansible.module_utils.lvs_controller.sightings import Sightings
from ansible.module_utils.lvs_controller.verification import Expectation
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap
from scenes import CLIENT, LOCAL, MACS, Scene

PROBE = {"service": "x", "port": CLIENT.port, "bytes": 20, "seconds": 0.5, "peer": str(CLIENT), "error": ""}


def expectation(scene):
    env = scene.environment
    return Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)


def report(scene, frames=None, peers=False, **probe):
    seen = Sightings(scene.frames if frames is None else frames)
    return verification.report(expectation(scene), [{**PROBE, **probe}], seen, scene.vantages, peers=peers)


def column(found, name):
    head, row = verification.table([[found]]).splitlines()
    start = head.index(name)
    following = [other for other in verification.COLUMNS if head.index(other) > start]
    return row[start : head.index(following[0]) if following else None].strip()


def test_a_service_as_predicted_is_ok(environment):
    found = report(Scene(environment, "tun"))
    assert (found.failures, column(found, "result"), column(found, "application sees")) == ([], "ok", "198.51.100.10")


@pytest.mark.parametrize(("name", "ways"), [("dr", "no / no"), ("nat", "yes / yes"), ("fullnat", "yes / yes")])
def test_the_table_says_whether_replies_are_to_pass_the_director_and_whether_they_do(environment, name, ways):
    assert column(report(Scene(environment, name)), "reply via director") == ways


def test_an_application_that_sees_another_client_is_a_failure(environment):
    found = report(Scene(environment, "tun"), peer="203.0.113.10:5")
    assert any("the application saw 203.0.113.10:5 as its client" in failure for failure in found.failures)


def test_an_application_that_does_not_tell_its_client_is_shown_as_such(environment):
    found = report(Scene(environment, "tun"), peer="")
    assert (found.failures, column(found, "application sees")) == ([], "not told")


def test_where_applications_have_to_tell_their_client_it_is_a_failure(environment):
    """Else a probe that has lost the answer's header would leave one proof out, and nobody would see it."""
    found = report(Scene(environment, "tun"), peer="", peers=True)
    assert found.failures == ["the application did not tell its client's address (1 of 1 connections)"]
    assert report(Scene(environment, "tun"), peers=True).failures == []


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("198.51.100.10:5", "198.51.100.10:5"),
        ("[2001:DB8:0::10]:5", "[2001:db8::10]:5"),
        ("[::ffff:198.51.100.10]:5", "198.51.100.10:5"),
        ("::ffff:198.51.100.10:5", "198.51.100.10:5"),
        ("[fe80::1%eth1]:5", "[fe80::1]:5"),
        ("unix:", "None"),
        ("198.51.100.10", "None"),
        ("[2001:db8::10]:x", "None"),
    ],
)
def test_what_an_application_tells_is_understood_however_it_is_written(told, meant):
    assert str(verification.endpoint(told)) == meant


def test_an_application_that_serves_both_families_by_one_socket_sees_the_client_all_the_same(environment):
    found = report(Scene(environment, "tun"), peer=f"[::ffff:{CLIENT.address}]:{CLIENT.port}")
    assert (found.failures, column(found, "application sees")) == ([], "198.51.100.10")


def test_ports_that_differ_between_connections_are_named_by_symbols_and_addresses_are_not_touched():
    text = "[2001:db8:5353::8080]:5353 > 10.20.1.11:5353 and 10.20.1.11:53530, not :5353"
    symbolic = verification._symbolic(text, 5353, "cport")
    assert symbolic == "[2001:db8:5353::8080]:cport > 10.20.1.11:cport and 10.20.1.11:53530, not :5353"


def test_an_application_that_gets_no_request_is_not_said_to_be_silent(environment):
    scene = Scene(environment, "tun", port=3306, real_servers=[{"group": "farm", "weight": 50}])
    assert column(report(scene, peer="", bytes=0), "application sees") == "not asked"


@pytest.mark.parametrize("first", [True, False])
def test_another_connection_by_the_same_local_port_to_another_real_server_of_the_service_does_not_confuse(
    environment, first
):
    """A health check's: source NAT gives one port for each of the real servers' addresses."""
    scene, check = (
        Scene(environment, "fullnat", real_servers=[{"host": "rs3", "port": 8080}, {"host": "rs1", "port": 8080}])
        for _ in range(2)
    )
    scene.server, check.server = "rs3", "rs1"
    rs1 = Endpoint(IPv4Address("10.20.1.11"), 8080)
    own = [frame for hop in check.walks["rs1"].hops for frame in check._seen(hop)]
    others = [
        replace(frame, mark=frame.mark and 4712)
        for frame in own
        if LOCAL in (frame.packet.source, frame.packet.destination)
    ]
    assert any(rs1 == frame.packet.destination and frame.mark for frame in others)
    frames = [*others, *scene.frames] if first else [*scene.frames, *others]
    found = report(scene, frames, peer=str(LOCAL))
    assert found.failures == []


def test_another_clients_connection_by_the_same_local_port_does_not_confuse(environment):
    """A filter lets all packets of the local addresses pass, and source NAT gives a port again for another real server's address."""
    scene = Scene(environment, "fullnat")
    elsewhere = Endpoint(CLIENT.address + 77, 8080)
    others = [
        type(frame)(**{**vars(frame), "packet": type(frame.packet)("tcp", *ends)})
        for frame in scene.frames
        if LOCAL in (frame.packet.source, frame.packet.destination)
        for ends in [(LOCAL, elsewhere) if frame.packet.source == LOCAL else (elsewhere, LOCAL)]
    ]
    assert others
    assert report(scene, [*others, *scene.frames, *others], peer=str(LOCAL)).failures == []


def test_other_connections_of_the_client_do_not_confuse(environment):
    scene = Scene(environment, "nat")
    other = Scene(environment, "nat")
    other.ends = type(other.ends)(Endpoint(CLIENT.address, 40001))
    frames = [frame for hop in other.walks[other.server].hops for frame in other._seen(hop)]
    assert report(scene, [*frames, *scene.frames]).failures == []
    assert report(scene, frames).failures != []


def services(count, servers="farm", **more):
    usual = {"mode": "tun", "port": 80, "scheduler": "rr", "real_servers": [{"group": servers}], **more}
    return [{**usual, "name": f"s{n}", "vip": f"203.0.113.{n + 20}"} for n in range(count)]


def planned(environment, raw, **options):
    env = environment({"services": raw})
    return batches.batches(env.topology, verification.expectations(env.topology, []), **options)


def test_every_service_is_asked_in_one_batch_and_no_batch_has_more_requests_than_its_captures_hold(
    environment, monkeypatch
):
    monkeypatch.setattr(batches, "MOST", 10)
    found = planned(environment, services(20, "app"))  # two real servers: four requests each
    assert [item.service.name for batch in found for item in batch.expectations] == [f"s{n}" for n in range(20)]
    assert all(sum(r["count"] for r in batch.requests) <= 10 for batch in found)
    assert len(found) == 10


def test_a_service_of_more_requests_than_a_batch_has_one_of_its_own(environment, monkeypatch):
    monkeypatch.setattr(batches, "MOST", 3)
    assert [len(batch.requests) for batch in planned(environment, services(3, "app"))] == [1, 1, 1]


def test_captures_last_until_the_last_request_has_had_its_time(environment):
    for batch in planned(environment, services(60, "app")):
        worst = sum(r["count"] for r in batch.requests) * batches.TIMEOUT / batches.PARALLEL
        assert batch.questions["seconds"] >= worst
        spare = [capture.seconds - batch.questions["seconds"] for capture in batch.captures.values()]
        assert min(spare) >= 240  # on a busy host, start and stop took 150 s
        assert all(
            capture.packets >= 50 * sum(r["count"] for r in batch.requests) for capture in batch.captures.values()
        )


def test_a_host_captures_only_where_it_meets_the_services(environment):
    (batch,) = planned(environment, services(3))
    assert set(batch.captures) == {"client1", "lb1", "rs3"}
    assert batch.client == "client1"
    assert batch.captures["lb1"].interfaces == ("eth1.20", "eth1.30")


def test_a_trace_sends_one_request(environment):
    (batch,) = planned(environment, services(1, "app"), count=1, path="/x")
    assert [(r["count"], r["path"]) for r in batch.requests] == [(1, "/x")]


def captured(folder, scene, host):
    """A host's frames of a scene, as lvs_capture returns them."""
    found = {"captures": {}, "macs": scene.vantages[host].macs, "ended": [], "lost": {}}
    found["neighbours"] = {str(address): mac for address, mac in scene.vantages[host].neighbours.items()}
    for interface in found["macs"]:
        file = folder / "x.pcap"
        wrpcap(
            str(file),
            [bytes_of(f) for f in scene.frames if (f.host, f.interface) == (host, interface)]
            or [Ether(dst=MACS["lb1"], src=MACS["rs1"])],
        )
        found["captures"][interface] = base64.b64encode(gzip.compress(file.read_bytes())).decode()
    return found


def bytes_of(frame):
    layer = IP(src=str(frame.packet.source.address), dst=str(frame.packet.destination.address)) / TCP(
        sport=frame.packet.source.port,
        dport=frame.packet.destination.port,
        seq=frame.mark or 0,
        flags="S" if frame.mark else "SA",
    )
    if frame.packet.outer:
        layer = IP(src=str(frame.packet.outer[0]), dst=str(frame.packet.outer[1]), proto=4) / layer
    return Ether(src=frame.source_mac, dst=frame.destination_mac) / layer


@pytest.fixture
def verified(environment, tmp_path):
    """A run of verify that has captured one connection of the service tun."""
    scene = Scene(environment, "tun")
    folder = RunFolder(tmp_path / "run")
    (batch,) = batches.batches(scene.environment.topology, [expectation(scene)], count=1)
    folder.keep("batches/0", batch)
    folder.keep("answered-0/client1", {"connections": [{**PROBE, "service": "tun"}], "unasked": []})
    for host in batch.captures:
        folder.keep(f"captured-0/{host}", captured(tmp_path, scene, host))
    return folder


def test_a_verification_compares_what_the_run_has_kept(verified):
    found = comparison.compared(verified, peers=True)
    assert found.failures() == []
    assert "tun" in found.lines()[0]


def test_a_host_without_a_capture_is_named(verified):
    verified._file("captured-0/rs3").unlink()
    found = comparison.compared(verified, peers=True)
    assert found.failures() == [
        "not every hop could be compared.",
        "No capture from rs3: their hops were not compared.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("ended", ["eth1.20"], "ended before the last request"), ("lost", {"eth1.20": 7}, "no room for 7 packets")],
)
def test_a_capture_that_has_not_seen_everything_is_named_and_is_no_success(verified, key, value, words):
    verified.keep("captured-0/lb1", {**verified.read("captured-0/lb1"), key: value})
    (first, second) = comparison.compared(verified, peers=True).failures()
    assert first == "not every hop could be compared."
    assert words in second
    assert "lb1" in second


def test_a_client_that_could_not_ask_is_a_failure(verified):
    verified._file("answered-0/client1").unlink()
    assert "nothing was asked" in comparison.compared(verified, peers=True).failures()[1]


def test_requests_that_were_not_sent_are_named(verified):
    verified.keep("answered-0/client1", {**verified.read("answered-0/client1"), "unasked": ["tun"]})
    assert (
        "Not all requests were sent to tun: the time limit was reached."
        in comparison.compared(verified, peers=True).failures()
    )


def named(found, name):
    """The report of a service of another name."""
    service = replace(found.expectation.service, name=name)
    return replace(found, expectation=replace(found.expectation, entry=service.entries[0]))


def test_of_many_services_those_that_differ_are_all_listed(environment):
    good, bad = report(Scene(environment, "tun")), report(Scene(environment, "dr"), peer="", peers=True)
    good = [named(good, f"tun{number}") for number in range(1000)]
    found = comparison.Comparison(reports=[*good, *(named(bad, f"dr{number}") for number in range(3))])
    lines = "\n".join(found.lines()).splitlines()
    table = [line for line in lines if line.startswith(("tun", "dr"))]
    assert sum(line.endswith("FAILED") for line in table) == 3
    assert len(lines) < 500
    assert any("963 more, all ok" in line for line in lines)


BOTH = {
    "name": "both",
    "vip": ["10.20.1.90", "10.20.1.91"],
    "port": [80, "8000-8100"],
    "mode": "dr",
    "real_servers": [{"host": "rs1"}],
}


def test_of_a_service_with_several_entries_each_is_asked_and_the_table_has_one_line(environment):
    env = environment({"services": [BOTH]})
    expected = verification.expectations(env.topology, [])
    assert [(str(one.entry), one.entry.port) for one in expected] == [
        ("10.20.1.90:80", 80),
        ("10.20.1.91:80", 80),
        ("10.20.1.90:8000-8100", 8000),
        ("10.20.1.91:8000-8100", 8000),
    ]
    (batch,) = batches.batches(env.topology, expected)
    assert len({request["service"] for request in batch.requests}) == 4
    reports = [verification.Report(one, 2, 40, [], [], []) for one in expected]
    assert len(verification.table(verification.by_service(reports)).splitlines()) == 2


def test_the_table_has_a_line_for_each_service_with_what_all_of_its_entries_have_seen(environment):
    one, other = verification.expectations(environment({"services": [BOTH]}).topology, [])[:2]
    (nat,) = verification.expectations(Scene(environment, "nat").environment.topology, ["nat"])
    reports = [
        verification.Report(one, 2, 40, [], [], ["198.51.100.10"], reached=["rs1"], director_bytes=50),
        verification.Report(other, 3, 60, ["late"], [], [], untold=1, reached=["rs1"], director_bytes=75),
        verification.Report(
            nat, 2, 0, [], ["rs2"], ["198.51.100.10"], untold=1, reached=["rs1"], replies_at_director=2
        ),
    ]
    reports.append(verification.Report(nat, 1, 0, [], [], ["198.51.100.10"], untold=1, reached=["rs1", "rs2"]))
    table = [re.split(" {2,}", line) for line in verification.table(verification.by_service(reports)).splitlines()]
    assert table == [
        [*verification.COLUMNS],
        ["both", "dr", "5", "rs1", "no / no", "198.51.100.10 not told", "1.25", "FAILED"],
        ["nat", "nat", "3", "rs1,rs2", "yes / yes", "198.51.100.10 (not always told)", "-", "ok"],
    ]


def test_a_trace_asks_one_entry_of_the_vip_that_is_named(environment):
    topology = environment({"services": [BOTH]}).topology
    found = [verification.expectations(topology, ["both"], vip=vip, one=True) for vip in (None, "10.20.1.91")]
    assert [[str(one.entry) for one in each] for each in found] == [["10.20.1.90:80"], ["10.20.1.91:80"]]
    with pytest.raises(AnsibleActionFail, match="99 is no VIP of both, which has 10"):
        verification.expectations(topology, ["both"], vip="10.20.1.99")


def test_a_family_that_no_client_has_is_named_where_the_service_is(environment):
    topology = environment({"services": [{**BOTH, "vip": "2001:db8::80"}]}).topology
    assert verification.expectations(topology, []) == []
    with pytest.raises(AnsibleActionFail, match="no client can ask both at 2001:db8::80: none has an IPv6 address"):
        verification.expectations(topology, ["both"])
