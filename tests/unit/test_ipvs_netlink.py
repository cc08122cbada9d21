"""Commands of ipvsadm as netlink messages, byte for byte, against <linux/ip_vs.h> and <linux/genetlink.h>."""

import struct

import pytest
from ansible.module_utils.lvs_host import ipvs, ipvs_netlink
from ansible.module_utils.lvs_host.resource import HostError

SERVICE = bytes.fromhex(
    "06000100 02000000"  # IPVS_SVC_ATTR_AF: AF_INET
    "06000200 06000000"  # PROTOCOL: TCP
    "14000300 cb007150 00000000 00000000 00000000"  # ADDR: 203.0.113.80
    "06000400 00500000"  # PORT: 80, in network byte order
)
SERVICE6 = bytes.fromhex(
    "06000100 0a000000"  # AF: AF_INET6
    "06000200 84000000"  # PROTOCOL: SCTP
    "14000300 20010db8 00000000 00000000 00000080"
    "06000400 00500000"
)
MARK6 = bytes.fromhex("06000100 0a000000 08000500 0100006c")  # AF and FWMARK, in the host's byte order
DESTINATION6 = bytes.fromhex("14000100 20010db8 00010000 00000000 00000011 06000200 00500000")
DESTINATION = bytes.fromhex(
    "14000100 0a14010b 00000000 00000000 00000000"  # IPVS_DEST_ATTR_ADDR: 10.20.1.11
    "06000200 1f900000"  # PORT: 8080
)


def head(length, command, flags=1):
    """nlmsghdr (type 0x1c, sequence number 7) and genlmsghdr on a little-endian machine."""
    return bytes.fromhex(f"{length:02x}000000 1c00 {flags:02x}00 07000000 00000000 {command:02x}010000")


def nested(kind, content):
    return bytes.fromhex(f"{4 + len(content):02x}00 {kind:02x}80") + content


@pytest.mark.parametrize(
    ("command", "number", "expected"),
    [
        ("-D -t 203.0.113.80:80", 3, nested(1, SERVICE)),
        (
            "-A -t 203.0.113.80:80 -s wlc -p 300",
            1,
            nested(
                1,
                SERVICE
                + bytes.fromhex("08000600 776c6300 0c000700 01000000 ffffffff 08000800 2c010000 08000900 ffffffff"),
            ),
        ),
        ("-d -t 203.0.113.80:80 -r 10.20.1.11:8080", 7, nested(1, SERVICE) + nested(2, DESTINATION)),
        (
            "-e -t 203.0.113.80:80 -r 10.20.1.11:8080 -i -w 100",
            6,
            nested(1, SERVICE)
            + nested(2, DESTINATION + bytes.fromhex("08000300 02000000 08000400 64000000 08000500 00000000 08000600 00000000")),
        ),
        (
            "-A -t 203.0.113.80:80 -s mh -p 300 -M 255.255.255.0 --pe sip -o -b mh-fallback,mh-port",
            1,
            nested(
                1,
                SERVICE
                + bytes.fromhex("07000600 6d680000 0c000700 1d000000 ffffffff 08000800 2c010000 08000900 ffffff00 08000b00 73697000"),
            ),
        ),
        (
            "-E -t 203.0.113.80:80 -s rr -b flag-1,flag-2,flag-3",
            2,
            nested(
                1,
                SERVICE + bytes.fromhex("07000600 72720000 0c000700 38000000 ffffffff 08000800 00000000 08000900 ffffffff"),
            ),
        ),
        (
            "-E --sctp-service [2001:db8::80]:80 -s sh -b sh-port",
            2,
            nested(
                1,
                SERVICE6 + bytes.fromhex("07000600 73680000 0c000700 10000000 ffffffff 08000800 00000000 08000900 80000000"),
            ),
        ),
        (
            "-A -f 1811939329 -6 -s rr -p 60 -M 64",
            1,
            nested(1, MARK6 + bytes.fromhex("07000600 72720000 0c000700 01000000 ffffffff 08000800 3c000000 08000900 40000000")),
        ),
        (
            "-D -f 1811939329",
            3,
            nested(1, MARK6.replace(b"\x0a", b"\x02")),
        ),
        ("-d -f 1811939329 -6 -r [2001:db8:1::11]:80", 7, nested(1, MARK6) + nested(2, DESTINATION6)),
        (
            "-d -f 1811939329 -6 -r 10.20.1.11:8080",  # by tun: the real server's family is another one
            7,
            nested(1, MARK6) + nested(2, DESTINATION + bytes.fromhex("06000b00 02000000")),
        ),
        (
            "-a -t 203.0.113.80:80 -r [2001:db8:1::11]:80 -i -w 1 -x 2000 -y 1500",
            5,
            nested(1, SERVICE)
            + nested(2, DESTINATION6 + bytes.fromhex("06000b00 0a000000 08000300 02000000 08000400 01000000 08000500 d0070000 08000600 dc050000")),
        ),
    ],
)  # fmt: skip
def test_the_message_of_a_command(command, number, expected):
    assert ipvs_netlink.message(0x1C, 7, command) == head(20 + len(expected), number) + expected


