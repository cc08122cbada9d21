"""The topology as data: what another process gets of it."""

import pickle
import pickletools
from pathlib import Path

import pytest
from ansible.module_utils.lvs import families, inventory, modes
from ansible.parsing.dataloader import DataLoader


@pytest.fixture
def topology():
    """Parsed from a file by ansible-core, so that values know their places."""
    raw = DataLoader().load_from_file(str(Path(__file__).parent / "base.yml"))
    raw["hosts"]["rs3"].update(
        lvs_restore_on="rs1",
        lvs_toa_receiver={"module": "toa", "source": "toa.tar", "parameters": {raw["services"][0]["name"]: "1"}},
    )
    return inventory.parse(raw["networks"], raw["services"], raw["hosts"], raw["groups"])[0]


def test_a_pickled_topology_says_the_same_without_ansibles_values_and_caches(topology):
    service = topology.services[0]
    assert type(service.source["vip"]) is not str
    assert type(topology.hosts["lb1"].at) is not str
    assert topology.hosts["lb1"].addresses
    packed = pickle.dumps(topology)
    words = [argument for _, argument, _ in pickletools.genops(packed) if isinstance(argument, str)]
    assert [word for word in words if "ansible._internal" in word or "tagged" in word.lower()] == []
    read = pickle.loads(packed)
    assert read == topology
    assert read.hosts["lb1"].at is None
    assert read.services[0].at("vip") is None
    assert "addresses" not in vars(read.hosts["lb1"])
    assert read.services[0].directors[0] is read.hosts["lb1"]


@pytest.mark.parametrize("row", [*families.TABLE, *modes.TABLE], ids=str)
def test_a_row_of_a_table_is_itself_again_in_another_process(row):
    """Rows are compared by identity, and each task of a run unpickles what the first one has compiled."""
    assert pickle.loads(pickle.dumps(row)) is row


def test_an_entry_keeps_its_family_and_mode_in_another_process(environment):
    entry = environment().topology.services[0].entries[0]
    assert entry.family is families.IPV4  # derived before it leaves the process
    again = pickle.loads(pickle.dumps(entry))
    assert (again.family, again.mode, str(again)) == (entry.family, entry.mode, str(entry))


BOTH = {
    "networks": {
        "app": {"vlan": 30, "cidr": "10.20.1.0/24", "gateway": "10.20.1.1", "cidr6": "2001:db8:30::/64"},
        "edge": {"vlan": 20, "cidr6": "2001:db8:20::/64", "gateway6": "2001:db8:20::1"},
    },
    "hosts": {
        "lb1": {
            "lvs_interfaces": {
                "eth0": {"network": "app", "address": "10.20.1.10", "address6": "2001:db8:30::10"},
                "eth1": {"network": "edge", "address6": "2001:db8:20::10"},
            }
        }
    },
    "groups": {"directors": ["lb1"]},
    "services": [],
}


def test_each_family_has_its_own_default_route(environment):
    host = environment(BOTH).host("lb1")
    assert [host.default_interface(family).name for family in families.TABLE] == ["eth0", "eth1"]
    assert str(host.route_to(families.parsed("2001:db8:99::1")).gateway) == "2001:db8:20::1"
    assert host.route_to(families.parsed("2001:db8:30::7")).gateway is None
    assert str(host.route_to(families.parsed("192.0.2.1")).gateway) == "10.20.1.1"


def test_an_address_is_found_in_the_network_of_its_family(environment):
    topology = environment(BOTH).topology
    found = {
        text: topology.network_of(families.parsed(text)) for text in ("10.20.1.9", "2001:db8:30::9", "2001:db8:20::9")
    }
    assert {text: network.name for text, network in found.items()} == {
        "10.20.1.9": "app",
        "2001:db8:30::9": "app",
        "2001:db8:20::9": "edge",
    }
    assert topology.network_of(families.parsed("::9")) is None
