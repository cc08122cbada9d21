"""The processes that capture: how they begin, and that they end."""

import base64
import gzip
import importlib.util
import io
import os
import shutil
import signal
import socket
import time
import types
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader

LIBRARY = Path(__file__).parents[2] / "library/lvs_capture.py"
# Stands in for tcpdump, where a test is about its process: it says that it listens, notes how it was called, and writes a file.
PROGRAM = """\
#!/bin/sh
echo "$@" > "$0.called"
while [ "$1" != -w ]; do shift; done
trap 'echo done >> "$2"; echo "3 packets dropped by kernel" >&2; exit 0' TERM
echo begun > "$2"
echo "tcpdump: listening on lo" >&2
while :; do sleep 0.05; done
"""


class Failed(Exception):
    pass


class Module:
    """What lvs_capture uses of AnsibleModule."""

    def __init__(self, tcpdump, **given):
        self.tcpdump = tcpdump
        self.params = {
            "interfaces": ["lo"],
            "filter": "",
            "seconds": 60,
            "packets": 1000,
            "skip_missing": False,
            **given,
        }

    def get_bin_path(self, name):
        return self.tcpdump

    def run_command(self, command, check_rc):
        return 0, "[]", ""

    def fail_json(self, msg):
        raise Failed(msg)


