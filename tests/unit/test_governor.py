"""The governor's passes on a host: which commands follow from verdicts, what it leaves alone, and what it keeps."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from ansible.module_utils.lvs_host import decisions, documents, governor, journal, kinds, lock, program, verdicts
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.governing import Override
from fake_host import FakeHost

VIP = "-t 203.0.113.80:80"
TABLE = f"""\
-A {VIP} -s wlc
-a {VIP} -r 10.20.1.11:80 -g -w 100
-a {VIP} -r 10.20.1.12:80 -g -w 100
"""
PLAN = [
    {
        "service": "web",
        "family": 4,
        "verdicts": VIP,
        "entries": [VIP],
        "servers": {"10.20.1.11:80": "rs1", "10.20.1.12:80": "rs2"},
        "detection": 5,
        "hold": 0,
        "slow_start": 0,
        "floor": 50,
        "quiesce": False,
        "sorry": "",
        "apologies": {},
    }
]
ONE, TWO = (VIP, "10.20.1.11:80"), (VIP, "10.20.1.12:80")


class Director(FakeHost):
    """A director whose table is the planned one, and whose checker gives the verdicts of `weights`."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch)
        self.write(kinds.IPVS.path, TABLE)
        self.write(kinds.HEALTH_PLAN.path, json.dumps(PLAN))
        self.write(verdicts.CANARY, "")
        self.netlink(TABLE.splitlines())
        self.weights = {ONE: 1, TWO: 1}
        self.checker = os.getpid()
        monkeypatch.setattr(verdicts, "table", lambda: "")
        monkeypatch.setattr(verdicts, "weights", lambda text: self.weights)
        monkeypatch.setattr(verdicts, "checker", lambda: self.checker)
        monkeypatch.setattr(governor.os, "kill", lambda pid, number: self.log.append(f"kill {number}"))
        self.log.clear()

    def started(self):
        made = governor.Governor(self)
        made.step()
        self.log.clear()
        return made

    @property
    def commands(self):
        return [line for line in self.log if line.startswith("ipvsadm -") and "--" not in line]

    @property
    def destinations(self):
        return self.services["-t", "203.0.113.80:80"].destinations


@pytest.fixture
def director(tmp_path, monkeypatch):
    return Director(tmp_path, monkeypatch)


def test_while_all_pass_it_writes_nothing(director):
    governor.Governor(director).step()
    assert director.commands == []


@pytest.mark.parametrize(("failed", "address"), [(ONE, "10.20.1.11:80"), (TWO, "10.20.1.12:80")])
def test_a_failed_real_server_is_removed_and_returns_with_its_weight(director, failed, address):
    made = director.started()
    director.weights = {ONE: 1, TWO: 1, failed: 0}
    made.step()
    assert director.commands == [f"ipvsadm -d {VIP} -r {address}"]
    director.weights = {ONE: 1, TWO: 1}
    made.step()
    assert director.commands[1:] == [f"ipvsadm -a {VIP} -r {address} -g -w 100"]


def test_the_journal_tells_each_decision_with_its_reason_and_nothing_twice(director, capsys):
    made = governor.Governor(director)
    told = []
    for first, second in ((1, 1), (1, 1), (0, 1), (0, 0), (0, 0), (1, 1)):
        director.weights = {ONE: first, TWO: second}
        made.step()
        told.append(capsys.readouterr().out.splitlines())
    one, two = (f"event=weight service=web server=rs{n} address=10.20.1.1{n}:80" for n in (1, 2))
    assert told == [
        [f'<5>{one} weight=100 reason="check passed"', f'<5>{two} weight=100 reason="check passed"'],
        [],
        [f'<4>{one} weight=none reason="check failed"'],
        [
            f'<4>{two} weight=100 reason="check failed, kept by the floor"',
            "<4>event=service service=web family=4 state=down sorry=none",
        ],
        [],
        [
            f'<5>{one} weight=100 reason="check passed"',
            f'<5>{two} weight=100 reason="check passed"',
            "<5>event=service service=web family=4 state=fine sorry=none",
        ],
    ]


