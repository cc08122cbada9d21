"""What the tests on virtual machines share: the plan of the host at hand, from the scenario's inventories."""

import os
import sys
from pathlib import Path

import pytest
import testinfra

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ansible.module_utils.lvs.plan import plans

from lab import environment

TOPOLOGY = environment.topology(environment.read(os.environ["LVSKIT_INVENTORIES"].split(":")))


# Markers for tests of services whose modes have something, by the name it has in the table of modes.
BY_MODE = {
    "sender": "services whose client's address a director sends",
    "every_packet": "services whose every packet has an option",
}


def pytest_configure(config):
    for group in TOPOLOGY.groups:
        config.addinivalue_line("markers", f"{group}: concerns the hosts of this inventory group only")
    for name, services in BY_MODE.items():
        config.addinivalue_line("markers", f"{name}: concerns {services} only")


def pytest_collection_modifyitems(config, items):
    """Leaves out, for each test marked with a group's name, the hosts that are not in it, and tests of absent modes."""
    kept, left_out = [], []
    for item in items:
        groups = [marker.name for marker in item.iter_markers() if marker.name in TOPOLOGY.groups]
        name = item.callspec.params["_testinfra_host"].backend.get_hostname()
        wanted = name not in TOPOLOGY.members("absent")
        wanted = wanted and (not groups or any(name in TOPOLOGY.groups[group] for group in groups))
        for marker in filter(item.get_closest_marker, BY_MODE):
            wanted = wanted and any(getattr(service.mode, marker) for service in TOPOLOGY.services)
        (kept if wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(scope="session")
def topology():
    return TOPOLOGY


@pytest.fixture(scope="session")
def plan_of(topology):
    compiled = plans(topology)
    return compiled.__getitem__


@pytest.fixture
def other_host(request):
    """Another machine of the lab, by name."""
    return lambda name: testinfra.get_host(f"paramiko://{name}", ssh_config=request.config.getoption("--ssh-config"))


@pytest.fixture
def name(host):
    return host.backend.get_hostname()


@pytest.fixture
def host_plan(plan_of, name):
    return plan_of(name)


@pytest.fixture
def second_client(host, topology, name):
    """Another address of the client machine."""
    interface = topology.hosts[name].interfaces[0]
    address = interface.address + 50
    assert address not in topology.owners
    host.check_output(f"ip address add {address}/{interface.network.cidr.prefixlen} dev {interface.name}")
    yield str(address)
    host.check_output(f"ip address del {address}/{interface.network.cidr.prefixlen} dev {interface.name}")
