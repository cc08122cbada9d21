"""What Ansible gets of the modules that only look or ask: their whole results, in check mode too."""

import contextlib
import dataclasses
import io
import json
import os
import socket
import threading
import time

import pytest
from ansible.module_utils.lvs_host import decisions, files, formats, history, links, sysctl_files
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.governing import Standing, State
from ansible.module_utils.lvs_host.verdicts import FAILED, PASSED
from ansible.module_utils.testing import patch_module_args
from fake_host import FakeHost
from libraries import loaded


def result(module, check=False, **arguments):
    out = io.StringIO()
    given = patch_module_args({**arguments, "_ansible_check_mode": check})
    with given, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        module.main()
    found = json.loads(out.getvalue())
    found.pop("invocation", None)
    return found


# lvs_probe


@pytest.fixture
def web():
    """A server that answers each request, and notes it."""
    received = []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(4096).split(b"\r\n")[0])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nPeer: 192.0.2.1:5\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)


def asked(port, **more):
    return {"service": "web", "address": "127.0.0.1", "port": port, "protocol": "tcp", "count": 3, **more}


@pytest.mark.parametrize("check", [False, True])
def test_requests_are_sent_as_the_arguments_say_in_check_mode_too(web, check):
    port, received = web
    found = result(loaded("lvs_probe"), check, requests=[asked(port)], path="/x", timeout=2, seconds=30, parallel=2)
    assert (found["changed"], found["unasked"]) == (False, [])
    assert [(one["service"], one["bytes"], one["peer"], one["error"]) for one in found["connections"]] == [
        ("web", 38, "192.0.2.1:5", "")
    ] * 3
    assert all(0 <= one["seconds"] < 30 for one in found["connections"])
    assert received == [b"GET /x HTTP/1.1"] * 3


def test_until_answered_is_an_argument(web):
    port, received = web
    found = result(loaded("lvs_probe"), requests=[asked(port)], until_answered=True)
    assert len(found["connections"]) == len(received) == 1
    assert received == [b"GET / HTTP/1.1"]


def test_the_services_that_got_no_request_in_time_are_named(web):
    port, received = web
    found = result(loaded("lvs_probe"), requests=[asked(port)], seconds=-1)
    assert (found["connections"], found["unasked"], received) == ([], ["web"], [])


def test_the_time_limit_of_a_request_is_an_argument():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        found = result(loaded("lvs_probe"), requests=[asked(silent.getsockname()[1], count=1)], timeout=0.2)
    ((one,)) = found["connections"]
    assert "timed out" in one["error"]
    assert 0.1 < one["seconds"] < 5


# lvs_capture


class Captures:
    """lvs_capture with its two steps replaced."""

    def __init__(self):
        self.module = loaded("lvs_capture")
        self.started = []
        self.module.start = lambda module: self.started.append(module.params)
        self.module.stop = lambda module: {"captures": {"lo": "x"}, "ended": []}


@pytest.mark.parametrize("check", [False, True])
def test_captures_are_started_or_stopped_and_change_nothing(check):
    made = Captures()
    assert result(made.module, check, state="started", interfaces=["lo"], filter="tcp") == {"changed": False}
    (given,) = made.started
    assert (given["filter"], given["seconds"], given["packets"], given["skip_missing"]) == ("tcp", 120, 50000, False)
    stopped = result(made.module, check, state="stopped", interfaces=["lo"])
    assert stopped == {"changed": False, "captures": {"lo": "x"}, "ended": []}
    assert len(made.started) == 1


# lvs_recorded and lvs_history


def test_the_services_of_the_record_are_returned(monkeypatch, tmp_path):
    module = loaded("lvs_recorded")
    (tmp_path / "ipvs.rules").write_text("-A -u 203.0.113.80:53 -s rr\n-A -f 7 -s rr\n")
    monkeypatch.setattr(module, "IPVS", dataclasses.replace(module.IPVS, path=str(tmp_path / "ipvs.rules")))
    (tmp_path / "drained").write_text("# Managed by lvskit.\nrs1 2026-03-01T03:00:00Z\n")
    monkeypatch.setattr(module, "DRAINED", dataclasses.replace(module.DRAINED, path=str(tmp_path / "drained")))
    services, drained = ["udp 203.0.113.80:53", "mark 7"], {"rs1": "2026-03-01T03:00:00Z"}
    for check in (False, True):
        assert result(module, check) == {
            "changed": False,
            "services": services,
            "drained": drained,
            "elections": {},
            "passing": [],
        }


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return FakeHost(tmp_path, monkeypatch, {"eth1": "10.20.1.11/24"})


