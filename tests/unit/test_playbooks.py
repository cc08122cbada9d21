"""The playbooks as a person runs them, on the controller alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LAB = PROJECT / "inventory/lab"


def playbook(name, *arguments):
    command = [Path(sys.executable).parent / "ansible-playbook", PROJECT / "playbooks" / f"{name}.yml", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def broken(tmp_path):
    """An inventory beside the lab's that overrides its services."""

    def write(services):
        (tmp_path / "group_vars/all").mkdir(parents=True)
        (tmp_path / "hosts.yml").write_text("all: {}\n")
        (tmp_path / "group_vars/all/services.yml").write_text(services)
        return tmp_path

    return write


@pytest.mark.parametrize("environment", ["lab", "example-production"])
def test_the_inventories_that_come_with_it_are_valid(environment):
    run = playbook("validate", "-i", PROJECT / "inventory" / environment)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_syntax_can_be_checked_without_an_inventory():
    run = playbook("site", "--syntax-check")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", ["validate", "advise", "explain", "preflight", "site", "rollback"])
def test_an_inventory_without_hosts_is_no_success(tmp_path, name):
    (tmp_path / "hosts.yml").write_text("directors:\n  hosts:\n")
    for given in ([], ["-i", tmp_path]):
        run = playbook(name, *given)
        assert run.returncode != 0
        assert "the inventory has no hosts, so there is nothing to check or change." in run.stdout + run.stderr


BAD = """\
lvs_services:
  - name: web
    vip: 10.20.1.11
    port: 80
    mode: dr
    real_servers:
      - {host: rs1}
      - host: rs3
        weight: -1
  - name: api
    vip: 203.0.113.81
    port: 80
    schedular: rr
    mode: tun
    real_servers: [{host: rs3, port: 8080}]
"""


@pytest.mark.parametrize("name", ["validate", "site", "verify", "preflight"])
def test_every_violation_is_shown_with_its_file_line_and_column(broken, name):
    place = broken(BAD)
    run = playbook(name, "-i", LAB, "-i", place)
    output = run.stdout + run.stderr
    assert run.returncode != 0
    file = place / "group_vars/all/services.yml"
    for line, column, rule in (
        (3, 10, "VIP-COLLISION: service web"),
        (8, 15, "DR-SAME-VLAN: service web"),
        (9, 17, "WEIGHT-RANGE: service web"),
        (13, 5, "KEY-UNKNOWN: service api"),
        (15, 27, "TUN-PORT: service api"),
    ):
        assert f"{file}:{line}:{column}: {rule}" in output, output
    assert "5 faults. No host was touched." in output


def test_site_stops_before_any_host_when_the_inventory_cannot_work(broken):
    run = playbook("site", "-i", LAB, "-i", broken(BAD))
    assert "UNREACHABLE" not in run.stdout
    assert "Prepare the real servers" not in run.stdout


def test_site_with_a_limit_validates_too(broken):
    run = playbook("site", "-i", LAB, "-i", broken(BAD), "--limit", "rs1")
    assert run.returncode != 0
    assert "VIP-COLLISION" in run.stdout + run.stderr


@pytest.mark.parametrize("name", ["validate", "explain", "advise"])
def test_a_misspelt_variable_of_the_environment_is_named_with_its_place(broken, name):
    place = broken("lvs_service: []\nlvs_services: null\n")
    run = playbook(name, "-i", LAB, "-i", place)
    output = run.stdout + run.stderr
    assert f"{place}/group_vars/all/services.yml:1:1: KEY-UNKNOWN: hosts client1, " in output
    assert f"{place}/group_vars/all/services.yml:2:1: KEY-MISSING: lvs_services: no service is described." in output


def test_a_weight_without_a_director_among_the_hosts_is_refused():
    run = playbook("weight", "-i", LAB, "--limit", "client1", "-e", "lvs_weight_hosts=rs1", "-e", "lvs_weight=0")
    assert run.returncode
    assert "--limit leaves no director, and weights are set on directors." in " ".join(
        (run.stdout + run.stderr).split()
    )


def test_a_rollback_of_hosts_without_plans_is_refused():
    run = playbook("rollback", "-i", LAB, "--limit", "client1")
    assert run.returncode
    assert "no other host has a plan to go back to. Name some of them in --limit" in " ".join(
        (run.stdout + run.stderr).split()
    )


def test_what_one_host_says_of_the_environment_is_refused(broken):
    place = broken("{}\n")
    (place / "host_vars").mkdir()
    (place / "host_vars/rs1.yml").write_text("lvs_services: []\n")
    run = playbook("validate", "-i", LAB, "-i", place)
    output = run.stdout + run.stderr
    assert f"{place}/host_vars/rs1.yml:1:15: ONE-ENVIRONMENT: host rs1 has lvs_services of its own" in output
    assert "host lb1 has lvs_services" not in output


def test_a_template_that_is_not_the_same_for_all_hosts_is_refused(broken):
    server = "{host: rs3, weight: '{{ rack | default(100) }}'}"
    place = broken(
        f"lvs_services:\n  - {{name: a, vip: 203.0.113.80, port: 80, mode: tun, real_servers: [{server}]}}\n"
    )
    (place / "host_vars").mkdir()
    (place / "host_vars/rs3.yml").write_text("rack: 20\n")
    run = playbook("validate", "-i", LAB, "-i", place)
    assert run.returncode != 0
    said = re.sub(r"\s+", " ", run.stdout + run.stderr)
    assert (
        f"{place}/group_vars/all/services.yml:2:90: ONE-ENVIRONMENT: {{{{ rack | default(100) }}}} is rendered once"
        in said
    )
    assert "'20' for rs3 and '100' for client1" in said


