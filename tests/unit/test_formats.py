"""What other versions of lvskit have left on a host: version 0.1.0's is read, and gone back to; a newer one's is refused."""

import json
import shutil
from pathlib import Path

import pytest
from ansible.module_utils.lvs_host import formats, history, host, lock
from ansible.module_utils.lvs_host.kinds import TEXTS
from fake_host import FakeHost
from libraries import loaded

LEFT = Path(__file__).parent / "v0.1.0"
HOSTS = sorted(path.name for path in LEFT.iterdir())
INTERFACES = {
    "lb1": {"eth1.20": "203.0.113.10/24", "eth1.30": "10.20.1.10/24"},
    "rs1": {"eth1": "10.20.1.11/24"},
    "rs3": {"eth1": "10.20.2.13/24"},
}
FIRST, LAST = "2026-11-25T17:21:08Z", "2026-11-25T17:23:07Z"


@pytest.fixture
def state():
    return loaded("lvs_state")


@pytest.fixture
def left(tmp_path, monkeypatch):
    """A host as version 0.1.0 has left it, and as its files of record have made it at boot."""

    def make(name):
        made = FakeHost(tmp_path / name, monkeypatch, INTERFACES[name])
        shutil.copytree(LEFT / name, made.folder, dirs_exist_ok=True)
        made.boot()
        return made

    return make


def last_plan(made):
    newest = max(made.place(history.FOLDER).glob("*.json"))
    return formats.current(json.loads(newest.read_text())["wanted"])


def records(made):
    return {path: made.text(path) for path in TEXTS.values()}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("check", [True, False])
def test_the_plan_that_version_0_1_0_carried_out_is_nothing_to_change(state, left, name, check):
    made = left(name)
    before = made.tree()
    result = made.run(state, check=check, **last_plan(made), run="2026-12-01T03:00:00Z", revision="new")
    assert (result["changed"], result["commands"], result["diff"], result["drift"]) == (False, [], [], [])
    after = made.tree()
    after.pop(lock.PATH, None)
    assert after == before


@pytest.mark.parametrize("name", HOSTS)
def test_what_version_0_1_0_left_is_no_drift(left, name):
    made = left(name)
    assert host.departures(made) == []
    made.active.clear()
    made.addresses["lo"].clear()
    assert "systemctl start lvskit-network.service" in host.commands(host.departures(made))


def test_the_runs_of_version_0_1_0_are_listed(left):
    listed = left("lb1").run(loaded("lvs_history"))
    assert listed["runs"] == {FIRST: "ce1c017d7765", LAST: "ce1c017d7765"}
    assert (listed["since"], listed["unreadable"]) == (history.BEGINNING, {})


def test_a_host_goes_back_to_a_plan_of_version_0_1_0(state, left):
    made = left("lb1")
    wanted = json.loads(made.text(f"{history.FOLDER}/{FIRST}.json"))["wanted"]
    result = made.run(state, to=FIRST, run="2026-12-01T03:00:00Z", revision="again")
    assert "ipvsadm -D -t 203.0.113.83:80" in result["commands"]
    assert "ip address del 203.0.113.201/32 dev eth1.20" in result["commands"]
    assert made.text(TEXTS["ipvs"]) == wanted["ipvs"]
    assert made.text(TEXTS["netfilter"]) == ""
    assert made.text(formats.PATH) == f"{formats.FORMAT}\n"
    assert json.loads(made.text(f"{history.FOLDER}/2026-12-01T03:00:00Z.json"))["format"] == formats.FORMAT
    again = made.run(state, to=FIRST, run="2026-12-02T03:00:00Z")
    assert (again["changed"], again["commands"], again["drift"]) == (False, [], [])
    assert history.runs()[-1] == "2026-12-01T03:00:00Z"


def test_a_host_goes_back_to_what_it_had_before_version_0_1_0(state, left):
    made = left("rs3")
    made.run(state, to=history.BEGINNING)
    assert set(records(made).values()) == {""}
    assert made.addresses == {"lo": ["127.0.0.1/8"], "eth1": ["10.20.2.13/24"], "tunl0": []}
    assert made.sysctl("net/ipv4/conf/eth1/arp_ignore") == 0


def test_the_first_change_numbers_the_format_and_the_next_run_changes_nothing(state, left):
    made = left("rs1")
    plan = last_plan(made)
    plan["network"] += "address replace 10.20.1.81/32 dev lo\n"
    first = made.run(state, **plan, run="2026-12-01T03:00:00Z")
    assert first["commands"] == ["ip address replace 10.20.1.81/32 dev lo"]
    assert made.text(formats.PATH) == f"{formats.FORMAT}\n"
    before = made.tree()
    second = made.run(state, **plan, run="2026-12-02T03:00:00Z")
    assert (second["changed"], second["commands"]) == (False, [])
    assert made.tree() == before