def test_the_runs_of_a_host_are_listed_with_their_revisions(machine):
    module = loaded("lvs_history")
    empty = {"changed": False, "runs": {}, "since": "", "unreadable": {}}
    assert machine.run(module).items() >= empty.items()
    history.keep(history.stage("2026-03-01T03:00:00Z", "abc", {"ipvs": "x"}, first=True))
    history.keep(history.stage("2026-03-02T03:00:00Z", "abd", {"ipvs": "y"}, first=False))
    machine.write(f"{history.FOLDER}/2026-03-03T03:00:00Z.json", "half")
    for check in (False, True):
        found = machine.run(module, check)
        assert found["changed"] is False
        assert found["runs"] == {"2026-03-01T03:00:00Z": "abc", "2026-03-02T03:00:00Z": "abd"}
        assert found["since"] == history.BEGINNING
        assert list(found["unreadable"]) == ["2026-03-03T03:00:00Z"]
        assert (
            "does not contain the plan of a run. Remove it, and go back to another run"
            in (found["unreadable"]["2026-03-03T03:00:00Z"])
        )


def test_a_plan_of_a_newer_version_is_not_read(machine):
    machine.write(
        f"{history.FOLDER}/2026-03-03T03:00:00Z.json",
        json.dumps({"format": formats.FORMAT + 1, "revision": "", "wanted": {}}),
    )
    assert list(machine.run(loaded("lvs_history"))["unreadable"]) == ["2026-03-03T03:00:00Z"]


# lvs_inspect


@pytest.fixture
def inspect(machine, monkeypatch):
    """lvs_inspect on a host of which this machine's own files are not read."""
    module = loaded("lvs_inspect")
    texts = {
        f"/boot/config-{os.uname().release}": "CONFIG_IP_VS=m\n",
        "/proc/net/snmp": "Ip: Forwarding ReasmFails\nIp: 1 7\n",
        "/proc/net/netstat": "TcpExt: IPReversePathFilter\nTcpExt: 5\n",
        "/proc/1/comm": "systemd\n",
        "/proc/77/comm": "kube-proxy\n",
    }
    monkeypatch.setattr(module, "read", lambda path: texts.get(path, ""))
    monkeypatch.setattr(module.glob, "glob", lambda pattern: [p for p in texts if p.endswith("/comm")])
    monkeypatch.setattr(links, "merges", lambda interface: False)
    monkeypatch.setattr(sysctl_files, "read", lambda: [])
    module.machine = machine
    return module


def test_a_host_that_is_asked_nothing_tells_what_concerns_every_request(inspect):
    for check in (False, True):
        found = inspect.machine.run(inspect, check)
        assert found["changed"] is False
        assert (found["settings"], found["modules"], found["routes"], found["neighbours"], found["paths"]) == (
            {}, {}, [], [], []
        )  # fmt: skip
        assert found["companions"] == ["kube-proxy"]
        assert found["counters"]["TcpExt.IPReversePathFilter"] == 5
        assert "IP_VS" not in found["config"]
        assert "IP_VS_NFCT" in found["config"]
        assert found["drops"] == []
        assert found["recorded"] == []


