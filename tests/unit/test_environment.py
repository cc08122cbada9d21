"""What is read of Ansible's variables before the model has it."""

import gc
import json
import subprocess

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.violations import Violation
from ansible.module_utils.lvs_controller import action
from ansible.module_utils.lvs_controller import environment as reading


def test_the_host_that_differs_is_named_wherever_it_stands():
    """The environment's value is that of most hosts, not of the first one."""
    shared, own = [{"name": "web"}], [{"name": "other"}]
    for odd in ("a", "b", "c"):
        hosts = {name: {"lvs_services": own if name == odd else shared} for name in ("a", "b", "c")}
        (found,) = reading._of_single_hosts(hosts)
        assert found.message.startswith(f"host {odd} has lvs_services of its own")
        assert found.at is own


def test_a_host_without_the_value_is_named_and_the_place_is_that_of_the_others():
    shared = [{"name": "web"}]
    (found,) = reading._of_single_hosts({"a": {}, "b": {"lvs_services": shared}, "c": {"lvs_services": shared}})
    assert found.message.startswith("host a lacks lvs_services: ")
    assert found.at is shared


def test_the_value_of_group_vars_all_counts_though_most_hosts_have_another_one():
    origin = reading.Origin
    usual = origin(path="/i/group_vars/all/services.yml", line_num=1, col_num=1).tag([{"name": "web"}])
    own = origin(path="/i/group_vars/web.yml", line_num=4, col_num=3).tag([{"name": "other"}])
    hosts = {name: {"lvs_services": own if name in "bcdef" else usual} for name in "abcdef"}
    (found,) = reading._of_single_hosts(hosts)
    assert found.message.startswith("hosts b, c, d and 2 more have lvs_services of their own: ")
    assert found.at is own
    (found,) = reading._of_single_hosts({**hosts, **{name: {} for name in "bcdef"}, "z": {"lvs_services": usual}})
    assert found.message.startswith("hosts b, c, d and 2 more lack lvs_services: ")


def test_equal_values_of_different_files_are_one():
    assert not [*reading._of_single_hosts({"a": {"lvs_services": [1]}, "b": {"lvs_services": [1]}})]


def test_a_fault_of_a_value_that_hosts_share_is_told_once_with_their_names():
    value = reading.Origin(path="/i/group_vars/all/x.yml", line_num=4, col_num=9).tag("0x6c/0xff")
    own = reading.Origin(path="/i/host_vars/e.yml", line_num=1, col_num=9).tag("0x6c/0xff")
    faults = [
        *(Violation("VALUE-RANGE", f"host {name}: lvs_mark: wrong", value, host=name) for name in "abcd"),
        Violation("VALUE-RANGE", "host e: lvs_mark: wrong", own, host="e"),
        Violation("VALUE-RANGE", "host f: lvs_mark: another", value, host="f"),
        Violation("RULE", "host g: nowhere", None),
        Violation("RULE", "host g: nowhere", None),
        Violation("RULE", "service web: wrong", value),
    ]
    assert [(one.message, one.host) for one in reading._of_many(faults)] == [
        ("hosts a, b, c and 1 more: lvs_mark: wrong", ""),
        ("host e: lvs_mark: wrong", "e"),
        ("host f: lvs_mark: another", "f"),
        ("host g: nowhere", ""),
        ("host g: nowhere", ""),
        ("service web: wrong", ""),
    ]


def test_a_value_that_a_playbooks_variable_cannot_have_is_told_of_the_inventory_too():
    hosts = {"a": {"lvs_host_drain_timeout": "5m", "lvs_batches": "1"}, "b": {"lvs_director_batches": 0, "mine": "5m"}}
    assert [(one.rule, one.message, one.host) for one in reading._of_playbooks(hosts)] == [
        ("VALUE-TYPE", "host a: lvs_host_drain_timeout: 5m is not a whole number. Write the seconds: 300", "a"),
        ("VALUE-RANGE", "host b: lvs_director_batches: 0 is not between 1 and 65535", "b"),
    ]


