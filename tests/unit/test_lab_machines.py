"""Host programs, processes and QEMU's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is run from the repository, not installed

from lab import paths, programs, qemu
from lab.errors import LabError
from lab.image import Image, System


def machine(tmp_path: Path, **other: object) -> qemu.Machine:
    options: dict[str, object] = {
        "name": "rs1", "image": Image(System("bookworm"), tmp_path), "disk": tmp_path / "disk", "memory": 384,
        "memory_file": tmp_path / "ram", "memory_shared": False, "folder": tmp_path, "sockets": tmp_path,
        "handle": "3", "ssh_port": 20022, "macs": ["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"],
        "switch": tmp_path / "switch", "switch_ports": (7, None), "restore": True,
    }  # fmt: skip
    return qemu.Machine(**{**options, **other})  # type: ignore[arg-type]


def devices(words: list[str]) -> list[str]:
    """Kinds of devices in their order."""
    return [value.split(",")[0] for option, value in zip(words, words[1:]) if option == "-device"]


def test_missing_programs_are_named_with_the_packages_to_install() -> None:
    with pytest.raises(LabError, match=r"qemu-img, vde_switch\. .* qemu-utils vde2$"):
        programs.require(programs.TO_RUN, find=lambda name: None if name in ("vde_switch", "qemu-img") else name)


def test_nothing_is_refused_when_every_program_is_there() -> None:
    programs.require(programs.TO_RUN, find=lambda name: name)


@pytest.mark.parametrize(
    ("cpuinfo", "usable", "expected"),
    [
        ("flags : fpu svm", True, "kvm"),
        ("flags : fpu vmx", True, "kvm"),
        ("flags : fpu vmx", False, qemu.EMULATION),
        ("flags : fpu svm_lock", True, qemu.EMULATION),
    ],
)
def test_kvm_needs_both_the_processor_and_the_device(cpuinfo: str, usable: bool, expected: str) -> None:
    assert qemu.accelerator(cpuinfo, usable) == expected


def test_a_clone_has_the_devices_of_its_template(tmp_path: Path) -> None:
    clone = machine(tmp_path).command()
    template = machine(tmp_path, switch=None, restore=False, memory_shared=True).command()
    assert devices(clone) == devices(template)


def test_a_clone_never_writes_to_the_memory_of_the_snapshot(tmp_path: Path) -> None:
    assert any(word.endswith(",share=off") for word in machine(tmp_path).command())


def test_management_reaches_nothing_but_ssh_on_loopback(tmp_path: Path) -> None:
    user = [word for word in machine(tmp_path).command() if word.startswith("user,")]
    assert user == ["user,id=eth0,restrict=on,hostfwd=tcp:127.0.0.1:20022-:22"]


def test_only_a_port_of_the_inventory_is_plugged_in(tmp_path: Path) -> None:
    plugged = [word for word in machine(tmp_path).command() if word.startswith("vde,")]
    assert plugged == [f"vde,id=eth1,sock={tmp_path}/switch,port=7"]


def test_a_recorded_pid_that_now_is_another_process_is_not_ours(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{os.getpid()}\n")
    assert qemu.running(pid_file, str(tmp_path / "console.log")) is None


def test_a_recorded_process_is_found_and_ended(tmp_path: Path) -> None:
    mark = str(tmp_path / "console.log")
    process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", mark],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    (tmp_path / "pid").write_text(f"{process.pid}\n")
    assert qemu.running(tmp_path / "pid", mark) == process.pid
    qemu.kill([process.pid])
    assert qemu.running(tmp_path / "pid", mark) is None
    process.stdout.close()
    process.returncode = -9


def test_sockets_move_to_a_short_folder_when_the_repository_s_path_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    sockets = paths.State(deep / ".lab").sockets
    try:
        assert len(str(sockets)) + paths.ROOM_FOR_NAMES <= paths.LONGEST_SOCKET
        assert paths.State(deep / ".lab").sockets == sockets, "recorded, and found again"
    finally:
        sockets.rmdir()


def test_a_lock_that_is_held_is_refused_with_the_reason(tmp_path: Path) -> None:
    with (
        paths.locked(tmp_path / "lock", "busy"),
        pytest.raises(LabError, match="busy"),
        paths.locked(tmp_path / "lock", "busy"),
    ):
        pass
