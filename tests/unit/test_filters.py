"""Capture filters: the packets of a connection pass on each host, and the kernel can run the filter whatever its size."""

import random
import subprocess
from ipaddress import IPv4Address

import pytest
from ansible.module_utils.lvs.observation import bind
from ansible.module_utils.lvs_controller.batches import sets_of
from ansible.module_utils.lvs_controller.filters import MOST, Sets, networks, ranges
from ansible.module_utils.lvs_controller.verification import Expectation
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader, wrpcap
from scenes import CLIENT, SERVICES, Scene

LINK = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")  # said, or scapy would ask the network for them
KERNEL_INSTRUCTIONS = 4096  # BPF_MAXINSNS, linux/bpf_common.h


def sets(scene, host):
    """What the host captures of the scene's service."""
    env = scene.environment
    return sets_of([Expectation(scene.service.entries[0], env.host("lb1"), env.host("client1"), scene.walks)])[host]


def frame(packet):
    """The packet as bytes; what comes in a tunnel is wrapped as the kernel does it."""
    layer = IP(src=str(packet.source.address), dst=str(packet.destination.address))
    layer = layer / {"tcp": TCP, "udp": UDP}[packet.protocol](sport=packet.source.port, dport=packet.destination.port)
    return LINK / (IP(src=str(packet.outer[0]), dst=str(packet.outer[1]), proto=4) / layer if packet.outer else layer)


@pytest.fixture
def passed(tmp_path):
    """How many of the frames pass a filter, as tcpdump has it."""

    def run(text, frames):
        wrpcap(str(tmp_path / "all.pcap"), frames)
        (tmp_path / "filter").write_text(text)
        command = ["tcpdump", "-r", "all.pcap", "-F", "filter", "-w", "passed.pcap"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return len(list(RawPcapReader(str(tmp_path / "passed.pcap"))))

    return run


def instructions(text, folder):
    (folder / "filter").write_text(text)
    command = ["tcpdump", "-y", "EN10MB", "-d", "-F", "filter"]
    return len(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines())


@pytest.mark.parametrize("name", [service["name"] for service in SERVICES])
def test_every_packet_of_a_connection_passes_on_each_host_that_it_meets(environment, passed, name):
    scene = Scene(environment, name)
    for host in scene.vantages:
        own = [frame(seen.packet) for seen in scene.frames if seen.host == host]
        if own:
            assert passed(sets(scene, host).text(), own) == len(own), host


@pytest.mark.parametrize("name", [service["name"] for service in SERVICES])
def test_what_has_neither_the_client_nor_both_ends_behind_the_director_does_not_pass(environment, passed, name):
    scene = Scene(environment, name)
    for host in scene.vantages:
        foreign = [
            frame(bind(hop.packet, scene.ends)) for hop in scene.walks[scene.server].hops if hop.packet.outer is None
        ]
        for one in foreign:
            one[IP].src, one[IP].dst = "192.0.2.1", "192.0.2.2"
        assert passed(sets(scene, host).text(), foreign) == 0, host


@pytest.mark.parametrize("host", ["rs3", "lb1", "client1"])
def test_a_reply_from_the_real_servers_own_address_to_the_client_passes(environment, passed, host):
    """The comparison names it; so it has to be captured."""
    scene = Scene(environment, "fullnat")
    astray = LINK / IP(src="10.20.2.13", dst=str(CLIENT.address)) / TCP(sport=8080, dport=CLIENT.port)
    assert passed(sets(scene, host).text(), [astray]) == 1


def test_what_real_servers_say_to_each_other_does_not_pass(environment, passed):
    scene = Scene(environment, "fullnat", real_servers=[{"group": "app", "port": 8080}])
    between = LINK / IP(src="10.20.1.11", dst="10.20.1.12") / TCP(sport=8080, dport=8080)
    assert passed(sets(scene, "lb1").text(), [between]) == 0


def test_any_of_the_local_addresses_passes(environment, passed):
    scene = Scene(environment, "fullnat", local_addresses=["10.20.1.200", "10.20.1.201"])
    other = LINK / IP(src="10.20.1.201", dst="10.20.2.13") / TCP(sport=61234, dport=8080)
    assert passed(sets(scene, "lb1").text(), [other]) == 1
    assert passed(sets(scene, "rs3").text(), [other]) == 1


def test_the_kernel_runs_the_largest_filter(tmp_path):
    random.seed(20)
    addresses = [{IPv4Address(random.getrandbits(32)) for _ in range(2000)} for _ in range(3)]
    ports = [set(random.sample(range(1, 65536), 2000)) for _ in range(2)]
    largest = Sets(addresses[0], ports[0], True, addresses[1], addresses[2], ports[1])
    assert instructions(largest.text(), tmp_path) < KERNEL_INSTRUCTIONS


def test_a_filter_does_not_grow_with_the_number_of_real_servers(environment, tmp_path):
    """One service with 1,000 real servers and four local addresses."""
    scene = Scene(environment, "fullnat", local_addresses=[f"10.20.1.{last}" for last in range(200, 204)])
    hop = next(hop for hop in scene.walks["rs3"].hops if hop.sender.host == "lb1" and hop.leg == "request")
    many = sets(scene, "lb1")
    many.far |= {hop.packet.destination.address + number for number in range(1000)}
    assert len(many.text()) < 2000
    assert instructions(many.text(), tmp_path) < 500


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 5000])
def test_networks_hold_every_address_and_are_few(count):
    random.seed(count)
    addresses = {IPv4Address(random.getrandbits(32)) for _ in range(count)}
    found = networks(addresses)
    assert len(found) <= MOST
    assert all(any(address in network for network in found) for address in addresses)
    if count <= MOST:
        assert {network.network_address for network in found} == addresses


def test_ranges_hold_every_port_and_leave_the_widest_gaps_out():
    assert ranges([80]) == [(80, 80)]
    assert ranges([80, 81, 82, 443]) == [(80, 82), (443, 443)]
    assert ranges([1, 3, 5, 1000, 1002, 5000], most=3) == [(1, 5), (1000, 1002), (5000, 5000)]
    many = range(1, 60000, 7)
    found = ranges(many)
    assert len(found) == MOST
    assert all(any(first <= port <= last for first, last in found) for port in many)


def test_nothing_makes_no_filter():
    assert Sets().text() == ""
