"""Which hosts take part in which step of a run, and which directors change at the same time."""

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleLookupError
from ansible.module_utils.lvs import plan, rolling
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs_controller import stages
from ansible.module_utils.lvs_controller.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    found = RunFolder(tmp_path / "lvskit")
    monkeypatch.setattr(RunFolder, "of_this_run", classmethod(lambda cls: found))
    return found


def compiled(environment, changes=None, said=None):
    topology = environment(said).topology
    return topology, stages.stages(topology, plan.plans(topology), topology.groups, changes or Changes())


def test_a_host_that_is_drained_for_this_run_alone_is_not_connected_to(environment):
    name = compiled(environment)[1].prepared[0]
    _, fixed = compiled(environment, Changes(drained=[name]))
    assert name not in (*fixed.prepared, *fixed.drained, *fixed.cleaned)


def test_a_host_that_the_inventory_drains_is_prepared_apart(environment):
    hosts = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())["hosts"]
    name = compiled(environment)[1].prepared[0]
    hosts[name]["lvs_drained"] = True
    _, fixed = compiled(environment, said={"hosts": hosts})
    assert fixed.drained == (name,)
    assert name not in fixed.prepared
    assert name in fixed.cleaned


def test_a_host_that_leaves_is_not_prepared_but_cleaned_and_cleared(environment):
    _, fixed = compiled(environment, Changes(without_hosts=["rs3"], without_services=["a"]), said={"services": []})
    assert "rs3" not in fixed.prepared
    assert "rs3" in fixed.cleaned
    assert "rs3" in fixed.cleared


OWN = {"name": "own", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}, {"host": "lb1"}]}


@pytest.mark.parametrize("drained", [False, True])
def test_a_director_that_is_its_own_real_server_gets_its_plan_as_director_alone(environment, folder, drained):
    """Before that, it would begin to use real servers that are not prepared."""
    base = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
    base["hosts"]["lb1"]["lvs_drained"] = drained
    groups = {**base["groups"], "real_servers": ["lb1", "rs1", "rs2"]}
    said = {"hosts": base["hosts"], "groups": groups, "services": [OWN]}
    for changes in (None, Changes(drained=["lb1"]), Changes(without_services=["own"])):
        _, fixed = compiled(environment, changes, said)
        assert (fixed.prepared, fixed.drained, fixed.directors) == (("rs1", "rs2"), (), (("lb1",),))
    _, fixed = compiled(environment, said=said)
    folder.keep("stages", fixed)
    for name in ("rs1", "rs2", "lb1"):
        folder.keep(f"applied/{name}", stages.Applied(stale=False))
    assert stages.hosts("clean", {"all": ["lb1"]}, limited=False) == stages.NOBODY


