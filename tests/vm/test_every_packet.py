"""Modes in which every packet carries the client's address: two clients with one source port, and a missing kernel module."""

import json

import pytest

from tests.vm.keepers import unkept

pytestmark = pytest.mark.every_packet

# One client after the other connects from the port given, and keeps its connection. Both ask once; what the application says of
# its peers is printed, and the same again once the file /tmp/go_on is there.
CLIENTS = """
import http.client, json, os, sys, time
address, port, own_port, *clients = sys.argv[1:]
connections = [http.client.HTTPConnection(address, int(port), 20, source_address=(own, int(own_port))) for own in clients]
def ask():
    for connection in connections:
        connection.connect() if connection.sock is None else None
        connection.request("GET", "/")
    return [json.load(connection.getresponse())["peer"] for connection in connections]
print(json.dumps(ask()), flush=True)
until = time.monotonic() + 120
while len(sys.argv) > 5 and not os.path.exists("/tmp/go_on") and time.monotonic() < until:
    time.sleep(0.2)
print(json.dumps(ask()), flush=True)
"""

# Shows in /tmp/strays what comes from an address, until it is ended by its pid.
WATCH = """
tcpdump -n -l --immediate-mode -i {device} src host {address} >/tmp/strays 2>/tmp/watching &
echo $! >/tmp/watch.pid
for i in $(seq 100); do grep -q listening /tmp/watching && exit; sleep 0.2; done; exit 1
"""


def start(host, entry, own_port, *clients):
    """Starts CLIENTS in the background; what it prints is in /tmp/clients."""
    host.check_output("rm -f /tmp/go_on /tmp/clients")
    host.run(f"cat > /tmp/clients.py <<'LVSKIT'\n{CLIENTS}\nLVSKIT")
    words = f"{entry.vip} {entry.port} {own_port} {' '.join(clients)}"
    host.check_output(f"nohup python3 /tmp/clients.py {words} > /tmp/clients 2>&1 & ")


def said(host, lines):
    """What has been printed, once it has that many lines."""
    host.run(f"for i in $(seq 100); do [ $(wc -l < /tmp/clients) -ge {lines} ] && break; sleep 0.3; done")
    text = host.file("/tmp/clients").content_string.splitlines()
    assert len(text) == lines, text
    return [json.loads(line) for line in text]


@pytest.mark.clients
def test_two_clients_with_the_same_source_port_do_not_meet(host, topology, name, entries, second_client):
    first = str(topology.hosts[name].interfaces[0].address)
    for number, entry in enumerate(entries):
        port = 18000 + number
        start(host, entry, port, first, second_client)
        host.check_output("touch /tmp/go_on")
        assert said(host, 2) == [[f"{first}:{port}", f"{second_client}:{port}"]] * 2, entry


@pytest.mark.clients
@pytest.mark.parametrize("half", ["sender", "receiver"])
def test_open_connections_go_on_when_a_module_is_loaded_again(
    host, topology, name, other_host, entries, half, second_client
):
    first = str(topology.hosts[name].interfaces[0].address)
    for number, entry in enumerate(entries):
        port = 18100 + number + 10 * (half == "sender")
        place = other_host(
            (entry.service.directors if half == "sender" else [s.host for s in entry.service.real_servers])[0].name
        )
        module = getattr(entry.mode, half)
        start(host, entry, port, first, second_client)
        expected = [f"{first}:{port}", f"{second_client}:{port}"]
        assert said(host, 1) == [expected]
        place.check_output(f"rmmod {module} && modprobe {module}")
        host.check_output("touch /tmp/go_on")
        assert said(host, 2) == [expected] * 2, entry


@pytest.mark.clients
def test_without_its_module_a_real_server_answers_nobody(host, topology, name, other_host, entries):
    """Not from its own address above all: the client would reset the connection."""
    device = topology.hosts[name].interfaces[0].name
    for entry in entries:
        server = entry.service.real_servers[0]
        place = other_host(server.host.name)
        real = topology.real_interface(entry, entry.service.directors[0], server.host).address
        with unkept(place):
            place.check_output(f"rmmod {entry.mode.receiver}")
            try:
                host.check_output(WATCH.format(device=device, address=real))
                refused = host.run(f"curl -sS -m 5 http://{entry.vip}:{entry.port}/")
                assert refused.rc != 0
                host.check_output(f"ping -c 1 -W 5 {real}")  # its answer shows that the capture was looking
                strays = host.check_output("sleep 3; kill $(cat /tmp/watch.pid); cat /tmp/strays").splitlines()
                assert len(strays) == 1 and "ICMP echo reply" in strays[0], strays
            finally:
                place.check_output(f"modprobe {entry.mode.receiver}")
        host.check_output(f"curl -sSf -m 10 http://{entry.vip}:{entry.port}/")
