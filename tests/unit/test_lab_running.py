"""What `python -m lab` does to machines that run already."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is run from the repository, not installed

from test_lab_spec import INTERFACES, NAT, SERVICES, inventory

from lab import identity, lifecycle, paths, records, spec, update
from lab.errors import LabError
from lab.progress import Progress
from lab.records import Record

ADDED = {**NAT, "name": "new", "port": 9000, "real_servers": [{"host": "rs1", "port": 9001}]}
NETWORK_OF_RS1 = "/etc/systemd/network/20-eth1.network"


def lab_with(*services: dict[str, Any], **interfaces: dict[str, Any]) -> spec.Lab:
    return spec.parse(inventory(interfaces, lvs_services=list(services)))


def files_of(lab: spec.Lab, name: str) -> dict[str, str]:
    return identity.files(lab, next(host for host in lab.hosts if host.name == name))


def ports_of(files: Mapping[str, str]) -> Mapping[str, Any]:
    return json.loads(files[identity.APP])


class Guests:
    """Stands for the guest agents: it notes each host's scripts, and fails for the hosts that it is told to."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[str]] = {}
        self.deaf: set[str] = set()

    def execute(self, state: paths.State, host: spec.Host, script: str, seconds: float = 0) -> str:
        self.scripts.setdefault(host.name, []).append(script)
        if host.name in self.deaf:
            raise LabError("no answer")
        return ""


@pytest.fixture
def state(tmp_path: Path) -> paths.State:
    return paths.State(tmp_path)


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch, state: paths.State) -> Guests:
    """A lab of SERVICES that runs."""
    found = Guests()
    lab = lab_with(*SERVICES)
    records.write(state, {host.name: Record(20000, "same", identity.files(lab, host)) for host in lab.hosts})
    monkeypatch.setattr(update, "execute", found.execute)
    monkeypatch.setattr(update, "running", lambda state, name: 1)
    return found


def test_a_service_s_new_port_changes_the_application_s_file_and_nothing_that_carries_packets() -> None:
    before, after = (files_of(lab, "rs1") for lab in (lab_with(*SERVICES), lab_with(*SERVICES, ADDED)))
    script = identity.update_script(before, after)
    assert identity.changes(before, after) == {identity.APP}
    assert "kill -HUP" in script and "9001" in script
    assert not [word for word in ("networkctl", "ip -batch", "ip link", "hostname", "date", "sysctl") if word in script]


def test_a_new_address_is_read_by_networkd_alone() -> None:
    moved = {"eth1": {"network": "app", "address": "10.20.1.99"}}
    before, after = (files_of(lab, "rs1") for lab in (lab_with(*SERVICES), lab_with(*SERVICES, rs1=moved)))
    script = identity.update_script(before, after)
    assert identity.changes(before, after) == {NETWORK_OF_RS1}
    assert "networkctl reload" in script and "kill" not in script


def test_a_file_that_the_inventory_no_longer_has_is_removed() -> None:
    before = files_of(lab_with(*SERVICES), "rs1")
    script = identity.update_script(before, {path: text for path, text in before.items() if path != identity.APP})
    assert f"rm -f {identity.APP}" in script and "kill -TERM" in script


def test_serving_reaches_only_the_hosts_whose_ports_differ(state: paths.State, guests: Guests) -> None:
    update.serve(state, lab_with(*SERVICES, ADDED), False, Progress(quiet=True))
    assert set(guests.scripts) == {"rs1"}
    assert ports_of(records.read(state)["rs1"].files) == {"tcp": [80, 8080, 9001], "udp": [5353]}
    update.serve(state, lab_with(*SERVICES, ADDED), False, Progress(quiet=True))
    assert len(guests.scripts["rs1"]) == 2, "written and checked once"


def test_the_application_keeps_the_ports_that_directors_still_send_to_until_they_have_their_new_plans(
    state: paths.State, guests: Guests
) -> None:
    update.serve(state, lab_with(ADDED), True, Progress(quiet=True))
    assert ports_of(records.read(state)["rs1"].files) == {"tcp": [80, 8080, 9001], "udp": [5353]}
    update.serve(state, lab_with(ADDED), False, Progress(quiet=True))
    assert ports_of(records.read(state)["rs1"].files) == {"tcp": [9001], "udp": []}
    assert identity.APP not in records.read(state)["rs2"].files


def test_serving_names_the_hosts_that_do_not_run(
    state: paths.State, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "running", lambda state, name: None if name == "rs2" else 1)
    with pytest.raises(LabError, match=r"^rs2 does not run: .*make lab"):
        update.serve(state, lab_with(*SERVICES), False, Progress(quiet=True))


