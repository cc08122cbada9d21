"""keepalived's verdicts: what weights in its own table and lines of its FIFO say, and what they do not say."""

import os
import time

import pytest
from ansible.module_utils.lvs_host import files, verdicts
from ansible.module_utils.lvs_host.verdicts import FAILED, PASSED, UNKNOWN, Intake

ONE = ("-t 10.20.1.80:80", "10.20.1.11:80")
TWO = ("-t 10.20.1.80:80", "10.20.1.12:80")
SIX = ("-t [2001:db8:30::80]:80", "[2001:db8:30::11]:8080")
# As Debian 12's kernel lists the table that keepalived has made.
LISTED = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A140150:0050 rr
  -> 0A14010C:0050      Masq    0      0          0
  -> 0A14010B:0050      Masq    1      0          0
TCP  [2001:0db8:0030:0000:0000:0000:0000:0080]:0050 rr
  -> [2001:0db8:0030:0000:0000:0000:0000:0011]:1F90      Masq    1      0          0
"""
# As keepalived 2.2.7 has written it into the FIFO.
FIFO = """\
VS [10.20.1.80]:tcp:80 UP
RS [10.20.1.11]:tcp:80 [10.20.1.80]:tcp:80 UP
RS [2001:db8:30::11]:tcp:8080 [2001:db8:30::80]:tcp:80 DOWN
"""


def test_the_table_has_a_weight_for_each_real_server():
    assert verdicts.weights(LISTED) == {TWO: 0, ONE: 1, SIX: 1}


def test_the_fifo_names_real_servers_as_ipvsadm_does():
    assert list(verdicts.told(FIFO)) == [(ONE, True), (SIX, False)]


def intake():
    return Intake({ONE: 5, TWO: 5})


def test_weight_1_is_a_passed_check_at_once():
    assert intake().verdicts({ONE: 1}, 0) == {ONE: PASSED}


def test_weight_0_is_no_verdict_before_the_check_has_had_its_time():
    found = intake()
    assert found.verdicts({ONE: 0}, 100) == {ONE: UNKNOWN}
    assert found.verdicts({ONE: 0}, 100 + 5 + verdicts.SLACK) == {ONE: UNKNOWN}
    assert found.verdicts({ONE: 0}, 100.1 + 5 + verdicts.SLACK) == {ONE: FAILED}


def test_weight_0_is_a_failure_when_the_check_had_passed_before():
    found = intake()
    found.verdicts({ONE: 1}, 0)
    assert found.verdicts({ONE: 0}, 1) == {ONE: FAILED}


def test_weight_0_is_a_failure_when_keepalived_says_so():
    found = intake()
    found.hear("RS [10.20.1.11]:tcp:80 [10.20.1.80]:tcp:80 DOWN\n")
    assert found.verdicts({ONE: 0, TWO: 0}, 0) == {ONE: FAILED, TWO: UNKNOWN}
    found.hear("RS [10.20.1.11]:tcp:80 [10.20.1.80]:tcp:80 UP\n")
    assert found.verdicts({ONE: 0}, 0) == {ONE: UNKNOWN}


def test_a_real_server_that_is_missing_has_no_verdict_and_is_new_when_it_returns():
    """keepalived empties its table when it is stopped."""
    found = intake()
    found.verdicts({ONE: 1}, 0)
    assert found.verdicts({}, 1) == {}
    assert found.verdicts({ONE: 0}, 2) == {ONE: UNKNOWN}


def test_another_checker_has_asked_nobody_yet():
    found = intake()
    found.verdicts({ONE: 1}, 0)
    found.restart()
    assert found.verdicts({ONE: 0}, 100) == {ONE: UNKNOWN}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROOT", str(tmp_path))
    (tmp_path / "run/lvskit").mkdir(parents=True)
    return tmp_path / "run/lvskit"


def test_the_canary_tells_for_how_long_the_checker_has_been_silent(run):
    now = time.time()
    assert verdicts.canary_age(now) is None
    (run / "canary").touch()
    os.utime(run / "canary", (now - 40, now - 40))
    assert verdicts.canary_age(now) == pytest.approx(40)


@pytest.mark.parametrize("text", ["", "word\n", "999999999\n"])
def test_there_is_no_checker_without_a_running_process(run, text):
    assert verdicts.checker() is None
    (run / "checkers.pid").write_text(text)
    assert verdicts.checker() is None


def test_the_checker_is_the_process_of_its_file(run):
    (run / "checkers.pid").write_text(f"{os.getpid()}\n")
    assert verdicts.checker() == os.getpid()
