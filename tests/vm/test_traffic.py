"""What a client and its router get from each service, seen from outside."""

import hashlib
import json

import pytest
from ansible.module_utils.lvs.modes import Address

from lab.app import octets

MEGABYTE = 1_000_000


def digest_of(number):
    digest = hashlib.sha256()
    for part in octets(number):
        digest.update(part)
    return digest.hexdigest()


@pytest.mark.clients
@pytest.mark.tcp
def test_large_downloads_and_uploads_arrive_as_they_were_sent(host, services):
    """Full-size segments both ways; many more where every packet is made longer, once for each such mode."""
    longer = list({service.mode: service for service in services if service.mode.every_packet}.values())
    for service in services:
        number = MEGABYTE * (100 if service in longer[:1] else 10 if service in longer else 1)
        address = f"http://{service.entries[0].vip}:{service.entries[0].port}"
        host.check_output(f"curl -sS -m 300 -o /var/tmp/octets {address}/bytes/{number}")
        assert host.check_output("sha256sum < /var/tmp/octets").split()[0] == digest_of(number), service
        answer = json.loads(host.check_output(f"curl -sS -m 300 -T /var/tmp/octets {address}/"))
        assert (answer["length"], answer["sha256"]) == (number, digest_of(number)), service


@pytest.mark.clients
@pytest.mark.tcp
def test_the_application_sees_the_address_that_the_mode_promises(host, topology, services):
    client = topology.clients[0].interfaces[0].address
    for service in services:
        seen = (
            [str(client)] if service.mode.seen is Address.CLIENT else [str(local) for local in service.local_addresses]
        )
        answer = json.loads(
            host.check_output(f"curl -sS -m 10 http://{service.entries[0].vip}:{service.entries[0].port}/")
        )
        assert answer["peer"].rpartition(":")[0] in seen, service


@pytest.mark.routers
@pytest.mark.on_a_segment
def test_exactly_one_host_answers_arp_for_a_vip(host, topology, name, services):
    for service in services:
        network = topology.network_of(service.entries[0].vip)
        device = topology.hosts[name].interface_in(network).name
        answers = host.run(f"arping -c 3 -w 3 -I {device} {service.entries[0].vip}").stdout
        macs = {
            word.strip("[]")
            for line in answers.splitlines()
            if "reply from" in line
            for word in line.split()
            if "[" in word
        }
        director = topology.vip_interface(service.entries[0], service.directors[0])
        neighbours = host.check_output(
            f"ip neighbour show {director.address} dev {device}; ping -c 1 -W 2 {director.address} >/dev/null; ip neighbour show {director.address} dev {device}"
        )
        assert len(macs) == 1, answers
        assert next(iter(macs)).lower() in neighbours.lower()
