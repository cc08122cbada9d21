"""The plugins that run on the controller: what each takes from the run's folder, tells the host's module, and keeps for the next step."""

import importlib.util
import json
import types
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.lvs import plan
from ansible.module_utils.lvs_controller import action, stages
from ansible.module_utils.lvs_controller.run_folder import RunFolder
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

PROJECT = Path(__file__).parents[2]


class Display:
    def __init__(self):
        self.lines, self.warnings = [], []

    def display(self, text):
        self.lines += text.strip("\n").split("\n")

    def warning(self, text):
        self.warnings.append(text)


class Run:
    """One run of a playbook: its folder, what modules answer by their names, and how they were called."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.answers, self.calls = folder, {}, []
        self.display, self.resets = Display(), 0
        self.check = self.diff = self.ignore_unreachable = False
        self.vars = {"inventory_hostname": "lb1", "ansible_play_hosts_all": ["lb1", "rs1", "rs2", "rs3", "client1"]}
        monkeypatch.setattr(RunFolder, "of_this_run", classmethod(lambda cls: folder))
        monkeypatch.setattr(action, "load_extra_vars", lambda loader: {})

    def act(self, name, host="lb1", **arguments):
        spec = importlib.util.spec_from_file_location(name, PROJECT / f"action_plugins/{name}.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        task = types.SimpleNamespace(
            args=arguments, action=name, async_val=0, check_mode=self.check, diff=self.diff, environment=[],
            ignore_unreachable=self.ignore_unreachable,
        )  # fmt: skip
        connection = types.SimpleNamespace(
            reset=self.reset, _shell=types.SimpleNamespace(tmpdir=None), become=None, has_pipelining=False
        )
        context = types.SimpleNamespace(check_mode=self.check, diff=self.diff)
        loader = DataLoader()
        self.plugin = found.ActionModule(
            task=task, connection=connection, play_context=context, loader=loader, templar=Templar(loader=loader),
            shared_loader_obj=None,
        )  # fmt: skip
        self.plugin._display = self.display
        self.plugin._execute_module = self.execute
        return self.plugin.run(task_vars={**self.vars, "inventory_hostname": host})

    def execute(self, module_name, module_args, task_vars):
        self.calls.append((module_name, task_vars["inventory_hostname"], module_args, self.plugin._task.check_mode))
        answer = self.answers[module_name]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer(module_args) if callable(answer) else answer)

    def reset(self):
        self.resets += 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(RunFolder(tmp_path / "run"), monkeypatch)


@pytest.fixture
def compiled(run, environment):
    """The run has compiled the small environment."""

    def make(changes=None):
        run.topology = environment(changes).topology
        run.folder.keep_topology(run.topology)
        run.folder.keep_plans(plan.plans(run.topology))
        run.folder.keep("run", {"run": "2026-03-01T03:00:00Z", "revision": "abc"})
        return run

    return make


# Every action


def test_an_argument_that_an_action_does_not_know_is_refused(run):
    with pytest.raises(AnsibleError, match=r"questoins\. Supported parameters include: questions"):
        run.act("lvs_ask", questions="before", questoins="before")


def test_a_variable_of_the_command_line_that_is_misspelt_ends_each_action(run, monkeypatch):
    monkeypatch.setattr(action, "load_extra_vars", lambda loader: {"lvs_drian": "rs1", "lvs_drain": "rs2"})
    with pytest.raises(AnsibleActionFail) as refusal:
        run.act("lvs_kept")
    assert "did you mean lvs_drain?" in str(refusal.value)
    assert str(refusal.value).endswith("\nNo host was touched.")
    assert run.calls == []


def test_an_action_of_a_run_that_has_compiled_nothing_names_what_has_to_come_before(run):
    with pytest.raises(AnsibleActionFail, match="Run the task lvs_compile before this one"):
        run.act("lvs_questions")
    with pytest.raises(AnsibleActionFail, match=r"compiled no plan for rs9.*with rs9 in the inventory"):
        run.act("lvs_apply", host="rs9")


def test_actions_run_in_check_mode_too_and_those_of_the_environment_connect_to_no_host(run):
    for path in (PROJECT / "action_plugins").glob("*.py"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        assert found.ActionModule._supports_check_mode is True
        alone = issubclass(found.ActionModule, action.EnvironmentAction)
        assert found.ActionModule._requires_connection is not alone


def test_a_host_that_cannot_be_reached_fails_the_task_with_its_name(run):
    run.answers["lvs_history"] = AnsibleConnectionFailure("No route to host")
    with pytest.raises(AnsibleActionFail) as failure:
        run.act("lvs_kept", host="rs1")
    assert str(failure.value) == "rs1 cannot be reached, so the run ends here. It was not changed. No route to host"


def test_a_task_that_ignores_unreachable_hosts_leaves_them_to_ansible(run):
    run.ignore_unreachable = True
    run.answers["lvs_history"] = AnsibleConnectionFailure("No route to host")
    with pytest.raises(AnsibleConnectionFailure):
        run.act("lvs_kept", host="rs1")


def test_in_the_collection_modules_have_the_collections_name(run):
    run.answers["lvs_history"] = {"runs": {}}
    run.act("lvs_kept")
    kind = type(run.plugin)
    assert run.plugin.own("lvs_state") == "lvs_state"
    kind.__module__ = "ansible_collections.lvskit.lvs.plugins.action.lvs_kept"
    assert run.plugin.own("lvs_state") == "lvskit.lvs.lvs_state"


# lvs_apply

DONE = {"changed": True, "commands": ["ip link set dev tunl0 up"], "stale": [], "drift": [], "foreign": [], "diff": []}
TEMPLATES = str(PROJECT / "roles/lvs_host/templates")


def applied(run, host="lb1", answer=None, **arguments):
    run.answers |= {"lvs_state": {**DONE, **(answer or {})}, "ansible.builtin.ping": {"ping": "pong"}}
    return run.act("lvs_apply", host=host, templates=TEMPLATES, **arguments)


def test_a_host_gets_its_own_plan_with_the_runs_time_and_the_options_of_the_role(compiled):
    run = compiled()
    applied(run, "rs3", remove=False, purge_foreign=True, drain_timeout=7, systemd_sysctl="/usr/bin/sysctl-at-boot")
    (name, host, given, check), *_ = run.calls
    assert (name, host, check) == ("lvs_state", "rs3", False)
    assert (given["remove"], given["purge_foreign"], given["drain_timeout"]) == (False, True, 7)
    assert (given["run"], given["revision"]) == ("2026-03-01T03:00:00Z", "abc")
    assert "203.0.113.82/32 dev tunl0" in given["network"]
    assert "/usr/bin/sysctl-at-boot" in given["network_unit"]
    assert given["interfaces"] == {"eth1": ["10.20.2.13/24"]}


def test_what_a_host_has_left_to_remove_is_kept_for_the_end_of_the_run(compiled):
    run = compiled()
    applied(run, "rs1", {"stale": ["ip address del 10.20.1.99/32 dev lo"]})
    applied(run, "rs2", {"changed": False})
    assert run.folder.read("applied/rs1") == stages.Applied(stale=True, changed=True)
    assert run.folder.read("applied/rs2") == stages.Applied(stale=False, changed=False)


def test_a_host_that_fails_does_not_count_as_changed(compiled):
    run = compiled()
    result = applied(run, "rs1", {"failed": True, "msg": "no room"})
    assert (result["failed"], result["msg"]) == (True, "no room")
    assert run.folder.names("applied") == []
    assert len(run.calls) == 1


def test_a_long_list_of_commands_is_shortened_in_the_result(compiled):
    run = compiled()
    many = [f"command {number}" for number in range(60)]
    result = applied(run, "rs1", {"commands": many, "stale": many[:50], "drift": many[:51], "foreign": []})
    assert result["commands"][:50] == many[:50]
    assert len(result["commands"]) == 51
    assert "10" in result["commands"][50]
    assert result["stale"] == many[:50]
    assert len(result["drift"]) == 51


def test_tables_are_in_the_result_only_where_they_are_to_be_shown(compiled):
    run = compiled()
    change = [{"before": "", "after": "x"}]
    assert "diff" not in applied(run, "rs1", {"diff": change})
    run.diff = True
    assert applied(run, "rs1", {"diff": change})["diff"] == change


def test_what_others_have_changed_is_a_warning_and_so_are_their_services(compiled):
    run = compiled()
    applied(run, "rs1", {"drift": ["ip a", "ip b"], "foreign": ["-t 192.0.2.1:80", "-f 7"]})
    drift, foreign = run.display.warnings
    assert drift.startswith("rs1 has changed since lvskit's last run.")
    assert drift.endswith(": ip a; ip b")
    assert "did not create: -t 192.0.2.1:80, -f 7. They stay." in foreign
    run.display.warnings.clear()
    applied(run, "rs2")
    assert run.display.warnings == []


def test_a_host_whose_default_route_is_set_is_reached_anew(compiled):
    """rs1 sends the replies of nat through the director: the plan has a route for them."""
    run = compiled()
    assert run.folder.plan("rs1").routes
    applied(run, "rs1")
    assert [call[0] for call in run.calls] == ["lvs_state", "ansible.builtin.ping"]
    assert run.resets == 1


def test_a_host_without_routes_of_lvskits_or_in_check_mode_is_not_reached_anew(compiled):
    run = compiled()
    assert not run.folder.plan("rs3").routes
    applied(run, "rs3")
    run.check = True
    applied(run, "rs1")
    assert (run.resets, [call[0] for call in run.calls]) == (0, ["lvs_state", "lvs_state"])


def test_a_host_that_is_not_reached_after_its_change_fails(compiled):
    run = compiled()
    run.answers |= {"ansible.builtin.ping": {"failed": True, "msg": "timed out"}, "lvs_state": DONE}
    with pytest.raises(AnsibleActionFail, match="rs1 no longer answers with its new default route: timed out"):
        run.act("lvs_apply", host="rs1", templates=TEMPLATES)


def test_a_rollback_asks_for_the_hosts_own_earlier_plan(compiled):
    run = compiled()
    run.folder.keep("rollback", {"run": "2026-03-02T03:00:00Z", "revision": "x again", "to": "2026-03-01T03:00:00Z"})
    applied(run, "rs1", rollback=True)
    ((_, _, given, _),) = run.calls
    assert given == {
        "remove": True, "purge_foreign": False, "drain_timeout": 60, "last_server": True,
        "run": "2026-03-02T03:00:00Z", "revision": "x again", "to": "2026-03-01T03:00:00Z",
    }  # fmt: skip


TABLE = "-A -t 10.20.1.80:80 -s rr\n-a -t 10.20.1.80:80 -r 10.20.1.11:80 -g -w 1\n"


def director(run, **arguments):
    entry = {"before": "", "after": TABLE, "before_header": "IPVS table", "after_header": "IPVS table"}
    return applied(run, "lb1", {"diff": [entry]}, **arguments)


def test_a_director_is_asked_in_check_mode_first_and_refused_if_a_real_server_is_not_prepared(compiled):
    run = compiled()
    with pytest.raises(AnsibleActionFail, match="lb1 would begin to send requests to rs1"):
        director(run)
    ((name, _, _, check),) = run.calls
    assert (name, check) == ("lvs_state", True)
    assert run.plugin._task.check_mode is False


def test_a_director_whose_real_servers_are_prepared_or_that_has_consent_is_changed(compiled):
    run = compiled()
    director(run, unprepared=True)
    assert run.calls[0][3] is False
    run.calls.clear()
    for name in ("rs1", "rs2", "rs3"):
        run.folder.keep(f"applied/{name}", stages.Applied(stale=False))
    director(run)
    assert [(call[0], call[3]) for call in run.calls if call[0] == "lvs_state"] == [("lvs_state", False)]


def test_the_mode_of_the_task_is_as_before_when_asking_fails(compiled):
    run = compiled()
    run.answers["lvs_state"] = AnsibleConnectionFailure("gone")
    with pytest.raises(AnsibleActionFail):
        run.act("lvs_apply", templates=TEMPLATES)
    assert run.plugin._task.check_mode is False


# Kernel modules


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Sources of a module, and the controller's cache."""
    monkeypatch.setenv("LVSKIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "toa"
    folder.mkdir()
    (folder / "Makefile").write_text("all:\n")
    return str(folder)


def test_modules_are_built_once_for_a_kernel_and_a_version(run, sources):
    run.answers["lvs_build"] = {"changed": True, "binaries": {"toa": "ZWxm"}}
    given = {"source": sources, "modules": ["toa"], "kernel": "6.1", "make_arguments": ["KIND=200"]}
    first = run.act("lvs_build", **given)
    assert (first["changed"], first["binaries"]) == (True, {"toa": "ZWxm"})
    ((_, _, sent, _),) = run.calls
    assert "source" not in sent
    assert sent["version"]
    assert sent["archive"]
    again = run.act("lvs_build", **given)
    assert (again["changed"], again["binaries"]) == (False, {"toa": "ZWxm"})
    assert len(run.calls) == 1
    for other in ({"kernel": "6.12"}, {"make_arguments": ["KIND=201"]}, {"signing_certificate": "/x.pem"}):
        run.act("lvs_build", **{**given, **other})
    assert len(run.calls) == 4


def test_a_build_that_fails_or_only_checks_is_not_kept(run, sources):
    given = {"source": sources, "modules": ["toa"], "kernel": "6.1"}
    for answer in ({"failed": True, "msg": "make failed"}, {"changed": True}):
        run.answers["lvs_build"] = answer
        assert run.act("lvs_build", **given).items() >= answer.items()
    assert len(run.calls) == 2


def test_a_host_gets_the_sources_only_where_it_builds_them(run, sources):
    run.answers["lvs_built_modules"] = {"changed": False}
    for method in ("builder", "dkms"):
        run.act("lvs_built_modules", source=sources, modules=["toa"], method=method)
    by_builder, by_dkms = (call[2] for call in run.calls)
    assert "archive" not in by_builder
    assert by_dkms["archive"]
    assert by_builder["version"] == by_dkms["version"]
    assert by_builder["modules"] == ["toa"]
    assert "source" not in by_dkms


def test_the_modules_of_one_source_are_built_together(compiled):
    run = compiled()
    (source,) = run.act("lvs_built", host="lb1")["sources"]
    planned = run.folder.plan("lb1").built_modules
    assert source["modules"] == [module.name for module in planned]
    assert source["source"] == planned[0].source
    words = [word for module in planned for word in module.make_arguments]
    assert source["make_arguments"] == list(dict.fromkeys(words))
    assert run.act("lvs_built", host="client1")["sources"] == []


# Verification and trace


@pytest.fixture
def walked(compiled):
    """A run that has predicted the packets of one service."""
    run = compiled()
    run.result = run.act("lvs_walk", only=["tun"], count=2, path="/x")
    return run


def test_the_packets_of_all_services_are_predicted_and_each_host_gets_its_part(compiled):
    run = compiled()
    result = run.act("lvs_walk")
    assert (result["client"], result["batches"]) == ("client1", [0])
    batch = run.folder.read("batches/0")
    assert result["requests"] == sum(request["count"] for request in batch.requests)
    assert len(batch.requests) == len(run.topology.services)
    assert run.folder.read("ask-0/client1") == batch.questions
    assert run.folder.names("capture-0") == ["client1", "lb1", "rs1", "rs2", "rs3"]
    assert sorted(run.folder.read("watchers")) == ["client1", "lb1", "rs1", "rs2", "rs3"]


def test_a_walk_of_one_service_has_its_path_and_number_of_requests(walked):
    assert walked.result["requests"] == 2
    (request,) = walked.folder.read("batches/0").requests
    assert (request["service"], request["path"], request["count"]) == ("tun", "/x", 2)
    assert walked.folder.read("watchers") == ["client1", "lb1", "rs3"]


def test_an_environment_without_services_has_no_batch(compiled):
    run = compiled({"services": []})
    assert run.act("lvs_walk").items() >= {"client": None, "batches": [], "requests": 0}.items()


def test_a_host_captures_what_its_part_of_the_batch_says(walked):
    run = walked
    run.answers["lvs_capture"] = {"changed": False}
    result = run.act("lvs_watch", host="rs3", state="started", skip_missing=True)
    ((name, host, given, _),) = run.calls
    assert (name, host) == ("lvs_capture", "rs3")
    assert given == {**run.folder.read("capture-0/rs3").as_arguments(), "state": "started", "skip_missing": True}
    assert result["changed"] is False
    assert run.folder.names("captured-0") == []
    unconcerned = run.act("lvs_watch", host="rs1", state="started")
    assert (unconcerned["skipped"], unconcerned["skip_reason"]) == (True, "rs1 meets no packet of these services")
    assert len(run.calls) == 1


def test_a_capture_is_kept_for_the_comparison_and_is_not_in_the_result(walked):
    run = walked
    found = {"captures": {"eth1": "H4sI"}, "macs": {}, "ended": [], "lost": {}, "neighbours": {}}
    run.answers["lvs_capture"] = found
    result = run.act("lvs_watch", host="rs3", state="stopped")
    assert result == {"changed": False, "interfaces": ["eth1"]}
    assert run.folder.read("captured-0/rs3") == found


def test_a_capture_that_failed_is_not_kept(walked):
    walked.answers["lvs_capture"] = {"failed": True, "msg": "no tcpdump"}
    for state in ("started", "stopped"):
        assert walked.act("lvs_watch", host="rs3", state=state)["msg"] == "no tcpdump"
    assert walked.folder.names("captured-0") == []


def test_captures_of_another_batch_are_its_own(walked):
    assert walked.act("lvs_watch", host="rs3", state="started", batch=1)["skipped"] is True


CONNECTIONS = {
    "connections": [
        {"service": "tun", "error": ""}, {"service": "tun", "error": "timed out"}, {"service": "dr", "error": "refused"}
    ],
    "unasked": [],
}  # fmt: skip


def test_a_client_sends_the_requests_of_a_step_and_its_answers_are_kept(run):
    asked = {"requests": [{"service": "tun"}, {"service": "dr"}], "parallel": 2}
    run.folder.keep("ask-before/client1", asked)
    run.answers["lvs_probe"] = CONNECTIONS
    result = run.act("lvs_ask", host="client1", questions="before")
    assert run.calls == [("lvs_probe", "client1", asked, False)]
    assert {key: result[key] for key in ("changed", "asked", "answered")} == {
        "changed": False,
        "asked": 2,
        "answered": 1,
    }
    assert run.folder.read("answered-before/client1") == CONNECTIONS


def test_a_client_with_nothing_to_ask_is_skipped(run):
    run.folder.keep("ask-before/client1", {"requests": []})
    for host in ("client1", "client2"):
        result = run.act("lvs_ask", host=host, questions="before")
        assert (result["skipped"], result["skip_reason"]) == (True, f"there is nothing that {host} has to ask")
    assert run.calls == []


@pytest.mark.parametrize("how", ["failed", "unreachable"])
def test_a_client_that_could_not_ask_has_no_answers(run, how):
    run.folder.keep("ask-before/client1", {"requests": [{"service": "tun"}]})
    run.answers["lvs_probe"] = {how: True, "msg": "no python"}
    assert run.act("lvs_ask", host="client1", questions="before")["msg"] == "no python"
    assert run.folder.names("answered-before") == []


def test_a_verification_that_differs_fails_and_prints_its_table(walked):
    with pytest.raises(AnsibleActionFail, match="tun did not behave as predicted"):
        walked.act("lvs_compare")
    assert walked.display.lines[0].startswith("service ")


def test_a_verification_of_nothing_is_a_success_with_a_report(compiled):
    run = compiled({"services": []})
    run.act("lvs_walk")
    result = run.act("lvs_compare", peers=True)
    assert result["report"][0].startswith("service ")
    assert run.display.lines[0] == result["report"][0]


def probe(**more):
    return {"service": "tun", "port": 40000, "bytes": 0, "seconds": 5.0, "peer": "", "error": "timed out", **more}


def seen(run, host):
    names = {interface.name: "52:54:00:00:00:01" for interface in run.topology.hosts[host].interfaces}
    return {"captures": {}, "macs": names, "ended": [], "lost": {}, "neighbours": {}}


def test_a_trace_needs_its_client(walked):
    for kept in ({}, {"captured-0/client1": {}}, {"answered-0/client1": {"connections": [probe()]}}):
        for name, thing in kept.items():
            walked.folder.keep(name, thing)
        if len(walked.folder.names("captured-0")) and len(walked.folder.names("answered-0")):
            break
        with pytest.raises(AnsibleActionFail, match="client1, which was to send the request, could not be used"):
            walked.act("lvs_trace")


def test_a_trace_tells_where_the_request_stopped_and_what_its_captures_lack(walked):
    run = walked
    for host in ("client1", "lb1", "rs3"):
        run.folder.keep(f"captured-0/{host}", seen(run, host))
    run.folder.keep("captured-0/lb1", {**seen(run, "lb1"), "lost": {"eth1.20": 7}})
    run.folder.keep("answered-0/client1", {"connections": [probe()], "unasked": []})
    result = run.act("lvs_trace")
    assert result["trace"]["service"] == "tun"
    assert result["picture"].startswith("<svg")
    assert result["summary"]
    assert any("no room for 7 packets" in line for line in run.display.lines)
    assert any("timed out" in line for line in run.display.lines)


# Inspection


def test_each_host_is_asked_what_its_plan_needs(compiled):
    run = compiled()
    assert run.act("lvs_questions")["hosts"] == 5
    assert run.folder.names("questions") == ["client1", "lb1", "rs1", "rs2", "rs3"]
    run.answers["lvs_inspect"] = {"changed": False, "settings": {}}
    result = run.act("lvs_look", host="rs3")
    ((name, host, given, _),) = run.calls
    assert (name, host) == ("lvs_inspect", "rs3")
    assert given == run.folder.read("questions/rs3").as_arguments()
    assert result == {}
    assert run.folder.read("answers/rs3") == {"changed": False, "settings": {}}


def test_before_and_after_a_trace_only_counters_are_asked(compiled):
    run = compiled()
    run.act("lvs_questions")
    run.answers["lvs_inspect"] = {"failed": True, "msg": "no ip", "counters": {}}
    result = run.act("lvs_look", host="rs3", only_counters=True, keep_as="counters_before")
    assert run.calls[0][2] == {"departures": False}
    assert (result["failed"], result["msg"]) == (True, "no ip")
    assert run.folder.read("counters_before/rs3")["msg"] == "no ip"
    assert run.folder.names("answers") == []


def test_a_host_without_questions_is_skipped(run):
    result = run.act("lvs_look", host="rs9")
    assert (result["skipped"], result["skip_reason"]) == (True, "there is nothing to ask rs9")


def test_that_a_host_could_not_be_reached_is_kept_as_its_answer(compiled):
    run = compiled()
    run.ignore_unreachable = True
    run.act("lvs_questions")
    run.answers["lvs_inspect"] = AnsibleConnectionFailure("No route to host")
    with pytest.raises(AnsibleConnectionFailure):
        run.act("lvs_look", host="rs3")
    assert run.folder.read("answers/rs3") == {"unreachable": True, "msg": "No route to host"}


def test_questions_about_one_service_concern_its_hosts(compiled):
    run = compiled()
    run.act("lvs_questions", only=["tun"])
    assert not run.folder.read("questions/rs1").ways
    assert run.folder.read("questions/rs3").ways
    with pytest.raises(AnsibleActionFail, match="there is no service tnu"):
        run.act("lvs_questions", only=["tnu"])


def test_preflight_counts_hosts_faults_and_risks_and_leaves_out_hosts_of_other_runs(compiled):
    run = compiled()
    run.act("lvs_questions")
    run.folder.keep("answers/rs3", {"unreachable": True, "msg": "No route to host"})
    result = run.act("lvs_preflight", hosts=["rs3"])
    assert run.display.lines[-1] == "1 host: 1 fault, 0 risks. Nothing was changed."
    assert len(result["findings"]) == len(result["faults"]) == 1
    assert result["findings"][0]["host"] == "rs3"
    run.act("lvs_preflight", hosts=["rs3", "rs2"])
    assert run.display.lines[-1].startswith("2 hosts: 2 faults, ")


# Safety net


def test_the_runs_clients_are_chosen_and_their_lack_is_said(compiled):
    run = compiled()
    assert run.act("lvs_net", step="askers")["askers"] == ["client1"]
    assert run.display.lines == []
    run.vars["ansible_play_hosts_all"] = ["lb1"]
    assert run.act("lvs_net", step="askers")["askers"] == []
    assert run.folder.read("askers") == []
    assert run.display.lines != []


def test_an_environment_without_services_needs_no_client(compiled):
    run = compiled({"services": []})
    run.vars["ansible_play_hosts_all"] = ["lb1"]
    run.act("lvs_net", step="askers")
    assert run.display.lines == []


def test_before_a_run_each_asker_asks_for_what_directors_have_recorded(compiled):
    run = compiled()
    run.folder.keep("askers", ["client1", "rs1"])
    out = {"rs1": "2026-03-01T03:00:00Z"}
    run.answers["lvs_recorded"] = {
        "changed": False,
        "services": ["tcp 203.0.113.82:80"],
        "drained": out,
        "elections": {},
        "passing": [],
    }
    assert run.act("lvs_recorded", host="lb1") == {"changed": False, "services": 1, "drained": out}
    assert run.folder.read("drained/lb1") == out
    assert run.folder.read("recorded/lb1") == frozenset(["tcp 203.0.113.82:80"])
    run.act("lvs_net", step="before", path="/x")
    for name in ("client1", "rs1"):
        (request,) = run.folder.read(f"ask-before/{name}")["requests"]
        assert (request["service"], request["path"]) == ("tun", "/x")


def test_a_record_that_cannot_be_read_is_not_kept(run):
    run.answers["lvs_recorded"] = {"changed": False, "services": None}
    assert run.act("lvs_recorded", host="lb1")["services"] is None
    assert run.folder.names("recorded") == []


def answers(error):
    return {"connections": [{"service": "tun", "error": error}], "unasked": []}


def test_after_a_run_those_that_answered_before_are_asked_again(compiled):
    run = compiled()
    run.folder.keep("answered-before/client1", answers(""))
    run.act("lvs_net", step="after", path="/y")
    (request,) = run.folder.read("ask-after/client1")["requests"]
    assert (request["service"], request["path"]) == ("tun", "/y")


@pytest.fixture
def lost(compiled):
    """A run whose one client does not get an answer any more from a service that takes turns."""
    run = compiled({"services": [{**SERVICE, "scheduler": "rr"}]})
    run.folder.keep("answered-before/client1", answers(""))
    run.folder.keep("answered-after/client1", answers("timed out"))
    return run


SERVICE = {"name": "tun", "vip": "203.0.113.82", "port": 80, "mode": "tun", "real_servers": [{"group": "farm"}]}


def test_a_run_without_an_earlier_answer_has_lost_nothing(compiled):
    result = compiled().act("lvs_lost")
    assert (result["skipped"], result["skip_reason"]) == (True, "nobody was asked before the run")


def test_a_service_that_is_lost_rolls_the_run_back(lost):
    assert lost.act("lvs_lost")["lost"] == ["tun"]
    assert lost.folder.read("lost") == {"tun": "timed out"}
    assert lost.act("lvs_lost", rollback=False)["lost"] == ["tun"]
    assert lost.folder.read("lost") == {}


def test_the_report_fails_and_says_whether_hosts_went_back(lost):
    with pytest.raises(AnsibleActionFail) as kept:
        lost.act("lvs_lost", report=True)
    lost.folder.keep("rollback", {"to": "x"})
    with pytest.raises(AnsibleActionFail) as rolled_back:
        lost.act("lvs_lost", report=True)
    assert "tun" in str(kept.value)
    assert str(kept.value) != str(rolled_back.value)


def test_a_service_that_one_client_cannot_judge_is_a_doubt_and_directors_ask_behind_it(compiled):
    run = compiled({"services": [{**SERVICE, "scheduler": "sh", "real_servers": [{"group": "app"}]}]})
    run.folder.keep("answered-before/client1", answers(""))
    run.folder.keep("answered-after/client1", answers("timed out"))
    result = run.act("lvs_lost")
    assert result["lost"] == []
    assert len(result["doubts"]) == 1
    assert run.display.warnings == []
    requests = run.folder.read("ask-real_servers/lb1")["requests"]
    assert [request["address"] for request in requests] == ["10.20.1.11", "10.20.1.12"]
    run.act("lvs_lost", report=True)
    assert run.display.warnings == result["doubts"]


# Rollback


def kept(*runs):
    return {"runs": dict.fromkeys(runs, "abc"), "since": runs[0], "unreadable": {}}


FIRST, SECOND = "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"


def choosing(run):
    run.vars["groups"] = {"directors": ["lb1"], "real_servers": ["rs1"]}
    for host, runs in {"lb1": (FIRST, SECOND), "rs1": (FIRST, SECOND)}.items():
        run.answers["lvs_history"] = kept(*runs)
        assert run.act("lvs_kept", host=host)["runs"] == {FIRST: "abc", SECOND: "abc"}
    return run


def test_the_run_to_go_back_to_is_chosen_for_all_hosts_and_said(run):
    result = choosing(run).act("lvs_choose")
    assert (result["to"], result["environment"]) == (FIRST, True)
    assert run.folder.read("rollback")["to"] == FIRST
    assert FIRST in run.display.lines[0]
    assert run.act("lvs_choose", to=FIRST)["to"] == FIRST


def test_a_run_that_has_lost_a_service_undoes_itself_alone(run):
    choosing(run)
    run.folder.keep("run", {"run": SECOND, "revision": "abc"})
    run.folder.keep("lost", {"tun": "timed out"})
    assert run.act("lvs_choose")["to"] == FIRST
    run.folder.keep("run", {"run": FIRST, "revision": "abc"})
    with pytest.raises(AnsibleActionFail, match="is not the last one"):
        run.act("lvs_choose")
    run.folder.keep("lost", {})
    assert run.act("lvs_choose")["to"] == FIRST


def test_a_history_that_cannot_be_read_is_not_kept(run):
    run.answers["lvs_history"] = {"failed": True, "msg": "damaged"}
    assert run.act("lvs_kept", host="rs1")["msg"] == "damaged"
    assert run.folder.names("kept") == []


# Environment


@pytest.fixture
def described(run, tmp_path):
    """A run that has the small environment as Ansible's variables."""
    raw = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
    shared = {"lvs_networks": raw["networks"], "lvs_services": raw["services"]}
    run.vars |= {
        "hostvars": {name: {**shared, **own} for name, own in raw["hosts"].items()},
        "groups": {"all": list(raw["hosts"]), **raw["groups"]},
        "inventory_dir": str(tmp_path / "inventories/small"),
    }
    run.services = raw["services"]
    return run


def test_a_valid_environment_is_summed_up(described):
    result = described.act("lvs_validate")
    assert result["environment"] is True
    assert len(result["services"]) == 6
    assert described.display.lines[-1] == "5 hosts, 6 services: the inventory is valid."
    assert [line.partition(":")[2].split(":")[0] for line in described.display.warnings] == [
        " CHECK-NONE",
        " REPLY-SOURCE",
        " REPLY-SOURCE",
    ]


def test_violations_are_written_before_they_are_refused(described, tmp_path):
    described.services[0]["scheduler"] = "rrr"
    with pytest.raises(AnsibleActionFail, match="the inventory cannot work: 1 fault"):
        described.act("lvs_validate", to=str(tmp_path / "found.json"))
    (violation,) = [v for v in json.loads((tmp_path / "found.json").read_text()) if not v["warning"]]
    assert "rrr" in violation["message"]


def test_warnings_are_shown_and_do_not_stop(described):
    described.services.clear()
    described.act("lvs_validate")
    (warning,) = described.display.warnings
    assert "site.yml removes every service" in warning


def test_what_is_compiled_is_in_the_folder_with_the_changes_of_this_run(described):
    result = described.act("lvs_compile", drained=["rs1"], without_services=["nat"])
    assert result["services"] == 5
    assert described.folder.read("run") == {"run": result["run"], "revision": result["revision"]}
    assert "nat" not in [service.name for service in described.folder.topology().services]
    assert "rs1" not in described.folder.read("stages").prepared
    described.services.clear()
    before = len(described.display.warnings)
    described.act("lvs_compile")
    assert len(described.display.warnings) == before + 1


def test_real_servers_that_directors_have_recorded_stay_drained(described):
    described.act("lvs_compile")
    assert described.act("lvs_compile", recorded=True) == {"changed": False}
    warned = len(described.display.warnings)
    described.folder.keep("drained/lb1", {"rs1": "2026-03-02T03:00:00Z"})
    described.folder.keep("drained/lb2", {"rs1": "2026-03-01T03:00:00Z", "gone": "2026-03-01T03:00:00Z"})
    described.folder.keep("drained/lb3", {"rs1": "2026-03-03T03:00:00Z"})
    described.act("lvs_compile", recorded=True)
    plan = described.folder.plan("lb1")
    assert plan.drained == (("rs1", "2026-03-01T03:00:00Z"),)
    assert "10.20.1.11" not in {one.address for service in plan.services for one in service.destinations}
    # The host is in the run like one that the inventory drains.
    assert described.folder.read("stages").drained == ("rs1",)
    assert len(described.display.warnings) == warned
    described.act("lvs_compile", recorded=True, drained=["rs2"])
    assert [name for name, _ in described.folder.plan("lb1").drained] == ["rs1", "rs2"]
    assert described.folder.plan("lb1").drained[1][1] == described.folder.read("run")["run"]
    described.act("lvs_compile", recorded=True, undrained=["rs1"])
    assert described.folder.plan("lb1").drained == ()
    assert "rs1" in described.folder.read("stages").prepared


def test_only_drained_real_servers_can_be_put_back(described):
    with pytest.raises(AnsibleActionFail, match=r"rs1 cannot be put back.* No real server is drained\."):
        described.act("lvs_compile", recorded=True, undrained=["rs1"])
    described.folder.keep("drained/lb1", {"rs2": "2026-03-02T03:00:00Z"})
    with pytest.raises(AnsibleActionFail, match=r"rs1 cannot be put back.* Drained are rs2\."):
        described.act("lvs_compile", recorded=True, undrained=["rs1"])
    with pytest.raises(AnsibleActionFail, match="there is no real server rs22: did you mean rs2"):
        described.act("lvs_compile", recorded=True, undrained=["rs2", "rs22"])


def test_a_page_is_written_with_its_environments_name_and_revision(compiled, tmp_path):
    run = compiled()
    run.vars["inventory_dir"] = str(tmp_path / "inventories/small")
    run.folder.keep("warnings", [])
    page = tmp_path / "page.html"
    run.check = True
    assert run.act("lvs_explain", to=str(page)) == {"changed": True, "path": str(page)}
    assert not page.exists()
    run.check = False
    assert run.act("lvs_explain", to=str(page), only=["tun"])["changed"] is True
    text = page.read_text()
    assert "small" in text
    assert "abc" in text
    assert "203.0.113.82" in text
    assert run.act("lvs_explain", to=str(page), only=["tun"])["changed"] is False
    with pytest.raises(AnsibleActionFail, match=r"cannot be written: Is a directory\. Name another file"):
        run.act("lvs_explain", to=str(tmp_path))
    with pytest.raises(AnsibleActionFail, match="there is no service tnu"):
        run.act("lvs_explain", to=str(page), only=["tnu"])


def test_advice_is_for_the_services_that_are_named(described):
    result = described.act("lvs_advise", only=["tun"])
    assert list(result["options"]) == ["tun"]
    assert any(option["mode"] == "dr" for option in result["options"]["tun"])
    assert any("tun" in line for line in described.display.lines)
    with pytest.raises(AnsibleActionFail, match="there is no service tnu: did you mean tun"):
        described.act("lvs_advise", only=["tnu"])


def test_advice_on_nothing_says_so(described):
    described.services.clear()
    assert described.act("lvs_advise")["options"] == {}
    assert described.display.lines == ["lvs_services is an empty list: add a service to advise on."]


def test_needs_are_a_mapping(described):
    with pytest.raises(AnsibleActionFail, match=r"lvs_advise_needs is .*, it must be a mapping"):
        described.act("lvs_advise", needs="client_address")


def test_a_need_of_the_command_line_counts_for_every_service(described):
    free = described.act("lvs_advise", only=["tun"])["options"]["tun"]
    needing = described.act("lvs_advise", only=["tun"], needs={"client_address": True})["options"]["tun"]
    assert free != needing


# The lookup of stages


def test_the_lookup_names_the_hosts_of_several_stages(run):
    spec = importlib.util.spec_from_file_location("lvs_stage", PROJECT / "lookup_plugins/lvs_stage.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    lookup = found.LookupModule()
    variables = {"groups": {"directors": ["lb1"], "real_servers": ["rs1"]}}
    assert lookup.run(["directors", "prepare"], variables) == ["directors", "real_servers"]
    assert lookup.run(["directors"]) == stages.NOBODY
    fixed = stages.Stages
    run.folder.keep(
        "stages", fixed(**{**dict.fromkeys(fixed.__dataclass_fields__, ()), "directors": (("lb1", "lb2"),)})
    )
    assert lookup.run(["director_batches"], variables) == [2]
    assert lookup.run(["director_batches"], {**variables, "ansible_limit": "lb1"}) == [1]


# lvs_failover, and directors of which one is elected

PAIR = {
    "groups": {"directors": ["lb1", "lb2"], "real_servers": ["rs1"]},
    "hosts": {
        "lb1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.10"}}},
        "lb2": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.9"}}},
        "rs1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.11"}}},
    },
    "services": [{"name": "s", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}],
    "directors": {"directors": {"redundancy": "vrrp", "virtual_router_id": 51}},
}


