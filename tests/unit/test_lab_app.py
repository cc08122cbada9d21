"""The demo application as a process, on this machine's loopback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is run from the repository, not installed

from lab import image, paths

HOST = "127.0.0.1"
HOST6 = "::1"
IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the kernel has no IPv6")


class Application:
    """It runs, and has said that it listens."""

    def __init__(self, folder: Path, ports: Mapping[str, list[int]]) -> None:
        self._file = folder / "app.json"
        self._file.write_text(json.dumps(ports))
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready.settimeout(20)
        self._ready.bind(str(folder / "ready"))
        self.process = subprocess.Popen(
            [sys.executable, image.APP, self._file],
            env={"NOTIFY_SOCKET": str(folder / "ready")},
            stderr=subprocess.PIPE,
        )
        self._ready.recv(100)

    def reconfigure(self, ports: Mapping[str, list[int]]) -> None:
        self._file.write_text(json.dumps(ports))
        self.process.send_signal(signal.SIGHUP)
        self._ready.recv(100)

    def end(self) -> str:
        """What it said on standard error."""
        self.process.terminate()
        said = self.process.communicate(timeout=20)[1].decode()
        self._ready.close()
        return said


def told(host: str, port: int) -> dict[str, str]:
    """What the application says of itself and of its client."""
    with closing(HTTPConnection(host, port, timeout=5)) as connection:
        connection.request("GET", "/")
        answer: dict[str, str] = json.loads(connection.getresponse().read())
        return answer


def ask(connection: HTTPConnection) -> int:
    """The HTTP status of a request; the connection stays open."""
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def ask_udp(port: int, host: str = HOST) -> dict[str, str]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
        sock.send(b"?")
        answer: dict[str, str] = json.loads(sock.recv(4096))
        return answer


def listening_socket(port: int) -> str:
    """The inode of the TCP socket that listens on a port (proc_pid_net(5))."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    (inode,) = (words[9] for words in lines if words[3] == "0A" and words[1].endswith(f":{port:04X}"))
    return inode


@pytest.fixture
def ports(tmp_path: Path) -> list[int]:
    return paths.free_ports(3, str(tmp_path))


@pytest.fixture
def application(tmp_path: Path, ports: list[int]) -> Iterator[Application]:
    """It serves the first port, TCP and UDP."""
    running = Application(tmp_path, {"tcp": ports[:1], "udp": ports[:1]})
    yield running
    running.end()


def test_a_port_that_is_added_is_served_and_open_connections_go_on(application: Application, ports: list[int]) -> None:
    first, added, _ = ports
    with closing(HTTPConnection(HOST, first, timeout=5)) as open_before:
        assert ask(open_before) == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, added), 5)
        application.reconfigure({"tcp": [first, added], "udp": [first, added]})
        with closing(HTTPConnection(HOST, added, timeout=5)) as connection:
            assert ask(connection) == 200
        assert ask_udp(added)["local"] == f"{HOST}:{added}"
        assert ask_udp(first)["local"] == f"{HOST}:{first}"
        assert ask(open_before) == 200


@IPV6
def test_it_listens_on_both_families_and_tells_the_client_in_either(application: Application, ports: list[int]) -> None:
    first = ports[0]
    assert told(HOST6, first)["local"] == f"[::1]:{first}"
    assert told(HOST6, first)["peer"].startswith("[::1]:")
    assert told(HOST, first)["peer"].startswith("127.0.0.1:"), "and not by an address of IPv6"
    assert ask_udp(first, HOST6)["local"] == f"[::1]:{first}"
    assert ask_udp(first, HOST6)["peer"].startswith("[::1]:")


@IPV6
def test_a_port_that_is_taken_away_is_closed_in_both_families(application: Application, ports: list[int]) -> None:
    application.reconfigure({"tcp": [], "udp": []})
    for host in (HOST, HOST6):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, ports[0]), 5)
        with pytest.raises(ConnectionRefusedError):
            ask_udp(ports[0], host)


@IPV6
def test_a_datagram_is_answered_from_the_address_it_was_sent_to(application: Application, ports: list[int]) -> None:
    """A real server has the VIP beside its own address, and the kernel would take that one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"?", ("127.0.0.2", ports[0]))
        assert sock.recvfrom(4096)[1][0] == "127.0.0.2"


@IPV6
def test_a_port_that_another_program_has_in_one_family_is_served_in_none(tmp_path: Path, ports: list[int]) -> None:
    """Half a service would look like a fault of what is tested."""
    with socket.create_server((HOST6, ports[0]), family=socket.AF_INET6):
        application = Application(tmp_path, {"tcp": ports[:2]})
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, ports[0]), 5)
        assert told(HOST6, ports[1])["local"] == f"[::1]:{ports[1]}"
        assert f"cannot listen on tcp port {ports[0]}" in application.end()


def sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


IPPROTO_SCTP = 132


@pytest.mark.skipif(sctp(), reason="the kernel has SCTP")
def test_a_kernel_without_sctp_does_not_keep_the_others_from_being_served(tmp_path: Path, ports: list[int]) -> None:
    application = Application(tmp_path, {"sctp": ports[:1], "tcp": ports[1:2]})
    assert told(HOST, ports[1])["local"] == f"{HOST}:{ports[1]}"
    assert f"cannot listen on sctp port {ports[0]}: Protocol not supported" in application.end()


@pytest.mark.skipif(not sctp(), reason="the kernel has no SCTP")
def test_it_speaks_http_over_sctp(tmp_path: Path, ports: list[int]) -> None:
    application = Application(tmp_path, {"sctp": ports[:1]})
    for family, host in ((socket.AF_INET, HOST), (socket.AF_INET6, HOST6)):
        with socket.socket(family, socket.SOCK_STREAM, IPPROTO_SCTP) as sock:
            sock.settimeout(5)
            sock.connect((host, ports[0]))
            sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert b"HTTP/1.1 200 OK" in sock.recv(4096)
    application.end()


def test_a_port_that_is_taken_away_refuses_connections_and_datagrams(
    application: Application, ports: list[int]
) -> None:
    first, other, _ = ports
    application.reconfigure({"tcp": [other], "udp": [other]})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, first), 5)
    with pytest.raises(ConnectionRefusedError):
        ask_udp(first)


def test_a_port_that_stays_keeps_its_socket(application: Application, ports: list[int]) -> None:
    """So no connection is refused, and none that waits in the backlog is reset."""
    first, added, _ = ports
    before = listening_socket(first)
    application.reconfigure({"tcp": [first, added]})
    assert listening_socket(first) == before


def test_a_port_that_another_program_has_does_not_keep_the_others_from_being_served(
    tmp_path: Path, ports: list[int]
) -> None:
    first, taken, last = ports
    with socket.create_server((HOST, taken)):
        application = Application(tmp_path, {"tcp": [first, taken, last]})
        for port in (first, last):
            with closing(HTTPConnection(HOST, port, timeout=5)) as connection:
                assert ask(connection) == 200
        assert f"cannot listen on tcp port {taken}" in application.end()
