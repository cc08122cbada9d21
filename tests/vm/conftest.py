"""What the tests on virtual machines share: the plan of the host at hand, from the scenario's inventories."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ansible.module_utils.lvs import inventory
from ansible.module_utils.lvs.plan import plans


@pytest.fixture(scope="session")
def topology():
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "--list"]
    for path in os.environ["LVSKIT_INVENTORIES"].split(":"):
        command += ["--inventory", path]
    listing = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    variables = listing.pop("_meta")["hostvars"]

    def members(group):
        found = dict.fromkeys(listing.get(group, {}).get("hosts", []))
        for child in listing.get(group, {}).get("children", []):
            found.update(dict.fromkeys(members(child)))
        return list(found)

    first = next(iter(variables.values()))
    hosts = {name: {k: v for k, v in own.items() if k.startswith("lvs_")} for name, own in variables.items()}
    read, faults = inventory.parse(
        first["lvs_networks"], first["lvs_services"], hosts, {group: members(group) for group in listing}
    )
    assert not faults
    return read


@pytest.fixture(scope="session")
def plan_of(topology):
    compiled = plans(topology)
    return compiled.__getitem__


@pytest.fixture
def name(host):
    return host.backend.get_hostname()


@pytest.fixture
def host_plan(plan_of, name):
    return plan_of(name)


@pytest.fixture(autouse=True)
def _only_in_its_group(request, topology, name):
    """A test marked with a group's name concerns that group's hosts only."""
    groups = [marker.name for marker in request.node.iter_markers() if marker.name in topology.groups]
    if groups and not any(name in topology.groups[group] for group in groups):
        pytest.skip(f"{name} is not in {' or '.join(groups)}")
