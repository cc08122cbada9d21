"""What is the same for many hosts is said once: texts, lines of tasks, the table at the end."""

import time

import pytest
from ansible.module_utils.lvs_controller.progress import Progress
from ansible.module_utils.lvs_controller.recap import ROWS, Recap, table
from ansible.module_utils.lvs_controller.task_results import TaskResults, Texts, first_sentence, names


def test_the_first_hosts_are_named_in_the_order_of_their_numbers():
    assert names(["rs10", "rs2", "rs1"]) == "rs1, rs2, rs10"
    assert names([f"rs{number}" for number in range(1203)]) == "rs0, rs1, rs2, +1,200 more"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("rs1 lacks ipvsadm. Install it.", "rs1 lacks ipvsadm."),
        ("\n  port 80 of 192.0.2.1 is taken\nby nginx", "port 80 of 192.0.2.1 is taken"),
        ("", ""),
    ],
)
def test_a_row_has_the_first_sentence_of_a_message(text, first):
    assert first_sentence(text) == first


def said(*pairs, addresses=True):
    texts = Texts()
    for host, text in pairs:
        texts.add(host, text, addresses)
    return list(texts)


def test_equal_texts_are_one():
    assert said(("a1", "no"), ("a2", "no"), ("a3", "yes")) == [(["a1", "a2"], "no"), (["a3"], "yes")]


def test_texts_that_differ_in_the_hosts_own_name_are_one():
    assert said(("rs1", "rs1 lacks ip"), ("rs2", "rs2 lacks ip")) == [(["rs1", "rs2"], "<host> lacks ip")]


def test_a_name_inside_another_name_is_left_alone():
    (rs1, rs2) = said(("rs1", "rs10 and rs1.example.org lack ip"), ("rs2", "rs20 and rs2.example.org lack ip"))
    assert rs1 == (["rs1"], "rs10 and rs1.example.org lack ip")
    assert rs2[0] == ["rs2"]


def test_a_text_of_one_host_keeps_the_name():
    assert said(("rs1", "rs1 lacks ip")) == [(["rs1"], "rs1 lacks ip")]


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.7", "192.0.2.8"), ("192.0.2.7", "2001:db8::7"), ("fe80::1", "::1")]
)
@pytest.mark.parametrize("text", ["connect to host {} port 22: timed out", "{}: timed out", "timed out: {}"])
def test_unreachable_hosts_differ_in_no_address(text, one, other):
    messages = ("a", text.format(one)), ("b", text.format(other))
    assert said(*messages, addresses=False) == [(["a", "b"], text.format("<address>"))]
    assert len(said(*messages)) == 2


def test_a_line_counts_hosts_and_names_those_that_changed():
    results = TaskResults("Apply")
    for number in range(1, 6):
        results.add(f"rs{number}", "changed" if number < 5 else "ok")
    results.add("rs6", "skipped")
    assert results.summary() == "1 ok, 4 changed (rs1, rs2, rs3, +1 more), 1 skipped"
    assert results.summary(hidden=["ok", "skipped"]) == "4 changed (rs1, rs2, rs3, +1 more)"


def test_a_counter_tells_how_many_hosts_are_done_and_lost():
    results = TaskResults("Apply")
    assert results.so_far(400) == ""
    results.add("rs1", "ok")
    results.add("rs2", "changed")
    results.trouble("rs3", "FAILED", "no")
    assert results.so_far(399) == "3 of 400 hosts, 1 FAILED, "


def test_a_warning_names_its_hosts_once():
    results = TaskResults("Apply")
    assert results.named(["rs1"], "rs1 has drifted") == "rs1 has drifted"
    assert results.named(["rs1"], "the clock is wrong") == "the clock is wrong (rs1)"
    assert results.named(["rs1", "rs2"], "<host> has drifted") == "<host> has drifted (rs1, rs2)"
    assert TaskResults("Compile", once=True).named(["rs1"], "an old key") == "an old key"


def test_what_is_done_once_is_counted_for_no_host():
    results = TaskResults("Compile", once=True)
    results.add("lb1", "ok")
    assert results.summary() == "ok"
    assert results.heading(["lb1"]) == ""


def recap(**what):
    collected = Recap()
    for host, (commands, failure, unreachable) in what.items():
        record = collected.of(host)
        record.failure, record.unreachable = failure, unreachable
        if commands:
            record.changes.append(("Apply", commands))
    return collected


