"""What a client and its router get from each entry, seen from outside."""

import hashlib
import json

import pytest
from ansible.module_utils.lvs.families import bracketed
from ansible.module_utils.lvs.modes import Address

from lab.app import octets

MEGABYTE = 1_000_000


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
    longer = list({entry.mode: entry for entry in entries if entry.mode.every_packet}.values())
    for entry in entries:
        number = MEGABYTE * (100 if entry in longer[:1] else 10 if entry in longer else 1)
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


@pytest.mark.routers
@pytest.mark.on_a_segment
def test_exactly_one_host_answers_arp_for_a_vip(host, topology, name, entries):
    for entry in entries:
        network = topology.network_of(entry.vip)
        device = topology.hosts[name].interface_in(network).name
        answers = host.run(f"arping -c 3 -w 3 -I {device} {entry.vip}").stdout
        macs = {
            word.strip("[]")
            for line in answers.splitlines()
            if "reply from" in line
            for word in line.split()
            if "[" in word
        }
        director = topology.vip_interface(entry, entry.service.directors[0])
        neighbours = host.check_output(
            f"ip neighbour show {director.address} dev {device}; ping -c 1 -W 2 {director.address} >/dev/null; ip neighbour show {director.address} dev {device}"
        )
        assert len(macs) == 1, answers
        assert next(iter(macs)).lower() in neighbours.lower()
