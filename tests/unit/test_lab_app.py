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


def ask(connection: HTTPConnection) -> int:
    """The HTTP status of a request; the connection stays open."""
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def ask_udp(port: int) -> dict[str, str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((HOST, port))
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
