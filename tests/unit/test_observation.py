"""Comparing frames with a walk: agreement, and every way in which packets go astray."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from ansible.module_utils.lvs.observation import Ends, Frame, bind, find_ends
from ansible.module_utils.lvs.walk import Endpoint
from scenes import CLIENT, LOCAL, MACS, MARK, ROUTER, Scene

SCENES = [
    ("dr", {}),
    ("nat", {}),
    ("fullnat", {}),
    ("fullnat", {"client_address": "toa"}),
    ("enat", {}),
    ("enat-cip-src", {}),
]


@pytest.fixture(params=SCENES, ids=str)
def scene(request, environment):
    name, service = request.param
    return Scene(environment, name, **service)


def test_frames_as_predicted_agree(scene):
    assert scene.differences() == []


def test_the_real_server_that_got_the_request_is_found(scene):
    assert scene.compared().real_server == scene.server


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
    packet = bind(reply, scene.ends)
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
    assert scene.differences() == ["request: not captured, not even at the client"]


def test_a_real_server_that_does_not_receive_what_was_sent_is_named(environment):
    scene = Scene(environment, "nat")
    scene.frames = [frame for frame in scene.frames if frame.host != "rs1"]
    assert any("was not seen arriving at rs1 (eth1)" in difference for difference in scene.differences())


def test_the_local_end_of_a_connection_is_found_by_its_mark(environment):
    scene = Scene(environment, "fullnat")
    assert find_ends(CLIENT, scene.service, "lb1", scene.frames) == Ends(CLIENT, LOCAL)
    others = [replace(frame, mark=MARK + 1) if frame.packet.source == LOCAL else frame for frame in scene.frames]
    assert find_ends(CLIENT, scene.service, "lb1", others) == Ends(CLIENT, None)


def test_source_nat_to_a_foreign_address_is_named(environment):
    scene = Scene(environment, "fullnat")
    wrong = Endpoint(IPv4Address("10.20.1.10"), LOCAL.port)
    scene.frames = [
        replace(frame, packet=replace(frame.packet, source=wrong)) if frame.packet.source == LOCAL else frame
        for frame in scene.frames
    ]
    scene.ends = find_ends(CLIENT, scene.service, "lb1", scene.frames)
    assert any("10.20.1.200:lport > 10.20.2.13:8080 was not seen leaving lb1" in text for text in scene.differences())


@pytest.fixture
def toa(environment):
    return Scene(environment, "fullnat", client_address="toa")


def with_option(scene, option, **changes):
    scene.frames = [
        replace(frame, packet=replace(frame.packet, option=option), **changes) if frame.packet.option else frame
        for frame in scene.frames
    ]
    return scene.differences()


def test_an_opening_packet_without_the_option_is_named(toa):
    assert any("expected 10.20.1.200:61234 > 10.20.2.13:8080 [option" in text for text in with_option(toa, None))


def test_a_later_packet_needs_no_option(toa):
    later = [replace(f, packet=replace(f.packet, option=None), mark=None) for f in toa.frames if f.packet.option]
    toa.frames += later
    assert toa.differences() == []


@pytest.mark.parametrize("name", ["enat", "enat-cip-src"])
def test_in_enat_every_packet_needs_the_option(environment, name):
    scene = Scene(environment, name)
    later = [replace(f, mark=None) for f in scene.frames if f.packet.option]
    scene.frames += later
    assert scene.differences() == []
    scene.frames.append(replace(later[0], packet=replace(later[0].packet, option=None)))
    assert f"expected {later[0].packet}" in scene.differences()[0]


def test_an_option_that_names_another_virtual_end_is_named(environment):
    scene = Scene(environment, "enat-cip-src")
    other = Endpoint(scene.service.entries[0].vip, 443)
    assert "[option 203.0.113.85:443] seen leaving lb1" in with_option(scene, other)[0]


def test_a_forged_option_is_named(toa):
    forged = Endpoint(IPv4Address("192.0.2.66"), 6666)
    assert any("[option 192.0.2.66:6666]" in text for text in with_option(toa, forged))
    assert any("[option 192.0.2.66:6666]" in text for text in with_option(toa, forged, mark=None))
