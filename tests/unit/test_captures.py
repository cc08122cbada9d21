"""Reading captured bytes into the model's packets. Scapy builds the frames, so that reader and test share nothing."""

import base64
import gzip
import random
from ipaddress import IPv4Address, IPv6Address

import pytest
from ansible.module_utils.lvs.walk import Endpoint, Packet
from ansible.module_utils.lvs_controller.captures import dissect, frames, vantage
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit, SCTPChunkInitAck
from scapy.utils import wrpcap

CLIENT, VIP = IPv4Address("198.51.100.10"), IPv4Address("203.0.113.80")
CLIENT6, VIP6 = IPv6Address("2001:db8:99::10"), IPv6Address("2001:db8:20::80")
INNER = IP(src=str(CLIENT), dst=str(VIP))
INNER6 = IPv6(src=str(CLIENT6), dst=str(VIP6))
LINK = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")


def packet(*layers):
    frame = LINK
    for layer in layers:
        frame = frame / layer
    return dissect(bytes(frame))


def test_tcp():
    macs = ("52:54:00:00:00:01", "52:54:00:00:00:02")
    expected = Packet("tcp", Endpoint(CLIENT, 40000), Endpoint(VIP, 80))
    assert packet(INNER, TCP(sport=40000, dport=80, flags="A")) == (*macs, expected, None)


def test_only_what_opens_a_connection_has_a_mark():
    assert packet(INNER, TCP(flags="S", seq=4711))[3] == 4711
    assert packet(INNER, TCP(flags="SA", seq=4711))[3] is None
    assert packet(INNER, UDP(sport=40000, dport=53), b"lvskit 1")[3] == b"lvskit 1"


def test_udp():
    assert packet(INNER, UDP(sport=40000, dport=53))[2] == Packet("udp", Endpoint(CLIENT, 40000), Endpoint(VIP, 53))


def test_a_tunnelled_packet_keeps_both_headers():
    found = packet(IP(src="203.0.113.10", dst="10.20.2.13", proto=4), INNER, TCP(sport=40000, dport=80))[2]
    assert found.outer == (IPv4Address("203.0.113.10"), IPv4Address("10.20.2.13"))
    assert found.destination == Endpoint(VIP, 80)


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_ipv6(protocol):
    layer = {"tcp": TCP(), "udp": UDP(), "sctp": SCTP()}[protocol]
    layer.sport, layer.dport = 40000, 80
    assert packet(INNER6, layer)[2] == Packet(protocol, Endpoint(CLIENT6, 40000), Endpoint(VIP6, 80))


def test_marks_of_ipv6_are_those_of_ipv4():
    assert packet(INNER6, TCP(flags="S", seq=4711))[3] == 4711
    assert packet(INNER6, TCP(flags="SA", seq=4711))[3] is None
    assert packet(INNER6, UDP(sport=40000, dport=53), b"lvskit 1")[3] == b"lvskit 1"


@pytest.mark.parametrize("network", [INNER, INNER6], ids=["IPv4", "IPv6"])
def test_an_sctp_association_is_marked_by_its_initiate_tag(network):
    """RFC 9260, 3.3.2: the client chooses it; no address translation changes it."""
    assert packet(network, SCTP(), SCTPChunkInit(init_tag=0x12345678))[3] == 0x12345678
    assert packet(network, SCTP(), SCTPChunkInitAck(init_tag=0x12345678))[3] is None
    assert packet(network, SCTP(), SCTPChunkData(data=b"x"))[3] is None
    assert packet(network, SCTP())[3] is None


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (IP(src="203.0.113.10", dst="10.20.2.13", proto=4), INNER),
        (IP(src="203.0.113.10", dst="10.20.2.13", proto=41), INNER6),
        (IPv6(src="2001:db8:20::10", dst="2001:db8:30::13", nh=4), INNER),
        (IPv6(src="2001:db8:20::10", dst="2001:db8:30::13", nh=41), INNER6),
    ],
    ids=["4-in-4", "6-in-4", "4-in-6", "6-in-6"],
)
def test_each_family_in_each(outer, inner):
    found = packet(outer, inner, TCP(sport=40000, dport=80, flags="S", seq=4711))
    assert [str(address) for address in found[2].outer] == [outer.src, outer.dst]
    assert (str(found[2].source.address), str(found[2].destination.address)) == (inner.src, inner.dst)
    assert (found[2].destination.port, found[3]) == (80, 4711)
    assert packet(outer, outer.copy(), inner, TCP())[2] is None, "a tunnel in a tunnel is none of lvskit's"