def test_a_host_answers_each_question(inspect, monkeypatch):
    machine = inspect.machine
    machine.write("/proc/sys/net/ipv4/conf/eth1/arp_ignore", "0\n")
    machine.write("/proc/sys/net/ipv4/conf/all/arp_ignore", "0\n")
    machine.write("/etc/sysctl.d/zz-lvskit.conf", "# x\nnet/ipv4/conf/eth1/arp_ignore = 1\n")
    machine.write("/etc/lvskit/network.batch", "address replace 203.0.113.80/32 dev lo\n")
    asked_of = {}
    monkeypatch.setattr(inspect.neighbours, "answers", lambda asks, macs: asked_of.update(asks=asks, macs=macs) or [[]])
    monkeypatch.setattr(inspect.echo, "largest", lambda paths: asked_of.update(paths=paths) or [None])
    monkeypatch.setattr(
        inspect.links,
        "interfaces",
        lambda run: {
            "eth1": {"mac": "52:54:00:00:00:01", "up": True},
            "eth2": {"mac": "52:54:00:00:00:02", "up": False},
        },
    )
    monkeypatch.setattr(inspect, "route", lambda packet, run: {"interface": packet["to"]})
    machine.fails = {"--show-depends xt_ipvs": "not found"}
    found = machine.run(
        inspect,
        settings={"net/ipv4/conf/eth1/arp_ignore": "1"},
        modules=["ip_vs", "xt_ipvs"],
        routes=[{"to": "198.51.100.10"}],
        neighbours=[{"interface": "eth1", "address": "10.20.1.1"}],
        paths=[{"address": "10.20.1.10", "size": "1500"}],
        departures=False,
    )
    setting = found["settings"]["net/ipv4/conf/eth1/arp_ignore"]
    assert (setting["own"], setting["serves"], setting["reachable"]) == (0, False, True)
    assert list(found["modules"]) == ["xt_ipvs"]
    assert found["routes"] == [{"interface": "198.51.100.10"}]
    assert asked_of["asks"] == [("eth1", "10.20.1.1")]
    assert asked_of["macs"] == {"eth1": "52:54:00:00:00:01"}, "a request cannot leave from an interface that is down"
    assert asked_of["paths"] == [("10.20.1.10", 1500)]
    assert (found["neighbours"], found["paths"], found["departures"]) == ([[]], [None], [])
    assert found["recorded"] == [
        "address replace 203.0.113.80/32 dev lo",
        "net/ipv4/conf/eth1/arp_ignore = 1",
    ]


@pytest.mark.parametrize(
    ("says", "apt", "expected"),
    [
        ("Connection tracking userspace daemon v1.4.7. Licensed under GPLv2.", None, "1.4.7"),
        (None, "conntrackd:\n  Installed: (none)\n  Candidate: 1:1.4.6-2\n", "1.4.6"),
        (None, "conntrackd:\n  Installed: (none)\n  Candidate: (none)\n", ""),
        (None, None, ""),
    ],
)
def test_a_program_has_the_version_that_is_or_would_be_installed(monkeypatch, says, apt, expected):
    module = loaded("lvs_inspect")
    there = {name: text for name, text in (("conntrackd", says), ("apt-cache", apt)) if text}
    monkeypatch.setattr(module.programs, "find", there.get)
    assert module.version("conntrackd", lambda command, _: (0, there[command[0]], "")) == expected


def test_a_file_that_is_not_there_is_empty(tmp_path):
    module = loaded("lvs_inspect")
    assert module.read(str(tmp_path / "none")) == ""
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    assert module.read(str(tmp_path / "latin")) == "caf�"
    assert files.ROOT == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('[{"dst": "198.51.100.10", "gateway": "10.20.1.1", "dev": "eth1"}]', {"interface": "eth1", "gateway": "10.20.1.1"}),
        ('[{"dst": "198.51.100.10", "dev": "eth1"}]', {"interface": "eth1", "gateway": ""}),
        ('[{"type": "blackhole"}]', {"interface": "", "gateway": ""}),
    ],
)  # fmt: skip
def test_a_way_has_its_interface_and_gateway(answer, expected):
    asked_of = []

    def run(argv, stdin):
        asked_of.append(argv)
        return 0, answer, ""

    assert loaded("lvs_inspect").route({"to": "198.51.100.10"}, run) == expected
    assert asked_of == [["ip", "-json", "route", "get", "198.51.100.10"]]


def test_a_way_without_a_source_is_asked_once():
    asked_of = []

    def run(argv, stdin):
        asked_of.append(argv)
        return 2, "", " no \n"

    assert loaded("lvs_inspect").route({"to": "198.51.100.10"}, run) == {"error": "no"}
    assert len(asked_of) == 1