def test_a_director_that_another_one_sends_to_is_prepared(environment):
    base = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
    lb2 = {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.9"}}}
    groups = {"directors": ["lb1", "lb2"], "other": ["lb2"], "lb1_alone": ["lb1"], "real_servers": ["lb1", "rs1"]}
    services = [{**OWN, "directors": "lb1_alone"}, {**OWN, "name": "other", "vip": "10.20.1.81", "directors": "other"}]
    said = {"hosts": {**base["hosts"], "lb2": lb2}, "groups": {**base["groups"], **groups}, "services": services}
    assert compiled(environment, said=said)[1].prepared == ("lb1", "rs1")


def test_a_director_goes_back_once(folder):
    groups = {"real_servers": ["lb1", "rs1"], "directors": ["lb1"]}
    assert stages.hosts("rollback_real_servers", groups, limited=False) == ["real_servers", "!directors"]
    assert stages.hosts("rollback_real_servers", {"directors": ["lb1"]}, limited=False) == stages.NOBODY
    assert stages.hosts("rollback_directors", groups, limited=False) == ["directors"]


def test_before_anything_is_compiled_a_stage_is_the_groups_it_can_concern(folder):
    groups = {"real_servers": ["rs1"], "directors": ["lb1"]}
    assert stages.hosts("prepare", groups, limited=False) == ["real_servers"]
    assert stages.hosts("rollback", groups, limited=False) == ["directors", "real_servers"]
    assert stages.hosts("clean", {}, limited=False) == stages.NOBODY


def test_a_stage_that_does_not_exist_is_refused(folder):
    with pytest.raises(AnsibleLookupError, match="there is no stage prepair: did you mean prepare"):
        stages.hosts("prepair", {"all": ["lb1"]}, limited=False)


def test_an_inventory_without_hosts_is_refused_before_and_after_it_is_compiled(folder):
    for _ in range(2):
        with pytest.raises(
            AnsibleLookupError, match=r"the inventory has no hosts.*Name an inventory: -i inventory/NAME"
        ):
            stages.hosts("environment", {"all": [], "directors": []}, limited=False)
        assert stages.hosts("environment", {"all": ["lb1"]}, limited=True) == ["all"]
        folder.keep("stages", stages.Stages())


def test_nothing_is_removed_before_every_director_has_changed(folder):
    folder.keep(
        "stages", stages.Stages(prepared=("rs1", "rs2"), cleaned=("rs1", "rs2"), directors=(("lb1",), ("lb2",)))
    )
    folder.keep("applied/rs1", stages.Applied(stale=True))
    folder.keep("applied/rs2", stages.Applied(stale=False))
    folder.keep("applied/lb1", stages.Applied(stale=False))
    assert stages.hosts("clean", {}, limited=False) == stages.NOBODY
    folder.keep("applied/lb2", stages.Applied(stale=False))
    assert stages.hosts("clean", {}, limited=False) == ["rs1"]


def test_a_limited_run_changes_directors_one_by_one(folder):
    folder.keep("stages", stages.Stages(directors=(("lb1", "lb3"), ("lb2",))))
    assert stages.hosts("directors", {}, limited=False) == ["lb1", "lb3", "lb2"]
    assert stages.hosts("director_batches", {}, limited=False) == [2, 1]
    assert stages.hosts("director_batches", {}, limited=True) == [1]


def test_a_run_that_removes_something_has_all_directors():
    variables = {"groups": {"directors": ["lb1", "lb2"]}, "ansible_play_hosts_all": ["lb1", "rs1"]}
    with pytest.raises(AnsibleActionFail, match="--limit excludes lb2"):
        stages.refuse_without_directors(variables)
    stages.refuse_without_directors({**variables, "ansible_play_hosts_all": ["lb1", "lb2"]})


class Group:
    """A stand-in for a topology: rolling looks at the directors of services, and at the group."""

    def __init__(self, directors, *services):
        self.groups = {"directors": directors}
        self.director_groups = {}
        self.services = [
            type("Service", (), {"directors": [type("Host", (), {"name": n})() for n in names]})() for names in services
        ]


def test_directors_that_share_a_service_are_never_in_one_batch():
    assert rolling.batches(Group(["lb1", "lb2", "lb3", "lb4"], ["lb1", "lb2"], ["lb3", "lb4"])) == [
        ("lb1", "lb3"),
        ("lb2", "lb4"),
    ]
    assert rolling.batches(Group(["lb1", "lb2", "lb3"], ["lb1", "lb2"], ["lb2", "lb3"])) == [("lb1", "lb3"), ("lb2",)]
    assert rolling.batches(Group(["lb1", "lb2"])) == [("lb1", "lb2")]


def test_what_is_stored_in_a_runs_folder_is_read_by_its_name(tmp_path):
    folder = RunFolder(tmp_path / "new")
    assert folder.read("run", "nothing") == "nothing"
    folder.keep("answers/a host/of mine", {"ok": True})
    folder.keep("answers/lb1", 1)
    folder.keep("answers/lb1", 2)
    assert folder.read("answers/lb1") == 2
    assert folder.names("answers") == ["lb1"]
    with pytest.raises(AnsibleActionFail, match="has not compiled the environment"):
        folder.topology()
    with pytest.raises(AnsibleActionFail, match="has compiled no plan for lb1"):
        folder.plan("lb1")