def test_an_address_by_which_ansible_would_reach_another_host_is_told(environment):
    topology = environment({}).topology
    vip = str(topology.services[0].vips[0])
    hosts = {
        "a": {"ansible_host": vip},
        "b": {"ansible_host": "192.0.2.7"},
        "c": {"ansible_host": "192.0.2.7", "ansible_port": 2222},  # behind a gateway
        "d": {"ansible_host": "192.0.2.7"},
        "e": {"ansible_host": "192.0.2.7", "ansible_connection": "local"},
        "f": {"ansible_host": "{{ mine }}"},
        "g": {"ansible_host": "{{ mine }}"},
        "h": {},
    }
    found = [*reading._logins(hosts, topology)]
    assert [(one.rule, one.host) for one in found] == [("LOGIN-ADDRESS", "a"), ("LOGIN-ADDRESS", "d")]
    assert f"ansible_host: {vip} is the VIP of {topology.services[0].name}" in found[0].message
    assert "ansible_host: 192.0.2.7 is that of b, too" in found[1].message


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "services.yml").write_text("lvs_services: []\n")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git


def test_the_revision_is_what_git_calls_the_inventorys_commit(repository):
    folder, git = repository
    commit = git("rev-parse", "--short=12", "HEAD")
    assert reading.revision(str(folder)) == commit
    (folder / "services.yml").write_text("lvs_services: [changed]\n")
    assert reading.revision(str(folder)) == f"{commit}-dirty"


def test_an_inventory_without_git_has_no_revision(tmp_path):
    assert reading.revision(str(tmp_path)) == ""


@pytest.mark.parametrize(("warning", "text"), [(True, "warning: A-RULE: it is so"), (False, "A-RULE: it is so")])
def test_a_violation_without_a_place_is_its_message(warning, text):
    assert reading.described(Violation("A-RULE", "it is so", warning=warning)) == text


def test_a_violation_has_its_place_before_it(monkeypatch):
    monkeypatch.setattr(reading, "where", lambda value: f"{value}:3:10")
    assert reading.described(Violation("A-RULE", "it is so", "services.yml")) == "services.yml:3:10: A-RULE: it is so"


def test_where_the_mode_is_left_open_the_message_has_what_there_is_to_choose_from(environment):
    env = environment()
    raw = {"name": "x", "vip": "203.0.113.90", "port": 80, "mode": "auto", "real_servers": [{"host": "rs3"}]}
    left_open = Violation("MODE-AUTO", "auto is no mode", raw["mode"])
    advised = reading._advised(left_open, [{"mode": "dr"}, raw], env.topology)
    assert advised.message.startswith("auto is no mode. ")
    assert "tun" in advised.message
    other = Violation("A-RULE", "it is so", raw["mode"])
    assert reading._advised(other, [raw], env.topology) is other


def test_violations_are_written_as_json_with_what_is_known_of_their_places(tmp_path):
    file = tmp_path / "violations.json"
    reading.write([Violation("A-RULE", "größer als 1", warning=True)], str(file))
    (found,) = json.loads(file.read_text(encoding="utf-8"))
    assert (found["rule"], found["message"], found["warning"]) == ("A-RULE", "größer als 1", True)
    assert [found[key] for key in ("file", "line", "column")] == [None, None, None]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(AnsibleActionFail, match=r"nowhere/violations\.json cannot be written: No such file"):
        reading.write([], str(tmp_path / "nowhere/violations.json"))


def test_an_action_on_the_environment_runs_without_the_search_for_garbage_even_if_it_fails(monkeypatch):
    searching = []

    def run(self, tmp, task_vars):
        searching.append(gc.isenabled())
        raise AnsibleActionFail("the inventory cannot work")

    monkeypatch.setattr(action.ControllerAction, "run", run)
    with pytest.raises(AnsibleActionFail):
        object.__new__(action.EnvironmentAction).run()
    assert searching == [False]
    assert gc.isenabled()
