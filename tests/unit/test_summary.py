"""What ansible-playbook prints on several hosts with callback_plugins/lvs_summary.py."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
HOSTS = ("rs1", "rs2", "rs3", "rs10")

MODULE = '''\
"""Does what its arguments say."""
import time
from ansible.module_utils.basic import AnsibleModule

kinds = {"changed": "bool", "commands": "list", "warning": "str", "deprecation": "str", "wanted": "str", "seconds": "int", "failure": "str", "environment": "bool"}
module = AnsibleModule({name: {"type": kind} for name, kind in kinds.items()}, supports_check_mode=True)
said = module.params
time.sleep(said["seconds"] or 0)
if said["warning"]:
    module.warn(said["warning"])
if said["deprecation"]:
    module.deprecate(said["deprecation"], version="9.9")
result = {"changed": bool(said["changed"]), "environment": bool(said["environment"])}
if said["commands"]:
    result["commands"] = said["commands"]
if said["wanted"]:
    result["diff"] = {"before": "", "after": said["wanted"], "before_header": "table", "after_header": "table"}
if said["failure"]:
    module.fail_json(msg=said["failure"], **result)
module.exit_json(**result)
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with hosts that are this machine, and a module that does what it is told."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "library").mkdir()
    (folder / "library/told.py").write_text(MODULE)
    (folder / "hosts.yml").write_text(
        f"all:\n  hosts: {{{', '.join(f'{host}: ' for host in HOSTS)}}}\n"
        f"  vars: {{ansible_connection: local, ansible_interpreter_python_fallback: [{sys.executable}]}}\n"
    )
    return folder


def command(place, tasks, *arguments, play="", **settings):
    header = "- name: Provision\n  hosts: all\n  gather_facts: false\n"
    book = place / "book.yml"
    book.write_text(tasks if tasks.startswith("- hosts") else f"{header}{play}  tasks:\n{tasks}")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_LIBRARY": str(place / "library"),
        "ANSIBLE_NOCOLOR": "1",
        **settings,
    }
    program = Path(sys.executable).parent / "ansible-playbook"
    return {"args": [program, "-i", place / "hosts.yml", book, *arguments], "env": environment, "cwd": PROJECT}


def run(place, tasks, *arguments, **more):
    """The run of a play with these tasks; `play` has further lines of the play, the others are settings of Ansible."""
    return subprocess.run(**command(place, tasks, *arguments, **more), capture_output=True, text=True, timeout=300)


def lines(done):
    return [line for line in done.stdout.splitlines() if line]


APPLY = """\
    - name: Apply
      told:
        changed: "{{ inventory_hostname != 'rs2' }}"
        commands: [ip a, ip b, ip c, ip d]
        warning: the clock is wrong
        deprecation: an old key
"""


def test_a_task_is_a_line_and_hosts_with_the_same_changes_a_row(place):
    done = run(place, APPLY)
    assert lines(done) == [
        "PLAY [Provision] 4 hosts",
        "  Apply: 1 ok, 3 changed (rs1, rs3, rs10)",
        "PLAY RECAP hosts=4 ok=4 changed=3 unreachable=0 failed=0",
        "  rs1, rs3, rs10  changed  ip a; ip b; ip c; +1 more",
    ]
    assert done.returncode == 0
    assert done.stderr.count("the clock is wrong (rs1, rs2, rs3, +1 more)") == 1
    assert done.stderr.count("the clock is wrong") == 1
    assert done.stderr.count("an old key (rs1, rs2, rs3, +1 more)") == 1
    assert "interpreter" not in done.stderr
    assert re.search("changed=[1-9]", done.stdout), "molecule looks for this"


def test_what_nobody_does_is_not_printed(place):
    done = run(
        place,
        "- hosts: nobody\n  tasks: [{ping: }]\n"
        "- hosts: all\n  gather_facts: false\n  tasks: [{ping: , when: false}]\n"
        "- hosts: rs1\n  name: One\n  gather_facts: false\n  tasks: [{set_fact: {a: 1}}, {debug: {msg: b}, when: false}]\n",
    )
    assert lines(done) == [
        "PLAY [One] 1 host",
        "  set_fact: 1 ok",
        "PLAY RECAP hosts=4 ok=4 changed=0 unreachable=0 failed=0",
    ]


def test_skipped_hosts_are_counted_where_the_configuration_shows_them(place):
    done = run(place, "    - {name: A, set_fact: {a: 1}, when: false}\n", ANSIBLE_DISPLAY_SKIPPED_HOSTS="true")
    assert lines(done)[:2] == ["PLAY [Provision] 4 hosts", "  A: 4 skipped"]


FAILING = """\
    - name: Look
      assert:
        that: inventory_hostname == 'rs2'
        fail_msg: "{{ inventory_hostname }} lacks ipvsadm. Install it."
    - {name: Apply, told: {failure: The disk is full., changed: true}}
