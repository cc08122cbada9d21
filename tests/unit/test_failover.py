"""failover.yml as a person runs it, on local hosts whose modules are stand-ins: who gives up the addresses, and who stands for them."""

import pytest
import yaml
from test_site import PROJECT, Site


@pytest.fixture
def pair(tmp_path):
    """Two directors, of which lb1 is master; systemctl finds everything active."""
    site = Site(tmp_path)
    inventory = yaml.safe_load((tmp_path / "hosts.yml").read_text())
    inventory["all"]["children"]["directors"]["hosts"]["lb2"] = site.host("lb2", 30)
    inventory["all"]["vars"]["lvs_directors"] = {"directors": {"redundancy": "vrrp", "virtual_router_id": 51}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "master").write_text("lb1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho active\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    site.playbook, site.path = PROJECT / "playbooks/failover.yml", tmp_path / "bin"
    return site


HANDED_OVER = [["election", "lb1", "backup", ["directors"]], ["election", "lb2", "candidate", ["directors"]]]


@pytest.mark.parametrize(
    ("names", "said", "log"),
    [
        ("directors", "directors: lb2 is master", HANDED_OVER),
        ("lb1", "directors: lb2 is master", HANDED_OVER),
        ("lb1,lb2", "directors: lb2 is master", HANDED_OVER),
        ("lb2", "lb2 is master of no group: no addresses have to move.", []),
    ],
)
def test_the_addresses_move_to_the_standby(pair, names, said, log):
    pair.run("-e", f"lvs_failover={names}")
    assert pair.code == 0, pair.output
    assert said in pair.output
    assert pair.log == log


def test_names_that_are_no_groups_change_nothing(pair):
    pair.run("-e", "lvs_failover=lb9")
    assert pair.code
    assert "with the name lb9 (did you mean lb" in pair.output
    assert pair.log == []