@pytest.fixture
def lvs_capture(tmp_path):
    spec = importlib.util.spec_from_file_location("lvs_capture", LIBRARY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.DIRECTORY = str(tmp_path / "captures")
    module.usual_wait, module.LAST_PACKETS = module.LAST_PACKETS, 0.1
    module.SIGTERM_SECONDS = 1
    yield module
    module.end_captures()


@pytest.fixture
def program(tmp_path):
    def make(text=PROGRAM):
        path = tmp_path / "tcpdump"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return make


def running(lvs_capture):
    """The processes of captures, timeout(1) and the program that it runs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{lvs_capture.DIRECTORY}/lo.pcap" in words and state != "Z":
            found.append(int(process.name))
    return found


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopped_capture_leaves_no_process_and_its_file_is_complete(lvs_capture, program):
    lvs_capture.start(Module(program()))
    assert len(running(lvs_capture)) == 2
    found = lvs_capture.stop(Module(program()))
    assert running(lvs_capture) == []
    assert gzip.decompress(base64.b64decode(found["captures"]["lo"])) == b"begun\ndone\n"
    assert (found["ended"], found["lost"]) == ([], {"lo": 3})
    assert not Path(lvs_capture.DIRECTORY).exists()


def test_a_capture_that_ignores_sigterm_is_killed(lvs_capture, program):
    deaf = PROGRAM.replace(
        'trap \'echo done >> "$2"; echo "3 packets dropped by kernel" >&2; exit 0\' TERM', "trap '' TERM"
    )
    lvs_capture.start(Module(program(deaf)))
    lvs_capture.stop(Module(program(deaf)))
    until(lambda: not running(lvs_capture))


def test_a_capture_that_nobody_stops_ends_by_itself_and_this_is_reported(lvs_capture, program):
    lvs_capture.start(Module(program(), seconds=1))
    assert running(lvs_capture)
    until(lambda: not running(lvs_capture))
    assert lvs_capture.stop(Module(program()))["ended"] == ["lo"]


def test_a_capture_that_was_left_is_ended_by_the_next(lvs_capture, program):
    lvs_capture.start(Module(program()))
    first = running(lvs_capture)
    lvs_capture.start(Module(program()))
    assert len(running(lvs_capture)) == 2
    assert not set(first) & set(running(lvs_capture))


def test_another_process_with_the_number_of_an_ended_capture_is_left_alone(lvs_capture, program):
    lvs_capture.start(Module(program()))
    pid_file = Path(lvs_capture.DIRECTORY) / "lo.pid"
    number = int(pid_file.read_text())
    pid_file.write_text(str(os.getpid()))
    assert lvs_capture.end_captures() == ["lo"]
    os.killpg(number, signal.SIGTERM)


def test_the_filter_is_read_from_a_file(lvs_capture, program):
    """Linux takes no argument of more than 131,071 bytes."""
    text = " or ".join(f"host 192.0.2.{number % 256}" for number in range(10_000))
    lvs_capture.start(Module(program(), filter=text, packets=77))
    called = Path(program() + ".called").read_text().split()
    assert Path(called[called.index("-F") + 1]).read_text() == text
    assert called[called.index("-c") + 1] == "77"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho 'tcpdump: lo: no such device' >&2; exit 1\n", "#!/does/not/exist\n"])
def test_a_program_that_does_not_start_is_named_with_what_it_said(lvs_capture, program, text):
    with pytest.raises(Failed, match=r"cannot capture on lo: .*(no such device|No such file)"):
        lvs_capture.start(Module(program(text)))


def test_a_host_without_tcpdump_is_told_what_to_install(lvs_capture):
    with pytest.raises(Failed, match="Install the package tcpdump"):
        lvs_capture.start(Module(None))


def test_what_was_not_started_cannot_be_stopped(lvs_capture):
    with pytest.raises(Failed, match="there is no capture of lo: start one first"):
        lvs_capture.stop(Module(None))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("tcpdump"), reason="capturing takes root and tcpdump")
def test_real_packets_are_captured_up_to_the_last_one(lvs_capture):
    """tcpdump on the loopback interface, and datagrams to a port that the filter names and to another one."""
    lvs_capture.LAST_PACKETS = lvs_capture.usual_wait
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        port = service.getsockname()[1]
        given = {"filter": f"udp dst port {port}"}
        lvs_capture.start(Module(shutil.which("tcpdump"), **given))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number in range(20):
                client.sendto(b"%d" % number, ("127.0.0.1", port))
                client.sendto(b"other", ("127.0.0.1", port - 1))
        found = lvs_capture.stop(Module(shutil.which("tcpdump"), **given))
    packets = [
        data[42:] for data, _ in RawPcapReader(io.BytesIO(gzip.decompress(base64.b64decode(found["captures"]["lo"]))))
    ]
    assert set(packets) == {b"%d" % number for number in range(20)}
    assert running(lvs_capture) == []


def test_a_capture_that_ends_while_it_is_looked_at_has_ended(lvs_capture, monkeypatch):
    """Linux answers the read of /proc/PID/cmdline with ESRCH when the process has gone since the file was opened."""

    class Gone(io.StringIO):
        def read(self, *_):
            raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(lvs_capture, "alive", lambda pid: True)
    monkeypatch.setattr(lvs_capture, "open", lambda *_, **__: Gone(), raising=False)
    assert lvs_capture.captures(1, "/run/none") is False


def test_the_program_is_told_all_limits_and_writes_each_packet_at_once(lvs_capture, program, monkeypatch):
    spawned = []
    monkeypatch.setattr(lvs_capture, "spawn", lambda *given: spawned.append(given))
    monkeypatch.setattr(lvs_capture, "await_start", lambda module, base: spawned.append(base))
    lvs_capture.start(Module("/usr/bin/tcpdump", interfaces=["eth1", "eth2"], seconds=7, packets=9, filter="tcp"))
    folder = lvs_capture.DIRECTORY
    command = f"timeout 7 /usr/bin/tcpdump -i eth1 -p -U -n -s {lvs_capture.SNAP_LENGTH} -B 4096 -c 9 -Z root -F {folder}/filter -w {folder}/eth1.pcap"
    assert spawned[0] == (command.split(), f"{folder}/eth1.log", f"{folder}/eth1.pid")
    assert spawned[1][0][3] == "-i"
    assert spawned[1][0][4] == "eth2"
    assert spawned[2:] == [f"{folder}/eth1", f"{folder}/eth2"], "both are begun before one is waited for"
    assert Path(folder).stat().st_mode & 0o777 == 0o700, "packets are nobody else's business"


def test_what_an_earlier_capture_left_is_not_taken_for_the_new_one(lvs_capture, program):
    folder = Path(lvs_capture.DIRECTORY)
    folder.mkdir()
    (folder / "eth9.pcap").write_text("old")
    (folder / "lo.log").write_text("tcpdump: listening on lo")
    lvs_capture.start(Module(program()))
    assert not (folder / "eth9.pcap").exists()
    found = lvs_capture.stop(Module(program(), interfaces=["lo", "eth9"], skip_missing=True))
    assert list(found["captures"]) == ["lo"]


def test_an_interface_that_the_host_lacks_is_passed_over_where_this_is_wanted(lvs_capture):
    names = ["lo", "lvskit-none0"]
    assert lvs_capture.interfaces(Module(None, interfaces=names, skip_missing=True)) == ["lo"]
    assert lvs_capture.interfaces(Module(None, interfaces=names)) == names


@pytest.mark.parametrize(("flags", "up"), [("0x1003", True), ("0x1002", False), ("0x9", True)])
def test_an_interface_that_is_down_is_passed_over_like_one_that_is_missing(lvs_capture, monkeypatch, flags, up):
    monkeypatch.setattr(lvs_capture, "open", lambda *_, **__: io.StringIO(f"{flags}\n"), raising=False)
    assert lvs_capture.is_up("eth1") is up


def test_the_macs_of_the_host_and_of_its_neighbours_come_with_the_packets(lvs_capture, program, monkeypatch):
    asked = []
    module = Module(program(PROGRAM.replace("3 packets dropped", "0 packets dropped")))

    def run(command, check_rc):
        asked.append((command, check_rc))
        return 0, '[{"dst": "10.20.1.1", "lladdr": "52:54:00:00:00:ff"}, {"dst": "10.20.1.9", "state": ["FAILED"]}]', ""

    module.run_command = run
    lvs_capture.start(module)
    found = lvs_capture.stop(module)
    assert found["macs"] == {"lo": "00:00:00:00:00:00"}
    assert found["neighbours"] == {"10.20.1.1": "52:54:00:00:00:ff"}
    assert found["lost"] == {}
    assert asked == [(["ip", "-json", "neighbour", "show"], True)]


@pytest.mark.parametrize(("words", "lost"), [("1 packet dropped by kernel", {"lo": 1}), ("12 packets captured", {})])
def test_packets_that_the_kernel_dropped_are_counted(lvs_capture, program, words, lost):
    module = Module(program(PROGRAM.replace("3 packets dropped by kernel", words)))
    lvs_capture.start(module)
    assert lvs_capture.stop(module)["lost"] == lost


def test_the_program_reads_and_writes_nothing_of_the_modules_own(lvs_capture, program):
    """Ansible waits for the end of everything that has the module's output open."""
    lvs_capture.start(Module(program()))
    pid = int((Path(lvs_capture.DIRECTORY) / "lo.pid").read_text())
    opened = {int(link.name): os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert opened[0] == opened[1] == "/dev/null"
    assert opened[2] == f"{lvs_capture.DIRECTORY}/lo.log"
    assert set(opened) == {0, 1, 2}
    assert os.getsid(pid) == pid
    assert Path(opened[2]).stat().st_mode & 0o777 == 0o600


def test_where_the_program_says_nothing_this_is_told(lvs_capture, program, monkeypatch):
    clock = types.SimpleNamespace(monotonic=lambda: time.monotonic() * 10, sleep=time.sleep)  # ten times as fast
    monkeypatch.setattr(lvs_capture, "time", clock)
    with pytest.raises(Failed, match="cannot capture on lo: tcpdump did not start"):
        lvs_capture.start(Module(program("#!/bin/sh\nexec sleep 30\n")))
    until(lambda: not running(lvs_capture))