def refused(made, module, **arguments):
    """What a run says that is refused; it has changed nothing."""
    before, addresses, services = made.tree(), json.dumps(made.addresses), str(made.services)
    made.log.clear()
    result = made.run(module, **arguments)
    assert result["failed"] is True
    assert result["msg"].endswith(" Nothing was changed.")
    after = made.tree()
    after.pop(lock.PATH, None)
    before.pop(lock.PATH, None)
    assert (after, json.dumps(made.addresses), str(made.services)) == (before, addresses, services)
    return result["msg"]


def test_a_newer_history_is_refused(state, left):
    made = left("rs1")
    path = f"{history.FOLDER}/2027-01-01T03:00:00Z.json"
    made.write(path, json.dumps({"format": formats.FORMAT + 1, "plan": "otherwise"}))
    words = f"{path} is in format {formats.FORMAT + 1}, and this version of lvskit knows formats 1 to {formats.FORMAT}"
    assert words in refused(made, state, to="2027-01-01T03:00:00Z")
    listed = made.run(loaded("lvs_history"))
    assert list(listed["runs"]) == [FIRST]
    assert words in listed["unreadable"]["2027-01-01T03:00:00Z"]


@pytest.mark.parametrize("module", ["lvs_state", "lvs_clear"])
def test_a_host_that_a_newer_version_keeps_is_refused(left, module):
    made = left("rs1")
    made.write(formats.PATH, f"{formats.FORMAT + 1}\n")
    told = refused(made, loaded(module))
    assert f"what lvskit keeps on this host is in format {formats.FORMAT + 1}" in told
    assert "Use the version of lvskit that wrote it, or a newer one." in told


def test_a_plan_with_kinds_of_state_that_are_not_known_here_is_refused(state, left):
    made = left("rs1")
    entry = {"format": formats.FORMAT, "revision": "", "wanted": {"network": "", "announcements": "router bgp 65000"}}
    made.write(f"{history.FOLDER}/2027-01-01T03:00:00Z.json", json.dumps(entry))
    assert "has announcements, which this version of lvskit does not know" in refused(
        made, state, to="2027-01-01T03:00:00Z"
    )


DAMAGED = [
    (formats.PATH, "2 3\n"),
    (formats.PATH, "\0\0\0"),
    ("/var/lib/lvskit/sysctls.json", '{"net/ipv4/ip_'),
    ("/var/lib/lvskit/sysctls.json", "[1]"),
    (TEXTS["sysctls"], "net/ipv4/ip_forward = ye"),
    (TEXTS["sysctls"], "net/ipv4/ip_forward"),
    (TEXTS["module_options"], "options"),
    (TEXTS["module_options"], "lvskit_toa lips=1"),
    (TEXTS["netfilter"], "*mangle\n:LVSKIT-OUTPUT - [0:0]\n"),
    (TEXTS["netfilter"], "*mangle\n:LVSKIT-OUTPUT - [0:0]\nLVSKIT-OUT\nCOMMIT\n"),
    (TEXTS["network"], "address replace 10.2"),
    (TEXTS["network"], "neighbour replace 10.20.1.9 dev eth1"),
    (TEXTS["ipvs"], "-A -t 10.20.1.80:80 -s wlc\n-a -t 10.20.1.80:80 -r"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text"), DAMAGED)
def test_a_damaged_file_is_named_with_the_remedy(state, left, path, text):
    made = left("lb1")
    made.write(path, text)
    told = refused(made, state)
    assert told.startswith(f"{path} is damaged: ")
    assert "run again. Nothing was changed." in told or "keep their present values. Nothing" in told


def test_a_file_that_is_no_text_is_named(state, left):
    made = left("rs1")
    made.place(TEXTS["network"]).write_bytes(b"address replace \xff\xfe")
    assert refused(made, state).startswith(f"{TEXTS['network']} is damaged: ")


def test_a_damaged_entry_of_the_history_is_named(state, left):
    made = left("rs1")
    path = f"{history.FOLDER}/2027-01-01T03:00:00Z.json"
    made.write(path, '{"wan')
    assert refused(made, state, to="2027-01-01T03:00:00Z").startswith(f"{path} is damaged: ")
    assert history.BEGINNING < FIRST < "2027-01-01T03:00:00Z"
    assert made.run(state, to=FIRST)["changed"] is False