def test_only_the_last_message_of_a_batch_asks_for_an_answer():
    assert ipvs_netlink.message(0x1C, 7, "-D -t 203.0.113.80:80", acknowledge=True)[6] == 5


@pytest.mark.parametrize(
    "command",
    [
        "-A -t 203.0.113.80:80 -s rr -b of-no-scheduler",
        "-A -t 203.0.113.80:80 -s rr -p",
        "-A -t 203.0.113.80:80 -s rr -p 0",
        "-A -t 203.0.113.80:80 -s rr -p 300 -M 24",
        "-A -t [2001:db8::1]:80 -s rr -p 300 -M 255.255.255.0",
        "-A -t 203.0.113.80:80 -s rr -o 1",
        "-A -t 203.0.113.80:80 -s rr -o 1 2",
        "-A -t 203.0.113.80:80 -p 300",
        "-A -f seven -s rr",
        "-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g",
        "-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 99999999999",
        "-a -t 203.0.113.80:80 -r [10.20.1.11]:80 -g -w 1",
        "-a -t 203.0.113.80:80 -r 10.20.1.11:80 -i -w 1 --tun-type gue --tun-port 6080",
        "-Z -t 203.0.113.80:80",
    ],
)
def test_what_is_not_known_here_is_left_to_ipvsadm(command):
    with pytest.raises(ipvs_netlink.Unsupported):
        ipvs_netlink.message(0x1C, 7, command)


def table(netlink):
    ran = []

    def run(argv, stdin):
        ran.append((argv, stdin))
        return 0, "", ""

    made = ipvs.IpvsTable("-A -t 203.0.113.80:80 -s rr\n", "", run, installed=True, netlink=netlink)
    return made, ran


def test_ipvsadm_does_what_netlink_cannot():
    def unsupported(commands):
        raise ipvs_netlink.Unsupported(commands[0])

    made, ran = table(unsupported)
    made.add()
    assert ran[0] == (["ipvsadm", "--restore"], "-A -t 203.0.113.80:80 -s rr\n")


def test_ipvsadm_does_nothing_that_netlink_has_done():
    made, ran = table(lambda commands: [])
    made.add()
    assert not any("--restore" in argv for argv, _ in ran)


def test_what_the_kernel_refuses_is_named():
    made, _ = table(lambda commands: [f"{commands[0]}: No such file or directory"])
    with pytest.raises(HostError, match=r"the kernel refused -A -t 203.0.113.80:80 -s rr: No such file or directory"):
        made.add()


