"""Capture filters: the packets of a connection pass on each host, and the kernel can run the filter whatever its size."""

import random
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from ansible.module_utils.lvs.observation import bind
from ansible.module_utils.lvs.walk import CLIENT_PORT, LOCAL_PORT, Endpoint, Hop, Packet
from ansible.module_utils.lvs_controller.batches import sets_of
from ansible.module_utils.lvs_controller.filters import MOST, Sets, networks, ranges
from ansible.module_utils.lvs_controller.verification import Expectation
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
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


CIP = {4: IPv4Address("198.51.100.10"), 6: IPv6Address("2001:db8:99::10")}
VIP = {4: IPv4Address("203.0.113.80"), 6: IPv6Address("2001:db8:20::80")}
DIP = {4: IPv4Address("203.0.113.10"), 6: IPv6Address("2001:db8:20::10")}
RIP = {4: IPv4Address("10.20.2.13"), 6: IPv6Address("2001:db8:30::13")}
FOREIGN = {4: IPv4Address("192.0.2.1"), 6: IPv6Address("2001:db8:ffff::1")}
HEADER = {4: IP, 6: IPv6}


def between(source, destination, *layers):
    return LINK / HEADER[source.version](src=str(source), dst=str(destination)) / layers[0]


def hop(packet, leg="request"):
    return Hop(leg, None, None, None, packet)


def either(version, *extra):
    """What a host of a service of one family captures."""
    found = Sets()
    found.add_client(CIP[version], [80, 8080])
    for one in extra:
        found.add_hop(one, [])
    return found.text()


@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP])
@pytest.mark.parametrize("version", [4, 6])
def test_a_clients_packets_of_either_family_pass_and_no_others(passed, version, protocol):
    there = between(CIP[version], VIP[version], protocol(sport=40000, dport=80))
    back = between(VIP[version], CIP[version], protocol(sport=80, dport=40000))
    others = [
        between(CIP[version], VIP[version], protocol(sport=40000, dport=22)),
        between(FOREIGN[version], VIP[version], protocol(sport=40000, dport=80)),
        between(CIP[10 - version], VIP[10 - version], protocol(sport=40000, dport=80)),
    ]
    text = either(version)
    assert passed(text, [there, back]) == 2
    assert passed(text, others) == 0


@pytest.mark.parametrize(
    "extension",
    [IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting(), IPv6ExtHdrFragment(offset=0, m=1), IPv6ExtHdrDestOpt()],
    ids=lambda header: header.name,
)
def test_extension_headers_do_not_hide_a_clients_packet(passed, extension):
    hidden = LINK / IPv6(src=str(CIP[6]), dst=str(VIP[6])) / extension / UDP(sport=40000, dport=80)
    foreign = LINK / IPv6(src=str(FOREIGN[6]), dst=str(VIP[6])) / extension / UDP(sport=40000, dport=80)
    assert passed(either(6), [hidden]) == 1
    assert passed(either(6), [foreign]) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_the_leg_behind_a_director_that_translates_passes_with_both_of_its_ends(passed, version):
    leg = Packet("tcp", Endpoint(DIP[version], LOCAL_PORT), Endpoint(RIP[version], 8080))
    text = either(version, hop(leg))
    own = between(DIP[version], RIP[version], TCP(sport=61234, dport=8080))
    reply = between(RIP[version], DIP[version], TCP(sport=8080, dport=61234))
    foreign = between(FOREIGN[version], RIP[version], TCP(sport=61234, dport=8080))
    assert passed(text, [own, reply]) == 2
    assert passed(text, [foreign, between(DIP[version], RIP[version], TCP(sport=61234, dport=22))]) == 0


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_a_clients_packet_passes_in_a_tunnel_of_either_family(passed, outer, inner):
    enclosed = Packet("tcp", Endpoint(CIP[inner], CLIENT_PORT), Endpoint(VIP[inner], 80), (DIP[outer], RIP[outer]))
    text = either(inner, hop(enclosed))
    around = LINK / HEADER[outer](src=str(DIP[outer]), dst=str(RIP[outer]))

    def tunnelled(source, destination):
        return around / HEADER[inner](src=str(source), dst=str(destination)) / TCP(sport=40000, dport=80)

    assert passed(text, [tunnelled(CIP[inner], VIP[inner]), tunnelled(VIP[inner], CIP[inner])]) == 2
    assert passed(text, [tunnelled(FOREIGN[inner], VIP[inner])]) == 0
    assert passed(either(inner), [tunnelled(CIP[inner], VIP[inner])]) == 0, "no hop has such a tunnel"


def addresses(version, count, within=0):
    """Some addresses, which have the first `within` bits in common."""
    kind, bits = {4: (IPv4Address, 32), 6: (IPv6Address, 128)}[version]
    start = int(DIP[version]) >> (bits - within) << (bits - within)
    return {kind(start | random.getrandbits(bits - within)) for _ in range(count)}


def test_the_kernel_runs_the_largest_filter(tmp_path):
    random.seed(20)
    sets_ = [addresses(4, 2000) | addresses(6, 1000, 64) | addresses(6, 1000) for _ in range(3)]
    ports = [set(random.sample(range(1, 65536), 2000)) for _ in range(2)]
    tunnels = {(outer, inner) for outer in (4, 6) for inner in (4, 6)}
    largest = Sets(sets_[0], ports[0], tunnels, sets_[1], sets_[2], ports[1])
    assert instructions(largest.text(), tmp_path) < KERNEL_INSTRUCTIONS


