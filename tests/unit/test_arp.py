"""Who answers ARP: canned frames, as RFC 826 and RFC 5227 have them."""

import socket
import struct

import pytest
from ansible.module_utils.lvs_host import arp

OWN, ROUTER, OTHER = "52:54:00:00:00:0a", "52:54:00:00:00:01", "52:54:00:00:00:02"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(operation, sender, sender_ip, target, target_ip, hardware=1):
    head = struct.pack("!HHBBH", hardware, 0x0800, 6, 4, operation)
    addresses = mac(sender) + socket.inet_aton(sender_ip) + mac(target) + socket.inet_aton(target_ip)
    return mac(target) + mac(sender) + b"\x08\x06" + head + addresses + bytes(18)


REPLY = frame(2, ROUTER, "10.20.1.1", OWN, "0.0.0.0")


class Wire:
    """The two ends of a packet socket: what is sent there is kept, and each question is answered by what `answers` has for it."""

    def __init__(self, monkeypatch, answers):
        self.answers, self.sent, self.ends = answers, [], []
        monkeypatch.setattr(arp, "_open", self.open)

    def open(self, interface):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self.ends.append((ours, theirs))
        return End(self, interface, ours, theirs)


class End:
    def __init__(self, wire, interface, ours, theirs):
        self.wire, self.interface, self.ours, self.theirs = wire, interface, ours, theirs

    def fileno(self):
        return self.ours.fileno()

    def send(self, question):
        self.wire.sent.append((self.interface, question))
        for answer in self.wire.answers.get((self.interface, socket.inet_ntoa(question[38:42])), ()):
            self.theirs.send(answer)

    def recv(self, size):
        return self.ours.recv(size)

    def close(self):
        self.ours.close()
        self.theirs.close()


def test_the_question_is_a_probe_that_names_no_sender():
    """Else the VIP would enter neighbour tables with the MAC of whoever asks."""
    question = arp._question(OWN, "203.0.113.80")
    assert question == mac("ff:ff:ff:ff:ff:ff") + mac(OWN) + bytes.fromhex("0806 0001 0800 06 04 0001") + mac(
        OWN
    ) + bytes(4) + bytes(6) + socket.inet_aton("203.0.113.80")


def test_the_sender_of_a_reply_has_the_address(monkeypatch):
    Wire(monkeypatch, {("eth1", "10.20.1.1"): [REPLY]})
    assert arp.answers([("eth1", "10.20.1.1"), ("eth1", "10.20.1.2")], {"eth1": OWN}, 0.05) == [[ROUTER], []]


def test_all_that_answer_are_named_once(monkeypatch):
    both = [REPLY, frame(2, OTHER, "10.20.1.1", OWN, "0.0.0.0")]
    wire = Wire(monkeypatch, {("eth1", "10.20.1.1"): both})
    assert arp.answers([("eth1", "10.20.1.1")] * 2, {"eth1": OWN}, 0.05) == [[ROUTER, OTHER]] * 2
    assert len(wire.sent) == 2, "each address is asked for twice, however often it is wanted"


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
def test_what_is_no_reply_for_the_address_does_not_count(monkeypatch, noise):
    Wire(monkeypatch, {("eth1", "10.20.1.1"): [noise]})
    assert arp.answers([("eth1", "10.20.1.1")], {"eth1": OWN}, 0.05) == [[]]


def test_an_answer_counts_on_its_own_interface_only(monkeypatch):
    Wire(monkeypatch, {("eth2", "10.20.1.1"): [REPLY]})
    asks = [("eth1", "10.20.1.1"), ("eth2", "10.20.1.1"), ("eth9", "10.20.1.1")]
    assert arp.answers(asks, {"eth1": OWN, "eth2": OTHER}, 0.05) == [[], [ROUTER], []]


def test_an_interface_that_goes_down_meanwhile_answers_nothing(monkeypatch):
    wire = Wire(monkeypatch, {})
    opened = wire.open

    def down(interface):
        end = opened(interface)
        end.send = lambda question: (_ for _ in ()).throw(OSError(100, "Network is down"))
        return end

    monkeypatch.setattr(arp, "_open", down)
    assert arp.answers([("eth1", "10.20.1.1")], {"eth1": OWN}, 0.05) == [[]]
    assert all(ours.fileno() == -1 for ours, _ in wire.ends), "the sockets are closed"
