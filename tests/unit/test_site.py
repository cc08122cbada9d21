"""site.yml as a person runs it, on local hosts whose modules are stand-ins: who asks, who goes back, and what is reported."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand_in"
EARLIER = "2026-01-01T00:00:00Z"  # the run that a host can go back to, as lvs_history has it
VIPS = {"web": "10.20.1.80", "orders": "10.20.1.81"}


class Site:
    """An environment of two clients, a director and two real servers, in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.playbook, self.path = PROJECT / "playbooks/site.yml", folder
        self.output, self.code = "", 0
        services = [
            {"name": "web", "scheduler": "rr", "port": 80},
            {"name": "orders", "scheduler": "sh", "port": 3306},
        ]
        usual = {"mode": "dr", "real_servers": [{"group": "real_servers"}]}
        networks = {"app": {"cidr": "10.20.1.0/24", "vlan": 30}}
        groups = {"clients": ["client1", "client2"], "directors": ["lb1"], "real_servers": ["rs1", "rs2"]}
        hosts = [name for names in groups.values() for name in names]
        inventory = {
            name: {"hosts": {host: self.host(host, 10 + hosts.index(host)) for host in names}}
            for name, names in groups.items()
        }
        common = {
            "ansible_connection": "local",
            "lvs_networks": networks,
            "lvs_services": [{**usual, **service, "vip": VIPS[service["name"]]} for service in services],
            "ansible_become": False,
        }
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": inventory, "vars": common}}))
        (folder / "recorded").write_text("tcp 10.20.1.80:80\ntcp 10.20.1.81:3306\n")

    def host(self, name, last):
        """A host whose interpreter tells the stand-ins which one they are."""
        interpreter = self.folder / f"python-{name}"
        interpreter.write_text(f'#!/bin/sh\nHOST={name} exec {sys.executable} "$@"\n')
        interpreter.chmod(0o755)
        address = {"network": "app", "address": f"10.20.1.{last}"}
        return {"ansible_python_interpreter": str(interpreter), "lvs_interfaces": {"eth1": address}}

    def leave_out(self, client):
        inventory = yaml.safe_load((self.folder / "hosts.yml").read_text())
        del inventory["all"]["children"]["clients"]["hosts"][client]
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(self, *arguments, **answers):
        """`answers`: by client and time which requests of a service are answered; all where it is not said."""
        said = {name.replace("_", " ", 1): value for name, value in answers.items()}
        (self.folder / "probe.json").write_text(json.dumps(said))
        variables = {
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_LIBRARY": f"{STAND_IN}:{PROJECT / 'library'}",
            "ANSIBLE_NOCOLOR": "1",
            "STAND_IN": str(self.folder),
            "PATH": f"{self.path}:{os.environ['PATH']}",
        }
        command = [Path(sys.executable).parent / "ansible-playbook", self.playbook]
        run = subprocess.run(
            [*command, "-i", self.folder / "hosts.yml", *arguments],
            cwd=PROJECT,
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.output, self.code = re.sub(r"\s+", " ", run.stdout + run.stderr), run.returncode
        return self

    @property
    def log(self):
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def rolled_back(self):
        """The hosts that were rolled back to the earlier run, in the order of their groups, each once."""
        names = list(dict.fromkeys(call[1] for call in self.log if call[0] == "state" and call[2] == EARLIER))
        return [*sorted(names[:2]), *names[2:]]

    def asked(self, when):
        return {call[1]: call[3] for call in self.log if call[0] == "probe" and call[2] == when}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


NONE = {"web": "none"}
BACK = ["rs1", "rs2", "lb1"]  # no director sends to a real server that is not ready


def test_services_that_are_lost_are_rolled_back(site):
    """By its scheduler sh one client meets one real server of orders: its director asks all of them, and reaches all."""
    site.leave_out("client2")
    site.run(client1_after={"web": "none", "orders": "none"})
    assert site.code != 0
    assert site.rolled_back == BACK
    assert "web and orders answered before this run, and not afterwards: timed out" in site.output
    assert "The hosts were rolled back" in site.output
    assert site.asked("before") == {"client1": {"web": 3, "orders": 3}}
    assert site.asked("after") == {"client1": {"web": 4, "orders": 4}}
    assert site.asked("real_servers") == {"lb1": {"rs1:3306 of orders": 2, "rs2:3306 of orders": 2}}


def test_a_service_that_begins_to_answer_and_one_that_answers_one_request_of_many_are_not_lost(site):
    site.run(
        client1_before=NONE, client2_before=NONE, client1_after={"orders": "last"}, client2_after={"orders": "last"}
    )
    assert site.code == 0, site.output
    assert site.rolled_back == []
    assert site.asked("after") == {"client1": {"orders": 4}, "client2": {"orders": 4}}


def test_a_dead_real_server_that_one_client_always_meets_is_a_warning(site):
    site.leave_out("client2")
    site.run(client1_after={"orders": "none"}, lb1_real_servers={"rs2:3306 of orders": "none"})
    assert site.code == 0, site.output
    assert site.rolled_back == []
    assert "rs2 does not answer the director either" in site.output


def test_without_consent_a_lost_service_is_reported_and_nothing_goes_back(site):
    site.run("-e", "lvs_site_rollback=false", client1_after=NONE, client2_after=NONE)
    assert site.code != 0
    assert site.rolled_back == []
    assert "Nothing was rolled back (lvs_site_rollback: false)" in site.output


def test_a_run_without_the_clients_says_that_nobody_asks(site):
    site.run("--limit", "lb1,rs1,rs2")
    assert site.code == 0, site.output
    assert "No client probes the services before and after this run" in site.output
    assert "--limit excludes client1 and client2" in site.output
    assert {call[0] for call in site.log} == {"state"}


def test_the_first_run_waits_for_no_vip(site):
    (site.folder / "recorded").write_text("")
    site.run()
    assert site.code == 0, site.output
    assert {call[0] for call in site.log} == {"state"}


def test_a_real_server_that_the_director_has_recorded_stays_drained(site):
    (site.folder / "drained").write_text('{"rs2": "2026-03-01T03:00:00Z"}')
    site.run()
    assert site.code == 0, site.output
    drained = {call[1]: call[4] for call in site.log if call[0] == "state"}
    assert "\nrs2 2026-03-01T03:00:00Z\n" in drained["lb1"]
    assert drained["rs1"] == drained["rs2"] == ""
    assert site.asked("after")["client1"]["orders"] == 2  # there is one real server left to meet


def test_check_mode_asks_nobody(site):
    site.run("--check")
    assert site.code == 0, site.output
    assert {(call[0], call[-1]) for call in site.log} == {("state", True)}
    assert "No client probes" not in site.output
