"""What a client sends to services, and what it makes of the answers. Real sockets on the loopback interface."""

import importlib.util
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lvs_probe():
    spec = importlib.util.spec_from_file_location("lvs_probe", PROJECT / "library/lvs_probe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Server:
    """Serves each TCP connection in a thread of its own; `answer(connection, received)` says what it does."""

    def __init__(self, answer, reads=True, family=socket.AF_INET):
        self.answer, self.reads, self.received, self.open, self.most = answer, reads, [], 0, 0
        self.lock = threading.Lock()
        address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self.listener = socket.create_server((address, 0), family=family, backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        with connection:
            try:
                received = connection.recv(4096) if self.reads else b""
                self.received.append(received)
                self.answer(connection, received)
            except OSError:
                pass
            with self.lock:  # before the connection is closed: then the client may send its next request
                self.open -= 1


@pytest.fixture
def server():
    made = []

    def make(answer, **options):
        made.append(Server(answer, **options))
        return made[-1]

    yield make
    for one in made:
        one.listener.close()


@pytest.fixture
def silent():
    """A port where the kernel accepts connections and nobody ever answers, and which notes how many there were."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.setblocking(False)
        yield listener


def accepted(listener):
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def request(port, count=1, service="web", protocol="tcp", **more):
    return {"service": service, "address": "127.0.0.1", "port": port, "protocol": protocol, "count": count, **more}


def http(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nPeer: 198.51.100.10:4711\r\n\r\nhello")


def refused_port():
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        return spare.getsockname()[1]


def test_a_web_service_is_asked_by_http(lvs_probe, server):
    web = server(http)
    (found,) = lvs_probe.Asking([request(web.port)], path="/bytes/5").run()
    assert web.received == [b"GET /bytes/5 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"]
    assert (found["error"], found["peer"], found["bytes"]) == ("", "198.51.100.10:4711", 50)


IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the kernel has no IPv6")


@IPV6
def test_a_web_service_of_ipv6_is_named_in_brackets(lvs_probe, server):
    """RFC 9110, 7.2, and RFC 3986, 3.2.2."""
    answer = b"HTTP/1.1 200 OK\r\nPeer: [2001:db8::10]:4711\r\n\r\nhello"
    web = server(lambda connection, _: connection.sendall(answer), family=socket.AF_INET6)
    (found,) = lvs_probe.Asking([request(web.port, address="::1")], path="/").run()
    assert web.received == [b"GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"]
    assert (found["error"], found["peer"], found["bytes"]) == ("", "[2001:db8::10]:4711", len(answer))


@pytest.mark.parametrize(
    ("address", "protocol", "speaks", "expected"),
    [
        ("192.0.2.1", "tcp", "http", (socket.AF_INET, socket.SOCK_STREAM, 0)),
        ("2001:db8::1", "tcp", "connect", (socket.AF_INET6, socket.SOCK_STREAM, 0)),
        ("2001:db8::1", "udp", "dns", (socket.AF_INET6, socket.SOCK_DGRAM, 0)),
        ("192.0.2.1", "sctp", "connect", (socket.AF_INET, socket.SOCK_STREAM, 132)),
        ("2001:db8::1", "sctp", "http", (socket.AF_INET6, socket.SOCK_STREAM, 132)),
    ],
)
def test_a_request_takes_the_socket_of_its_family_and_protocol(lvs_probe, address, protocol, speaks, expected):
    assert lvs_probe.socket_for({"address": address, "protocol": protocol}, speaks) == expected


def test_a_client_without_sctp_says_so(lvs_probe, monkeypatch):
    def refused(self, family, kind, protocol):
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(lvs_probe.Asking, "bound", refused)
    (found,) = lvs_probe.Asking([request(2905, protocol="sctp")]).run()
    assert found["error"] == "the client's kernel has no SCTP: load the module sctp there"
    (found,) = lvs_probe.Asking([request(80)]).run()
    assert "Protocol not supported" in found["error"]


def test_a_request_has_a_path_of_its_own(lvs_probe, server):
    web = server(http)
    lvs_probe.Asking([request(web.port, path="/healthz")], path="/bytes/5").run()
    assert web.received[0].startswith(b"GET /healthz HTTP/1.1\r\n")


def test_a_database_gets_a_connection_and_not_a_single_byte(lvs_probe, server):
    database = server(lambda connection, received: None)
    (found,) = lvs_probe.Asking([request(database.port, speaks="connect")]).run()
    deadline = time.monotonic() + 5
    while not database.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert database.received == [b""]
    assert (found["error"], found["bytes"], found["peer"]) == ("", 0, "")


@pytest.mark.parametrize("speaks", ["connect", "http"])
def test_a_port_that_nobody_listens_on_is_an_error(lvs_probe, speaks):
    (found,) = lvs_probe.Asking([request(refused_port(), speaks=speaks)]).run()
    assert "refused" in found["error"]


def test_a_server_that_closes_without_a_word_is_an_error(lvs_probe, server):
    (found,) = lvs_probe.Asking([request(server(lambda connection, received: None).port)]).run()
    assert found["error"] == "the connection was closed without an answer"


def test_https_speaks_tls_and_asks_for_no_certificate_to_trust(lvs_probe, server, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=nobody",
            "-days",
            "1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(connection, _):
        with context.wrap_socket(connection, server_side=True) as stream:
            http(stream, stream.recv(4096))

    (found,) = lvs_probe.Asking([request(server(answer, reads=False).port, speaks="https")]).run()
    assert (found["error"], found["peer"]) == ("", "198.51.100.10:4711")


def test_a_name_server_gets_a_well_formed_query(lvs_probe):
    from scapy.layers.dns import DNS

    query = DNS(lvs_probe.query(0x1234))
    assert (query.id, query.qr, query.qdcount, len(query)) == (0x1234, 0, 1, 17)
    assert (query.qd[0].qname, query.qd[0].qtype, query.qd[0].qclass) == (b".", 2, 1)


def test_every_datagram_is_another(lvs_probe):
    """They are found again behind source NAT by their payload."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(5)
        asked = [request(service.getsockname()[1], 5, "dns", "udp", speaks=speaks) for speaks in ("dns", "datagram")]
        found = []
        asking = threading.Thread(target=lambda: found.extend(lvs_probe.Asking(asked, timeout=5).run()))
        asking.start()
        payloads = set()
        for _ in range(10):
            payload, peer = service.recvfrom(4096)
            payloads.add(payload)
            service.sendto(json.dumps({"peer": f"{peer[0]}:{peer[1]}"}).encode(), peer)
        asking.join()
    assert len(payloads) == 10
    assert {one["peer"] for one in found} == {f"127.0.0.1:{one['port']}" for one in found}
    assert not any(one["error"] for one in found)


def test_requests_are_sent_side_by_side_but_not_all_at_once(lvs_probe, server):
    eight = threading.Barrier(8, timeout=60)

    def together(connection, received):
        eight.wait()  # nobody is answered before eight have asked
        time.sleep(0.2)  # for a ninth to appear
        http(connection, received)

    web = server(together)
    found = lvs_probe.Asking([request(web.port, 16)], timeout=60).run(parallel=8)
    assert [one["error"] for one in found] == [""] * 16
    assert web.most == 8


def test_every_request_leaves_from_a_port_of_its_own(lvs_probe, server, monkeypatch):
    """The kernel gives a port again as soon as it is free; the comparison tells requests by it."""
    web = server(http)
    asking = lvs_probe.Asking([request(web.port, 300)])
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    asking.ports = set(range(low, 65536)) - set(
        range(low + 1000, low + 8000)
    )  # so that most choices of the kernel are taken
    before = set(asking.ports)
    ports = [one["port"] for one in asking.run()]
    assert len(set(ports)) == 300
    assert not before & set(ports)


def test_a_dead_service_gets_no_further_requests_after_three(lvs_probe, silent):
    asking = lvs_probe.Asking([request(silent.getsockname()[1], 60)], timeout=0.1)
    assert len(asking.run(parallel=1)) == 3
    assert accepted(silent) == 3


def test_a_service_that_has_answered_once_gets_all_of_its_requests(lvs_probe, server):
    """One dead real server of several takes every second request, say; the others are to be seen all the same."""
    answers = iter([True, False, False, False, False, True, True, True])

    def some(connection, received):
        if next(answers):
            http(connection, received)

    found = lvs_probe.Asking([request(server(some).port, 8)]).run(parallel=1)
    assert [bool(one["error"]) for one in found] == [False, True, True, True, True, False, False, False]


def test_until_answered_one_request_is_enough_for_a_service_that_answers(lvs_probe, server):
    web = server(http)
    found = lvs_probe.Asking([request(web.port, 20)], until_answered=True).run()
    assert [one["error"] for one in found] == [""]
    assert len(web.received) == 1


def test_until_answered_a_service_that_does_not_answer_gets_all_of_its_requests(lvs_probe, silent):
    found = lvs_probe.Asking([request(silent.getsockname()[1], 20)], timeout=0.2, until_answered=True).run()
    assert len(found) == 20
    assert accepted(silent) == 20


def test_until_answered_one_dead_real_server_is_passed_over(lvs_probe, server):
    answers = iter([False, True])

    def some(connection, received):
        if next(answers, True):
            http(connection, received)

    found = lvs_probe.Asking([request(server(some).port, 20)], until_answered=True).run(parallel=1)
    assert [bool(one["error"]) for one in found] == [True, False]


@pytest.mark.parametrize("answers", [True, False])
def test_with_patience_the_last_requests_come_when_health_checks_have_acted(lvs_probe, server, answers):
    """The first request meets a real server that is dead, and that is out of the table later; or the service is lost."""
    times = []

    def later(connection, received):
        times.append(time.monotonic())
        if answers and times[-1] - times[0] > 0.5:
            http(connection, received)

    asked = [{**request(server(later).port, 3), "patience": 1}, request(server(http).port, 3, "other")]
    found = lvs_probe.Asking(asked, until_answered=True).run(parallel=1)
    errors = [bool(one["error"]) for one in found if one["service"] == "web"]
    assert errors == ([True, False] if answers else [True, True, True])
    assert times[1] - times[0] >= 0.9
    assert len([one for one in found if one["service"] == "other"]) == 1


def test_nobody_waits_where_all_have_answered(lvs_probe, server):
    asked = [{**request(server(http).port, 3), "patience": 3600}]
    assert [one["error"] for one in lvs_probe.Asking(asked, until_answered=True).run()] == [""]


def test_silent_services_are_waited_for_side_by_side(lvs_probe, server):
    """One after the other, a thousand of them would cost a quarter of an hour before a run changes anything."""
    mute = server(lambda connection, _: connection.recv(1))  # until the client gives up
    asked = [request(mute.port, 1, f"web{number}") for number in range(64)]
    found = lvs_probe.Asking(asked, timeout=2, until_answered=True).run(parallel=32)
    assert len(found) == 64
    assert all(one["error"] for one in found)
    assert mute.most > 16


def test_when_the_time_is_up_nothing_more_is_sent_and_the_services_are_named(lvs_probe, silent):
    asked = [request(silent.getsockname()[1], 1, f"web{number}") for number in range(6)]
    asking = lvs_probe.Asking(asked, timeout=0.3, seconds=0.4)
    assert len(asking.run(parallel=1)) == 2
    assert asking.unasked() == ["web2", "web3", "web4", "web5"]


def test_a_service_that_got_some_of_its_requests_when_the_time_was_up_is_named_too(lvs_probe, silent):
    """Fewer requests than it takes to meet each real server say nothing."""
    asking = lvs_probe.Asking([request(silent.getsockname()[1], 20)], timeout=0.2, seconds=0.1, until_answered=True)
    assert len(asking.run()) == 1
    assert asking.unasked() == ["web"]


def test_a_service_that_was_given_up_is_not_named(lvs_probe, silent):
    asking = lvs_probe.Asking([request(silent.getsockname()[1], 20)], timeout=0.05)
    asking.run(parallel=1)
    assert asking.unasked() == []


def test_an_answer_that_never_ends_is_an_error(lvs_probe, server):
    sent = []

    def trickle(connection, _):
        for _ in range(200):  # ten seconds
            connection.sendall(b".")
            sent.append(1)
            time.sleep(0.05)

    (found,) = lvs_probe.Asking([request(server(trickle).port)], timeout=0.5).run()
    assert "was not complete after 2 s" in found["error"]
    assert len(sent) < 200


@pytest.mark.parametrize(
    ("answer", "peer"),
    [
        (b"HTTP/1.1 200 OK\r\nPeer: 192.0.2.1:5\r\nServer: x\r\n\r\n", "192.0.2.1:5"),
        (b'{"host": "rs1", "peer": "192.0.2.1:5"}\n', "192.0.2.1:5"),
        (b"HTTP/1.1 200 OK\r\nPeer: [2001:db8::A]:5\r\n\r\n", "[2001:db8::A]:5"),
        (b'{"peer": "[2001:db8::a]:5"}', "[2001:db8::a]:5"),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", ""),
        (b'{"host": "rs1"}', ""),
        (b"[1]", ""),
        (b"\x00\xff", ""),
    ],
)
def test_the_peer_is_read_where_the_application_tells_it(lvs_probe, answer, peer):
    assert lvs_probe.told(answer) == peer


@pytest.fixture
def application(tmp_path):
    """The lab's own demo application, on a port of the loopback interface."""
    port = refused_port()
    (tmp_path / "ports.json").write_text(json.dumps({"tcp": [port], "udp": [port]}))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(tmp_path / "ready"))
        ready.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, PROJECT / "lab/app.py", tmp_path / "ports.json"],
            env={"NOTIFY_SOCKET": str(tmp_path / "ready")},
        )
        ready.recv(100)
    yield port
    process.terminate()
    process.wait()


def test_the_labs_application_tells_its_peer_by_tcp_and_by_udp(lvs_probe, application):
    asked = [
        request(application, 3, path="/bytes/20000"),
        request(application, 3, path="/"),
        request(application, 3, protocol="udp"),
        request(application, 3, protocol="udp", speaks="dns"),
    ]
    found = lvs_probe.Asking(asked).run()
    assert len(found) == 12
    assert [one["peer"] for one in found] == [f"127.0.0.1:{one['port']}" for one in found]


@IPV6
def test_the_labs_application_tells_its_peer_by_ipv6_too(lvs_probe, application):
    asked = [
        request(application, 3, address="::1", path="/bytes/20000"),
        request(application, 3, address="::1", path="/"),
        request(application, 3, address="::1", protocol="udp"),
    ]
    found = lvs_probe.Asking(asked).run()
    assert len(found) == 9
    assert [one["peer"] for one in found] == [f"[::1]:{one['port']}" for one in found]
