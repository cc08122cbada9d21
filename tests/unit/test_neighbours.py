"""Who answers for an address: canned frames, as RFC 826 and RFC 5227 have them for IPv4, and RFC 4861 for IPv6."""

import os
import socket
import struct

import pytest
from ansible.module_utils.lvs_host import arp, ndp, neighbours
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether

OWN, ROUTER, OTHER = "52:54:00:00:00:0a", "52:54:00:00:00:01", "52:54:00:00:00:02"
LINK_LOCAL = "fe80::5054:ff:fe00:a"  # by RFC 4291, appendix A: the U/L bit inverted, ff:fe in the middle
VIP6 = "2001:db8:20::80"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(operation, sender, sender_ip, target, target_ip, hardware=1):
    head = struct.pack("!HHBBH", hardware, 0x0800, 6, 4, operation)
    addresses = mac(sender) + socket.inet_aton(sender_ip) + mac(target) + socket.inet_aton(target_ip)
    return mac(target) + mac(sender) + b"\x08\x06" + head + addresses + bytes(18)


def advertisement(sender=ROUTER, target="2001:db8:30::1", option=True, hop_limit=255, **fields):
    packet = Ether(src=sender, dst=OWN) / IPv6(src="fe80::1", dst=LINK_LOCAL, hlim=hop_limit)
    packet = packet / ICMPv6ND_NA(tgt=target, S=1, R=0, **fields)
    return bytes(packet / ICMPv6NDOptDstLLAddr(lladdr=sender) if option else packet)


REPLY = frame(2, ROUTER, "10.20.1.1", OWN, "0.0.0.0")
REPLIES = {"10.20.1.1": REPLY, "2001:db8:30::1": advertisement()}
BOTH = pytest.mark.parametrize(("address", "other"), [("10.20.1.1", "10.20.1.2"), ("2001:db8:30::1", "2001:db8:30::2")])


class Wire:
    """The two ends of a packet socket: what is sent there is kept, and each question is answered by what `answers` has for it."""

    def __init__(self, monkeypatch, answers):
        self.answers, self.sent, self.ends = answers, [], []
        monkeypatch.setattr(neighbours, "_open", self.open)

    def open(self, interface, family):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self.ends.append((ours, theirs))
        return End(self, interface, family, ours, theirs)


class End:
    def __init__(self, wire, interface, family, ours, theirs):
        self.wire, self.interface, self.family, self.ours, self.theirs = wire, interface, family, ours, theirs

    def fileno(self):
        return self.ours.fileno()

    def send(self, question):
        self.wire.sent.append((self.interface, question))
        target = question[38:42] if self.family == socket.AF_INET else question[62:78]
        for answer in self.wire.answers.get((self.interface, socket.inet_ntop(self.family, target)), ()):
            self.theirs.send(answer)

    def recv(self, size):
        return self.ours.recv(size)

    def close(self):
        self.ours.close()
        self.theirs.close()


def test_the_arp_question_is_a_probe_that_names_no_sender():
    """Else the VIP would enter neighbour tables with the MAC of whoever asks."""
    question = arp.question(OWN, arp.source("eth1", OWN), socket.inet_aton("203.0.113.80"))
    assert question == mac("ff:ff:ff:ff:ff:ff") + mac(OWN) + bytes.fromhex("0806 0001 0800 06 04 0001") + mac(
        OWN
    ) + bytes(4) + bytes(6) + socket.inet_aton("203.0.113.80")


def test_the_solicitation_is_one_that_only_the_asker_is_answered_to():
    """From an unspecified source, the answer would go to all nodes, and a wrong one into all their tables (RFC 4861, 7.2.4)."""
    sender = socket.inet_pton(socket.AF_INET6, LINK_LOCAL)
    question = ndp.question(OWN, sender, socket.inet_pton(socket.AF_INET6, "2001:db8:20::12:3480"))
    asked = Ether(question)
    assert (asked.src, asked.dst) == (OWN, "33:33:ff:12:34:80")
    assert (asked[IPv6].src, asked[IPv6].dst, asked[IPv6].hlim) == (LINK_LOCAL, "ff02::1:ff12:3480", 255)
    assert asked[ICMPv6ND_NS].tgt == "2001:db8:20::12:3480"
    assert asked[ICMPv6NDOptSrcLLAddr].lladdr == OWN
    expected = asked.copy()
    del expected[IPv6].plen
    del expected[ICMPv6ND_NS].cksum
    assert bytes(expected) == question, "length and checksum are those that scapy works out"


