"""Reading captured bytes into the model's packets."""

import base64
import gzip
from ipaddress import IPv4Address

from ansible.module_utils.lvs.walk import Endpoint, Packet
from ansible.module_utils.lvs_controller.captures import dissect, frames
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import wrpcap

CLIENT, VIP = IPv4Address("198.51.100.10"), IPv4Address("203.0.113.80")
INNER = IP(src=str(CLIENT), dst=str(VIP))


def packet(*layers):
    frame = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")
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


def test_a_client_address_in_a_tcp_option():
    value = (40000).to_bytes(2, "big") + CLIENT.packed
    found = packet(INNER, TCP(sport=80, dport=80, options=[(254, value)]))[2]
    assert found.option == Endpoint(CLIENT, 40000)
    frame = bytes(Ether() / INNER / TCP(sport=80, dport=80, options=[(200, value)]))
    assert dissect(frame)[2].option is None
    assert dissect(frame, 200)[2].option == Endpoint(CLIENT, 40000)


def test_other_frames_are_passed_over():
    assert packet(ARP())[2] is None
    assert packet(INNER, ICMP())[2] is None


def test_a_frame_cut_short_is_passed_over():
    whole = bytes(Ether() / INNER / TCP())
    for length in range(14, 34):
        assert dissect(whole[:length])[2] is None


def test_only_the_hosts_own_frames_count(tmp_path):
    """A switch that has not learned a MAC yet floods the frame; a host that sees it so did not receive it."""
    mine, theirs = "52:54:00:00:00:02", "52:54:00:00:00:99"
    payload = INNER / TCP(sport=40000, dport=80)
    wrpcap(str(tmp_path / "eth1.pcap"), [Ether(dst=destination) / payload for destination in (mine, theirs)])
    encoded = base64.b64encode(gzip.compress((tmp_path / "eth1.pcap").read_bytes())).decode()
    found = list(frames("rs1", {"captures": {"eth1": encoded}, "macs": {"eth1": mine}}))
    assert [(frame.destination_mac, frame.leaving, frame.length) for frame in found] == [(mine, False, 54)]
