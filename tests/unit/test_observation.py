"""Comparing frames with a walk: agreement, and every way in which packets go astray."""

from dataclasses import replace

import pytest
from ansible.module_utils.lvs.observation import Frame, Vantage, bind, compare
from ansible.module_utils.lvs.walk import walk

PORT = 40000
MACS = {
    "client1": "52:54:00:00:00:01",
    "lb1": "52:54:00:00:00:02",
    "rs1": "52:54:00:00:00:03",
    "rs2": "52:54:00:00:00:04",
}
ROUTER = "52:54:00:00:00:ff"


class Scene:
    """One service's predicted walks, and the frames that hosts would capture if all went as predicted."""

    def __init__(self, environment, name):
        env = environment()
        self.service = env.service(name)
        client, director = env.host("client1"), env.host("lb1")
        self.walks = {
            server.host.name: walk(env.topology, self.service, director, server, client)
            for server in self.service.real_servers
        }
        hosts = [client, director, *(server.host for server in self.service.real_servers)]
        gateways = {network.gateway: ROUTER for network in env.topology.networks.values()}
        self.vantages = {h.name: Vantage({i.name: MACS[h.name] for i in h.interfaces}, gateways) for h in hosts}
        self.frames = [frame for hop in self.walks["rs1"].hops for frame in self._seen(hop)]

    def _seen(self, hop):
        for node, leaving in ((hop.sender, True), (hop.receiver, False)):
            if node.host in self.vantages:
                source, destination = (MACS.get(end.host, ROUTER) for end in (hop.sender, hop.receiver))
                packet = bind(hop.packet, "cport", PORT)
                yield Frame(node.host, node.interface, leaving, source, destination, packet, 60, 0.0)

    def differences(self):
        return compare(self.service, self.walks, "lb1", PORT, self.frames, self.vantages).differences


@pytest.fixture(params=["dr", "nat"])
def scene(request, environment):
    return Scene(environment, request.param)


def test_frames_as_predicted_agree(scene):
    assert scene.differences() == []


def test_the_real_server_that_got_the_request_is_found(scene):
    assert compare(scene.service, scene.walks, "lb1", PORT, scene.frames, scene.vantages).real_server == "rs1"


def test_every_single_frame_matters(scene):
    """Whichever frame is missing, the comparison says so."""
    complete = scene.frames
    for missing in complete:
        scene.frames = [frame for frame in complete if frame is not missing]
        assert scene.differences(), missing


def test_every_field_of_every_frame_matters(scene):
    complete = scene.frames
    wrong = "52:54:00:00:00:99"
    for i, frame in enumerate(complete):
        source = replace(frame.packet.source, port=1)
        for changed in (
            replace(frame, source_mac=wrong),
            replace(frame, destination_mac=wrong),
            replace(frame, packet=replace(frame.packet, source=source)),
            replace(frame, packet=replace(frame.packet, outer=(source.address, source.address))),
        ):
            scene.frames = [*complete[:i], changed, *complete[i + 1 :]]
            assert scene.differences(), changed


def test_a_dr_reply_through_the_director_is_named(environment):
    scene = Scene(environment, "dr")
    reply = next(hop.packet for hop in scene.walks["rs1"].hops if hop.leg == "reply")
    packet = bind(reply, "cport", PORT)
    scene.frames.append(Frame("lb1", "eth1.30", False, MACS["rs1"], MACS["lb1"], packet, 60, 0.0))
    assert scene.differences() == ["unexpected: 10.20.1.80:80 > 198.51.100.10:40000 seen at lb1 (eth1.30), from rs1"]


def test_a_nat_reply_that_bypasses_the_director_is_named(environment):
    scene = Scene(environment, "nat")
    scene.frames = [
        replace(frame, destination_mac=ROUTER) if frame.host == "rs1" and frame.leaving else frame
        for frame in scene.frames
    ]
    assert f"destination MAC is {ROUTER}, expected {MACS['lb1']}" in scene.differences()[0]


def test_a_director_that_forwards_nothing_is_named(scene):
    scene.frames = [
        frame
        for frame in scene.frames
        if frame.host in ("client1", "lb1") and frame.leaving == (frame.host == "client1")
    ]
    assert scene.differences() == [
        f"request: reached lb1, which forwarded it to no real server of {scene.service.name}"
    ]


def test_a_request_that_is_lost_before_the_director_is_named(scene):
    scene.frames = [frame for frame in scene.frames if frame.host == "client1" and frame.leaving]
    assert scene.differences() == ["request: left the client, but never arrived at director lb1"]


def test_no_frame_at_all_is_no_agreement(scene):
    scene.frames = []
    assert scene.differences() == ["request: nothing was captured, not even leaving the client"]


def test_a_real_server_that_does_not_receive_what_was_sent_is_named(environment):
    scene = Scene(environment, "nat")
    scene.frames = [frame for frame in scene.frames if frame.host != "rs1"]
    assert any("was not seen arriving at rs1 (eth1)" in difference for difference in scene.differences())
