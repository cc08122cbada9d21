"""The order in which a host is brought to its plan, and what stays when something goes wrong."""

import importlib.util
from pathlib import Path

import pytest
from ansible.module_utils.lvs_host import files, formats, host, lock
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.kinds import Kind
from ansible.module_utils.lvs_host.resource import Resource
from ansible.module_utils.lvs_host.unit import Manager, Unit

LIBRARY = Path(__file__).parents[2] / "library/lvs_state.py"


@pytest.fixture(scope="module")
def lvs_state():
    spec = importlib.util.spec_from_file_location("lvs_state", LIBRARY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def numbered(monkeypatch, tmp_path_factory):
    """The file of the format's number, so that none of the machine's own is written."""
    monkeypatch.setattr(formats, "PATH", str(tmp_path_factory.mktemp("kept") / "format"))


class Fake(Resource):
    """State that is just a set of lines; `log` is what happened to all of them, in order."""

    def __init__(self, folder, name, wanted, recorded, log, fails=()):
        super().__init__(wanted, recorded, None)
        self.title, self.path = name, str(folder / name)
        self.log, self.fails = log, fails
        if recorded:
            Path(self.path).write_text(recorded)

    def prepare(self):
        pass

    def before(self):
        return self.recorded.splitlines()

    def additions(self):
        return [f"add {line}" for line in self.wanted.splitlines() if line not in self.recorded.splitlines()]

    def removals(self):
        return [f"remove {line}" for line in self.stale()]

    def stale(self):
        return [line for line in self.recorded.splitlines() if line not in self.wanted.splitlines()]

    def batch(self, commands):
        for command in commands:
            if command in self.fails:
                raise HostError(f"{command} failed")
            self.log.append(command)


def run(lvs_state, resources, remove=True):
    done = []
    result = lvs_state.plan(resources, remove)
    steps, files = result.pop("steps"), result.pop("files")
    lvs_state.carry_out(steps, files, resources, done, lock.Table())
    return result


@pytest.mark.parametrize("check", [False, True])
def test_one_run_at_a_time_changes_a_host(monkeypatch, tmp_path, check):
    """A check run, too, would describe a host that is being changed."""
    monkeypatch.setattr(lock, "PATH", str(tmp_path / "lock"))
    monkeypatch.setattr(lock, "PATIENCE", 0)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    refused = pytest.raises(HostError, match="another run has been changing this host")
    with lock.held(), refused, lock.held(check=check):
        pass
    with lock.held(check=check):
        pass


def test_a_check_run_leaves_no_lock(monkeypatch, tmp_path):
    monkeypatch.setattr(lock, "PATH", str(tmp_path / "lock"))
    with lock.held(check=True):
        assert list(tmp_path.iterdir()) == []
    with lock.held():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def text(resource):
    path = Path(resource.path)
    return path.read_text() if path.exists() else None


@pytest.fixture
def pair(tmp_path):
    log = []

    def make(**options):
        first = Fake(tmp_path, "settings", "new-setting\n", "old-setting\n", log)
        second = Fake(tmp_path, "addresses", "new-address\n", "old-address\n", log, **options)
        return log, [first, second]

    return make


def test_additions_come_in_order_and_removals_in_the_reverse_order(lvs_state, pair):
    """ARP settings are there before the VIP, and stay until it is gone."""
    log, resources = pair()
    run(lvs_state, resources)
    assert log == ["add new-setting", "add new-address", "remove old-address", "remove old-setting"]


def test_without_removals_the_old_state_stays_and_stays_recorded(lvs_state, pair):
    log, resources = pair()
    result = run(lvs_state, resources, remove=False)
    assert log == ["add new-setting", "add new-address"]
    assert result["stale"] == ["remove old-address", "remove old-setting"]
    assert "new-address" in text(resources[1])
    assert "old-address" in text(resources[1])


def test_the_files_of_record_are_the_new_ones_at_the_end(lvs_state, pair):
    _, resources = pair()
    run(lvs_state, resources)
    assert [text(resource) for resource in resources] == ["new-setting\n", "new-address\n"]


def test_when_the_kernel_refuses_something_the_files_of_record_stay(lvs_state, pair, tmp_path):
    """A reboot then restores what was there before, and the next run knows what is lvskit's."""
    _, resources = pair(fails=["add new-address"])
    with pytest.raises(HostError):
        run(lvs_state, resources)
    assert [text(resource) for resource in resources] == ["old-setting\n", "old-address\n"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["addresses", "settings"]


def test_a_full_disk_is_met_before_anything_changes(lvs_state, pair, monkeypatch, tmp_path):
    log, resources = pair()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(HostError, match=r"cannot write .*\.new: No space left on device. Free some space"):
        run(lvs_state, resources)
    assert log == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["addresses", "settings"]


def test_nothing_to_change_is_no_change(lvs_state, tmp_path):
    same = Fake(tmp_path, "settings", "a\n", "a\n", [])
    result = lvs_state.plan([same], True)
    assert (result["changed"], result["commands"], result["diff"]) == (False, [], [])


def test_a_change_shows_the_state_before_and_after(lvs_state, pair):
    _, resources = pair()
    shown = lvs_state.plan(resources, True)["diff"]
    assert {"settings", "addresses"} <= {part["before_header"] for part in shown}


class Recorded(Fake):
    """State that was changed by hand since: it has `live`."""

    def __init__(self, folder, name, wanted, recorded, live):
        super().__init__(folder, name, wanted, recorded, [])
        self.live = live

    def additions(self):
        return [f"add {line}" for line in self.wanted.splitlines() if line not in self.live]

    def removals(self):
        return [f"remove {line}" for line in self.live if line not in self.wanted.splitlines()]


def test_drift_is_what_leads_back_to_the_record_and_not_what_the_new_plan_brings(monkeypatch, tmp_path):
    there = {"modules": ("a\nb\n", ["a"]), "sysctls": ("x\n", ["x", "y"])}
    kinds = [Kind(name, str(tmp_path / name), name) for name in there]

    def wire(run):
        return {k.name: Recorded(tmp_path, k.name, run.wanted[k.name], *there[k.name]) for k in kinds}

    for kind in kinds:
        Path(kind.path).write_text(there[kind.name][0])
        monkeypatch.setitem(host.kinds.TEXTS, kind.name, kind.path)
    monkeypatch.setattr(host, "wire", wire)
    assert host.commands(host.departures(None)) == ["add b", "remove y"]


def test_an_earlier_plan_takes_the_place_of_the_given_one(lvs_state, monkeypatch, tmp_path):
    monkeypatch.setattr(lvs_state.history, "FOLDER", str(tmp_path))
    given = {**{key: value.get("default") for key, value in lvs_state.ARGUMENTS.items()}, "ipvs": "new"}
    assert lvs_state.wanted_of(given)["ipvs"] == "new"
    wanted = {**lvs_state.wanted_of(given), "ipvs": "old"}
    lvs_state.history.keep(lvs_state.history.stage("2026-03-01T03:00:00Z", "", wanted, first=True))
    assert lvs_state.wanted_of({**given, "to": "2026-03-02T03:00:00Z"})["ipvs"] == "old"
    nothing = lvs_state.wanted_of({**given, "to": "2026-02-01T03:00:00Z"})
    assert set(nothing) == set(lvs_state.PLAN)
    assert not any(nothing.values())


def test_open_connections_end_before_anything_that_they_need_goes(lvs_state, pair, monkeypatch):
    """The VIP's removal would cut them as surely as the real server's."""
    log, resources = pair()
    monkeypatch.setattr(resources[0], "quieting", lambda: ["quiet old-setting"])
    monkeypatch.setattr(resources[0], "settle", lambda: log.append("wait"))
    run(lvs_state, resources)
    assert log[2:] == ["quiet old-setting", "wait", "remove old-address", "remove old-setting"]


def test_nothing_is_waited_for_when_nothing_goes(lvs_state, pair, monkeypatch):
    log, resources = pair()
    monkeypatch.setattr(resources[0], "settle", lambda: log.append("wait"))
    run(lvs_state, resources, remove=False)
    assert "wait" not in log


def test_what_a_killed_run_has_left_is_taken_away(lvs_state, pair, tmp_path):
    (tmp_path / "addresses.new").write_text("half")
    _, resources = pair()
    resources[1].wanted = ""
    run(lvs_state, resources)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings"]


def test_a_run_is_kept_with_the_files_of_record_and_not_before(lvs_state, pair, monkeypatch, tmp_path):
    monkeypatch.setattr(lvs_state.history, "FOLDER", str(tmp_path / "history"))
    note = {"run": "2026-03-01T03:00:00Z", "revision": "", "wanted": {"ipvs": "x"}, "first": False, "to": ""}
    _, resources = pair(fails=["add new-address"])
    result = lvs_state.plan(resources, True)
    with pytest.raises(HostError):
        lvs_state.carry_out(result["steps"], result["files"], resources, [], lock.Table(), note)
    assert lvs_state.history.runs() == []
    _, resources = pair()
    result = lvs_state.plan(resources, True)
    lvs_state.carry_out(result["steps"], result["files"], resources, [], lock.Table(), note)
    assert lvs_state.history.runs() == ["2026-03-01T03:00:00Z"]


class Systemd:
    """Answers as `systemctl show` does: with the properties that it is asked for, of one unit or of the manager."""

    def __init__(self, version, **unit):
        self.version, self.unit = version, unit

    def __call__(self, argv, stdin=None):
        *command, asked = [word for word in argv if not word.endswith(".service")]
        assert command == ["systemctl", "show"]
        known = self.unit if "x.service" in argv else {"Version": self.version}
        wanted = asked.removeprefix("--property=").split(",")
        return 0, "".join(f"{name}={value}\n" for name, value in known.items() if name in wanted), ""


@pytest.fixture
def unit(monkeypatch, tmp_path):
    monkeypatch.setattr("ansible.module_utils.lvs_host.unit.DIRECTORY", str(tmp_path))
    (tmp_path / "multi-user.target.wants").mkdir()

    def make(wanted, recorded, *, enabled, active, outdated=False, systemd="252.39-1~deb12u2", started=True):
        link = tmp_path / "multi-user.target.wants/x.service"
        if enabled and not link.is_symlink():
            link.symlink_to("/nowhere")
        state = {
            "ActiveState": "active" if active else "inactive",
            "SubState": "exited",
            "NeedDaemonReload": "yes" if outdated else "no",
        }
        made = Unit("x.service", wanted, recorded, Systemd(systemd, **state), started=started)
        made.prepare()
        return made

    return make


def steps(made, *, removing=True):
    """What is done to one unit and then to systemd, in order."""
    manager = Manager([made], made.run, removing=removing)
    manager.prepare()
    return [*(made.removals() if removing else []), *made.closing(), *manager.closing()]


def test_a_new_unit_is_enabled_and_started_and_costs_no_reload(unit):
    made = unit("[Unit]\n", "", enabled=False, active=False)
    assert steps(made) == ["systemctl enable --no-reload x.service", "systemctl start x.service"]


@pytest.mark.parametrize(
    ("systemd", "told"), [("255.4-1ubuntu8", False), ("256", True), ("257.13-1~deb13u1", True), ("unknown", True)]
)
def test_a_newer_systemd_is_told_of_a_new_unit(unit, systemd, told):
    made = unit("[Unit]\n", "", enabled=False, active=False, systemd=systemd)
    assert ("systemctl daemon-reload" in steps(made)) == told


def test_a_unit_that_is_as_wanted_is_left_alone(unit):
    assert steps(unit("[Unit]\n", "[Unit]\n", enabled=True, active=True)) == []


def test_a_changed_unit_is_read_again(unit):
    assert steps(unit("[Unit]\nA=B\n", "[Unit]\n", enabled=True, active=True)) == ["systemctl daemon-reload"]


def test_a_unit_that_an_earlier_run_changed_and_was_killed_is_read_again(unit):
    made = unit("[Unit]\n", "[Unit]\n", enabled=True, active=True, outdated=True)
    assert steps(made) == ["systemctl daemon-reload"]


def test_a_unit_that_is_no_longer_wanted_is_disabled_before_its_file_goes(unit):
    made = unit("", "[Unit]\n", enabled=True, active=True)
    assert steps(made) == ["systemctl disable --now --no-reload x.service", "systemctl daemon-reload"]
    assert made.record(keep_stale=False) == ""


def test_a_unit_stays_until_removals_are_asked_for(unit):
    """Else a reboot in between would not restore what is still in use, and its link would stay behind for ever."""
    made = unit("", "[Unit]\n", enabled=True, active=True)
    assert steps(made, removing=False) == []
    assert made.record(keep_stale=True) == "[Unit]\n"


def test_systemd_is_told_once_of_all_units(unit):
    units = [unit("[Unit]\nA=B\n", "[Unit]\n", enabled=True, active=True) for _ in range(3)]
    assert Manager(units, units[0].run, removing=True).closing().count("systemctl daemon-reload") == 1


@pytest.mark.parametrize("systemd", ["252.39-1~deb12u2", "257.13-1~deb13u1"])
def test_a_unit_that_is_only_enabled_is_not_started(unit, systemd):
    """It runs at boot, and does nothing before."""
    made = unit("[Unit]\n", "[Unit]\n", enabled=False, active=False, systemd=systemd, started=False)
    assert steps(made) == ["systemctl enable --no-reload x.service"]


def test_a_unit_that_has_stopped_is_started_and_its_link_made_anew(unit):
    made = unit("[Unit]\n", "[Unit]\n", enabled=False, active=False)
    assert steps(made) == ["systemctl enable --no-reload x.service", "systemctl start x.service"]


@pytest.mark.parametrize(
    ("wanted", "recorded", "live", "started", "before", "after"),
    [
        ("[Unit]\n", "", False, True, [], ["enabled", "active"]),
        ("[Unit]\n", "", False, False, [], ["enabled"]),
        ("", "[Unit]\n", True, True, ["enabled", "active"], []),
        ("# nothing\n", "[Unit]\n", True, False, ["enabled"], []),
    ],
)
def test_the_diff_of_a_unit_says_whether_it_is_enabled_and_active(unit, wanted, recorded, live, started, before, after):
    made = unit(wanted, recorded, enabled=live, active=live, started=started)
    assert (made.title, made.before(), made.after()) == ("unit x.service", before, after)


def test_a_unit_that_goes_is_named_line_by_line_until_then(unit):
    made = unit("", "# lvskit\n[Unit]\nA=B\n", enabled=True, active=True)
    assert made.stale() == ["[Unit]", "A=B"]
    assert unit("[Unit]\n", "[Unit]\nA=B\n", enabled=True, active=True).stale() == []


def test_a_unit_that_never_was_is_nothing_to_disable(unit):
    made = unit("", "", enabled=False, active=False)
    assert (steps(made), made.stale(), made.record(keep_stale=True)) == ([], [], "")


@pytest.mark.parametrize(
    ("other", "systemd", "removing", "told"),
    [
        (("[Unit]\nA=B\n", "[Unit]\n"), "252", False, True),
        (("[Unit]\n", ""), "257", False, True),
        (("[Unit]\n", ""), "252", False, False),
        (("", "[Unit]\n"), "252", True, True),
        (("", "[Unit]\n"), "252", False, False),
        (("", ""), "257", True, False),
    ],
)
def test_one_unit_of_several_is_reason_enough_for_a_reload(unit, other, systemd, removing, told):
    live = {"enabled": True, "active": True, "systemd": systemd}
    units = [unit(*texts, **live) for texts in (("[Unit]\n", "[Unit]\n"), other, ("[Unit]\n", "[Unit]\n"))]
    manager = Manager(units, units[0].run, removing=removing)
    manager.prepare()
    assert ("systemctl daemon-reload" in manager.closing()) == told


def test_a_reload_that_fails_is_one_of_systemd():
    manager = Manager([], lambda argv, stdin: (1, "", "Failed to connect to bus"), removing=True)
    with pytest.raises(HostError, match=r"^systemd: `systemctl daemon-reload` failed: Failed to connect to bus$"):
        manager.batch(["systemctl daemon-reload"])
