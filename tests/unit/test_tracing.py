"""A trace as a person, a program and a picture get it."""

import json
from dataclasses import replace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.diagnosis import Cause
from ansible.module_utils.lvs_controller import captures, inspection, tracing, verification
from ansible.module_utils.lvs_controller.sightings import Sightings
from ansible.module_utils.lvs_controller.verification import Expectation, report
from scenes import LOCAL, ROUTER, Scene

PROBE = {"service": "x", "port": 40000, "bytes": 20, "seconds": 0.5, "peer": "", "error": ""}


@pytest.fixture
def trace(environment):
    def make(name, cut=None, **probe):
        scene = Scene(environment, name)
        env = environment()
        expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
        frames = scene.frames if cut is None else scene.frames[:cut]
        return tracing.follow(
            env.topology, expected, {**PROBE, **probe}, (Sightings(frames), scene.vantages), {}, {}, {}
        )

    return make


def test_every_hop_of_a_good_request_is_seen(trace):
    found = trace("tun")
    assert set(found.states()) == {"seen"}
    assert found.diagnosis.fine
    text = "\n".join(found.lines())
    assert all(str(hop.packet) in text for hop in found.connection.hops)
    assert "20 bytes in 500.0 ms" in text


def test_hops_behind_the_one_where_it_broke_are_told_from_it(trace):
    found = trace("dr", cut=4, error="timed out")  # client1 out, lb1 in and out, rs1 in
    assert found.states() == ["seen", "seen", "seen", "missing", "after"]
    assert "no reply to it left rs1" in found.summary()[0]


def test_a_person_reads_where_it_broke_and_what_explains_it(trace):
    found = trace("dr", cut=4, error="timed out")
    lines = found.lines()
    marks = [line.split()[0].rstrip(",") for line in lines if line.startswith(" " * 10)]
    assert [mark for mark in marks if mark in ("ok", "MISSING", "-")] == ["ok", "ok", "ok", "MISSING", "-"]
    assert "  the client got: timed out" in lines
    assert found.summary()[1] == "No check on the hosts explains it."
    causes = Cause("rs1", "down", counted=True), Cause("lb1", "perhaps")
    explained = replace(found, diagnosis=replace(found.diagnosis, causes=causes)).summary()
    assert [line.split(":")[0] for line in explained[1:]] == ["Cause", "Also"]
    assert len(trace("dr").summary()) == 1


def test_packets_that_nobody_expected_are_listed_with_the_way_they_went(environment):
    scene = Scene(environment, "dr")
    stray = [
        replace(frame, packet=replace(frame.packet, destination=LOCAL), destination_mac=ROUTER)
        for frame in scene.frames[2:4]
    ]
    env = environment()
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
    found = tracing.follow(env.topology, expected, PROBE, (Sightings(scene.frames + stray), scene.vantages), {}, {}, {})
    unexpected = [line.split(",")[1].split()[0] for line in found.lines() if line.startswith("  unexpected")]
    assert unexpected == ["leaving", "arriving"]
    assert [one["leaving"] for one in found.as_dict()["unexpected"]] == [True, False]


def test_where_nobody_captured_nothing_is_said(environment, trace):
    scene = Scene(environment, "tun")
    env = environment()
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
    blind = {name: vantage for name, vantage in scene.vantages.items() if name == "rs3"}
    frames = [frame for frame in scene.frames if frame.host == "rs3"]
    found = tracing.follow(env.topology, expected, PROBE, (Sightings(frames), blind), {}, {}, {})
    assert set(found.states()) == {"seen", "unknown"}


def test_the_data_are_json_and_complete(trace):
    found = trace("enat")
    data = json.loads(json.dumps(found.as_dict()))
    assert [hop["predicted"] for hop in data["hops"]] == [str(hop.packet) for hop in found.connection.hops]
    assert all(hop["source_mac"] for hop in data["hops"] if hop["state"] == "seen")
    assert (data["fine"], data["causes"], data["real_server"]) == (True, [], "rs3")


def test_an_answer_of_another_kind_than_expected_is_a_cause_of_nothing(environment):
    """A host whose look at itself failed has no answer, and counts nothing."""
    assert inspection.counts({"rs1": {"unreachable": True}, "rs2": {}}) == {}


def test_captures_of_several_hosts_are_in_the_order_of_time(environment, monkeypatch):
    scene = Scene(environment, "dr")
    monkeypatch.setattr(
        captures, "frames", lambda name, report, kind: [replace(f, time=report["at"]) for f in scene.frames[:1]]
    )
    seen = {name: {"at": at, "neighbours": {}, "macs": {}} for name, at in (("lb1", 2.0), ("rs1", 1.0))}
    frames, vantages = captures.read(seen, {"lb1": 254, "rs1": 254})
    assert [frame.time for frame in frames.frames] == [1.0, 2.0]
    assert set(vantages) == {"lb1", "rs1"}


def test_a_service_without_a_real_server_in_use_cannot_be_followed(environment):
    quiet = {
        "name": "quiet",
        "vip": "203.0.113.90",
        "port": 80,
        "mode": "tun",
        "real_servers": [{"host": "rs3", "weight": 0}],
    }
    used = {**quiet, "name": "used", "vip": "203.0.113.91", "real_servers": [{"host": "rs3"}]}
    topology = environment({"services": [quiet, used]}).topology
    assert [item.service.name for item in verification.expectations(topology, [])] == ["used"]
    with pytest.raises(AnsibleActionFail, match="no real server of quiet gets requests"):
        verification.expectations(topology, ["quiet"])


@pytest.mark.parametrize(("scheduler", "failures"), [("rr", ["rs2 got no request of 1"]), ("wlc", [])])
def test_a_real_server_that_got_no_request_is_a_failure_where_each_has_its_turn(environment, scheduler, failures):
    """What counts connections gives none to a real server that others keep busy."""
    scene = Scene(environment, "dr", scheduler=scheduler, real_servers=[{"host": "rs1"}, {"host": "rs2"}])
    env = environment()
    expected = Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)
    probe = {**PROBE, "peer": ""}
    found = report(expected, [probe], Sightings(scene.frames), scene.vantages)
    assert (found.failures, found.not_chosen) == (failures, ["rs2"])