# lvs_ready and lvs_election


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("fixed_after", "took", "found"),
    [(0, 9, True), (9, 9, True), (14, 14, True), (100, 12 + 9, False)],
)
def test_a_director_has_time_to_become_ready(fixed_after, took, found):
    module, clock = loaded("lvs_ready"), Clock()
    asked = []

    def look(services, run):
        asked.append(clock.now)
        wrong = clock.now < fixed_after
        return {"electing": True, "unserved": services if wrong else [], "checker": "fine"}

    module.look = look
    given = {"services": ["web 4"], "settle": 9.0, "patience": 12.0}
    assert module.ready(module.wait(given, None, clock, clock.sleep)) is found
    assert asked[0] == 9.0  # not before verdicts count
    assert clock.now == took


@pytest.mark.parametrize(
    ("heartbeat", "services", "code", "found"),
    [
        (0, ["web 4"], 0, {"electing": True, "unserved": [], "checker": "fine"}),
        (0, ["web 4", "web 6", "new 4"], 3, {"electing": False, "unserved": ["web 6", "new 4"], "checker": "fine"}),
        (40, ["web 4"], 0, {"electing": True, "unserved": [], "checker": "the governor does not run"}),
        (None, ["web 4"], 0, {"electing": True, "unserved": [], "checker": "the governor does not run"}),
        (None, [], 0, {"electing": True, "unserved": [], "checker": "fine"}),
    ],
)
def test_a_director_is_ready_by_its_own_verdicts(tmp_path, monkeypatch, heartbeat, services, code, found):
    monkeypatch.setattr(files, "place", lambda path: str(tmp_path / path.rpartition("/")[2]))
    states = {
        "web 4": State(servers={"a": Standing(verdict=PASSED), "b": Standing(verdict=FAILED)}),
        "web 6": State(servers={"a": Standing(verdict=FAILED)}),
    }
    decisions.write(decisions.Decided(states, "fine", 1.0))
    if heartbeat is not None:
        (tmp_path / "heartbeat").touch()
        then = time.time() - heartbeat
        os.utime(tmp_path / "heartbeat", (then, then))
    ran = []
    module = loaded("lvs_ready")
    assert module.look(services, lambda argv, stdin: ran.append(argv) or (code, "", "")) == found
    assert ran == [["systemctl", "is-active", "--quiet", "lvskit-vrrp.service"]]


RECORD = (
    "vrrp_instance {0} {{\n    virtual_ipaddress {{\n        169.254.76.{1}/32 dev lo scope host\n    }}\n    virtual_ipaddress_excluded {{\n"
    "        203.0.113.{1}/32 dev eth1\n    }}\n}}\n"
)


@pytest.fixture
def standing(tmp_path, monkeypatch):
    """lvs_election on a host that is master of edge, and not of app. `given_up` are the groups that keepalived was told to give up."""
    monkeypatch.setattr(files, "place", lambda path: str(tmp_path / path.rpartition("/")[2]))
    (tmp_path / "vrrp.conf").write_text(RECORD.format("edge", 51) + RECORD.format("app", 52))
    for group in ("edge", "app"):
        (tmp_path / f"{group}.last").write_text("-200\n")
    module, given_up = loaded("lvs_election"), []

    def stand(role, groups, check=False):
        run = lambda argv, stdin: (0, '[{"addr_info": [{"local": "169.254.76.51", "prefixlen": 32}]}]', "")  # noqa: E731
        return module.stand({"role": role, "groups": groups}, run, check=check, give_up=given_up.append)

    return stand, given_up, tmp_path


def test_only_a_master_gives_up(standing):
    stand, given_up, _ = standing
    assert stand("backup", ["edge", "app"], check=True) == ["edge"]
    assert given_up == []
    assert stand("backup", ["edge", "app"]) == ["edge"]
    assert [list(one) for one in given_up] == [["edge"]]
    assert stand("backup", ["app"]) == []
    assert len(given_up) == 1
    with pytest.raises(HostError, match="takes part in no election of gone"):
        stand("backup", ["gone"])


def test_a_candidate_stands_with_its_own_priority(standing):
    stand, _, folder = standing
    assert stand("candidate", ["app"], check=True) == ["app"]
    assert (folder / "app.last").read_text() == "-200\n"
    assert stand("candidate", ["app"]) == ["app"]
    assert [(folder / f"{name}.last").read_text() for name in ("app", "edge")] == ["0\n", "-200\n"]
    assert stand("candidate", ["app"]) == []