def test_each_host_is_counted_once():
    collected = recap(a=([], "", ""), b=(["x"], "", ""), c=(["x"], "broken", ""), d=([], "", "gone"))
    assert collected.totals() == "hosts=4 ok=2 changed=2 unreachable=1 failed=1"


def test_a_failure_of_the_environment_is_counted_but_no_hosts():
    collected = recap(a=([], "", ""))
    collected.of("a", once=True).failure = "The inventory cannot work: 5 faults. No host was touched."
    assert collected.totals() == "hosts=1 ok=1 changed=0 unreachable=0 failed=1"
    assert collected.rows() == [("environment", "FAILED", "The inventory cannot work: 5 faults.")]


def test_hosts_with_the_same_commands_share_a_row_and_failures_come_first():
    collected = recap(
        rs1=(["ip a", "ip b", "ip c", "ip d", "ip e"], "", ""),
        rs2=(["ip a", "ip b", "ip c", "ip d", "ip e"], "", ""),
        rs3=([], "", "connect to 192.0.2.3: timed out"),
        rs4=([], "", "connect to 192.0.2.4: timed out"),
        rs5=(["ip f"], "Disk full. Make room.", ""),
        rs6=([], "", ""),
    )
    assert collected.rows() == [
        ("rs3, rs4", "UNREACHABLE", "connect to <address>: timed out"),
        ("rs5", "changed, FAILED", "Disk full."),
        ("rs1, rs2", "changed", "ip a; ip b; ip c; +2 more"),
    ]


def test_a_task_without_commands_is_named_itself():
    collected = recap(rs1=(["ip a"], "", ""))
    collected.of("rs1").changes.insert(0, ("Install packages", []))
    assert collected.rows() == [("rs1", "changed", "Install packages; ip a")]


def test_what_rescue_took_care_of_is_no_failure():
    collected = recap(rs1=([], "no packages", ""), rs2=([], "no packages", ""))
    collected.forgive({"rs2"})
    assert collected.rows() == [("rs2", "FAILED", "no packages")]


def test_of_many_rows_the_first_are_shown_within_the_width():
    rows = [(f"rs{number}", "changed", "ip address add " + "x" * 100) for number in range(ROWS + 7)]
    lines = table(rows, 60)
    assert lines[-1] == "  +7 more rows; -v shows every host"
    assert len(lines) == ROWS + 1
    assert {len(line) for line in lines[:-1]} == {60}


class Screen:
    def __init__(self):
        self.written = []

    def write(self, text, newline):
        self.written.append((text, newline))


def test_a_long_task_writes_a_line_again_and_again_until_it_is_over():
    screen = Screen()
    progress = Progress(screen.write, terminal=False, seconds=0.05)
    progress.run()
    progress.begin(lambda seconds: f"Apply: {seconds} s")
    deadline = time.monotonic() + 20
    while len(screen.written) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    progress.end()
    number = len(screen.written)
    assert number >= 2
    assert set(screen.written) == {("Apply: 0 s", True)}
    time.sleep(0.2)
    assert len(screen.written) == number
    progress.stop()


def test_the_lines_of_a_long_task_get_fewer(monkeypatch):
    screen, now = Screen(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(screen.write, terminal=False)
    progress.begin(lambda seconds: f"{seconds}")
    for second in range(600):
        now[0] = float(second)
        progress.look()
    assert [int(text) for text, _ in screen.written] == [10, 30, 70, 130, 190, 250, 310, 370, 430, 490, 550]


def test_a_terminal_has_a_counter_that_leaves_nothing_behind(monkeypatch):
    screen, now = Screen(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(screen.write, terminal=True)
    progress.begin(lambda seconds: f"after {seconds} s")
    progress.advance()
    assert screen.written == []
    now[0] = 3.0
    progress.advance()
    progress.advance()
    assert screen.written == [("\r\x1b[Kafter 3 s", False)]
    progress.end()
    assert screen.written[1:] == [("\r\x1b[K", False)]


def test_a_prompt_has_the_screen_for_itself(monkeypatch):
    screen, now = Screen(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(screen.write, terminal=True)
    progress.begin(lambda seconds: "pause", silent=True)
    now[0] = 30.0
    progress.advance()
    assert screen.written == []
