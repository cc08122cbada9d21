"""What the lab reads from an inventory."""

from __future__ import annotations

import copy
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is run from the repository, not installed

from ansible.module_utils.lvs import modes

from lab import environment, paths, spec
from lab.errors import LabError

NETWORKS = {
    "clients": {"cidr": "198.51.100.0/24", "vlan": 10, "gateway": "198.51.100.1"},
    "edge": {"cidr": "203.0.113.0/24", "vlan": 20, "gateway": "203.0.113.1"},
    "app": {"cidr": "10.20.1.0/24", "vlan": 30, "gateway": "10.20.1.1"},
    "island": {"cidr": "10.20.9.0/24", "vlan": 90},
}
NAT = {"vip": "203.0.113.80", "mode": "nat"}
SERVICES = [
    {**NAT, "name": "web", "port": 80, "protocol": "tcp", "real_servers": [{"group": "web"}]},
    {**NAT, "name": "api", "port": 81, "protocol": "tcp", "real_servers": [{"group": "web", "port": 8080}]},
    {**NAT, "name": "dns", "port": 53, "protocol": "udp", "real_servers": [{"host": "rs1", "port": 5353}]},
]
INTERFACES: dict[str, dict[str, Any]] = {
    "router1": {
        "eth1.10": {"network": "clients", "address": "198.51.100.1"},
        "eth1.20": {"network": "edge", "address": "203.0.113.1"},
        "eth1.30": {"network": "app", "address": "10.20.1.1"},
    },
    "lb1": {
        "eth1.20": {"network": "edge", "address": "203.0.113.10"},
        "eth1.30": {"network": "app", "address": "10.20.1.10"},
    },
    "rs1": {"eth1": {"network": "app", "address": "10.20.1.11"}},
    "rs2": {"eth1": {"network": "app", "address": "10.20.1.12"}},
}


# The same networks with IPv6 beside IPv4 or, app, alone.
NETWORKS6 = {
    **NETWORKS,
    "edge": {**NETWORKS["edge"], "cidr6": "2001:db8:20::/64", "gateway6": "2001:db8:20::1"},
    "app": {"cidr6": "2001:db8:30::/64", "gateway6": "2001:db8:30::1", "vlan": 30, "mtu": 1400},
}
INTERFACES6: dict[str, dict[str, Any]] = {
    "router1": {
        "eth1.10": {"network": "clients", "address": "198.51.100.1"},
        "eth1.20": {"network": "edge", "address": "203.0.113.1", "address6": "2001:db8:20::1"},
        "eth1.30": {"network": "app", "address6": "2001:db8:30::1"},
    },
    "lb1": {
        "eth1.20": {"network": "edge", "address": "203.0.113.10", "address6": "2001:db8:20::10"},
        "eth1.30": {"network": "app", "address6": "2001:db8:30::10"},
    },
    "rs1": {"eth1": {"network": "app", "address6": "2001:db8:30::11"}},
    "rs2": {"eth1": {"network": "edge", "address": "203.0.113.12"}},
}
SERVICES6 = [
    {
        "name": "web",
        "vip": "2001:db8:20::80",
        "port": [80, "8000-8002"],
        "protocol": ["tcp", "sctp"],
        "mode": "tun",
        "real_servers": [{"host": "rs1"}],
    },
]
BOTH: dict[str, Any] = {"lvs_networks": NETWORKS6, "lvs_services": SERVICES6}


def inventory(interfaces: dict[str, dict[str, Any]] | None = None, **variables: Any) -> dict[str, Any]:
    """What ansible-inventory --list says of a small lab."""
    common = {"lvs_networks": NETWORKS, "lvs_services": SERVICES, **variables}
    hosts = {**INTERFACES, **(interfaces or {})}
    return copy.deepcopy(
        {
            "_meta": {"hostvars": {name: {**common, "lvs_interfaces": own} for name, own in hosts.items()}},
            "all": {"children": ["ungrouped", "routers", "directors", "real_servers"]},
            "ungrouped": {"hosts": [name for name in hosts if name not in INTERFACES]},
            "routers": {"hosts": ["router1"]},
            "directors": {"hosts": ["lb1"]},
            "real_servers": {"children": ["web"]},
            "web": {"hosts": ["rs1", "rs2"]},
        }
    )


def host(name: str, interfaces: dict[str, dict[str, Any]] | None = None, **variables: Any) -> spec.Host:
    return next(host for host in spec.parse(inventory(interfaces, **variables)).hosts if host.name == name)