class Kernel:
    """The kernel's end of a netlink socket. `refuses` maps the number of a command to an errno; `answers` is False for one that
    falls silent."""

    FAMILY = 0x1C

    def __init__(self, monkeypatch, refuses=None, answers=True, family=True):
        self.refuses, self.answers, self.family = refuses or {}, answers, family
        self.batches, self.waiting = [], []
        monkeypatch.setattr(ipvs_netlink.socket, "socket", lambda *kind: self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def settimeout(self, seconds):
        self.seconds = seconds

    def bind(self, address):
        assert address == (0, 0)

    def send(self, data):
        messages = list(ipvs_netlink._messages(data))
        if messages[0][0] == ipvs_netlink.GENL_ID_CTRL:
            attribute = struct.pack("=HHHH", 6, 1, self.FAMILY, 0)  # CTRL_ATTR_FAMILY_ID
            self.waiting.append(answer(0x10, 0, bytes(4) + attribute) if self.family else error(0, 2))
            return
        self.batches.append([number for _, number, _ in messages])
        assert {kind for kind, _, _ in messages} == {self.FAMILY}
        flags = {number: struct.unpack_from("=H", data[offset:], 6)[0] for number, offset in places(data)}
        for _, number, _ in messages:
            refused = self.refuses.get(number, 0)
            if refused or flags[number] & ipvs_netlink.NLM_F_ACK:
                self.waiting.append(error(number, refused))

    def recv(self, size):
        if not self.answers and self.batches:
            raise TimeoutError("timed out")
        return self.waiting.pop(0)


def places(data):
    """Sequence number and offset of each message."""
    offset = 0
    while offset < len(data):
        length, _, _, number = struct.unpack_from("=IHHI", data, offset)
        yield number, offset
        offset += length + -length % 4


def answer(kind, number, content):
    return struct.pack("=IHHII", 16 + len(content), kind, 0, number, 0) + content


def error(number, code):
    return answer(ipvs_netlink.NLMSG_ERROR, number, struct.pack("=i", -code) + bytes(16))


COMMANDS = [f"-a -t 203.0.113.80:80 -r 10.20.{n // 250}.{n % 250 + 1}:80 -g -w 1" for n in range(700)]


def test_commands_go_in_batches_each_with_one_answer(monkeypatch):
    kernel = Kernel(monkeypatch)
    assert ipvs_netlink.carry_out(COMMANDS) == []
    assert [len(batch) for batch in kernel.batches] == [300, 300, 100]
    assert [number for batch in kernel.batches for number in batch] == list(range(700))
    assert kernel.waiting == [], "every answer was read"
    assert kernel.closed


def test_commands_that_the_kernel_refuses_are_named_with_its_words(monkeypatch):
    """What is refused is not done: the run must not say that it is."""
    Kernel(monkeypatch, refuses={5: 17, 299: 2, 650: 28})
    assert ipvs_netlink.carry_out(COMMANDS) == [
        f"{COMMANDS[5]}: File exists",
        f"{COMMANDS[299]}: No such file or directory",
        f"{COMMANDS[650]}: No space left on device",
    ]


def test_a_refused_command_fails_the_run(monkeypatch):
    Kernel(monkeypatch, refuses={0: 28})
    made, _ = table(ipvs_netlink.carry_out)
    with pytest.raises(HostError, match=r"the kernel refused -A -t 203.0.113.80:80 -s rr: No space left on device$"):
        made.add()


def test_a_kernel_that_falls_silent_leaves_it_open_what_was_done(monkeypatch):
    Kernel(monkeypatch, answers=False)
    made, ran = table(ipvs_netlink.carry_out)
    with pytest.raises(HostError, match=r"no answer to a batch of 1 commands: timed out. Some of them may be in force"):
        made.add()
    assert ran == [], "ipvsadm does not do them a second time"


def test_a_kernel_without_the_netlink_family_leaves_it_to_ipvsadm(monkeypatch):
    Kernel(monkeypatch, family=False)
    made, ran = table(ipvs_netlink.carry_out)
    made.add()
    assert [argv for argv, _ in ran] == [["ipvsadm", "--restore"]]


def test_nothing_is_done_where_one_command_is_beyond_netlink(monkeypatch):
    kernel = Kernel(monkeypatch)
    with pytest.raises(ipvs_netlink.Unsupported):
        ipvs_netlink.carry_out([*COMMANDS, "-A -t 203.0.113.80:80 -s rr -b of-no-scheduler"])
    assert kernel.batches == []