@pytest.fixture
def table(monkeypatch, tmp_path):
    """/proc/net/if_inet6 with these lines."""

    def write(*lines):
        (tmp_path / "if_inet6").write_text("".join(f"{line}\n" for line in lines))
        monkeypatch.setattr(ndp, "_ADDRESSES", str(tmp_path / "if_inet6"))

    return write


def test_a_solicitation_comes_from_the_interfaces_own_link_local_address(table):
    table(
        "20010db8002000000000000000000010 02 40 00 80     eth1",
        "fe800000000000000000000000000099 03 40 20 80     eth2",
        "fe800000000000000000000000000011 02 40 20 80     eth1",
    )
    assert socket.inet_ntop(socket.AF_INET6, ndp.source("eth1", OWN)) == "fe80::11"


def test_without_a_link_local_address_it_comes_from_the_one_that_the_mac_gives(table, monkeypatch):
    table("20010db8002000000000000000000010 02 40 00 80     eth1")
    assert socket.inet_ntop(socket.AF_INET6, ndp.source("eth1", OWN)) == LINK_LOCAL
    monkeypatch.setattr(ndp, "_ADDRESSES", "/does/not/exist")
    assert socket.inet_ntop(socket.AF_INET6, ndp.source("eth1", OWN)) == LINK_LOCAL


@BOTH
def test_the_sender_of_a_reply_has_the_address(monkeypatch, address, other):
    Wire(monkeypatch, {("eth1", address): [REPLIES[address]]})
    assert neighbours.answers([("eth1", address), ("eth1", other)], {"eth1": OWN}, 0.05) == [[ROUTER], []]


def test_addresses_of_both_families_are_asked_for_together(monkeypatch):
    Wire(monkeypatch, {("eth1", address): [reply] for address, reply in REPLIES.items()})
    asks = [("eth1", "10.20.1.1"), ("eth1", "2001:DB8:30:0::1"), ("eth1", "10.20.1.2")]
    assert neighbours.answers(asks, {"eth1": OWN}, 0.05) == [[ROUTER], [ROUTER], []]


@pytest.mark.parametrize(
    ("address", "second"),
    [
        ("10.20.1.1", frame(2, OTHER, "10.20.1.1", OWN, "0.0.0.0")),
        ("2001:db8:30::1", advertisement(OTHER)),
    ],
)
def test_all_that_answer_are_named_once(monkeypatch, address, second):
    wire = Wire(monkeypatch, {("eth1", address): [REPLIES[address], second]})
    assert neighbours.answers([("eth1", address)] * 2, {"eth1": OWN}, 0.05) == [[ROUTER, OTHER]] * 2
    assert len(wire.sent) == 2, "each address is asked for twice, however often it is wanted"


def test_an_arp_reply_counts_without_the_padding_that_a_real_ethernet_adds():
    """Between virtual machines, no card pads the 42 bytes to 60."""
    assert arp.reply(REPLY[:42]) == (ROUTER, socket.inet_aton("10.20.1.1"))


@pytest.mark.parametrize(
    "noise",
    [
        frame(1, ROUTER, "10.20.1.1", OWN, "0.0.0.0"),
        frame(2, ROUTER, "10.20.1.7", OWN, "10.20.1.1"),
        frame(2, ROUTER, "10.20.1.1", OWN, "0.0.0.0", hardware=6),
        REPLY[:41],
        b"",
    ],
    ids=["a question", "another's address", "no Ethernet", "cut short", "empty"],
)
def test_what_is_no_arp_reply_for_the_address_does_not_count(monkeypatch, noise):
    Wire(monkeypatch, {("eth1", "10.20.1.1"): [noise]})
    assert neighbours.answers([("eth1", "10.20.1.1")], {"eth1": OWN}, 0.05) == [[]]