@pytest.mark.parametrize("within", [120, 64, 32, 0])
def test_a_filter_for_ipv6_takes_about_as_many_instructions_as_one_for_ipv4(tmp_path, within):
    """Word by word and without what addresses have in common, 64 of them would take 500."""
    random.seed(6)
    wide = Sets(addresses(6, MOST, within), {80, 8080})
    usual = Sets(addresses(4, MOST, 16), {80, 8080})
    assert instructions(wide.text(), tmp_path) <= 1.15 * instructions(usual.text(), tmp_path)


@pytest.mark.parametrize("servers", [1000, 10_000])
def test_a_filter_does_not_grow_with_the_number_of_real_servers(environment, tmp_path, servers):
    """One service with many real servers and four local addresses."""
    scene = Scene(environment, "fullnat", local_addresses=[f"10.20.1.{last}" for last in range(200, 204)])
    hop = next(hop for hop in scene.walks["rs3"].hops if hop.sender.host == "lb1" and hop.leg == "request")
    many = sets(scene, "lb1")
    many.far |= {hop.packet.destination.address + number for number in range(servers)}
    assert len(many.text()) < 100 * MOST
    assert instructions(many.text(), tmp_path) < 200


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 5000])
@pytest.mark.parametrize(("version", "within"), [(4, 0), (6, 100), (6, 64), (6, 0)])
def test_networks_hold_every_address_and_are_few(count, version, within):
    random.seed(count)
    some = addresses(version, count, within)
    found = networks(some)
    assert len(found) <= MOST
    assert all(any(address in network for network in found) for address in some)
    assert len({network.prefixlen for network in found}) == 1
    if count <= MOST and version == 4:
        assert {network.network_address for network in found} == some


def test_networks_of_ipv6_are_as_narrow_as_a_filter_of_that_length_can_be():
    random.seed(7)
    manual = {DIP[6] + number for number in range(MOST)}
    assert {network.network_address for network in networks(manual)} == manual
    assert {network.prefixlen for network in networks(manual)} == {128}
    own = addresses(6, MOST, 64)  # as SLAAC makes them: 64 random bits
    assert {network.prefixlen for network in networks(own)} == {96}
    assert networks([]) == []


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


def test_both_ways_of_each_of_two_real_servers_pass(passed):
    """libpcap 1.10.3 loses one of the four where a filter asks for `near and far` in either direction."""
    local, servers = IPv4Address("203.0.113.201"), [IPv4Address("10.20.2.13"), IPv4Address("10.20.2.14")]
    own = Sets(near={local}, far=set(servers), inner_ports={8081})
    ways = [(server, local) for server in servers] + [(local, server) for server in servers]
    frames = [LINK / IP(src=str(a), dst=str(b)) / TCP(sport=8081, dport=8081) for a, b in ways]
    assert passed(own.text(), frames) == 4


def some(version, count):
    """Addresses of which many have a part in common, as those of a real network."""
    starts = {4: ["10.20.1.0", "203.0.113.0"], 6: ["2001:db8:20::", "2001:db8:30::", "2001:db8:30:0:5054:ff:fe00:0"]}
    return {ip_address(random.choice(starts[version])) + random.randrange(1, 6) for _ in range(count)}


@pytest.mark.parametrize("seed", range(12))
def test_a_filter_passes_what_its_sets_say_and_nothing_else(passed, seed):
    """libpcap's optimizer may change what a filter of many terms means: each packet is compared with the sets themselves."""
    random.seed(seed)
    versions = random.choice([[4], [6], [4, 6]])
    ports = [80, 443, 8080, 8081]
    clients, near, far = (
        {address for version in versions for address in some(version, random.randrange(1, most))} for most in (4, 4, 5)
    )
    near_ports = set(random.sample(ports, 2))
    own = Sets(clients, set(random.sample(ports, 2)), {(4, 6), (6, 4)}, near, far, near_ports)
    wanted = []
    for expected in (True, False):
        frames = []
        for _ in range(150):
            version = random.choice(versions)
            pool = [*some(version, 8), *(one for one in clients | near | far if one.version == version)]
            ends, numbers = random.choices(pool, k=2), random.choices([*ports, 40000], k=2)
            inner = HEADER[version](src=str(ends[0]), dst=str(ends[1])) / TCP(sport=numbers[0], dport=numbers[1])
            tunnelled = random.random() < 0.2
            around = HEADER[10 - version](src=str(DIP[10 - version]), dst=str(RIP[10 - version]))
            if said(own, ends, numbers, tunnelled) is expected:
                frames.append(LINK / around / inner if tunnelled else LINK / inner)
        wanted.append(frames)
    assert passed(own.text(), wanted[0]) == len(wanted[0])
    assert passed(own.text(), wanted[1]) == 0


def said(own, ends, numbers, tunnelled):
    """Whether a packet is one of those that the sets describe."""
    clients, near, far = ([end in addresses for end in ends] for addresses in (own.clients, own.near, own.far))
    if tunnelled:
        return any(clients)
    by_client = any(clients) and bool(own.client_ports & set(numbers))
    between_sets = (near[0] and far[1]) or (near[1] and far[0])
    return by_client or bool(between_sets and own.inner_ports & set(numbers))
