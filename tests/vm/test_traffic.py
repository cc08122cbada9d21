"""What a client and its router get from each entry, seen from outside."""

import contextlib
import hashlib
import json
import os

import pytest
from ansible.module_utils.lvs.families import bracketed
from ansible.module_utils.lvs.modes import Address

from lab.app import octets
from tests.vm.conftest import one_of_each_way

MEGABYTE = 1_000_000
LARGE = int(os.environ.get("LVSKIT_LARGE", "20"))  # megabytes; the scenario `releases` has more


def url_of(entry):
    """For curl -g, which takes the brackets of IPv6 for nothing else."""
    return f"http://{bracketed(entry.vip)}:{entry.port}"


def digest_of(number):
    digest = hashlib.sha256()
    for part in octets(number):
        digest.update(part)
    return digest.hexdigest()


@pytest.mark.clients
@pytest.mark.tcp
def test_large_downloads_and_uploads_arrive_as_they_were_sent(host, entries):
    """Full-size segments both ways; many more where every packet is made longer, once for each such mode."""
    ways = one_of_each_way(entries)
    longer = list({entry.mode: entry for entry in ways if entry.mode.every_packet}.values())
    for entry in ways:
        number = MEGABYTE * (LARGE if entry in longer[:1] else 10 if entry in longer else 1)
        address = url_of(entry)
        host.check_output(f"curl -sS -g -m 300 -o /var/tmp/octets {address}/bytes/{number}")
        assert host.check_output("sha256sum < /var/tmp/octets").split()[0] == digest_of(number), entry
        answer = json.loads(host.check_output(f"curl -sS -g -m 300 -T /var/tmp/octets {address}/"))
        assert (answer["length"], answer["sha256"]) == (number, digest_of(number)), entry


@pytest.mark.clients
@pytest.mark.tcp
def test_the_application_sees_the_address_that_the_mode_promises(host, topology, entries):
    for entry in entries:
        client = topology.clients[0].on(entry.family)[0].text
        local = [str(address) for address in entry.service.local_addresses]
        seen = [client] if entry.mode.seen is Address.CLIENT else local
        answer = json.loads(host.check_output(f"curl -sS -g -m 10 {url_of(entry)}/"))
        assert answer["peer"].rpartition(":")[0].strip("[]") in seen, entry


def answers_to_arp(host, device, vip):
    """The MAC addresses that answer for an address."""
    lines = host.run(f"arping -c 3 -w 3 -I {device} {vip}").stdout.splitlines()
    words = (word for line in lines if "reply from" in line for word in line.split())
    return {word.strip("[]").lower() for word in words if "[" in word}


def check_that_the_director_alone_answers(host, topology, name, entry):
    device = topology.hosts[name].interface_in(topology.network_of(entry.vip)).name
    own = [topology.vip_interface(entry, director).address for director in entry.service.directors]
    asked = [f"ping -c 1 -W 2 {address} >/dev/null; ip neighbour show {address} dev {device}" for address in own]
    neighbours = host.check_output("; ".join(asked))
    macs = answers_to_arp(host, device, entry.vip)
    assert len(macs) == 1, (entry, macs)
    assert next(iter(macs)) in neighbours.lower(), entry


@pytest.mark.routers
@pytest.mark.on_a_segment
def test_exactly_one_host_answers_arp_for_a_vip(host, topology, name, entries):
    for entry in entries:
        check_that_the_director_alone_answers(host, topology, name, entry)


@pytest.fixture
def undescribed_nics(topology, entries, other_host):
    """Each real server on the segment of its VIP gets a second NIC there, which the inventory does not describe. Not the director: the
    VIP is its own on all of its NICs.
    """
    segments = {
        server.host.name: one
        for entry in entries
        for server in entry.service.remote_servers
        if (one := server.host.attached(topology.network_of(entry.vip), entry.family))
    }
    with contextlib.ExitStack() as left:
        for name, one in segments.items():
            assert one.address + 100 not in topology.owners
            machine = other_host(name)
            left.callback(machine.run, "ip link del undescribed")
            machine.check_output(
                f"ip link add undescribed link {one.name} type macvlan mode bridge && ip link set undescribed up && "
                f"ip address add {one.address + 100}/{one.prefix.prefixlen} dev undescribed"
            )
        yield


@pytest.mark.routers
@pytest.mark.on_a_segment
def test_a_nic_that_nobody_described_does_not_answer_arp_for_a_vip(host, topology, name, entries, undescribed_nics):
    for entry in entries:
        check_that_the_director_alone_answers(host, topology, name, entry)
