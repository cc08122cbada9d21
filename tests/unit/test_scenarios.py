"""The runner of scenarios, and whether the scenarios of `make test` between them can run every test on virtual machines."""

import ast
import re
from pathlib import Path

import pytest

from lab import environment, spec, switch
from tests.scenarios import FOLLOWING, Clock, Faults, Outcome, table
from tests.vm import selection

PROJECT = Path(__file__).parents[2]
CHAINS = re.search(r"^SCENARIOS \?= (.+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[1]


def markers_of_tests():
    """Each test on virtual machines, with its markers and its module's."""
    for path in (PROJECT / "tests/vm").glob("test_*.py"):
        own = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Assign, ast.FunctionDef))]
        common = [mark for node in own if isinstance(node, ast.Assign) for mark in marks(node.value)]
        for node in own:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                named = [mark for decorator in node.decorator_list for mark in marks(decorator)]
                yield f"{path.name}::{node.name}", [*common, *named]


def marks(expression):
    return re.findall(r"pytest\.mark\.(\w+)", ast.unparse(expression))


@pytest.fixture(scope="module")
def topologies():
    names = re.split(r"[+ ]", CHAINS)
    return {name: environment.topology(environment.read(inventories(name))) for name in names}


def inventories(scenario):
    return ["inventory/lab", f"molecule/{scenario}/inventory"]


def test_every_test_on_machines_runs_in_a_scenario_of_make_test(topologies):
    tests = dict(markers_of_tests())
    assert len(tests) > 15
    nowhere = {
        test: lacks
        for test, markers in tests.items()
        if None not in (lacks := [selection.lacking(topology, markers) for topology in topologies.values()])
    }
    assert nowhere == {}


def test_the_scenarios_of_a_chain_have_the_same_wiring():
    """Otherwise `lab up` starts all machines anew between them, without the state of other software that foreign.yml put there."""
    for chain in CHAINS.split():
        wirings = {name: switch.commands(spec.parse(environment.read(inventories(name)))) for name in chain.split("+")}
        assert list(wirings.values()) == [next(iter(wirings.values()))] * len(wirings), chain


def test_a_test_is_left_out_with_what_the_inventory_lacks():
    topology = environment.topology(environment.read(inventories("dr")))
    assert selection.lacking(topology, ["clients", "sender"]) == (
        "no services whose client address the director's kernel module sends"
    )
    assert selection.lacking(topology, ["hypervisors_of_nobody"]) is None  # no marker of ours
    assert "rs3" not in selection.hosts(topology, ["real_servers"])  # in the group `absent`
    assert selection.hosts(topology, ["directors"]) == {"lb1"}
    assert selection.hosts(topology, []) == {"lb1", "rs1", "rs2"}  # those that have a plan


@pytest.mark.parametrize("place", ["dr ➜ {}:", "[dr > {}]"])  # with UTF-8, and with ASCII alone
def test_the_steps_of_a_scenario_are_timed_by_what_molecule_prints(place):
    clock = Clock()
    for second, line in enumerate(
        [
            f"INFO     {place.format('discovery')} scenario test matrix: destroy, create, side_effect ../shared/packets.yml",
            f"INFO     {place.format('destroy')} Executing",
            f"INFO     {place.format('destroy')} Executed: Successful",
            "  TASK [Ask]",
            f"INFO     {place.format('create')} Executing",
            "  TASK [Start them]",
            f"INFO     {place.format('create')} Executed: Successful",
            f"INFO     {place.format('side_effect')} Executing",
            f"ERROR    {place.format('side_effect')} Executed: Failed",
            f"INFO     {place.format('destroy')} Executing",
            f"INFO     {place.format('destroy')} Executed: Successful",
        ]
    ):
        clock.hear(line, float(second))
    assert clock.steps == [("destroy", 1.0), ("create", 2.0), ("packets", 1.0)]


def test_the_table_has_minutes_and_names_what_failed():
    outcomes = [Outcome("dr", True, 90, [("create", 30), ("idempotence", 1)]), Outcome("tun", False, 60)]
    assert table(outcomes).splitlines()[1:] == ["dr               1.5  create 0.5", "tun              1.0  FAILED: "]


def test_of_a_fault_the_lines_that_follow_are_kept_too():
    faults = Faults()
    for line in ["  ok", "  FAILED client1:", *(f"  {number}" for number in range(20)), "fatal: later"]:
        faults.hear(line)
    assert faults.lines == ["  FAILED client1:", *(f"  {number}" for number in range(FOLLOWING)), "fatal: later"]


def test_what_comes_after_the_failed_step_is_no_fault():
    faults = Faults()
    for line in [
        "fatal: this",
        "WARNING  pair ➜ verify: An error occurred during the test sequence action: 'verify'.",
        "ERROR    Verifier",
    ]:
        faults.hear(line)
    assert faults.lines == ["fatal: this"]