"""


def test_hosts_with_the_same_failure_have_its_message_once(place):
    done = run(place, FAILING)
    assert lines(done) == [
        "PLAY [Provision] 4 hosts",
        "  Look: 1 ok, 3 FAILED",
        "    FAILED rs1, rs3, rs10:",
        "      <host> lacks ipvsadm. Install it.",
        "  Apply: 1 FAILED",
        "    FAILED rs2:",
        "      The disk is full.",
        "PLAY RECAP hosts=4 ok=0 changed=1 unreachable=0 failed=4",
        "  rs1, rs3, rs10  FAILED           <host> lacks ipvsadm.",
        "  rs2             changed, FAILED  The disk is full.",
    ]
    assert done.returncode == 2
    assert "Origin" not in done.stderr


def test_hosts_that_cannot_be_reached_have_the_reason_once(place):
    away = (
        "-e",
        "ansible_connection=ssh ansible_port=9 ansible_ssh_common_args='-F none'",
        "-e",
        "ansible_host=127.0.0.1",
    )
    done = run(place, "    - {name: Apply, told: }\n", *away)
    assert lines(done)[1:3] == ["  Apply: 4 UNREACHABLE", "    UNREACHABLE rs1, rs2, rs3, rs10:"]
    assert done.stdout.count("Connection refused") == 2, done.stdout
    assert "Task failed" not in done.stdout
    assert "PLAY RECAP hosts=4 ok=0 changed=0 unreachable=4 failed=0" in done.stdout
    assert re.search(r"^  rs1, rs2, rs3, \+1 more  UNREACHABLE  ", done.stdout, re.M)
    assert done.returncode == 4


# A task that Ansible lets the first host do for all, and one whose result tells.
@pytest.mark.parametrize(
    "task", ["fail: {msg: No VLAN 7.}\n      run_once: true", "told: {failure: No VLAN 7., environment: true}"]
)
def test_a_failure_of_the_environment_stands_under_no_hosts_name(place, task):
    done = run(place, f"    - name: Compile\n      {task}\n")
    assert lines(done) == [
        "PLAY [Provision] 4 hosts",
        "  Compile: FAILED",
        "    No VLAN 7.",
        "PLAY RECAP hosts=0 ok=0 changed=0 unreachable=0 failed=1",
        "  environment  FAILED  No VLAN 7.",
    ]
    assert done.returncode == 2


@pytest.fixture(scope="module")
def busy(place):
    """The lines of a run in which every task has something of its own to print."""
    tasks = """\
    - {name: Load, fail: {msg: no ipip}, ignore_errors: true}
    - {name: Items, fail: {msg: no module}, loop: [ipip, ip_vs], run_once: true, ignore_errors: true}
    - {name: Command, command: sh -c 'echo no such module >&2; exit 3', run_once: true, ignore_errors: true, changed_when: false}
    - block: [{name: Install, fail: {msg: no packages}}]
      rescue: [{name: Look again, set_fact: {a: 1}}]
    - &twice {name: Twice, set_fact: {a: 1}}
    - *twice
    - {name: Drift, debug: {msg: "{{ inventory_hostname }} is not\\nas it was left"}, when: "inventory_hostname in ['rs1', 'rs3']"}
    - {name: Path, debug: {msg: /tmp/page.html}, run_once: true}
    - {name: Services, debug: {var: services}, run_once: true, vars: {services: [web, api]}}