def told(run, **masters):
    """What each director tells of the election."""
    for name, master in masters.items():
        run.answers["lvs_recorded"] = {
            "services": ["tcp a"],
            "drained": {},
            "elections": {"directors": master},
            "passing": [],
        }
        run.act("lvs_recorded", host=name)


def test_a_takeover_is_chosen_and_then_confirmed(compiled):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    chosen = run.act("lvs_failover", step="choose", groups=["directors"])
    assert (chosen["masters"], chosen["standbys"]) == (["lb1"], ["lb2"])
    folder = run.folder
    assert [stages._HOSTS[name](folder, None) for name in ("masters", "standbys", "electing")] == [
        ["lb1"],
        ["lb2"],
        ["lb1", "lb2"],
    ]
    with pytest.raises(AnsibleActionFail, match="no other director has taken the addresses"):
        run.act("lvs_failover", step="confirm")
    told(run, lb1=False, lb2=True)
    run.act("lvs_failover", step="confirm")
    assert run.display.lines == ["directors: lb2 is master"]


def test_a_director_hands_over_the_groups_of_which_it_is_master(compiled):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    chosen = run.act("lvs_failover", step="choose", groups=["lb1"])
    assert (chosen["groups"], chosen["masters"], chosen["standbys"]) == (["directors"], ["lb1"], ["lb2"])
    chosen = run.act("lvs_failover", step="choose", groups=["lb2"])
    assert (chosen["groups"], chosen["masters"], chosen["standbys"]) == ([], [], [])
    assert run.display.lines == ["lb2 is master of no group: no addresses have to move."]
    assert run.act("lvs_failover", step="choose", groups=["lb1", "directors"])["groups"] == ["directors"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            [],
            "^No group is named. Set -e lvs_failover=GROUP, a group of lvs_directors .directors., or a director of one",
        ),
        (["rs1"], "and no director of one, with the name rs1 .known: "),
        (["lb11"], "with the name lb11 .did you mean lb1"),
    ],
)
def test_who_hands_over_is_to_be_named(compiled, names, said):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    with pytest.raises(AnsibleActionFail, match=said):
        run.act("lvs_failover", step="choose", groups=names)


