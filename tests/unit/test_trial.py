"""Health checks tried once, against real servers for each type: one that answers rightly, and one that does not."""

import hashlib
import socket
import subprocess
import sys
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
