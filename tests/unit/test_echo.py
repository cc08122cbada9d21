"""How large a packet gets to an address and back: canned ICMP messages (RFC 792, RFC 4443)."""

import itertools
import os
import socket
import struct
from pathlib import Path as File

import pytest
from ansible.module_utils.lvs_host import echo

PEER, PEER6 = "10.20.1.11", "2001:db8:30::11"
SOCKET = socket.socket
BOTH = pytest.mark.parametrize("peer", [PEER, PEER6])


def checksum(message):
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Path:
    """Raw sockets to hosts behind links: `carries` has the largest packet to each, in bytes. Larger ones are lost."""

    def __init__(self, carries, interface=9000, answer=lambda reply: [reply]):
        self.carries, self.interface, self.answer = carries, interface, answer
        self.sizes, self.options, self.handles = [], [], []

    def __call__(self, family, kind, protocol, *descriptor):
        if descriptor:  # one end of a pair
            return SOCKET(family, kind, protocol, *descriptor)
        assert kind == socket.SOCK_RAW
        self.handles.append(Handle(self, family, protocol))
        return self.handles[-1]


class Handle:
    """One of them. A socket of ICMP gives each message with its IP header, one of ICMPv6 without."""

    def __init__(self, path, family, protocol):
        self.path, self.family = path, family
        self.request, self.reply, self.header = {
            (socket.AF_INET, socket.IPPROTO_ICMP): (8, 0, 20),
            (socket.AF_INET6, socket.IPPROTO_ICMPV6): (128, 129, 40),
        }[family, protocol]
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.theirs.close()

    def fileno(self):
        return self.ours.fileno()

    def setsockopt(self, *option):
        self.path.options.append(option)

    def setblocking(self, value):
        pass

    def sendto(self, request, target):
        size = self.header + len(request)
        if size > self.path.interface:
            raise OSError(90, "Message too long")
        kind, code, summed, identifier, sequence = struct.unpack_from("!BBHHH", request)
        assert (kind, code) == (self.request, 0)
        assert checksum(request) == 0 if self.family == socket.AF_INET else summed == 0, "the kernel sums ICMPv6"
        self.path.sizes.append(size)
        if size <= self.path.carries.get(target[0], 0):
            reply = struct.pack("!BBHHH", self.reply, 0, 0, identifier, sequence) + request[8:]
            for message in self.path.answer(reply):
                self.theirs.send(socket.inet_pton(self.family, target[0]) + message)

    def recvfrom(self, size):
        packet, length = self.ours.recv(size), 4 if self.family == socket.AF_INET else 16
        sender, message = socket.inet_ntop(self.family, packet[:length]), packet[length:]
        if self.family == socket.AF_INET6:
            return message, (sender, 0, 0, 0)
        return bytes([0x46]) + bytes(23) + message, (sender, 0)  # a header with an option: 24 bytes


@pytest.fixture
def path(monkeypatch):
    def make(*arguments, **options):
        made = Path(*arguments, **options)
        monkeypatch.setattr(echo.socket, "socket", made)
        return made

    return make


def test_the_largest_packet_that_came_back(path):
    made = path({PEER: 1480, "10.20.1.12": 1500})
    assert echo.largest([(PEER, 1500), ("10.20.1.12", 1500), ("10.20.1.13", 1500)], 0.05) == [1480, 1500, 0]
    assert (socket.IPPROTO_IP, 10, 3) in made.options, "Don't Fragment: IP_MTU_DISCOVER is IP_PMTUDISC_PROBE"


def test_the_largest_packet_of_ipv6_that_came_back(path):
    made = path({PEER6: 1460, "2001:db8:30::12": 1500})
    paths = [(PEER6, 1500), ("2001:DB8:30:0::12", 1500), ("2001:db8:30::13", 1500)]
    made.carries["2001:DB8:30:0::12"] = 1500
    assert echo.largest(paths, 0.05) == [1460, 1500, 0]
    assert (socket.IPPROTO_IPV6, 23, 3) in made.options, "IPV6_MTU_DISCOVER is IPV6_PMTUDISC_PROBE"
    assert (socket.IPPROTO_IPV6, 62, 1) in made.options, "IPV6_DONTFRAG: the host itself fragments nothing either"