def test_a_run_takes_in_who_is_master_and_changes_it_last(described):
    described.vars["hostvars"] = {
        name: {
            **own,
            "lvs_networks": described.vars["hostvars"]["lb1"]["lvs_networks"],
            "lvs_services": PAIR["services"],
            "lvs_directors": PAIR["directors"],
        }
        for name, own in PAIR["hosts"].items()
    }
    described.vars["groups"] = {"all": list(PAIR["hosts"]), **PAIR["groups"]}
    described.act("lvs_compile")
    assert described.folder.read("stages").directors == (("lb1",), ("lb2",))  # as in the inventory
    told(described, lb1=True, lb2=False)
    described.act("lvs_compile", recorded=True)
    assert described.folder.read("stages").directors == (("lb2",), ("lb1",))
    assert described.folder.topology().masters == {"directors": "lb1"}
    warned = len(described.display.warnings)
    told(described, lb2=True)
    described.act("lvs_compile", recorded=True)
    assert described.display.warnings[warned:] == [
        "lb1 and lb2 are master of directors at the same time: clients reach the one that answered last. They hear no adverts of each other: check "
        "the network between them, and journalctl -u lvskit-vrrp."
    ]


def test_a_master_hands_over_all_of_its_groups_and_stands_for_them_again(compiled):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    run.answers["lvs_election"] = {"changed": True, "groups": ["directors"]}
    assert run.act("lvs_election", role="backup")["groups"] == ["directors"]
    assert run.act("lvs_election", host="lb2", role="backup")["groups"] == []
    assert run.act("lvs_election", host="lb2", role="candidate")["groups"] == []
    run.act("lvs_election", role="candidate")
    asked = [(host, given["role"], given["groups"]) for name, host, given, _ in run.calls if name == "lvs_election"]
    assert asked == [("lb1", "backup", ["directors"]), ("lb1", "candidate", ["directors"])]