def test_the_journal_names_the_sorry_server_that_answers(director, capsys):
    plan = [{**PLAN[0], "sorry": "rs9", "apologies": {VIP: "10.20.1.19:80 -g"}}]
    director.write(kinds.HEALTH_PLAN.path, json.dumps(plan))
    made = director.started()
    capsys.readouterr()
    director.weights = {ONE: 0, TWO: 0}
    made.step()
    assert capsys.readouterr().out.splitlines() == [
        *(
            f"<4>event=weight service=web server=rs{n} address=10.20.1.1{n}:80 weight=none "
            'reason="check failed, the sorry server answers"'
            for n in (1, 2)
        ),
        "<4>event=service service=web family=4 state=sorry sorry=rs9",
    ]
    assert director.destinations == {"10.20.1.19:80": "-g -w 1"}


def test_verdicts_are_read_when_keepalived_tells_something_and_seldom_otherwise(director, monkeypatch):
    """With 20,000 real servers a look takes a good part of a second."""
    looks, now = [], [time.time()]
    made = director.started()
    monkeypatch.setattr(verdicts, "table", lambda: looks.append(now[0]) or "")
    monkeypatch.setattr(governor.time, "time", lambda: now[0])
    monkeypatch.setattr(verdicts, "canary_age", lambda now: 1.0)
    writes = []
    monkeypatch.setattr(decisions, "write", lambda decided: writes.append(now[0]))
    for second in range(1, 31):
        now[0] += 1
        made.step("RS [10.20.1.12]:tcp:80 [203.0.113.80]:tcp:80 UP\n" if second == 16 else "")
    begin = now[0] - 30
    seconds = [round(look - begin) for look in looks]
    assert {16, 17, 18} <= set(seconds)
    assert len(seconds) <= 8
    assert max(b - a for a, b in zip([0, *seconds], [*seconds, 30])) <= governor.HEAL
    assert writes == []  # no decision has changed


