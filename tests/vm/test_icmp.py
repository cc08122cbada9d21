"""Errors that the network and real servers tell by ICMP and ICMPv6: they reach the host that they concern. And datagrams in fragments."""

import contextlib
import json

import pytest
from ansible.module_utils.lvs.families import bracketed

from tests.vm.conftest import one_of_each_way

NARROW = 1300  # bytes; IPv6 needs 1280
OCTETS = 200_000
PROBING = "net.ipv4.tcp_mtu_probing"  # of both families
ACCEPT_LOCAL = "net.ipv4.conf.all.accept_local"
FORGET = "ip route flush cache; ip -6 route flush cache table all"
ASK = """
import json, socket, sys
address, port, size, tries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(5)
    asking.connect((address, port))
    for number in range(tries):
        try:
            asking.send(b"x" * size)
            print(json.dumps({"length": json.loads(asking.recv(65536))["length"]}))
            break
        except OSError as error:
            found = type(error).__name__
            if found != "TimeoutError" and found != "timeout":
                print(json.dumps({"error": found}))
                break
    else:
        print(json.dumps({"error": "silence"}))
"""


def asked(host, entry, size, tries=1):
    """What a client gets that sends a datagram: its length as the application has read it, or an error."""
    return json.loads(host.check_output(f"python3 - {entry.vip} {entry.port} {size} {tries} <<'LVSKIT'\n{ASK}\nLVSKIT"))


@pytest.fixture
def narrow_link(topology, name, other_host):
    """The router's link to the client carries smaller packets than all others, which nobody but the router knows. What it returns
    prepares the hosts of an entry: they forget what they have learned, and real servers guess at no size unless the plan needs it.
    """
    machines = {host.name: other_host(host.name) for service in topology.services for host in hosts_of(service)}

    def prepare(entry):
        guessing = (
            entry.family.version == 4 and entry.mode.director_is_gateway and entry.service.return_path == "policy"
        )
        for host in hosts_of(entry.service):
            machines[host.name].check_output(f"{FORGET}; sysctl -w {PROBING}={int(guessing)}")
        # enat: IPVS sends the error on with the router's address as its source, in this lab by the same router (docs/datapath.md)
        for router in routers:
            router.check_output(f"sysctl -w {ACCEPT_LOCAL}={int(entry.mode.every_packet)}")

    routers = []
    with contextlib.ExitStack() as left:
        for machine in machines.values():
            probing = machine.check_output(f"sysctl -n {PROBING}")
            left.callback(machine.check_output, f"{FORGET}; sysctl -w {PROBING}={probing}")
        for one in {one.name: one for one in topology.hosts[name].interfaces if one.network.routers}.values():
            router = topology.owners[one.network.routers[0]]
            device, machine = router.interface_in(one.network).name, other_host(router.name)
            machine.check_output(f"ip link set {device} mtu {NARROW}")
            left.callback(
                machine.check_output, f"ip link set {device} mtu {one.network.mtu}; sysctl -w {ACCEPT_LOCAL}=0"
            )
            routers.append(machine)
        yield prepare


def hosts_of(service):
    return {*service.directors, *(server.host for server in service.real_servers)}


@pytest.fixture
def no_application(entries, other_host):
    """No real server listens."""
    hosts = {server.host.name for entry in entries for server in entry.service.real_servers}
    with contextlib.ExitStack() as left:
        for machine in map(other_host, sorted(hosts)):
            left.callback(machine.check_output, "systemctl start lvskit-lab-app")
            machine.check_output("systemctl stop lvskit-lab-app")
        yield


@pytest.mark.clients
@pytest.mark.tcp
def test_real_servers_learn_of_a_narrow_link_to_the_client(host, entries, narrow_link):
    failed = {}
    for entry in one_of_each_way(entries):
        narrow_link(entry)
        url = f"http://{bracketed(entry.vip)}:{entry.port}/bytes/{OCTETS}"
        got = host.run(f"curl -sS -g -m 40 {url} | wc -c")
        if got.stdout.strip() != str(OCTETS):
            failed[str(entry)] = got.stdout + got.stderr
    assert failed == {}


@pytest.mark.clients
@pytest.mark.udp
def test_datagrams_in_fragments_arrive_whole(host, entries):
    found = {str(entry): asked(host, entry, 4000) for entry in entries}
    assert found == {str(entry): {"length": 4000} for entry in entries}


@pytest.mark.clients
@pytest.mark.udp
def test_a_client_learns_that_nobody_listens(host, entries, no_application):
    found = {str(entry): asked(host, entry, 10, tries=3) for entry in entries}
    assert found == {str(entry): {"error": "ConnectionRefusedError"} for entry in entries}
