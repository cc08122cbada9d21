"""Health checks tried once, against real servers for each type: one that answers rightly, and one that does not."""

import hashlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from ansible.module_utils.lvs import questions
from ansible.module_utils.lvs_host import trial

from tests.vm import check_servers as servers
from tests.vm.certificates import expired

RIGHT, WRONG = "127.0.0.1", "127.0.0.2"
PAGE = {"path": '"/x"', "virtualhost": '"www.example.com"', "status_code": "200-299 301"}
CHECKS = {
    "tcp": (servers.TCP, "TCP_CHECK", {}, {}, "connection refused"),
    "status": (servers.HTTP, "HTTP_GET", {}, PAGE, "status 500, and 200-299 301 pass"),
    "https": (servers.HTTPS, "SSL_GET", {"enable_sni": ""}, PAGE, "status 500, and 200-299 301 pass"),
    "regex": (
        servers.DIGEST, "HTTP_GET", {}, {**PAGE, "regex": '"is (fine|well)"'}, "the content does not match the regular expression",
    ),
    "digest": (
        servers.DIGEST,
        "HTTP_GET",
        {},
        {**PAGE, "digest": hashlib.md5(servers.CONTENT).hexdigest()},
        f"another content: its MD5 sum is {hashlib.md5(b'changed' + bytes([10])).hexdigest()}",
    ),
    "smtp": (servers.SMTP, "SMTP_CHECK", {"helo_name": '"lb.example.com"'}, {}, "the answer '550 lab'"),
    "dns": (servers.DNS, "DNS_CHECK", {"type": "A", "name": '"www.example.com"'}, {}, "an answer with the error code 2"),
    "udp": (servers.UDP, "UDP_CHECK", {"payload": "70", "require_reply": "706f"}, {}, "another answer: 6e6f"),
}  # fmt: skip


@pytest.fixture(scope="module")
def _servers(tmp_path_factory):
    certificate = tmp_path_factory.mktemp("certificate") / "pem"
    certificate.write_text(expired())
    with subprocess.Popen([sys.executable, servers.__file__, RIGHT, WRONG, str(certificate)]) as process:
        try:
            for _ in range(200):
                time.sleep(0.05)
                with socket.socket() as tried:
                    if not tried.connect_ex((WRONG, servers.SMTP)):
                        break
            yield
        finally:
            process.kill()


def asked(name, address, **changes):
    port, block, settings, url, _ = CHECKS[name]
    given = {"address": address, "port": port, "block": block, "timeout": 5, "settings": settings, "url": url}
    return trial.obstacle({**given, **changes})


@pytest.mark.usefixtures("_servers")
@pytest.mark.parametrize("name", CHECKS)
def test_a_right_server_passes_and_of_a_wrong_one_the_reason_is_told(name):
    assert asked(name, RIGHT) == ""
    assert asked(name, WRONG) == CHECKS[name][-1]


@pytest.mark.usefixtures("_servers")
def test_a_regular_expression_that_only_pcre_knows_passes():
    assert asked("regex", RIGHT, url={**PAGE, "regex": '"(?|a)++"'}) == ""


class Said(threading.Thread):
    """A server that says its answers one by one, and waits for what it is told between them; `heard` is that."""

    def __init__(self, *answers, kind=socket.SOCK_STREAM):
        super().__init__()
        self.answers, self.heard, self.socket = answers, [], socket.socket(type=kind)
        self.socket.bind((RIGHT, 0))
        self.socket.settimeout(5)
        self.port = self.socket.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.start()

    def run(self):
        *before, last = self.answers
        with self.socket:
            if self.socket.type == socket.SOCK_DGRAM:
                found, client = self.socket.recvfrom(1000)
                self.heard.append(found)
                self.socket.sendto(last, client)
                return
            with self.socket.accept()[0] as connection:
                for answer in before:
                    connection.sendall(answer)
                    self.heard.append(connection.recv(1000))
                connection.sendall(last)

    def all(self):
        self.join()
        return self.heard


@pytest.mark.parametrize(
    ("settings", "name"), [({"helo_name": '"lb.example.com"'}, "lb.example.com"), ({}, socket.gethostname())]
)
def test_a_mail_server_is_greeted_by_the_given_name_or_that_of_the_host(settings, name):
    server = Said(b"220 ready\r\n", b"250 hello\r\n", b"")
    assert asked("smtp", RIGHT, port=server.port, settings=settings) == ""
    assert server.all() == [f"HELO {name}\r\n".encode(), b"QUIT\r\n"]


def test_a_page_is_asked_for_as_keepalived_does_it():
    server = Said(b"", b"HTTP/1.0 301 Moved\r\n\r\n")
    assert asked("status", RIGHT, port=server.port) == ""
    assert server.all() == [b"GET /x HTTP/1.0\r\nHost: www.example.com\r\nConnection: close\r\n\r\n"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\x4c\x56\x81\x80" + bytes(8), ""),
        (b"\x4c\x56\x81\x83" + bytes(8), "an answer with the error code 3"),
        (b"\x4c\x56\x81\x80" + bytes(7), "an answer that is no DNS"),
    ],
)
def test_a_name_is_asked_for_with_its_type(answer, reason):
    """RFC 1035, 4.1: one question, recursion desired, of class IN."""
    server = Said(answer, kind=socket.SOCK_DGRAM)
    settings = {"type": "AAAA", "name": '"www.example.com."'}
    assert asked("dns", RIGHT, port=server.port, settings=settings) == reason
    question = b"\x03www\x07example\x03com\x00" + b"\x00\x1c\x00\x01"
    assert server.all() == [b"\x4c\x56\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [({"require_reply": "706f"}, ""), ({"require_reply": "706e"}, "another answer: 706f"), ({}, "")],
)
def test_a_datagram_has_its_payload_and_the_answer_its_beginning(wanted, reason):
    server = Said(b"pong", kind=socket.SOCK_DGRAM)
    assert asked("udp", RIGHT, port=server.port, settings={"payload": "70", **wanted}) == reason
    assert server.all() == [b"p"]


def test_silence_has_its_time():
    with socket.create_server((RIGHT, 0)) as silent:
        port = silent.getsockname()[1]
        assert asked("status", RIGHT, port=port, timeout=0.2) == "no answer within 0.2 s"


def test_what_is_no_answer_of_the_protocol_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((RIGHT, 0))
        assert asked("dns", RIGHT, port=silent.getsockname()[1], timeout=0.2) == "no answer within 0.2 s"


def test_the_controller_asks_for_what_hosts_can_try():
    assert questions.TRIED == trial.TRIED