def test_a_tunnel_that_says_how_many_more_may_follow():
    """ip6tnl devices of Linux send the option of RFC 2473, 4.1.1."""
    limit = IPv6ExtHdrDestOpt(nh=41, options=[PadN(otype=4, optdata=b"\4"), PadN(optdata=b"\0")])
    found = packet(IPv6(src="2001:db8:20::10", dst="2001:db8:30::13"), limit, INNER6, TCP(sport=40000, dport=80))[2]
    assert found.outer == (IPv6Address("2001:db8:20::10"), IPv6Address("2001:db8:30::13"))
    assert found.destination == Endpoint(VIP6, 80)


@pytest.mark.parametrize(
    "extensions",
    [
        [IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 12)])],
        [IPv6ExtHdrRouting(addresses=["2001:db8::1"])],
        [IPv6ExtHdrFragment(offset=0, m=1)],
        [IPv6ExtHdrDestOpt()],
        [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(offset=0, m=1)],
    ],
    ids=["hop by hop", "routing", "first fragment", "destination", "several"],
)
def test_extension_headers_are_passed_over(extensions):
    found = packet(INNER6, *extensions, UDP(sport=40000, dport=53), b"lvskit 1")
    assert found[2] == Packet("udp", Endpoint(CLIENT6, 40000), Endpoint(VIP6, 53))
    assert found[3] == b"lvskit 1"


def test_an_authentication_header_counts_in_words_of_four_bytes():
    """RFC 4302, 2.2: other extension headers count in eight."""
    header = bytes([6, 4]) + bytes(22)
    found = packet(IPv6(src=str(CLIENT6), dst=str(VIP6), nh=51), header, bytes(TCP(sport=40000, dport=80)))[2]
    assert found == Packet("tcp", Endpoint(CLIENT6, 40000), Endpoint(VIP6, 80))


def test_a_later_fragment_of_ipv6_is_passed_over():
    assert packet(INNER6, IPv6ExtHdrFragment(nh=17, offset=10), b"x" * 40)[2] is None


def test_an_ipv6_client_in_a_tcp_option():
    """Its length, 20 bytes, tells the family."""
    value = (40000).to_bytes(2, "big") + CLIENT6.packed
    found = packet(INNER6, TCP(sport=80, dport=80, options=[(254, value)]))[2]
    assert found.option == Endpoint(CLIENT6, 40000)
    assert packet(INNER6, TCP(sport=80, dport=80, options=[(254, value[:-1])]))[2].option is None


def test_padding_behind_a_short_datagram_of_ipv6_is_no_part_of_it():
    frame = bytes(LINK / INNER6 / UDP(sport=40000, dport=53) / b"lvskit") + b"\0" * 12
    assert dissect(frame)[3] == b"lvskit"


def test_other_frames_of_ipv6_are_passed_over():
    assert packet(INNER6, ICMPv6EchoRequest())[2] is None
    assert packet(IPv6(nh=59))[2] is None
    whole = bytes(LINK / INNER6 / IPv6ExtHdrDestOpt() / TCP())
    for length in range(14, len(whole)):
        assert dissect(whole[:length])[2] is None


def test_neighbours_of_either_family():
    macs = {"203.0.113.1": "52:54:00:00:00:01", "2001:DB8::1": "52:54:00:00:00:02"}
    found = vantage({"macs": {"eth1": "52:54:00:00:00:03"}, "neighbours": macs})
    assert found.neighbours == {
        IPv4Address("203.0.113.1"): "52:54:00:00:00:01",
        IPv6Address("2001:db8::1"): "52:54:00:00:00:02",
    }


def test_a_client_address_in_a_tcp_option():
    value = (40000).to_bytes(2, "big") + CLIENT.packed
    found = packet(INNER, TCP(sport=80, dport=80, options=[(254, value)]))[2]
    assert found.option == Endpoint(CLIENT, 40000)
    frame = bytes(LINK / INNER / TCP(sport=80, dport=80, options=[(200, value)]))
    assert dissect(frame)[2].option is None
    assert dissect(frame, 200)[2].option == Endpoint(CLIENT, 40000)


def test_other_frames_are_passed_over():
    assert packet(ARP())[2] is None
    assert packet(INNER, ICMP())[2] is None