@pytest.mark.parametrize(
    "noise",
    [
        bytes(Ether(src=ROUTER) / IPv6(hlim=255) / ICMPv6ND_NS(tgt="2001:db8:30::1") / ICMPv6NDOptSrcLLAddr()),
        advertisement(target="2001:db8:30::7"),
        advertisement(hop_limit=254),
        advertisement(code=1),
        bytes(Ether(src=ROUTER) / IPv6(hlim=255) / ICMPv6Unknown(type=137) / (bytes(4) + mac(ROUTER) * 4)),
        bytes(Ether(src=ROUTER) / IPv6(hlim=255) / IPv6ExtHdrHopByHop() / ICMPv6ND_NA(tgt="2001:db8:30::1")),
        advertisement(option=False)[:77],
        b"",
    ],
    ids=[
        "a question",
        "another's address",
        "forwarded by a router",
        "another code",
        "another message",
        "no neighbour discovery",
        "cut short",
        "empty",
    ],
)
def test_what_is_no_advertisement_of_the_address_does_not_count(monkeypatch, noise):
    Wire(monkeypatch, {("eth1", "2001:db8:30::1"): [noise]})
    assert neighbours.answers([("eth1", "2001:db8:30::1")], {"eth1": OWN}, 0.05) == [[]]


def test_the_mac_that_others_would_learn_counts_and_not_that_of_the_frame():
    announced = bytearray(advertisement(OTHER))
    announced[6:12] = mac(ROUTER)
    assert ndp.reply(bytes(announced)) == (OTHER, socket.inet_pton(socket.AF_INET6, "2001:db8:30::1"))
    assert ndp.reply(advertisement(option=False))[0] == ROUTER
    nonce = bytes([14, 1]) + bytes(6)
    assert ndp.reply(advertisement(option=False) + nonce + bytes([2, 1]) + mac(OTHER))[0] == OTHER
    assert ndp.reply(advertisement(option=False) + bytes([14, 0]) + bytes(6) + bytes([2, 1]) + mac(OTHER))[0] == ROUTER


@BOTH
def test_an_answer_counts_on_its_own_interface_only(monkeypatch, address, other):
    Wire(monkeypatch, {("eth2", address): [REPLIES[address]]})
    asks = [("eth1", address), ("eth2", address), ("eth9", address)]
    assert neighbours.answers(asks, {"eth1": OWN, "eth2": OTHER}, 0.05) == [[], [ROUTER], []]


def test_an_interface_that_goes_down_meanwhile_answers_nothing(monkeypatch):
    wire = Wire(monkeypatch, {})
    opened = wire.open

    def down(interface, family):
        end = opened(interface, family)
        end.send = lambda question: (_ for _ in ()).throw(OSError(100, "Network is down"))
        return end

    monkeypatch.setattr(neighbours, "_open", down)
    assert neighbours.answers([("eth1", "10.20.1.1")], {"eth1": OWN}, 0.05) == [[]]
    assert all(ours.fileno() == -1 for ours, _ in wire.ends), "the sockets are closed"


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket takes root")
@pytest.mark.parametrize(
    ("family", "reply", "others"),
    [
        (socket.AF_INET, REPLY, [frame(1, ROUTER, "10.20.1.1", OWN, "0.0.0.0")]),
        (
            socket.AF_INET6,
            advertisement(),
            [
                ndp.question(OWN, bytes(16), bytes(16)),
                bytes(Ether(src=ROUTER, dst=OWN) / IPv6(nh=17) / bytes([136, *range(59)])),
            ],
        ),
    ],
)
def test_the_kernel_passes_answers_on_and_no_other_packet(family, reply, others):
    """On a busy host, the socket would else get every packet of IPv6."""
    received = neighbours._open("lo", family)
    with received, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sent:
        sent.bind(("lo", 0))
        for one in (*others, reply, *others, reply):
            sent.send(one)
        assert list(neighbours._frames(received)) == [reply, reply]