def test_a_director_that_the_run_takes_out_of_a_group_does_not_stand_for_it_again(compiled):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    run.answers["lvs_election"] = {"changed": True, "groups": ["directors"]}
    run.act("lvs_election", role="backup")
    alone = {**PAIR, "groups": {**PAIR["groups"], "directors": ["lb1"]}, "directors": None}
    assert compiled(alone).act("lvs_election", role="candidate") == {"changed": False, "groups": []}


def test_a_master_that_leaves_hands_over_to_the_director_that_goes_on(compiled):
    """Not where it stays, where nobody goes on, and where it stands by."""
    without = {**PAIR, "groups": {**PAIR["groups"], "directors": ["lb2"]}}
    alone = {**without, "directors": None}
    nobody = {**PAIR, "services": []}
    for changes, given_up in ((PAIR, []), (without, ["directors"]), (alone, ["directors"]), (nobody, [])):
        run = compiled(changes)
        told(run, lb1=True, lb2=False)
        run.answers["lvs_election"] = {"changed": True, "groups": ["directors"]}
        assert run.act("lvs_election", role="backup", leaving=True)["groups"] == given_up
        assert run.act("lvs_election", host="lb2", role="backup", leaving=True)["groups"] == []


def test_a_master_without_a_known_standby_does_not_hand_over(compiled):
    run = compiled(PAIR)
    told(run, lb1=True)
    with pytest.raises(
        AnsibleActionFail, match="lb1 is master of directors, and no other director in this run can take over"
    ):
        run.act("lvs_election", role="backup")