"""
    done = run(place, tasks)
    assert done.returncode == 0
    return lines(done)


def after(printed, first, number):
    """So many lines, from the one that begins with `first` on."""
    at = next(at for at, line in enumerate(printed) if line.startswith(f"  {first}"))
    return printed[at : at + number]


def test_an_ignored_failure_is_shown(busy):
    assert after(busy, "Load", 3) == ["  Load: 4 ignored", "    ignored rs1, rs2, rs3, rs10:", "      no ipip"]


def test_failed_items_are_named(busy):
    assert after(busy, "Items", 3) == ["  Items: ignored", "    ipip: no module", "    ip_vs: no module"]


def test_what_a_failed_command_printed_is_shown(busy):
    name, reason, printed = after(busy, "Command", 3)
    assert name == "  Command: ignored"
    assert "non-zero return code" in reason
    assert printed == "    no such module"


def test_an_ignored_failure_is_in_no_row(place):
    tasks = "    - {fail: {msg: no VLAN}, run_once: true, ignore_errors: true}\n    - {fail: {msg: full}, when: inventory_hostname == 'rs2'}\n"
    assert lines(run(place, tasks))[-2:] == [
        "PLAY RECAP hosts=4 ok=3 changed=0 unreachable=0 failed=1",
        "  rs2  FAILED  full",
    ]


def test_a_failure_that_rescue_takes_care_of_is_in_no_row(busy):
    assert after(busy, "Install", 4) == [
        "  Install: 4 FAILED",
        "    FAILED rs1, rs2, rs3, rs10:",
        "      no packages",
        "  Look again: 4 ok",
    ]
    assert busy[-1] == "PLAY RECAP hosts=4 ok=4 changed=0 unreachable=0 failed=0"


def test_tasks_with_the_same_name_have_a_line_each(busy):
    assert after(busy, "Twice", 2) == ["  Twice: 4 ok", "  Twice: 4 ok"]


def test_debug_is_text(busy):
    assert after(busy, "Drift", 9) == [
        "  Drift (rs1, rs3):",
        "    <host> is not",
        "    as it was left",
        "  Path:",
        "    /tmp/page.html",
        "  Services:",
        "    services:",
        "    - web",
        "    - api",
    ]


def test_equal_differences_are_shown_once(place):
    tasks = "    - {name: Apply, told: {changed: true, wanted: \"-A -t {{ 2 if inventory_hostname == 'rs2' else 1 }}\\n\"}}\n"
    done = run(place, tasks, "--check", "--diff", ANSIBLE_CHECK_MODE_MARKERS="true")
    assert done.stdout.count("\n+-A -t 1\n") == 1
    assert done.stdout.count("\n+-A -t 2\n") == 1
    assert "    rs1, rs3, rs10:\n--- before: table\n" in done.stdout
    assert "    rs2:\n--- before: table\n" in done.stdout
    assert "PLAY [Provision] 4 hosts [CHECK MODE]\n  Apply [CHECK MODE]: 4 changed" in done.stdout
    assert done.stdout.count("DRY RUN") == 2


def test_batches_are_summed_up(place):
    tasks = "    - &a {name: A, set_fact: {a: 1}}\n    - {name: B, set_fact: {b: 1}}\n    - *a\n"
    done = run(place, tasks, play="  serial: [1, 2]\n")
    assert lines(done) == [
        "PLAY [Provision] 4 hosts",
        "  A: 4 ok",
        "  B: 4 ok",
        "  A: 4 ok",
        "PLAY RECAP hosts=4 ok=4 changed=0 unreachable=0 failed=0",
    ]


def test_a_batch_that_fails_is_shown_before_the_next_one(place):
    tasks = "    - {name: A, set_fact: {a: 1}}\n    - {name: B, fail: {msg: full}, when: inventory_hostname == 'rs2'}\n"
    done = run(place, tasks, play="  serial: 2\n")
    assert lines(done)[:7] == [
        "PLAY [Provision] 4 hosts",
        "  A: 2 ok",
        "  B: 1 FAILED",
        "    FAILED rs2:",
        "      full",
        "  A: 2 ok",
        "PLAY RECAP hosts=4 ok=3 changed=0 unreachable=0 failed=1",
    ]


def test_hosts_that_go_at_their_own_pace_are_summed_up_too(place):
    tasks = "    - {name: A, set_fact: {a: 1}}\n    - {name: B, set_fact: {b: 1}}\n"
    assert lines(run(place, tasks, play="  strategy: free\n"))[1:3] == ["  A: 4 ok", "  B: 4 ok"]


def test_verbose_output_is_ansibles_own(place):
    tasks = FAILING.replace("told:", "fail:").replace("{failure: The disk is full., changed: true}", "{msg: full}")
    ours, default = (
        run(place, tasks, "-v", "--forks=1", ANSIBLE_STDOUT_CALLBACK=name) for name in ("lvs_summary", "default")
    )
    assert "fatal: [rs1]: FAILED! =>" in ours.stdout
    assert (ours.stdout, ours.stderr) == (default.stdout, default.stderr)


def test_a_run_that_is_interrupted_on_a_terminal_prints_what_was_done(place):
    tasks = "    - {name: Apply, told: {changed: true, seconds: \"{{ 100 if inventory_hostname == 'rs2' else 0 }}\"}}\n"
    screen, terminal = pty.openpty()
    process = subprocess.Popen(**command(place, tasks), stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    printed = ""
    try:
        while "Apply: 3 of 4 hosts" not in printed:
            printed += os.read(screen, 4096).decode()
        process.send_signal(signal.SIGINT)
        while "\n" not in printed.partition("(interrupted)")[2]:
            printed += os.read(screen, 4096).decode()
    finally:
        process.kill()
        process.wait()
        os.close(screen)
    assert "\r\x1b[K\r\nPLAY [Provision] 4 hosts\r\n" in printed, "the counter is still there"
    assert "  Apply (interrupted): 3 changed (rs1, rs3, rs10)\r\n" in printed