def test_paths_of_both_families_are_tried_together(path):
    made = path({PEER: 1480, PEER6: 1420})
    assert echo.largest([(PEER, 1500), (PEER6, 1500), (PEER, 1400)], 0.05) == [1480, 1420, 1400]
    assert len(made.handles) == 2
    assert all(handle.ours.fileno() == -1 for handle in made.handles), "the sockets are closed"


def test_no_packet_of_ipv6_is_smaller_than_what_every_link_carries_but_the_smallest(path):
    made = path({})
    assert echo.largest([(PEER6, 1450)], 0.05) == [0]
    assert sorted(set(made.sizes), reverse=True) == [1450, 1440, 1420, 1400, 1300, 1280, 64]


@BOTH
def test_nothing_is_asked_that_a_larger_packet_has_answered(path, peer):
    made = path({peer: 1500})
    echo.largest([(peer, 1500)], 0.05)
    assert made.sizes == [1500]


def test_only_sizes_up_to_the_wanted_one_are_tried_and_the_smallest_of_all(path):
    made = path({})
    assert echo.largest([(PEER, 1450)], 0.05) == [0]
    assert sorted(set(made.sizes), reverse=True) == [1450, 1440, 1420, 1400, 1300, 1280, 576, 64]
    assert len(made.sizes) == 2 * len(set(made.sizes)), "each is tried twice"


@BOTH
def test_answers_are_waited_for_after_the_last_question(path, monkeypatch, peer):
    monkeypatch.setattr(echo, "_PACE", 0)  # none has come before the last one is sent
    path({peer: 1500})
    assert echo.largest([(peer, 1500)], 0.05) == [1500]


@BOTH
def test_what_the_interface_itself_refuses_is_no_answer(path, peer):
    path({peer: 9000}, interface=1500)
    assert echo.largest([(peer, 8900)], 0.05) == [1500]


@pytest.mark.parametrize(
    "answer",
    [
        lambda reply: [b"\x08" + reply[1:]],
        lambda reply: [b"\x03" + reply[1:]],
        lambda reply: [reply[:4] + struct.pack("!H", struct.unpack_from("!H", reply, 4)[0] ^ 1) + reply[6:]],
        lambda reply: [reply[:6] + b"\xff\xff" + reply[8:]],
    ],
    ids=["a request", "destination unreachable", "another program's", "an unknown number"],
)
@BOTH
def test_what_is_no_answer_to_a_question_does_not_count(path, answer, peer):
    path({peer: 1500}, answer=answer)
    assert echo.largest([(peer, 1500)], 0.05) == [0]


@pytest.mark.parametrize(("peer", "other"), [(PEER, "10.20.1.99"), (PEER6, "2001:db8:30::99")])
def test_an_answer_from_somebody_else_does_not_count(path, monkeypatch, peer, other):
    """Whatever number it has: of a question, or of none."""
    numbers = itertools.count()  # every size is asked for twice, so half of them belong to no question
    path({peer: 9000}, answer=lambda reply: [reply[:6] + struct.pack("!H", next(numbers)) + reply[8:]])
    receive = Handle.recvfrom
    monkeypatch.setattr(Handle, "recvfrom", lambda own, size: (receive(own, size)[0], (other, 0)))
    assert echo.largest([(peer, 1500)], 0.05) == [0]


@pytest.mark.skipif(os.geteuid() != 0 or not File("/proc/net/if_inet6").exists(), reason="takes root and IPv6")
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
def test_the_kernel_takes_the_questions_and_answers_them(peer):
    assert echo.largest([(peer, 1500)], 0.2) == [1500]