def test_the_lab_s_own_inventory_has_a_service_for_each_row_of_the_table_of_modes() -> None:
    topology = environment.topology(environment.read([str(paths.ROOT / "inventory/lab")]))
    rows = [row.label for row in modes.TABLE]
    assert len(set(rows)) == len(rows), "the tables that people read tell the rows apart"
    assert {service.mode.label for service in topology.services} == set(rows)


def test_every_host_with_interfaces_gets_a_machine_and_no_other() -> None:
    said = inventory({"bastion": {}})
    assert sorted(host.name for host in spec.parse(said).hosts) == ["lb1", "router1", "rs1", "rs2"]


def test_an_absent_host_gets_no_machine() -> None:
    said = inventory() | {"absent": {"hosts": ["rs2"]}}
    said["all"]["children"].append("absent")
    assert sorted(host.name for host in spec.parse(said).hosts) == ["lb1", "router1", "rs1"]


def test_a_dotted_interface_is_tagged_on_its_port_and_a_plain_one_is_not() -> None:
    def wired(name: str) -> list[tuple[str, bool]]:
        return [(spec.port_of(interface), spec.tagged(interface)) for interface in host(name).interfaces]

    assert wired("lb1") == [("eth1", True), ("eth1", True)]
    assert wired("rs1") == [("eth1", False)]


def test_the_vlan_is_the_network_s_whatever_the_interface_is_called() -> None:
    own = {"rs2": {"eth1.7": {"network": "app", "address": "10.20.1.12"}}}
    assert host("rs2", own).interfaces[0].network.vlan == 30


def test_interfaces_are_in_the_order_of_their_numbers() -> None:
    own = {
        "lb1": {
            "eth1.100": {"network": "edge", "address": "203.0.113.10"},
            "eth1.20": {"network": "app", "address": "10.20.1.10"},
        }
    }
    assert [interface.name for interface in host("lb1", own).interfaces] == ["eth1.20", "eth1.100"]


def test_the_default_route_takes_the_first_network_with_a_gateway() -> None:
    own = {
        "rs1": {
            "eth1": {"network": "island", "address": "10.20.9.11"},
            "eth2": {"network": "app", "address": "10.20.1.11"},
        }
    }
    assert host("rs1", own).gateways == (IPv4Address("10.20.1.1"),)


def test_the_interface_that_says_default_route_wins() -> None:
    own = copy.deepcopy(INTERFACES["lb1"])
    own["eth1.30"]["default_route"] = True
    assert host("lb1").gateways == (IPv4Address("203.0.113.1"),)
    assert host("lb1", {"lb1": own}).gateways == (IPv4Address("10.20.1.1"),)


def test_a_host_that_holds_gateway_addresses_has_no_default_route() -> None:
    assert host("router1").gateways == ()


def test_only_routers_forward() -> None:
    assert {name: host(name).forwards for name in INTERFACES} == {
        "router1": True,
        "lb1": False,
        "rs1": False,
        "rs2": False,
    }


def test_a_real_server_serves_the_ports_of_all_its_services() -> None:
    assert host("rs1").serves == {"tcp": (80, 8080), "udp": (5353,)}
    assert host("rs2").serves == {"tcp": (80, 8080), "udp": ()}
    assert host("lb1").serves == {"tcp": (), "udp": ()}


def test_a_director_that_is_its_own_real_server_serves_too() -> None:
    both = {**NAT, "name": "own", "port": 82, "real_servers": [{"host": "rs1"}, {"host": "lb1", "port": 8082}]}
    assert host("lb1", lvs_services=[*SERVICES, both]).serves == {"tcp": (8082,), "udp": ()}


def test_each_family_has_a_default_route_of_its_own() -> None:
    found = {name: [str(one) for one in host(name, INTERFACES6, **BOTH).gateways] for name in INTERFACES6}
    assert found == {
        "router1": [],
        "lb1": ["203.0.113.1", "2001:db8:20::1"],
        "rs1": ["2001:db8:30::1"],
        "rs2": ["203.0.113.1"],
    }


def test_a_host_tries_the_gateways_of_the_families_that_it_has() -> None:
    lab = spec.parse(inventory(INTERFACES6, **BOTH))
    tried = {host.name: [str(gateway) for gateway in lab.gateways_to_try(host)] for host in lab.hosts}
    assert tried["lb1"] == ["203.0.113.1", "2001:db8:20::1", "2001:db8:30::1"]
    assert tried["rs1"] == ["2001:db8:30::1"]
    assert tried["rs2"] == ["203.0.113.1"]


def test_a_real_server_serves_sctp_where_a_service_asks_for_it_and_every_port_of_a_range() -> None:
    ports = (80, 8000, 8001, 8002)
    assert host("rs1", INTERFACES6, **BOTH).serves == {"tcp": ports, "udp": (), "sctp": ports}
    assert host("rs2", INTERFACES6, **BOTH).serves == {"tcp": (), "udp": ()}


