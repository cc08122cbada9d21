"""Programs of a host: what is said where one is missing, fails, or answers something else."""

import json
import os

import pytest
from ansible.module_utils.lvs_host import programs
from ansible.module_utils.lvs_host.errors import HostError, cannot, reported
from ansible.module_utils.testing import patch_module_args
from libraries import LIBRARY, loaded


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder with programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_FOLDERS", ())
    return tmp_path


def program(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_command_gets_its_input_and_gives_code_and_both_outputs(folder):
    program(folder, "tool", 'read line; echo "$1 $line"; echo no >&2; exit 3')
    assert programs.run(["tool", "a b", "$HOME"], "c\n") == (3, "a b c\n", "no\n")
    program(folder, "tool", 'echo "$1 $LC_ALL"')
    assert programs.run(["tool", "$PATH"], None) == (0, "$PATH C\n", "")


def test_a_missing_program_is_named_with_its_package(folder):
    with pytest.raises(HostError, match=r"^`modprobe` is missing on this host: install the package kmod$"):
        programs.run(["modprobe", "ip_vs"], None)
    with pytest.raises(HostError, match=r"^`frobnicate` is missing on this host: install it$"):
        programs.run(["frobnicate"], None)


def test_a_program_that_cannot_be_started_is_named(folder):
    (folder / "ip").write_text("x")
    (folder / "ip").chmod(0o755)
    with pytest.raises(HostError, match=r"^`ip` cannot be started on this host: Exec format error$"):
        programs.run(["ip"], None)


def test_system_programs_are_found_though_the_login_does_not_look_there(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "_FOLDERS", (str(folder),))
    assert programs.find("ipvsadm") is None
    program(folder, "ipvsadm", "echo here")
    assert programs.find("ipvsadm") == f"{folder}/ipvsadm"
    assert programs.run(["ipvsadm"], None) == (0, "here\n", "")


def test_a_command_that_fails_is_told_with_its_words(folder):
    program(folder, "ip", "echo RTNETLINK answers: File exists >&2; exit 2")
    with pytest.raises(HostError, match=r"^`ip -batch -` failed: RTNETLINK answers: File exists$"):
        programs.output(programs.run, ["ip", "-batch", "-"], "x\n")
    program(folder, "ip", "exec 0<&-; echo no such service >&2; exit 255")
    with pytest.raises(HostError, match=r"^`ip -batch -` failed: no such service$"):
        programs.output(programs.run, ["ip", "-batch", "-"], "x\n" * 100000)
    program(folder, "ip", "exit 2")
    with pytest.raises(HostError, match=r"^`ip` failed: exit code 2$"):
        programs.output(programs.run, ["ip"])


def test_an_answer_of_ip_that_is_no_json_is_told():
    assert programs.listed('[{}, {"dst": "default"}]') == [{"dst": "default"}]
    assert programs.listed("") == []
    with pytest.raises(HostError, match=r"`ip -json` answers no JSON .* install iproute2 4.18 or newer"):
        programs.listed("default via 10.20.1.1 dev eth1")


class Module:
    def fail_json(self, **result):
        self.result = result
        raise SystemExit(1)


def told(error, **options):
    module = Module()
    with pytest.raises(SystemExit), reported(module, ["ip link set dev tunl0 up"], commands=["x"], **options):
        raise error
    assert module.result["commands"] == ["x"]
    return module.result["msg"]


def test_an_error_of_a_host_is_told_with_what_was_done_before(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = " Done before that: ip link set dev tunl0 up."
    assert told(HostError("no room. Make some")) == f"no room. Make some.{done}"
    assert (
        told(OSError(28, "No space left on device")) == f"the host refuses: [Errno 28] No space left on device.{done}"
    )
    assert told(OSError(2, "No such file or directory", "/run/x")) == (
        f"cannot use /run/x: No such file or directory. Remove the cause and run again.{done}"
    )


def test_any_other_error_is_a_fault_of_lvskits_own_and_not_hidden(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ZeroDivisionError), reported(Module()):
        raise ZeroDivisionError


def test_what_needs_no_root_runs_without(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with reported(Module(), root=False):
        pass
    with pytest.raises(SystemExit), reported(Module()):
        pytest.fail("it ran")


def test_the_remedy_names_the_folder_that_is_there(tmp_path):
    error = cannot("write", f"{tmp_path}/not/there/file", OSError(28, "No space left on device"))
    assert f"(df {tmp_path})" in str(error)


RUN_THE_KERNEL = ["lvs_state", "lvs_clear", "lvs_history", "lvs_inspect", "lvs_built_modules"]
ARGUMENTS = {"lvs_built_modules": {"modules": ["lvskit_toa"]}}


@pytest.mark.parametrize("name", RUN_THE_KERNEL)
def test_a_user_without_the_rights_of_root_is_told_to_become(name, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with patch_module_args(ARGUMENTS.get(name, {})), pytest.raises(SystemExit):
        loaded(name).main()
    assert "Set `become: true` for the task" in json.loads(capsys.readouterr().out)["msg"]


BY_OTHER_MEANS = ("lvs_capture", "lvs_probe")


@pytest.mark.parametrize(
    "path", [p for p in sorted(LIBRARY.glob("*.py")) if p.stem not in BY_OTHER_MEANS], ids=lambda p: p.stem
)
def test_no_module_leaves_a_missing_program_to_ansible(path):
    """Its run_command ends the module with words that name no remedy, unless it is told not to."""
    text = path.read_text()
    assert "run_command(" not in text
    assert "get_bin_path" not in text
