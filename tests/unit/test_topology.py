"""The topology as data: what another process gets of it."""

import pickle
import pickletools
from pathlib import Path

import pytest
from ansible.module_utils.lvs import inventory
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