def test_a_real_server_that_was_not_asked_yet_is_looked_at_each_time(director, monkeypatch):
    """Its time may be over."""
    made, now = director.started(), [time.time()]
    monkeypatch.setattr(governor.time, "time", lambda: now[0])
    monkeypatch.setattr(governor.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(verdicts, "canary_age", lambda now: 1.0)
    made.intake.restart()
    director.weights = {ONE: 0, TWO: 1}
    for _ in range(4):
        now[0] += 1
        made.step()
    assert director.commands == []
    for _ in range(4):
        now[0] += 1
        made.step()
    assert director.commands == [f"ipvsadm -d {VIP} -r 10.20.1.11:80"]


def test_an_empty_table_of_verdicts_is_no_verdict(director):
    made = director.started()
    director.weights = {}
    made.step()
    assert director.commands == []


def test_without_a_checker_the_table_stays_and_the_journal_says_so_once(director, capsys, monkeypatch):
    made = director.started()
    director.checker = None
    director.weights = {ONE: 0, TWO: 0}
    capsys.readouterr()
    now = time.time()
    for later in (0, 5, 10):
        monkeypatch.setattr(governor.time, "time", lambda later=later: now + later)
        made.step()
    assert director.commands == []
    assert capsys.readouterr().out.count("event=no-verdicts") == 1


def test_a_silent_checker_gives_no_verdicts_and_is_killed(director, capsys, monkeypatch):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    now = time.time()
    monkeypatch.setattr(governor.time, "time", lambda: now + verdicts.STALE + 1)
    made.step()
    assert director.commands == []
    assert "kill 9" in director.log
    assert "silent for 30 s" in capsys.readouterr().out
    os.utime(director.place(verdicts.CANARY), (now + verdicts.STALE, now + verdicts.STALE))
    made.step()
    assert director.commands == [f"ipvsadm -d {VIP} -r 10.20.1.11:80"]


def test_what_is_missing_of_the_table_comes_back(director, monkeypatch):
    made = director.started()
    now = time.time()
    del director.destinations["10.20.1.12:80"]
    made.step()
    assert director.commands == []
    monkeypatch.setattr(governor.time, "time", lambda: now + governor.HEAL + 1)
    made.step()
    assert director.commands == [f"ipvsadm -a {VIP} -r 10.20.1.12:80 -g -w 100"]
    director.services.clear()
    monkeypatch.setattr(governor.time, "time", lambda: now + 2 * governor.HEAL + 2)
    os.utime(director.place(verdicts.CANARY), (now + 20, now + 20))
    made.step()
    assert director.commands[1:] == [f"ipvsadm {line}" for line in TABLE.splitlines()]


def test_a_weight_of_somebody_else_stays_and_is_reported_once(director, capsys, monkeypatch):
    made = director.started()
    director.destinations["10.20.1.11:80"] = "-g -w 7"
    now = time.time()
    for later in (11, 22):
        monkeypatch.setattr(governor.time, "time", lambda later=later: now + later)
        made.step()
    assert director.commands == []
    assert capsys.readouterr().out.count("event=foreign") == 1


def test_a_real_server_of_somebody_else_stays(director):
    made = director.started()
    director.destinations["10.20.1.19:80"] = "-g -w 7"
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    assert director.commands == [f"ipvsadm -d {VIP} -r 10.20.1.11:80"]


def test_while_a_run_changes_the_table_it_waits(director):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    run = lock.Table()
    run.take(create=True)
    made.step()
    assert director.commands == []
    run.release()
    made.step()
    assert director.commands == [f"ipvsadm -d {VIP} -r 10.20.1.11:80"]


def test_it_takes_a_new_plan_without_a_restart(director):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    director.write(kinds.IPVS.path, TABLE.replace("10.20.1.12:80 -g -w 100", "10.20.1.12:80 -g -w 150"))
    made.step()
    assert director.destinations == {"10.20.1.12:80": "-g -w 150"}


def test_another_governor_goes_on_from_the_kept_decisions(director):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    director.log.clear()
    director.weights = {}
    governor.Governor(director).step()
    assert director.commands == []
    assert decisions.read().states["web 4"].servers["10.20.1.11:80"].weight is None


def test_after_a_boot_the_dead_one_is_out_without_a_new_verdict(director, monkeypatch):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    director.services.clear()
    director.netlink(TABLE.splitlines())
    monkeypatch.setattr(governor, "run_program", director)
    director.log.clear()
    restored = governor.Governor(director)
    assert restored.read_files()
    restored.write(time.time())
    assert director.commands == [f"ipvsadm -d {VIP} -r 10.20.1.11:80"]


def test_an_operators_weight_is_taken_at_once_and_ends(director, monkeypatch):
    made = director.started()
    now = time.time()
    decisions.write_overrides({"rs1": Override(0, now + 60)})
    made.step()
    assert director.destinations["10.20.1.11:80"] == "-g -w 0"
    monkeypatch.setattr(governor.time, "time", lambda: now + 61)
    os.utime(director.place(verdicts.CANARY), (now + 60, now + 60))
    made.step()
    assert director.destinations["10.20.1.11:80"] == "-g -w 100"


def test_a_refused_command_is_told(director, capsys):
    made = director.started()
    director.fails["-d "] = "full"
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    assert "event=refused" in capsys.readouterr().out


def test_damaged_weights_of_operators_change_nothing(director, capsys):
    director.write(decisions.OVERRIDES, "{")
    governor.Governor(director).step()
    assert director.commands == []
    assert "event=weights-unreadable" in capsys.readouterr().out


def test_the_last_healthy_real_server_leaves_only_with_consent(director):
    made = director.started()
    director.weights = {ONE: 0, TWO: 1}
    made.step()
    left = json.dumps([{**PLAN[0], "servers": {"10.20.1.11:80": "rs1"}}])
    for consent in (False, True):
        document = documents.GovernedServices(left, json.dumps(PLAN), director, consent=consent)
        if consent:
            document.prepare()
        else:
            with pytest.raises(HostError, match="the last healthy real server of web"):
                document.prepare()
    new = json.dumps([{**PLAN[0], "servers": {"10.20.1.11:80": "rs1", "10.20.1.13:80": "rs3"}}])
    documents.GovernedServices(new, json.dumps(PLAN), director).prepare()
    documents.GovernedServices("", json.dumps(PLAN), director).prepare()


@pytest.mark.parametrize(
    ("code", "said", "refused"),
    [
        (0, "", False),
        (5, "(Line 45) Invalid hex string for UDP_CHECK payload", True),
        (0, "(Line 45) Unknown keyword 'payload'", True),  # keepalived 2.1.5
    ],
)
def test_checks_that_keepalived_does_not_take_completely_are_refused_with_its_words(code, said, refused):
    ran = []

    def keepalived(argv, stdin):
        ran.append(argv)
        return code, "", said

    document = documents.KeepalivedConf(kinds.HEALTH, "x", "", keepalived, option="-C")
    if not refused:
        document.try_out()
        assert ran == [["keepalived", "-t", "-C", "-f", f"{kinds.HEALTH.path}.new"]]
        return
    with pytest.raises(HostError) as error:
        document.try_out()
    assert said in str(error.value)


def test_a_state_that_it_cannot_read_is_made_again(director):
    director.write(decisions.STATE, '{"format": 99}')
    assert decisions.read().states == {}
    director.write(decisions.STATE, "[")
    assert decisions.read().states == {}


def test_the_program_is_always_the_same_and_runs_without_anything_else(tmp_path):
    file = tmp_path / "lvskit.pyz"
    file.write_bytes(program.content())
    assert program.content() == file.read_bytes()
    done = subprocess.run([sys.executable, "-I", str(file)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"usage: {file} govern|restore|watch|keep\n")
    imports = "; ".join(f"import lvs_host.{name}" for name in program.MODULES)
    code = f"import sys; sys.path.insert(0, {str(file)!r}); {imports}"
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)


def test_the_program_comes_with_the_first_unit_and_goes_with_the_last(director):
    coming = program.Program(director, wanted=True)
    coming.prepare()
    assert (coming.additions(), coming.removals()) == ([f"install {program.PATH}"], [])
    coming.add()
    there = program.Program(director, wanted=True)
    there.prepare()
    assert (there.additions(), there.changed) == ([], False)
    director.write(program.PATH, "another version")
    for fixed, commands in ((False, [f"install {program.PATH}"]), (True, [])):
        other = program.Program(director, wanted=True, fixed=fixed)
        other.prepare()
        assert other.additions() == commands
    gone = program.Program(director, wanted=False)
    gone.prepare()
    assert gone.removals() == [f"rm {program.PATH}"]
    gone.remove()
    assert not director.place(program.PATH).parent.exists()


def test_events_are_words_that_programs_can_read(capsys):
    journal.say(journal.WARNING, "weight", server="rs1", reason="check failed", sorry="")
    assert capsys.readouterr().out == '<4>event=weight server=rs1 reason="check failed" sorry=""\n'


def test_notices_of_the_service_manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        journal.notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_the_fifo_is_made_and_another_file_in_its_place_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "FIFO", str(tmp_path / "verdicts"))
    os.close(governor.fifo())
    os.close(governor.fifo())
    (tmp_path / "verdicts").unlink()
    (tmp_path / "verdicts").write_text("")
    with pytest.raises(governor.HostError, match="is no FIFO"):
        governor.fifo()
