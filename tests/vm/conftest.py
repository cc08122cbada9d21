"""What the tests on virtual machines share: the plan of the host at hand, from the scenario's inventories."""

import functools
import os
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import paramiko
import pytest
import testinfra
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs_controller import layout

from lab import environment
from tests.vm import selection

FOREIGN = IPv4Network("192.0.2.0/24")  # molecule/shared/foreign.yml: of somebody else's state, and of nothing in a plan
TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
TOPOLOGY = environment.topology(environment.read(os.environ["LVSKIT_INVENTORIES"].split(":")))
LEFT_OUT = pytest.StashKey[dict[str, dict[str, None]]]()  # what the inventory lacks: the tests that need it


def pytest_configure(config):
    config.addinivalue_line("markers", f"{selection.LONG}: runs with LONG=yes")
    for group in selection.GROUPS:
        config.addinivalue_line("markers", f"{group}: runs on the hosts of this inventory group")
    for name, (kind, _) in selection.SERVICES.items():
        config.addinivalue_line("markers", f"{name}: needs {kind}")


def markers_of(item):
    return [marker.name for marker in item.iter_markers()]


def pytest_collection_modifyitems(config, items):
    """Collects a test for the hosts that it is for, and only where the inventory has what it needs."""
    kept, left_out, why = [], [], {}
    for item in items:
        markers = markers_of(item)
        lack = selection.lacking(TOPOLOGY, markers)
        if selection.LONG in markers and os.environ.get("LONG") != "yes":
            lack = "no long tests without LONG=yes"
        if lack:
            why.setdefault(lack, {})[item.location[2].partition("[")[0]] = None
        name = item.callspec.params["_testinfra_host"].backend.get_hostname()
        (kept if not lack and name in selection.hosts(TOPOLOGY, markers) else left_out).append(item)
    config.stash[LEFT_OUT] = why
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_report_collectionfinish(config):
    """Names the tests that run on no host, under what the inventory lacks for them."""
    return [
        f"the inventory has {lack}, so without {', '.join(tests)}" for lack, tests in config.stash[LEFT_OUT].items()
    ]


@pytest.fixture(scope="session")
def topology():
    return TOPOLOGY


@pytest.fixture
def entries(request, topology):
    """The entries of services that the test's markers name; at least one, else the test would not be collected."""
    return selection.entries(topology, markers_of(request.node))


def one_of_each_way(entries):
    """One entry for each way that packets take: a mode in a family, by each director to each set of real servers and back."""

    def way(entry):
        servers = frozenset(server.host.name for server in entry.service.real_servers)
        service = entry.service
        return entry.mode, entry.family, service.outer_family, service.return_path, service.directors, servers

    found = {}
    for entry in entries:
        found.setdefault(way(entry), entry)
    return list(found.values())


@pytest.fixture(scope="session")
def plan_of(topology):
    compiled = plans(topology)
    return compiled.__getitem__


def connected(host):
    """The host, once it answers: paramiko ends a handshake after 10 s, and a machine that has just started may need more."""
    until = time.monotonic() + 240
    while True:
        try:
            host.run("true")
            return host
        except (OSError, paramiko.SSHException):
            if time.monotonic() > until:
                raise
            time.sleep(1)


@pytest.fixture(scope="module")
def host(_testinfra_host):
    """testinfra's own, connected."""
    return connected(_testinfra_host)


@pytest.fixture(scope="session")
def other_host(pytestconfig):
    """Another machine of the lab, by name; one connection to each serves all tests."""
    ssh_config = pytestconfig.getoption("--ssh-config")
    return functools.cache(lambda name: connected(testinfra.get_host(f"paramiko://{name}", ssh_config=ssh_config)))


@pytest.fixture
def name(host):
    return host.backend.get_hostname()


@pytest.fixture
def host_plan(plan_of, name):
    return plan_of(name)


@pytest.fixture
def texts(host_plan):
    """What the host is to have of each kind of state, as the role lays it out."""
    return layout.texts(host_plan, str(TEMPLATES), "/lib/systemd/systemd-sysctl")


@pytest.fixture
def foreign():
    """Whether an address, as text, is one of somebody else's."""
    return lambda address: ":" not in address and IPv4Address(address) in FOREIGN


@pytest.fixture
def second_client(host, topology, name):
    """Another address of the client machine."""
    interface = topology.hosts[name].interfaces[0]
    address = interface.address + 50
    assert address not in topology.owners
    host.check_output(f"ip address add {address}/{interface.network.cidr.prefixlen} dev {interface.name}")
    yield str(address)
    host.check_output(f"ip address del {address}/{interface.network.cidr.prefixlen} dev {interface.name}")