def test_named_groups_are_given_up_by_their_master_and_taken_by_the_others(compiled):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    run.answers["lvs_election"] = {"changed": True, "groups": ["directors"]}
    for role, host in (("backup", "lb2"), ("candidate", "lb1")):
        assert run.act("lvs_election", host=host, role=role, groups=["directors"])["groups"] == []
    for role, host in (("backup", "lb1"), ("candidate", "lb2")):
        assert run.act("lvs_election", host=host, role=role, groups=["directors"])["groups"] == ["directors"]


@pytest.mark.parametrize("check", [False, True])
def test_a_director_that_could_not_be_master_ends_the_run(compiled, check):
    run = compiled(PAIR)
    told(run, lb1=True, lb2=False)
    run.check = check
    run.folder.keep("applied/lb2", stages.Applied(stale=False, changed=True))
    run.answers["lvs_ready"] = {"electing": False, "checker": "fine", "unserved": []}
    if check:
        assert run.act("lvs_ready", host="lb2") == {"changed": False}
        return
    with pytest.raises(
        AnsibleActionFail, match=r"lb2 could not serve clients.*lvskit-vrrp\.service does not run there"
    ):
        run.act("lvs_ready", host="lb2")
    run.answers["lvs_ready"] = {"electing": True, "checker": "fine", "unserved": []}
    run.act("lvs_ready", host="lb2")