def test_an_environment_without_services_is_warned_of(broken):
    run = playbook("validate", "-i", LAB, "-i", broken("lvs_services: []\n"))
    assert run.returncode == 0
    assert "NO-SERVICES: lvs_services is an empty list: site.yml removes every service" in re.sub(
        r"\s+", " ", run.stdout + run.stderr
    )


def test_a_key_that_stands_twice_is_refused(broken):
    service = "{name: a, vip: 203.0.113.80, port: 80, port: 81, mode: tun, real_servers: [{host: rs3, port: 81}]}"
    run = playbook("validate", "-i", LAB, "-i", broken(f"lvs_services:\n  - {service}\n"))
    assert run.returncode != 0
    assert "duplicate" in (run.stdout + run.stderr).lower()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("drain", [], "No real server to drain is named"),
        ("drain", ["-e", "lvs_drain= , "], "No real server to drain is named"),
        ("drain", ["-e", "lvs_drain=lb1"], "there is no real server lb1"),
        ("undrain", [], "No drained real server is named"),
        ("teardown", ["-e", "lvs_teardown_services="], "No service or host to remove is named"),
        ("teardown", ["-e", '{"lvs_teardown_services": ["webb"]}'], "there is no service webb: did you mean web?"),
        ("teardown", ["-e", "lvs_teardown_hosts=rs1,rs2"], "name it in lvs_teardown_services"),
        ("advise", ["-e", "lvs_advise_needs=client_address"], "lvs_advise_needs is a string, it must be a mapping"),
        ("advise", ["-e", '{"lvs_advise_needs": {"client_adress": true}}'], "did you mean client_address?"),
    ],
)
def test_what_is_asked_for_is_refused_before_any_host_is_touched(name, arguments, said):
    run = playbook(name, "-i", LAB, *arguments)
    output = run.stdout + run.stderr
    assert run.returncode != 0
    assert said in re.sub(r"\s+", " ", output), output
    assert "UNREACHABLE" not in output


def test_names_can_be_a_list_or_a_text():
    for names in ('"web, api"', '["web", "api"]'):
        run = playbook("advise", "-i", LAB, "-e", f'{{"lvs_advise_services": {names}}}')
        assert run.returncode == 0
        assert "service api" in run.stdout
        assert "service dns (203" not in run.stdout


def test_verify_names_a_service_that_does_not_exist():
    run = playbook("verify", "-i", LAB, "-e", "lvs_verify_services=webb")
    assert run.returncode != 0
    assert "there is no service webb (known: web, api, dns, files, " in run.stdout + run.stderr


def test_trace_wants_to_know_which_service():
    run = playbook("trace", "-i", LAB)
    assert "No service is named. Set its name in lvs_services: -e lvs_trace_service=web" in run.stdout + run.stderr
    run = playbook("trace", "-i", LAB, "-e", "lvs_trace_service=webb")
    assert "there is no service webb" in run.stdout + run.stderr


# An address of each host's own.
OWN_LOOPBACK = "\"127.0.0.{{ groups['all'].index(inventory_hostname) + 1 }}\""


def test_preflight_names_hosts_that_cannot_be_reached(tmp_path):
    (tmp_path / "hosts.yml").write_text(
        f"all: {{vars: {{ansible_port: 9, ansible_host: {OWN_LOOPBACK}, ansible_ssh_common_args: -F none}}}}\n"
    )
    run = playbook("preflight", "-i", LAB, "-i", tmp_path, "--limit", "lb1,rs1")
    assert "2 hosts: 2 faults, 0 risks" in run.stdout
    assert "HOST: rs1: connection: found " in run.stdout + run.stderr


@pytest.mark.parametrize(("name", "play"), [("site", "Provision the directors"), ("verify", "Compare")])
def test_a_host_that_cannot_be_reached_ends_the_run(name, play, tmp_path):
    """Directors, above all, must not send to a real server that was not provisioned."""
    (tmp_path / "hosts.yml").write_text(
        "clients: {hosts: {client1: }}\n"
        "directors: {hosts: {lb1: }}\n"
        "real_servers: {hosts: {rs1: }}\n"
        "all:\n"
        "  vars:\n"
        "    ansible_port: 9\n"
        f"    ansible_host: {OWN_LOOPBACK}\n"
        "    ansible_ssh_common_args: -F none\n"
        "    lvs_networks: {edge: {cidr: 203.0.113.0/24, vlan: 10}}\n"
        "    lvs_services: [{name: a, vip: 203.0.113.80, port: 80, mode: dr, real_servers: [{host: rs1}]}]\n"
    )
    (tmp_path / "host_vars").mkdir()
    for number, host in enumerate(("client1", "lb1", "rs1"), 10):
        text = f"lvs_interfaces: {{eth1: {{network: edge, address: 203.0.113.{number}}}}}\n"
        (tmp_path / "host_vars" / f"{host}.yml").write_text(text)
    run = playbook(name, "-i", tmp_path)
    assert "UNREACHABLE" in run.stdout or "cannot be reached, so the run ends here" in run.stdout + run.stderr
    assert f"PLAY [{play}]" not in run.stdout
