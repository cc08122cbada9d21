"""Interfaces as `ip -json -details` lists them."""

import json

import pytest
from ansible.module_utils.lvs_host import links

UP = ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"]
PLAIN = {"ifname": "eth1", "address": "52:54:00:00:00:01", "mtu": 9000, "flags": UP}


@pytest.fixture
def listed(monkeypatch):
    """What is made of one link."""
    monkeypatch.setattr(links, "merges", lambda name: name == "eth9")

    def make(**more):
        link = {**PLAIN, **more}
        found = links.interfaces(lambda argv, stdin: (0, json.dumps([{}, link]), ""))
        assert list(found) == [link["ifname"]]
        return found[link["ifname"]]

    return make


def test_an_interface_has_its_mac_mtu_and_the_addresses_that_reach_beyond_its_link(listed):
    addresses = [
        {"family": "inet", "local": "10.20.1.11", "prefixlen": 24},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        {"family": "inet6", "local": "2001:db8:30::11", "prefixlen": 64, "scope": "global"},
        {"family": "inet", "local": "203.0.113.80", "prefixlen": 32},
    ]
    assert listed(addr_info=addresses) == {
        "mac": "52:54:00:00:00:01",
        "mtu": 9000,
        "up": True,
        "vlan": None,
        "addresses": ["10.20.1.11/24", "2001:db8:30::11/64", "203.0.113.80/32"],
        "link_local": True,
        "lro": False,
    }
    assert listed(addr_info=addresses[2:])["link_local"] is False
    assert listed(ifname="eth9")["lro"] is True


@pytest.mark.parametrize(
    ("flags", "up"),
    [(UP, True), (["UP"], False), (["LOWER_UP"], False), (["NO-CARRIER", "BROADCAST", "UP"], False), ([], False)],
)
def test_an_interface_is_up_where_it_is_set_up_and_has_a_carrier(listed, flags, up):
    assert listed(flags=flags)["up"] is up


@pytest.mark.parametrize(
    ("details", "vlan"),
    [
        ({"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 20}}, 20),
        ({"info_kind": "vxlan", "info_data": {"id": 20}}, None),
        ({"info_kind": "dummy"}, None),
    ],
)
def test_only_an_802_1q_interface_has_a_vlan(listed, details, vlan):
    assert listed(linkinfo=details)["vlan"] == vlan


def test_what_ip_does_not_say_is_empty():
    found = links.interfaces(lambda argv, stdin: (0, '[{"ifname": "lvskit-none0"}]', ""))
    assert found == {
        "lvskit-none0": {
            "mac": "",
            "mtu": 0,
            "up": False,
            "vlan": None,
            "addresses": [],
            "link_local": False,
            "lro": False,
        }
    }