def test_no_two_machines_share_a_mac_or_a_switch_port() -> None:
    both = {"eth1": {"network": "app", "address": "10.20.1.11"}, "eth2": {"network": "edge", "address": "203.0.113.11"}}
    lab = spec.parse(inventory({"rs1": both}))
    macs = [host.mac(name) for host in lab.hosts for name in ("eth0", *spec.PORTS)]
    ports = [port for host in lab.hosts for name in spec.PORTS if (port := host.switch_port(name))]
    assert len(set(macs)) == len(macs) == 12
    assert len(set(ports)) == len(ports) == 5
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "locally administered, and not multicast"


def test_a_host_tries_the_gateways_that_other_machines_hold() -> None:
    lab = spec.parse(inventory())
    tried = {host.name: [str(gateway) for gateway in lab.gateways_to_try(host)] for host in lab.hosts}
    assert tried == {
        "router1": [],
        "lb1": ["203.0.113.1", "10.20.1.1"],
        "rs1": ["10.20.1.1"],
        "rs2": ["10.20.1.1"],
    }


@pytest.mark.parametrize(
    ("own", "variables", "message"),
    [
        pytest.param(
            {"eth0": {"network": "app", "address": "10.20.1.11"}}, {}, "rs1.*eth0 is the lab's own", id="eth0"
        ),
        pytest.param(
            {"eth1": {"network": "apps", "address": "10.20.1.11"}}, {}, "rs1.*apps is not in lvs_networks", id="network"
        ),
        pytest.param(
            {"eth1": {"network": "app", "address": "10.20.2.11"}}, {}, "rs1.*outside its network app", id="outside"
        ),
        pytest.param(
            {"eth1.100000000000": {"network": "app", "address": "10.20.1.11"}}, {}, "rs1.*15 characters", id="long name"
        ),
        pytest.param(
            {"eth1": {"network": "app", "address": "10.20.1.12"}}, {}, "10.20.1.12 .* of rs1 .* of rs2", id="twice"
        ),
        pytest.param({"eth1": {"network": "app"}}, {}, "rs1: interface eth1: has no address", id="no address"),
        pytest.param(None, {"lab_release": "buster"}, "lab_release is 'buster'; the lab knows bullseye", id="release"),
        pytest.param(
            None,
            {"lvs_services": [{**NAT, "name": "ssh", "port": 2222, "real_servers": [{"host": "rs1", "port": 22}]}]},
            "rs1: a service has port 22 .* sshd",
            id="sshd's port",
        ),
        pytest.param(None, {"lab_packages": ["ok", "a b"]}, "lab_packages .* has 'a b'$", id="packages"),
        pytest.param(None, {"lab_memory": 64}, "lab_memory: 64 is not a number from 256", id="memory"),
    ],
)
def test_what_the_lab_cannot_build_is_refused_with_host_and_reason(
    own: dict[str, Any] | None, variables: dict[str, Any], message: str
) -> None:
    with pytest.raises(LabError, match=message):
        spec.parse(inventory({"rs1": own} if own else None, **variables))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        pytest.param({"cidr": "10.0.2.128/25", "vlan": 5}, "overlaps 10.0.2.0/24", id="management network"),
        pytest.param({"cidr": "10.9.0.0/24"}, "network extra: has no vlan", id="no VLAN"),
        pytest.param({"cidr": "10.9.0.0/24", "vlan": 5, "mtu": 9000}, "extra: mtu: 9000 .* 1500", id="jumbo frames"),
        pytest.param({"vlan": 5}, "network extra: has no cidr", id="no cidr"),
    ],
)
def test_a_segment_the_lab_cannot_carry_is_refused(network: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=message):
        spec.parse(inventory(lvs_networks={**NETWORKS, "extra": network}))


def test_an_inventory_without_interfaces_is_refused() -> None:
    with pytest.raises(LabError, match="nothing to start"):
        spec.parse({"_meta": {"hostvars": {"web": {"lvs_networks": NETWORKS}}}, "all": {"hosts": ["web"]}})


@pytest.mark.parametrize("own", [{"eth0": {"network": "app", "address": "10.20.1.11"}}, {"eth1": {"network": "apps"}}])
def test_every_fault_is_named_on_a_line_of_its_own(own: dict[str, Any]) -> None:
    with pytest.raises(LabError) as refusal:
        spec.parse(inventory({"rs1": own, "rs2": own}))
    lines = str(refusal.value).splitlines()
    assert all(any(name in line for line in lines) for name in ("rs1", "rs2")), lines
    assert len(lines) == len(set(lines)) > 1
