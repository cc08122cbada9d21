"""How large a packet gets to an address and back: canned ICMP messages (RFC 792)."""

import socket
import struct

import pytest
from ansible.module_utils.lvs_host import echo

PEER = "10.20.1.11"


def checksum(message):
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Path:
    """A raw socket to hosts behind links: `carries` has the largest packet to each, in bytes. Larger ones are lost."""

    def __init__(self, carries, interface=9000, answer=lambda reply: [reply]):
        self.carries, self.interface, self.answer = carries, interface, answer
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.sizes, self.options = [], []

    def __call__(self, family, kind, protocol):
        assert (family, kind, protocol) == (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.theirs.close()

    def fileno(self):
        return self.ours.fileno()

    def setsockopt(self, *option):
        self.options.append(option)

    def setblocking(self, value):
        pass

    def sendto(self, request, target):
        size = 20 + len(request)
        if size > self.interface:
            raise OSError(90, "Message too long")
        kind, code, _, identifier, sequence = struct.unpack_from("!BBHHH", request)
        assert (kind, code, checksum(request)) == (8, 0, 0)
        self.sizes.append(size)
        if size <= self.carries.get(target[0], 0):
            reply = struct.pack("!BBHHH", 0, 0, 0, identifier, sequence) + request[8:]
            for message in self.answer(reply):
                self.theirs.send(socket.inet_aton(target[0]) + message)

    def recvfrom(self, size):
        packet = self.ours.recv(size)
        sender, message = socket.inet_ntoa(packet[:4]), packet[4:]
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


def test_nothing_is_asked_that_a_larger_packet_has_answered(path):
    made = path({PEER: 1500})
    echo.largest([(PEER, 1500)], 0.05)
    assert made.sizes == [1500]


def test_only_sizes_up_to_the_wanted_one_are_tried_and_the_smallest_of_all(path):
    made = path({})
    assert echo.largest([(PEER, 1450)], 0.05) == [0]
    assert sorted(set(made.sizes), reverse=True) == [1450, 1420, 1400, 1300, 1280, 576, 64]
    assert len(made.sizes) == 2 * len(set(made.sizes)), "each is tried twice"


def test_what_the_interface_itself_refuses_is_no_answer(path):
    path({PEER: 9000}, interface=1500)
    assert echo.largest([(PEER, 8900)], 0.05) == [1500]


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
def test_what_is_no_answer_to_a_question_does_not_count(path, answer):
    path({PEER: 1500}, answer=answer)
    assert echo.largest([(PEER, 1500)], 0.05) == [0]


def test_an_answer_from_somebody_else_does_not_count(path, monkeypatch):
    made = path({PEER: 1500})
    receive = made.recvfrom
    monkeypatch.setattr(made, "recvfrom", lambda size: (receive(size)[0], ("10.20.1.99", 0)))
    assert echo.largest([(PEER, 1500)], 0.05) == [0]
