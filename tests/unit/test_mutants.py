"""The mutation run: its operators, the choice of tests, the enclosure, and the report."""

import ast
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from mutants import __main__ as run
from mutants.lane import Lane, Outcome
from mutants.operators import sites
from mutants.report import Result, interval, report
from mutants.usage import Usage, _tests


def changed(source):
    return {site.applied(source) for site in sites(ast.parse(source))}


def meaning(texts):
    return {ast.dump(ast.parse(text)) for text in texts}


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("a < b", "a <= b"),
        ("a == b", "a != b"),
        ("a in b", "a not in b"),
        ("x = a and b", "x = a or b"),
        ("x = a - b", "x = a + b"),
        ("x = a & b", "x = a | b"),
        ("x = not a", "x = a"),
        ("x = 1", "x = 2"),
        ("x = True", "x = False"),
        ("x = 'ip'", "x = 'ipXX'"),
        ("x = min(a)", "x = max(a)"),
        ("x = sorted(a, key=b)", "x = list(a)"),
        ("x = a if b else c", "x = c if b else a"),
        ("x = [a for a in b if a]", "x = [a for a in b]"),
        ("x = (a, b)", "x = (b, a)"),
        ("f(a, check=b)", "f(a)"),
        ("f()", "pass"),
        ("x += y", "pass"),
        ("x.y = z", "pass"),
        ("if a:\n    b()", "if not a:\n    b()"),
        ("for a in b:\n    continue", "for a in b:\n    break"),
        ("def f() -> str:\n    return a", "def f() -> str:\n    return ''"),
        ("def f() -> bool:\n    return a", "def f() -> bool:\n    return not a"),
        ("def f():\n    return a", "def f():\n    return None"),
        ("x = f'{a} -w {b}'", "x = f'{a} -w XX{b}'"),
        ("f(a for a in b if c)", "f((a for a in b))"),
    ],
)
def test_an_operator_makes_its_mutant(source, mutant):
    assert meaning([mutant]) <= meaning(changed(source))


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("#!/usr/bin/python\nx = 1  # a\ny = z", "#!/usr/bin/python\nx = (2)  # a\ny = z"),
        ("x = [\n    'é', a < b,\n]", "x = [\n    'é', (a <= b),\n]"),
    ],
)
def test_all_else_in_the_text_stays(source, mutant):
    assert mutant in changed(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is for."""',
        "import a",
        "def f(a: 'int'):\n    pass",
        "@a(1)\ndef f():\n    pass",
        "DOCUMENTATION = 'module: x'",
        "x = 'the host has no route to the director'",
        "x = f'{a} has no route to director {b}'",
        "Table = dict[str, int]",
        "Finding = Union[tuple[str, int], tuple[str, str]]",
    ],
)
def test_documentation_types_and_sentences_are_not_mutated(source):
    assert not changed(source)


@pytest.mark.parametrize(
    "source",
    ["try:\n    f()\nexcept (A, B):\n    pass", "x.startswith((a, b))", "x.endswith((a, b))", "isinstance(x, (a, b))"],
)
def test_an_order_that_means_nothing_is_not_mutated(source):
    assert not any("(B, A)" in text or "(b, a)" in text for text in changed(source))


def test_a_command_is_mutated():
    assert changed("x = 'ip route add default via -4'")


def test_a_mutant_has_its_function_and_the_lines_of_its_statement():
    source = (
        "class A:\n    def f(self, n=1):\n        if (\n            n\n            == 2\n        ):\n            g()\n"
    )
    found = {site.told(): site for site in sites(ast.parse(source))}
    compared = found["n == 2", "n != 2"]
    assert (compared.function, compared.lines, compared.at_import) == ("A.f", range(3, 7), False)
    default = next(site for site in found.values() if site.line == 2)
    assert default.at_import


def test_a_change_in_a_long_statement_is_shown_with_the_text_around_it():
    source = f"x = f({', '.join(f'name{n}' for n in range(60))}, last=1, {', '.join(f'more{n}=a' for n in range(60))})"
    (before, after) = next(site.told() for site in sites(ast.parse(source)) if "last" not in site.told()[1])
    assert "last=1" in before
    assert len(before) < 250
    assert before.startswith("…")
    assert after.startswith("…")


def test_the_same_seed_takes_the_same_sample():
    every = run.mutants(["module_utils/lvs/walk.py", "module_utils/lvs/rules"])
    names = [[(m.file, m.site.line, m.site.told()) for m in run.sample(every, 20, seed)] for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert {name[0].rpartition("/")[0] for name in names[0]} == {"module_utils/lvs", "module_utils/lvs/rules"}


def test_a_place_that_does_not_exist_is_named():
    with pytest.raises(SystemExit, match="module_utils/lvs/rule is no file"):
        run.mutants(["module_utils/lvs/rule"])


SLOW = "tests/unit/test_slow.py"
USAGE = Usage(
    {"module_utils/a.py": {1: {"t1", "t2"}, 2: {f"{SLOW}::t4"}, 3: {"t1", f"{SLOW}::t4"}}, "library/b.py": {1: {"t1"}}},
    {"t1": 2.0, "t2": 1.0, "t3": 0.5, f"{SLOW}::t4": 3.0},
    frozenset({SLOW}),
)


@pytest.mark.parametrize(
    ("file", "lines", "at_import", "tests"),
    [
        ("module_utils/a.py", [1], False, ["t2", "t1"]),
        ("module_utils/a.py", [2], False, [f"{SLOW}::t4"]),
        ("module_utils/a.py", [2, 3], False, ["t1"]),
        ("module_utils/a.py", [9], False, []),
        ("module_utils/a.py", [9], True, ["t2", "t1", "t3"]),
        ("library/b.py", [9], True, ["t1"]),
        ("library/c.py", [1], True, []),
    ],
)
def test_the_tests_that_run_a_line_are_chosen_the_quickest_first(file, lines, at_import, tests):
    assert USAGE.of(file, lines, at_import=at_import) == tests


def test_lines_of_fixtures_count_for_each_test_of_the_file():
    tests = ["a.py::one", "a.py::two[x y]", "b.py::three"]
    assert _tests(["a.py", ""], tests) == {"a.py::one", "a.py::two[x y]"}
    assert _tests(["a.py::two[x y]"], tests) == {"a.py::two[x y]"}
    assert _tests(["b.py::three (call)"], tests) == {"b.py::three"}


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Outcome(0, ""), ""),
        (Outcome(1, ""), "a test"),
        (Outcome(2, ""), "import"),
        (Outcome(4, "ImportError while loading conftest"), "import"),
        (Outcome(None, ""), "time"),
        (Outcome(-11, ""), "crash"),
    ],
)
def test_a_mutant_is_killed_by_a_failure_an_import_error_a_crash_or_its_time_limit(outcome, fate):
    assert run.fate(outcome) == fate


@pytest.mark.parametrize("outcome", [Outcome(5, "no tests ran"), Outcome(4, "file not found"), Outcome(3, "")])
def test_a_fault_of_the_run_itself_does_not_count_as_killed(outcome):
    with pytest.raises(SystemExit):
        run.fate(outcome)


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"), [(0, 10, 0.0, 0.2775), (90, 100, 0.8256, 0.9448), (10, 10, 0.7225, 1.0)]
)
def test_the_interval_is_the_wilson_score_interval(hits, number, low, high):
    assert interval(hits, number) == pytest.approx((low, high), abs=0.0001)


def test_equivalent_mutants_are_not_in_the_score_and_are_listed_with_their_reason():
    killed = Result("lvs/a.py", 1, "f", "a", "b", 3, "a test")
    alive = Result("lvs/a.py", 7, "g", "a < b", "a <= b", 3)
    same = Result("lvs/a.py", 9, "h", "x", "y", 0)
    slow = Result("lvs/a.py", 4, "k", "n > 0", "n >= 0", 1, "time")
    entry = {"file": "lvs/a.py", "function": "h", "before": "x", "after": "y", "why": "both are read alike"}
    said = "\n".join(report([killed, alive, same, killed, slow], [entry], 1.0))
    assert "3 of 4 killed, 75.0%" in said
    assert "lvs/a.py:7 g (3 tests run it)\n      a < b\n   -> a <= b" in said
    assert "both are read alike" in said
    assert "2 by a test, 1 by time" in said
    assert "lvs/a.py:4 k (1 tests run it)" in said


def test_each_equivalent_mutant_that_is_listed_exists_and_has_a_reason():
    for entry in yaml.safe_load((run.PROJECT / "tests/mutants/equivalent.yml").read_text()):
        found = {(mutant.site.function, *mutant.site.told()) for mutant in run.mutants([entry["file"]])}
        assert (entry["function"], entry["before"], entry["after"]) in found, entry
        assert len(entry["why"].split()) > 4


@pytest.fixture
def lane(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").write_text("x = 1\n")
    (project / ".gitignore").write_text("lane\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    return Lane(project, project / "lane")


def written(lane, path):
    return lane.run(["-c", f"open({str(path)!r}, 'w').write('changed')"], 30)


def test_only_the_copy_can_be_changed(lane):
    assert written(lane, lane.folder / "a.py").code == 0
    assert (lane.folder / "a.py").read_text() == "changed"
    elsewhere = Path.home() / "lvskit-mutants"
    for path in (lane.project / "a.py", elsewhere):
        written(lane, path)
    assert (lane.project / "a.py").read_text() == "x = 1\n"
    assert not elsewhere.exists()


def test_at_the_time_limit_all_processes_are_killed(lane):
    started = """if True:
        import subprocess, time
        null = subprocess.DEVNULL
        subprocess.Popen(['sleep', '47.115'], stdin=null, stdout=null, stderr=null, start_new_session=True)
        time.sleep(60)
    """
    assert lane.run(["-c", started], 3).code is None
    assert (
        "sleep 47.115" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    )


TESTS = """
import os, signal, subprocess, time
import a

def test_one():
    assert a.x == 1

def test_crash():
    os.kill(os.getpid(), signal.SIGSEGV)

def test_slow():
    time.sleep(60)

def test_leaves_a_process():
    subprocess.Popen(["sleep", "300.115"], start_new_session=True)

def test_nothing_is_left():
    assert "sleep 300.115" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout

def test_input_is_empty():
    assert os.read(0, 1) == b""
"""


@pytest.fixture
def served(lane):
    """A lane with tests, and a function that runs one of them."""
    shutil.copytree(run.PROJECT / "tests/mutants", lane.folder / "tests/mutants")
    (lane.folder / "tests/test_a.py").write_text(TESTS)
    yield lane, lambda *names, seconds=30: lane.tests([f"tests/test_a.py::test_{name}" for name in names], seconds)
    lane.close()


def test_each_mutant_is_imported_anew(served):
    lane, tests = served
    assert tests("one").code == 0
    for text, code in (("x = 2\n", 1), ("x = \n", 2), ("x = 1\n", 0)):
        lane.put("a.py", text)
        assert tests("one").code == code
    assert "1 passed" in tests("one").output


def test_a_crash_or_the_time_limit_ends_the_tests_of_one_mutant_only(served):
    _, tests = served
    assert tests("crash").code == -11
    assert tests("slow", seconds=2).code is None
    assert tests("input_is_empty").code == 0


def test_no_process_of_a_mutant_is_left_for_the_next(served):
    _, tests = served
    started = time.monotonic()
    assert tests("leaves_a_process").code == 0
    assert tests("nothing_is_left").code == 0
    assert time.monotonic() - started < 290, "it was not waited for either"


def test_only_the_chosen_tests_run_and_the_first_failure_ends_them(served):
    lane, tests = served
    lane.put("a.py", "x = 2\n")
    output = tests("input_is_empty", "one", "slow").output
    assert "1 failed, 1 passed" in output