def test_a_file_that_may_not_have_been_written_is_written_by_the_next_run(state: paths.State, guests: Guests) -> None:
    guests.deaf = {"rs1"}
    with pytest.raises(LabError, match="rs1: no answer"):
        update.serve(state, lab_with(*SERVICES, ADDED), False, Progress(quiet=True))
    guests.deaf = set()
    update.serve(state, lab_with(*SERVICES), False, Progress(quiet=True))
    assert "9001" not in guests.scripts["rs1"][-2] and identity.APP in guests.scripts["rs1"][-2]


class Machines:
    """Stands for QEMU: names of machines that run, and whether a new one answers."""

    def __init__(self, names: list[str]) -> None:
        self.up = set(names)
        self.answer = True

    def start(self, clone: Any, frozen: Any) -> None:
        self.up.add(clone.name)
        if not self.answer:
            raise LabError("no answer")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch, state: paths.State, guests: Guests) -> Machines:
    found = Machines(list(INTERFACES))

    class Clone:
        def __init__(self, name: str) -> None:
            self.name = name

    for name in INTERFACES:
        state.host(name).mkdir(parents=True)
    monkeypatch.setattr(lifecycle.programs, "require", lambda names: None)
    monkeypatch.setattr(lifecycle.snapshot, "ensure", lambda release, memory, progress: (release, memory))
    monkeypatch.setattr(lifecycle, "_hardware", lambda state, lab, host, frozen: "same")
    monkeypatch.setattr(lifecycle, "machine", lambda state, host, frozen, port: Clone(host.name))
    monkeypatch.setattr(lifecycle, "_start", found.start)
    monkeypatch.setattr(lifecycle, "_write_ssh_configuration", lambda state, hosts, machines: None)
    monkeypatch.setattr(lifecycle, "_write_builders", lambda state, frozen: None)
    monkeypatch.setattr(lifecycle, "execute", guests.execute)
    monkeypatch.setattr(lifecycle, "banner", lambda port, seconds: True)
    monkeypatch.setattr(lifecycle, "running", lambda state, name: 1 if name in found.up else None)
    monkeypatch.setattr(lifecycle.switch, "running", lambda state: 1)
    monkeypatch.setattr(lifecycle.qemu, "kill", lambda pids: None)
    monkeypatch.setattr(lifecycle, "_discard", lambda state, name: found.up.discard(name))
    monkeypatch.setattr(lifecycle, "_stop_all", lambda state: found.up.clear())
    return found


def test_up_on_a_lab_that_runs_as_the_inventory_has_it_touches_no_machine(
    state: paths.State, machines: Machines, guests: Guests
) -> None:
    before = records.read(state)
    lifecycle.up(state, lab_with(*SERVICES), False, Progress(quiet=True))
    assert guests.scripts == {} and records.read(state) == before and machines.up == set(INTERFACES)


def test_up_after_a_service_was_added_tells_the_application_alone(
    state: paths.State, machines: Machines, guests: Guests
) -> None:
    lifecycle.up(state, lab_with(*SERVICES, ADDED), False, Progress(quiet=True))
    assert set(guests.scripts) == {"rs1"}
    assert not [script for script in guests.scripts["rs1"] if "networkctl" in script]


def test_a_machine_that_has_ended_is_started_anew_and_the_others_stay(
    state: paths.State, machines: Machines, guests: Guests
) -> None:
    machines.up.discard("rs2")
    lifecycle.up(state, lab_with(*SERVICES), False, Progress(quiet=True))
    assert set(guests.scripts) == {"rs2"}
    assert machines.up == set(records.read(state)) == set(INTERFACES)


def test_when_a_new_machine_does_not_come_up_those_that_ran_before_go_on(
    state: paths.State, machines: Machines, guests: Guests
) -> None:
    machines.up.discard("rs2")
    machines.answer = False
    with pytest.raises(LabError, match="rs2: no answer"):
        lifecycle.up(state, lab_with(*SERVICES), False, Progress(quiet=True))
    assert machines.up == set(records.read(state)) == set(INTERFACES) - {"rs2"}


def test_when_a_new_lab_does_not_come_up_no_machine_is_left(
    state: paths.State, machines: Machines, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.answer = False
    monkeypatch.setattr(lifecycle.switch, "start", lambda state, lab: None)
    with pytest.raises(LabError):
        lifecycle.up(state, lab_with(*SERVICES), True, Progress(quiet=True))
    assert machines.up == set()
