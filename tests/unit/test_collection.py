"""The collection: built from this tree, installed into an empty project elsewhere, and used from there by its full names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import collection

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}


class Elsewhere:
    """A project of somebody else's, with the collection installed and nothing of this tree on its paths."""

    def __init__(self, folder):
        self.folder = folder
        archive = collection.build(folder / "built")
        (folder / "ansible.cfg").write_text("[defaults]\ncollections_path = collections\n")
        self.run("ansible-galaxy", "collection", "install", archive, "-p", folder / "collections", "--offline")
        self.root = folder / "collections/ansible_collections/lvskit/lvs"

    def run(self, command, *arguments, fine=True):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE", "PYTHONPATH"))}
        run = subprocess.run(
            [BIN / command, *map(str, arguments)],
            cwd=self.folder,
            env={**kept, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not fine or run.returncode == 0, run.stdout + run.stderr
        return run


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "built").mkdir()
    return Elsewhere(folder)


def test_every_module_plugin_and_role_is_documented_under_its_full_name(elsewhere):
    for kind, folder in (("module", "library"), ("lookup", "lookup_plugins"), ("callback", "callback_plugins")):
        names = sorted(f"lvskit.lvs.{path.stem}" for path in (PROJECT / folder).glob("*.py"))
        shown = json.loads(elsewhere.run("ansible-doc", "-t", kind, "--json", *names).stdout)
        assert sorted(shown) == names
        assert all(entry["doc"]["short_description"] for entry in shown.values())
    roles = sorted(f"lvskit.lvs.{path.name}" for path in (PROJECT / "roles").iterdir())
    assert sorted(json.loads(elsewhere.run("ansible-doc", "-t", "role", "--json", *roles).stdout)) == roles


def test_nothing_in_it_needs_this_trees_paths(elsewhere):
    for path in elsewhere.root.rglob("*.py"):
        text = path.read_text()
        assert "ansible.module_utils.lvs" not in text, path
        assert "module_utils.__path__" not in text, path


def test_its_playbooks_refuse_what_the_network_cannot_carry(elsewhere):
    run = elsewhere.run("ansible-playbook", "-i", PROJECT / "inventory/example-production", "lvskit.lvs.validate")
    assert "the inventory is valid" in run.stdout
    (elsewhere.folder / "wrong.yml").write_text("all: {vars: {lvs_service: []}}\n")
    inventories = ("-i", PROJECT / "inventory/example-production", "-i", elsewhere.folder / "wrong.yml")
    run = elsewhere.run("ansible-playbook", *inventories, "lvskit.lvs.validate", fine=False)
    assert run.returncode != 0
    assert re.search(
        r"wrong\.yml:1:\d+: KEY-UNKNOWN: .*lvs_service: did you mean lvs_services", run.stdout + run.stderr
    )


def test_a_playbook_of_somebody_else_uses_its_roles_and_modules(elsewhere):
    """In check mode, on this machine: the plan comes as far as the host's own module, which finds the interface missing."""
    hosts = {
        "directors": {"hosts": {"lb1": {"lvs_interfaces": {"lvs-none0": {"network": "app", "address": "10.20.1.10"}}}}},
        "real_servers": {
            "hosts": {"rs1": {"lvs_interfaces": {"lvs-none1": {"network": "app", "address": "10.20.1.11"}}}}
        },
    }
    service = {"name": "web", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
    common = {**HERE, "lvs_networks": {"app": {"cidr": "10.20.1.0/24", "vlan": 30}}, "lvs_services": [service]}
    (elsewhere.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": hosts, "vars": common}}))
    plays = [
        {"hosts": "all", "gather_facts": False, "tasks": [{"lvskit.lvs.lvs_compile": None, "run_once": True}]},
        {"hosts": "real_servers", "gather_facts": False, "roles": ["lvskit.lvs.real_server"]},
    ]
    (elsewhere.folder / "own.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    run = elsewhere.run("ansible-playbook", "--check", "-i", "hosts.yml", "own.yml", fine=False)
    assert "there is no lvs-none1 here" in run.stdout + run.stderr


def test_its_execution_environment_can_be_made(elsewhere):
    definition = elsewhere.root / "execution-environment.yml"
    context = elsewhere.folder / "context"
    elsewhere.run("ansible-builder", "create", "-f", definition, "-c", context, "--output-filename", "Containerfile")
    assert (context / "Containerfile").exists()
    assert "lvskit.lvs" in (context / "_build/requirements.yml").read_text()
