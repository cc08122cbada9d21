"""lvs_weights on a director whose governor works meanwhile: what it stores, how long it waits, and what it says."""

import pytest
from ansible.module_utils.lvs_host import decisions, governor, kinds
from libraries import loaded
from test_governor import ONE, TWO, Director

NOW = 1772334000.0
OWN = {"weight": 0, "until": NOW + 60, "services": ["web"], "reason": "disk", "since": NOW}


@pytest.fixture
def director(tmp_path, monkeypatch):
    """Each time the module waits, the governor makes a pass; `pauses` are the seconds."""
    made = Director(tmp_path, monkeypatch)
    working, made.pauses = made.started(), []
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr(governor, "say", lambda *_, **__: None)  # its journal is the output of the module here
    monkeypatch.setattr(governor.verdicts, "canary_age", lambda now: 1.0)
    monkeypatch.setattr("time.sleep", lambda seconds: made.pauses.append(seconds) or working.step())
    return made


@pytest.fixture
def weights():
    return loaded("lvs_weights")


def test_a_weight_is_stored_and_written_by_the_governor(director, weights):
    result = director.run(weights, servers=["rs1"], weight=0, seconds=60, services=["web"], reason="disk")
    assert {key: result[key] for key in ("changed", "weights", "written")} == {
        "changed": True,
        "weights": {"rs1": OWN},
        "written": True,
    }
    assert director.destinations == {"10.20.1.11:80": "-g -w 0", "10.20.1.12:80": "-g -w 100"}
    assert director.pauses == [0.5]


def test_the_same_weight_once_more_changes_nothing(director, weights):
    director.run(weights, servers=["rs1", "rs2"], weight=7)
    kept = decisions.overrides()
    assert director.destinations == {"10.20.1.11:80": "-g -w 7", "10.20.1.12:80": "-g -w 7"}
    director.log.clear()
    result = director.run(weights, servers=["rs2"], weight=7)
    assert (result["changed"], result["written"], list(result["weights"])) == (False, True, ["rs1", "rs2"])
    assert (decisions.overrides(), director.commands) == (kept, [])
    for changed in ({"weight": 8}, {"reason": "why"}, {"services": ["web"]}, {"seconds": 9}):
        assert director.run(weights, check=True, **{"servers": ["rs2"], "weight": 7, **changed})["changed"] is True


def test_of_several_real_servers_each_is_waited_for(director, weights):
    for servers in (["rs1"], ["rs1", "rs2"]):
        assert director.run(weights, servers=servers, weight=7)["written"] is True
    assert director.destinations == {"10.20.1.11:80": "-g -w 7", "10.20.1.12:80": "-g -w 7"}


def test_a_weight_that_is_taken_back_is_the_planned_one_again(director, weights):
    director.run(weights, servers=["rs1", "rs2"], weight=7)
    result = director.run(weights, servers=["rs1"])
    assert (result["changed"], list(result["weights"]), result["written"]) == (True, ["rs2"], True)
    assert director.destinations == {"10.20.1.11:80": "-g -w 100", "10.20.1.12:80": "-g -w 7"}
    assert director.run(weights, servers=["rs1"])["changed"] is False


def test_a_check_run_stores_nothing_and_does_not_wait(director, weights):
    result = director.run(weights, check=True, servers=["rs1"], weight=0)
    assert (result["changed"], result["written"], director.pauses) == (True, True, [])
    assert decisions.overrides() == {}


def test_weights_whose_time_is_over_are_forgotten(director, weights):
    ends = {name: governor.Override(3, until) for name, until in (("a", NOW), ("b", NOW + 1), ("c", None))}
    decisions.write_overrides(ends)
    assert list(director.run(weights, servers=["rs1"], weight=0)["weights"]) == ["b", "c", "rs1"]


@pytest.mark.parametrize(
    ("servers", "services"), [(["rs9"], []), (["rs1"], ["shop"])], ids=["another host", "another service"]
)
def test_what_the_governor_does_not_write_is_waited_for_and_told(director, weights, servers, services):
    weights.PATIENCE = 0.2
    result = director.run(weights, servers=servers, weight=0, services=services)
    assert (result["changed"], result["written"]) == (True, False)
    assert director.destinations == {"10.20.1.11:80": "-g -w 100", "10.20.1.12:80": "-g -w 100"}


def test_a_dead_real_server_stays_out_and_is_not_waited_for(director, weights):
    director.weights = {ONE: 0, TWO: 1}
    assert director.run(weights, servers=["rs1"], weight=50)["written"] is True
    assert director.destinations == {"10.20.1.12:80": "-g -w 100"}


def test_a_weight_that_grows_is_not_waited_for(director, weights):
    plan = director.text(kinds.HEALTH_PLAN.path).replace('"slow_start": 0', '"slow_start": 100')
    director.write(kinds.HEALTH_PLAN.path, plan)
    for verdict in (0, 1):
        director.weights = {ONE: verdict, TWO: 1}
        weights.time.sleep(0)
    assert director.destinations["10.20.1.11:80"] == "-g -w 1"
    assert director.run(weights, servers=["rs1"], weight=200)["written"] is True
    assert director.pauses == [0, 0]


def test_where_no_governor_runs_this_is_told(director, weights):
    director.place(kinds.HEALTH_PLAN.path).unlink()
    result = director.run(weights, servers=["rs1"], weight=0)
    assert result["failed"] is True
    assert result["msg"].startswith("no service of this director has a health check, so no governor runs")
    assert decisions.overrides() == {}
