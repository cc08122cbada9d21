"""What switch and guests are told: VLANs, network files, the identity of a clone."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is run from the repository, not installed

from test_lab_spec import BOTH, INTERFACES, INTERFACES6, host, inventory

from lab import identity, spec, switch

LAB = spec.parse(inventory())
LAB6 = spec.parse(inventory(INTERFACES6, **BOTH))
HOST6 = {host.name: host for host in LAB6.hosts}


def test_a_trunk_carries_its_vlans_tagged_and_nothing_untagged() -> None:
    number = host("lb1").switch_port("eth1")
    said = switch.commands(LAB)
    assert f"port/setvlan {number} {switch.NO_UNTAGGED}" in said
    assert [line for line in said if line.startswith("vlan/addport") and line.endswith(f" {number}")] == [
        f"vlan/addport 20 {number}",
        f"vlan/addport 30 {number}",
    ]


def test_an_access_port_is_untagged_in_its_network_s_vlan_alone() -> None:
    number = host("rs1").switch_port("eth1")
    said = switch.commands(LAB)
    assert f"port/setvlan {number} 30" in said
    assert not [line for line in said if line.startswith("vlan/addport") and line.endswith(f" {number}")]


def test_vlans_and_ports_exist_before_they_are_used() -> None:
    vlans: set[str] = set()
    ports: set[str] = set()
    for line in switch.commands(LAB):
        command, *words = line.split()
        if command == "vlan/create":
            vlans.add(words[0])
        elif command == "port/create":
            ports.add(words[0])
        else:
            vlan, port = words if command == "vlan/addport" else reversed(words)
            assert vlan in vlans | {str(switch.NO_UNTAGGED)} and port in ports


def test_the_switch_s_counters_are_read_by_port() -> None:
    answer = (
        "0000 DATA END WITH '.'\n"
        "Port 0003 untagged_vlan=0030 ACTIVE - Unnamed Allocatable\n"
        " Current User: root Access Control: (User: NONE - Group: NONE)\n"
        " IN:  pkts         12          bytes                 3456\n"
        " OUT: pkts          7          bytes                  890\n"
        "  -- endpoint ID 0007 module unix prog   : QEMU user=root PID=1\n"
        "Port 0005 untagged_vlan=4095 INACTIVE - NOT Unnamed Allocatable\n"
        " IN:  pkts          0          bytes                    0\n"
        " OUT: pkts          0          bytes                    0\n"
        ".\n1000 Success\n"
    )
    assert switch.parse_counters(answer) == {3: switch.Counters(12, 3456, 7, 890), 5: switch.Counters()}


def test_an_access_interface_has_address_and_gateway_in_one_file() -> None:
    files = identity.network_files(host("rs1"))
    assert list(files) == ["/etc/systemd/network/20-eth1.network"]
    text = files["/etc/systemd/network/20-eth1.network"]
    assert "\nAddress=10.20.1.11/24\nGateway=10.20.1.1\n" in text
    assert "VLAN=" not in text


def test_a_trunk_has_its_vlans_each_with_the_network_s_id_and_one_default_route() -> None:
    files = identity.network_files(host("lb1"))
    trunk = files["/etc/systemd/network/20-eth1.network"]
    assert "VLAN=eth1.20\nVLAN=eth1.30\n" in trunk and "Address=" not in trunk
    assert "Id=30\n" in files["/etc/systemd/network/21-eth1.30.netdev"]
    assert "Address=10.20.1.10/24\n" in files["/etc/systemd/network/22-eth1.30.network"]
    gateways = [path for path, text in files.items() if "Gateway=" in text]
    assert gateways == ["/etc/systemd/network/22-eth1.20.network"]


def network(name: str, file: str) -> list[str]:
    return identity.network_files(HOST6[name])[f"/etc/systemd/network/{file}.network"].splitlines()


def test_an_interface_of_both_families_has_addresses_and_default_routes_of_both() -> None:
    text = network("lb1", "22-eth1.20")
    section = text.index("[Address]")
    assert [line for line in text[:section] if line.startswith(("Address=", "Gateway="))] == [
        "Address=203.0.113.10/24",
        "Gateway=203.0.113.1",
        "Gateway=2001:db8:20::1",
    ]
    assert text[section:] == ["[Address]", "Address=2001:db8:20::10/64", "DuplicateAddressDetection=none"]


def test_an_interface_of_ipv6_alone_has_no_line_of_ipv4() -> None:
    text = network("rs1", "20-eth1")
    assert [line for line in text if line.startswith(("Address=", "Gateway="))] == [
        "Gateway=2001:db8:30::1",
        "Address=2001:db8:30::11/64",
    ]
    assert "MTUBytes=1400" in text


def test_no_address_is_configured_by_a_router_and_none_waits_to_be_found_unique() -> None:
    for text in (network("lb1", "22-eth1.20"), network("rs1", "20-eth1")):
        assert {"LinkLocalAddressing=ipv6", "IPv6AcceptRA=no", "IPv6DuplicateAddressDetection=0"} <= set(text)


def test_an_interface_without_ipv6_has_no_link_local_address_either() -> None:
    """Its machine sends nothing of IPv6, as before."""
    for text in (network("rs2", "20-eth1"), network("lb1", "20-eth1"), network("router1", "22-eth1.10")):
        assert {"LinkLocalAddressing=no", "IPv6AcceptRA=no"} <= set(text)
        assert not [line for line in text if "6=" in line or "[Address]" in line]


def test_only_a_router_with_ipv6_forwards_it() -> None:
    assert "net.ipv6.conf.all.forwarding = 1\n" in identity.files(LAB6, HOST6["router1"])[identity.SYSCTL]
    assert "ipv6" not in identity.files(LAB, host("router1"))[identity.SYSCTL]


def test_every_machine_is_found_by_each_address_of_its_first_interface() -> None:
    lines = identity.hosts_file(LAB6, HOST6["rs1"]).splitlines()
    assert [line for line in lines if line.endswith((" lb1", " rs2"))] == [
        "203.0.113.10 lb1",
        "2001:db8:20::10 lb1",
        "203.0.113.12 rs2",
    ]


def test_the_check_of_ipv6_sends_full_frames_and_looks_for_addresses_and_ports_of_the_families_that_there_are() -> None:
    text = identity.check_script(LAB6, HOST6["rs1"])
    assert "-M do -s 1352 2001:db8:30::1\n" in text  # 1,400 less 48
    assert "holds 2001:db8:30::11/64\n" in text
    assert f":1F40 {'0' * 32}:0000 0A' /proc/net/tcp6" in text  # 8000
    assert "/proc/net/tcp\n" not in text
    assert "$6 == 8000 " in text and "/proc/net/sctp/eps" in text
    text = identity.check_script(LAB6, HOST6["lb1"])
    assert "-M do -s 1472 203.0.113.1\n" in text and "-M do -s 1452 2001:db8:20::1\n" in text
    assert "holds 203.0.113.10/24\n" in text and "holds 2001:db8:20::10/64\n" in text


def test_a_clone_takes_its_own_macs_before_it_sends_anything() -> None:
    own = host("rs1")
    lines = identity.script(LAB, own, 1_700_000_000.0, b"\x01\x02").splitlines()
    macs = [lines.index(f"link set {name} address {own.mac(name)}") for name in ("eth0", "eth1", "eth2")]
    first_packet = next(number for number, line in enumerate(lines) if line.startswith("ping "))
    assert max(macs) < first_packet < lines.index("networkctl reload")


def test_clones_differ_in_name_and_machine_id() -> None:
    first, second = (identity.files(LAB, host(name)) for name in ("rs1", "rs2"))
    assert first["/etc/hostname"] == "rs1\n"
    assert first["/etc/machine-id"] != second["/etc/machine-id"]
    assert len(first["/etc/machine-id"]) == 33


def test_only_a_real_server_has_the_demo_application_and_only_a_router_its_sysctls() -> None:
    files = {name: identity.files(LAB, host(name)) for name in INTERFACES}
    assert {name for name, own in files.items() if identity.APP in own} == {"rs1", "rs2"}
    assert files["rs1"][identity.APP] == '{"tcp": [80, 8080], "udp": [5353]}\n'
    assert {name for name, own in files.items() if identity.SYSCTL in own} == {"router1"}


def test_the_check_sends_full_frames_to_the_gateways_and_looks_for_the_ports() -> None:
    text = identity.check_script(LAB, host("rs1"))
    assert "-M do -s 1472 10.20.1.1\n" in text
    assert ":1F90 00000000:0000 0A' /proc/net/tcp" in text  # 8080
    assert ":14E9 00000000:0000 07' /proc/net/udp" in text  # 5353