def test_a_frame_cut_short_is_passed_over():
    whole = bytes(LINK / INNER / TCP())
    for length in range(14, 54):
        assert dissect(whole[:length])[2] is None


def test_a_later_fragment_has_no_ports_and_is_passed_over():
    assert packet(IP(src=str(CLIENT), dst=str(VIP), frag=10, proto=6), b"x" * 40)[2] is None


def test_padding_behind_a_short_datagram_is_no_part_of_it():
    """Ethernet pads a frame to 60 bytes."""
    frame = bytes(LINK / INNER / UDP(sport=40000, dport=53) / b"lvskit") + b"\0" * 12
    assert dissect(frame)[3] == b"lvskit"


def test_ip_options_are_passed_over():
    options = [IPOption_Router_Alert()]
    found = packet(IP(src=str(CLIENT), dst=str(VIP), options=options), TCP(sport=40000, dport=80))[2]
    assert found == Packet("tcp", Endpoint(CLIENT, 40000), Endpoint(VIP, 80))


@pytest.mark.parametrize(
    "cut", [b"\xfe", b"\xfe\x00", b"\xfe\x08\x00", b"\xfe\x06\x9c\x40\x00\x00", b"\x00\xfe\x08" + b"\x01" * 6]
)
def test_an_option_that_is_cut_short_of_another_length_or_behind_the_end_is_none(cut):
    tcp = bytes(TCP(sport=40000, dport=80))
    padded = cut + b"\0" * (-len(cut) % 4)
    if cut == b"\xfe":
        padded = b"\1\1\1\xfe"  # the last byte of the header
    tcp = tcp[:12] + bytes([(20 + len(padded)) // 4 << 4]) + tcp[13:20] + padded
    assert packet(IP(src=str(CLIENT), dst=str(VIP), proto=6), tcp)[2].option is None


def test_the_option_is_found_behind_others():
    value = (40000).to_bytes(2, "big") + CLIENT.packed
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 2)), ("NOP", None), ("WScale", 7), (254, value)]
    assert packet(INNER, TCP(sport=80, dport=80, options=options))[2].option == Endpoint(CLIENT, 40000)


def test_random_bytes_are_no_packet_and_no_error():
    random.seed(4)
    for length in range(200):
        dissect(random.randbytes(length))
        dissect(bytes(LINK)[:12] + b"\x08\x00\x45" + random.randbytes(length))
        for following in (0, 6, 43, 44, 51, 60, 132):
            head = b"\x86\xdd\x60" + bytes(5) + bytes([following, 64])
            dissect(bytes(LINK)[:12] + head + random.randbytes(length))


@pytest.mark.parametrize("settings", [{"endianness": "<"}, {"endianness": ">"}, {"nano": True}], ids=str)
def test_files_of_either_byte_order_and_resolution(tmp_path, settings):
    sent = LINK / INNER / TCP(sport=40000, dport=80)
    sent.time = 1700000000.25
    wrpcap(str(tmp_path / "eth1.pcap"), [sent, sent], **settings)
    whole = (tmp_path / "eth1.pcap").read_bytes()
    found = read_back(whole)
    assert [(frame.time, frame.length) for frame in found] == [(1700000000.25, 54)] * 2
    assert len(read_back(whole[:-1])) == 1  # tcpdump was killed while it wrote
    assert read_back(b"") == []


def read_back(file):
    encoded = base64.b64encode(gzip.compress(file)).decode()
    return list(frames("rs1", {"captures": {"eth1": encoded}, "macs": {"eth1": "52:54:00:00:00:01"}}))


def test_what_is_no_capture_is_an_error():
    with pytest.raises(ValueError, match="no pcap file"):
        read_back(b"something else that is long enough")


def test_only_the_hosts_own_frames_count(tmp_path):
    """A switch that has not learned a MAC yet floods the frame; a host that sees it so did not receive it."""
    mine, theirs = "52:54:00:00:00:02", "52:54:00:00:00:99"
    payload = INNER / TCP(sport=40000, dport=80)
    wrpcap(str(tmp_path / "eth1.pcap"), [Ether(dst=destination) / payload for destination in (mine, theirs)])
    encoded = base64.b64encode(gzip.compress((tmp_path / "eth1.pcap").read_bytes())).decode()
    found = list(frames("rs1", {"captures": {"eth1": encoded}, "macs": {"eth1": mine}}))
    assert [(frame.destination_mac, frame.leaving, frame.length) for frame in found] == [(mine, False, 54)]
