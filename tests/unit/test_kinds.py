"""The table of the kinds of state, and what is made of it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.lvs_host import files, host, kinds, netfilter
from ansible.module_utils.lvs_host.kinds import KINDS, TEXTS
from ansible.module_utils.lvs_host.unit import DROP_IN, Manager, Unit
from libraries import loaded

PROJECT = Path(__file__).parents[2]
TEMPLATES = PROJECT / "roles/lvs_host/templates"
NOTHING = {**dict.fromkeys(TEXTS, ""), "interfaces": {}}


@pytest.fixture(autouse=True)
def nothing_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr("ansible.module_utils.lvs_host.files.ROOT", str(tmp_path))


def wired(wanted=None, **options):
    return host.wire(host.Run({**NOTHING, **(wanted or {})}, None, **options))


def test_every_kind_has_a_template_and_every_template_a_kind():
    assert {kind.template for kind in KINDS} == {str(p.relative_to(TEMPLATES)) for p in TEMPLATES.rglob("*.j2")}


def test_the_documented_texts_of_lvs_state_are_the_kinds():
    options = yaml.safe_load(loaded("lvs_state").DOCUMENTATION)["options"]
    assert list(options)[: len(KINDS)] == list(TEXTS)


def test_state_is_added_in_the_order_that_loses_no_packet():
    """ARP settings are in force before a real server has the VIP; rules and table are there before it draws traffic; what is restored
    at boot comes last."""
    names = list(wired())
    assert names == [
        "drop_in_keepalived",
        "drop_in_conntrackd",
        "program",
        "modules",
        "module_options",
        "sysctls",
        "netfilter",
        "netfilter6",
        "ipvs_timeouts",
        "ipvs",
        "network",
        "network6",
        "health",
        "health_plan",
        "vrrp",
        "conntrackd",
        "drained",
        "netfilter_unit",
        "ipvs_unit",
        "network_unit",
        "verdict_unit",
        "governor_unit",
        "health_unit",
        "sync_unit",
        "conntrackd_unit",
        "vrrp_unit",
        "vrrp_watch_unit",
        "keeper_unit",
        "systemd",
        "kept_addresses",
    ]


def test_each_resource_has_the_file_and_title_of_its_kind():
    made = wired()
    assert {kind.name: (made[kind.name].path, made[kind.name].title) for kind in KINDS} == {
        kind.name: (kind.path, kind.title) for kind in KINDS
    }


def test_each_resource_gets_its_own_texts():
    for kind in KINDS:
        Path(f"{host.files.ROOT}{kind.path}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"{host.files.ROOT}{kind.path}").write_text(f"# recorded {kind.name}\n")
    wanted = {**{name: f"# wanted {name}\n" for name in TEXTS}, "health_plan": "[]\n"}
    made = wired(wanted)
    assert {kind.name: (made[kind.name].wanted, made[kind.name].recorded) for kind in KINDS} == {
        kind.name: (wanted[kind.name], f"# recorded {kind.name}\n") for kind in KINDS
    }


def test_the_options_of_a_run_reach_what_they_are_for(monkeypatch):
    monkeypatch.setattr(host, "find", lambda program: "/usr/sbin/ipvsadm" if program == "ipvsadm" else None)
    made = wired(
        {"interfaces": {"eth1": "10.20.1.10/24"}, "module_options": "options lvskit_toa lips=10.20.1.200\n"},
        purge_foreign=True,
        drain_timeout=60,
        check=True,
    )
    assert (made["ipvs"].purge_foreign, made["ipvs"].drain_timeout, made["ipvs"].installed) == (True, 60, True)
    assert made["ipvs"].netlink is host.ipvs_netlink.carry_out
    assert (made["netfilter"].drain_timeout, made["netfilter"].installed) == (60, False)
    assert made["network"].interfaces == {"eth1": "10.20.1.10/24"}
    assert made["modules"].options == {"lvskit_toa": ["lips=10.20.1.200"]}
    assert list(made["modules"].coming) == ["lvskit_toa"]


def test_without_consent_nothing_foreign_goes_and_nothing_is_waited_for():
    made = wired({"module_options": "options lvskit_toa lips=10.20.1.200\n"})
    assert (made["ipvs"].purge_foreign, made["ipvs"].drain_timeout, made["netfilter"].drain_timeout) == (False, 0, 0)
    assert list(made["modules"].coming) == []


@pytest.mark.parametrize("remove", [True, False])
def test_systemd_hears_of_all_units_and_whether_some_go(remove):
    made = wired(remove=remove)
    manager = made["systemd"]
    assert isinstance(manager, Manager)
    assert manager.units == [resource for resource in made.values() if isinstance(resource, Unit)]
    started = ["network", "verdict", "governor", "health", "sync", "conntrackd", "vrrp", "vrrp-watch", "keeper"]
    assert [unit.name for unit in manager.units if unit.started] == [f"lvskit-{name}.service" for name in started]
    assert manager.removing is remove


def test_the_table_can_be_read_without_what_works_on_hosts():
    """The controller reads it for each of a thousand hosts."""
    code = (
        "import sys; import ansible.module_utils as m; m.__path__.append(sys.argv[1]);"
        "from ansible.module_utils.lvs_host.kinds import TEXTS;"
        "print(sorted(n for n in sys.modules if n.startswith('ansible.module_utils.')))"
    )
    command = [sys.executable, "-c", code, str(PROJECT / "module_utils")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == "['ansible.module_utils.lvs_host', 'ansible.module_utils.lvs_host.kinds']\n"


def test_the_number_of_lvskits_routes_stands_in_no_template():
    for path in TEMPLATES.rglob("*.j2"):
        assert str(kinds.ROUTE_PROTOCOL) not in path.read_text(), path
    assert netfilter.PREFIX == "LVSKIT-"


HEALTH = {"health_unit": "[Unit]\nDescription=x\n"}


def test_the_drop_in_of_keepalived_leaves_with_the_last_health_check():
    """The role writes it where it installs the package."""
    file = Path(files.place(DROP_IN.format("keepalived")))
    assert wired()["drop_in_keepalived"].removals() == wired(HEALTH)["drop_in_keepalived"].additions() == []
    file.parent.mkdir(parents=True)
    file.write_text("[Unit]\n")
    for wanted, commands in ((HEALTH, []), ({}, [f"rm {DROP_IN.format('keepalived')}"])):
        found = wired(wanted)["drop_in_keepalived"]
        found.prepare()
        assert (found.additions(), found.removals()) == ([], commands)
        found.batch(found.removals())
        assert file.exists() == bool(wanted)
    assert not file.parent.exists()


def test_another_drop_in_keeps_its_folder():
    file = Path(files.place(DROP_IN.format("keepalived")))
    file.parent.mkdir(parents=True)
    for name in (file.name, "own.conf"):
        (file.parent / name).write_text("[Unit]\n")
    found = wired()["drop_in_keepalived"]
    found.prepare()
    found.batch(found.removals())
    assert [one.name for one in file.parent.iterdir()] == ["own.conf"]


def test_role_and_module_name_the_same_drop_in():
    assert yaml.safe_load((PROJECT / "roles/lvs_host/vars/main.yml").read_text())["_lvs_host_dropin"] == DROP_IN
