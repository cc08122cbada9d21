"""The modules' state: ports that are used again, tables that are full, and packets that somebody forges."""

import contextlib
import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.vm.keepers import unkept

pytestmark = pytest.mark.sender

RAW_CLIENT = (Path(__file__).parent / "raw_client.py").read_text().partition("def main()")[0]
NO_ROOM = "6328" + "00" * 38  # one option that fills the header, of a kind that nobody knows
FEW = 100  # connections that a table may have

# Connections one after the other from one port; the server closes each of them first, so that the client may use it again.
AGAIN = """
import errno, json, socket, sys, time
address, port, own_port, count = sys.argv[1], *map(int, sys.argv[2:])
said = []
for _ in range(count):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(10)
        client.bind(("", own_port))
        for _ in range(50):
            try:
                client.connect((address, port))
                break
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                time.sleep(0.1)  # the last acknowledgement of the connection before is on its way
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
    said.append(answer.partition(b"Peer: ")[2].partition(b"\\r\\n")[0].decode())
print(json.dumps(said))
"""

# Connections that stay: each END is address:port:own port. They ask one after the other, then do what `between` says, and ask
# again. A second address and port from the same own port are no fault (the kernel tells connections by both ends).
STAY = """
import http.client, json, socket, sys
def connected(end):
    address, port, own_port = end.split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(15)
    client.bind(("", int(own_port)))
    client.connect((address, int(port)))
    connection = http.client.HTTPConnection(address, int(port))
    connection.sock = client
    return connection
def ask(connection):
    connection.request("GET", "/")
    return json.load(connection.getresponse())["peer"]
def stay(ends, between=lambda: None):
    connections, first = [], []
    for end in ends:
        connections.append(connected(end))
        first.append(ask(connections[-1]))
    between()
    print(json.dumps([first, [ask(connection) for connection in connections]]))
"""


def run(host, program, *words):
    """What a Python program prints, as JSON; and its complaint, where it fails."""
    said = host.run(f"timeout 120 python3 - {' '.join(map(str, words))} <<'LVSKIT'\n{program}\nLVSKIT")
    assert said.rc == 0, said.stderr[-600:]
    return json.loads(said.stdout) if said.stdout.strip() else None


def address_of(topology, name):
    return str(topology.hosts[name].interfaces[0].address)


@contextlib.contextmanager
def unanswered(host, ports):
    """The kernel resets none of these connections, of which it knows nothing."""
    rule = f"OUTPUT -p tcp --sport {ports[0]}:{ports[-1]} --tcp-flags RST,ACK RST -j DROP"
    host.check_output(f"iptables -I {rule}")
    try:
        yield
    finally:
        host.check_output(f"iptables -D {rule}")


@contextlib.contextmanager
def table_of(other_host, topology, entry, most):
    """The hosts that have the receiver of an entry, with a table that holds no more than so many connections."""
    parameter = f"/sys/module/{entry.mode.receiver}/parameters/connections"
    names = {*topology.groups["real_servers"], *topology.groups["routers"]}.difference(topology.members("absent"))
    carriers = [host for host in map(other_host, sorted(names)) if host.file(parameter).exists]
    assert carriers
    before = [host.file(parameter).content_string.strip() for host in carriers]
    with unkept(*carriers):
        for host in carriers:
            host.check_output(f"echo {most} > {parameter}")
        try:
            yield carriers
        finally:
            for host, value in zip(carriers, before):
                host.check_output(f"echo {value} > {parameter}")


def count_of(host, entry, name):
    lines = host.check_output(f"cat /proc/net/{entry.mode.receiver}").splitlines()
    return {word: int(number) for word, number in map(str.split, lines)}[name]


@pytest.mark.clients
def test_a_port_that_is_used_again_at_once_is_the_client_again(host, topology, name, entries):
    own = address_of(topology, name)
    for number, entry in enumerate(entries):
        port = 17000 + number
        said = run(host, AGAIN, entry.vip, entry.port, port, 6)
        assert said == [f"{own}:{port}"] * 6, entry


@pytest.mark.clients
def test_no_syn_ends_an_open_connection(host, topology, name, entries):
    """From the same port: one with an option that leaves no room for the address, and one as clients send it after a restart."""
    own = address_of(topology, name)
    for number, entry in enumerate(entries):
        port = 17100 + number
        forge = f"""
forger = Connection("{entry.vip}", {entry.port}, {port})
def between():
    for options in "{NO_ROOM}", "":
        forger.send(SYN, bytes.fromhex(options))
        time.sleep(0.3)
stay(["{entry.vip}:{entry.port}:{port}"], between)
"""
        assert run(host, RAW_CLIENT + STAY + forge) == [[f"{own}:{port}"]] * 2, entry


@pytest.mark.clients
def test_one_port_for_two_services_on_one_port_of_a_real_server(host, topology, name, entries):
    """The second connection is the same client's, by another port if need be; the first one goes on."""
    own, shared = address_of(topology, name), defaultdict(list)
    for entry in entries:
        for server in entry.service.real_servers:
            shared[server.host.name, server.port].append(entry)
    pairs = {tuple(found) for found in shared.values() if len({(e.vip, e.port) for e in found}) > 1}
    for number, (first, second, *_) in enumerate(sorted(pairs, key=str)):
        ports = range(17200 + 10 * number, 17203 + 10 * number)  # one for each real server of the first
        ends = [f"{entry.vip}:{entry.port}:{port}" for entry in (first, second) for port in ports]
        before, after = run(host, f"{RAW_CLIENT}{STAY}\nstay({ends})")
        assert before == after
        assert before[:3] == [f"{own}:{port}" for port in ports]
        assert {peer.partition(":")[0] for peer in before[3:]} == {own}


@pytest.mark.clients
def test_a_full_table_takes_in_new_clients(host, topology, name, other_host, entries):
    """SYNs that nobody goes on with, and then a segment without any flag from each of them."""
    own = address_of(topology, name)
    ports = range(21000, 21000 + 8 * FEW)
    for number, entry in enumerate(entries):
        flood = f"""
import json
flooder = Connection("{entry.vip}", {entry.port}, 0)
for flags in SYN, 0:
    for port in {ports!r}:
        flooder.own_port = port
        flooder.send(flags)
        time.sleep(0.001)
time.sleep(1)
stay([f"{entry.vip}:{entry.port}:{{port}}" for port in range({17300 + 10 * number}, {17303 + 10 * number})])
"""
        with table_of(other_host, topology, entry, FEW) as carriers, unanswered(host, ports):
            evicted = sum(count_of(carrier, entry, "evicted") for carrier in carriers)
            # What was there before the limit was lowered, and may not give way (a flood's ends of connections), stays.
            limits = [max(FEW * 9 // 8, count_of(carrier, entry, "connections")) for carrier in carriers]
            expected = [f"{own}:{port}" for port in range(17300 + 10 * number, 17303 + 10 * number)]
            assert run(host, RAW_CLIENT + STAY + flood) == [expected] * 2, entry
            counts = [count_of(carrier, entry, "connections") for carrier in carriers]
            assert all(count <= limit for count, limit in zip(counts, limits)), (counts, limits)
            assert sum(count_of(carrier, entry, "evicted") for carrier in carriers) > evicted


@pytest.mark.clients
@pytest.mark.cip_src
def test_a_forged_option_locks_nobody_out(host, topology, name, other_host, entries):
    """Sent past the director, from a client's address: the VIP, with a port that it does not have."""
    own, forger = address_of(topology, name), other_host(topology.groups["routers"][0])
    for number, entry in enumerate(entries):
        port, kind = 17400 + number, entry.service.directors[0].option_kind
        option = f"{kind:02x}08{1:04x}{entry.vip.packed.hex()}"
        for server in entry.service.real_servers:
            rip = server.host.interfaces[0].address
            forge = f"""
forger = Connection("{rip}", {server.port}, {port})
forger.own = "{own}"
segment = forger.segment(0, bytes.fromhex("{option}"))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    ends = socket.inet_aton("{own}") + socket.inet_aton("{rip}")
    raw.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0) + ends + segment, ("{rip}", 0))
"""
            run(forger, RAW_CLIENT + forge)
        said = run(host, AGAIN, entry.vip, entry.port, port, 1)
        assert said == [f"{own}:{port}"], entry


@pytest.mark.clients
@pytest.mark.every_packet
def test_a_client_is_told_the_size_that_its_packets_may_have(host, other_host, entries):
    """A real server announces larger segments than fit with the option; one upload, and nothing of it goes in fragments."""
    for entry in entries:
        director, server = (
            other_host(one.name) for one in (entry.service.directors[0], entry.service.real_servers[0].host)
        )
        counted = f"grep -E 'fragmented|too_large' /proc/net/{entry.mode.sender}"
        route = server.check_output("ip -4 route show default")
        before = dict(line.split() for line in director.check_output(counted).splitlines())
        server.check_output(f"ip route change {route} advmss 8960")
        try:
            host.check_output("head -c 3000000 /dev/zero > /tmp/zeros")
            assert (
                host.check_output(f"curl -sS -m 60 -T /tmp/zeros http://{entry.vip}:{entry.port}/ | grep -c 3000000")
                == "1"
            )
        finally:
            server.check_output(f"ip route change {route}")
            host.check_output("ip route flush cache")
        after = dict(line.split() for line in director.check_output(counted).splitlines())
        assert after["fragmented"] == before["fragmented"]
        assert int(after["too_large"]) > int(before["too_large"])


@pytest.mark.clients
@pytest.mark.restored
def test_a_real_server_learns_that_the_way_to_the_director_is_narrower_than_the_one_to_the_client(
    host, topology, other_host, entries
):
    """From the host itself that changes the way of the replies: the real server, or the one in front of it."""
    for entry in entries:
        with contextlib.ExitStack() as left, table_of(other_host, topology, entry, 1 << 20) as carriers:
            for carrier in carriers:
                for local in entry.service.local_addresses:
                    (hop,) = json.loads(carrier.check_output(f"ip -j route get {local}"))
                    via = f"via {hop['gateway']} " if "gateway" in hop else ""
                    carrier.check_output(f"ip route add {local} {via}dev {hop['dev']} mtu 1000")
                    left.callback(carrier.check_output, f"ip route del {local}")
            for server in entry.service.real_servers:
                left.callback(other_host(server.host.name).check_output, "ip route flush cache")
            for _ in range(2 * len(entry.service.real_servers)):
                asked = (
                    f"curl -sS -m 30 -o /dev/null -w '%{{size_download}}' http://{entry.vip}:{entry.port}/bytes/200000"
                )
                assert host.check_output(asked) == "200000", entry


@pytest.mark.clients
@pytest.mark.noted
def test_a_users_own_namespaces_do_not_fill_the_table(host, topology, name, other_host, entries):
    own = address_of(topology, name)
    for number, entry in enumerate(entries):
        local = entry.service.local_addresses[0]
        port = 17500 + number
        option = f"{entry.service.directors[0].option_kind:02x}08029a06060606"
        syns = f"""
flooder = Connection("{local}", 80, 0)
for port in range(20000, {20000 + 10 * FEW}):
    flooder.own_port = port
    flooder.send(SYN, bytes.fromhex("{option}"))
"""
        with table_of(other_host, topology, entry, FEW) as carriers:
            for carrier in carriers:
                module = entry.mode.receiver
                carrier.check_output(f"rmmod {module} && modprobe {module} connections={FEW}")  # it remembers nothing
                carrier.run(f"cat > /tmp/syns.py <<'LVSKIT'\n{RAW_CLIENT}{syns}\nLVSKIT")
                inside = f"ip link set lo up; ip address add {local} dev lo; python3 /tmp/syns.py"
                nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Urn"
                carrier.check_output(f'{nobody} sh -c "{inside}"')
                assert 0 < count_of(carrier, entry, "of_others") <= FEW / 8
            said = run(host, AGAIN, entry.vip, entry.port, port, len(carriers))
            assert said == [f"{own}:{port}"] * len(carriers), entry


# What an application is told of its peer: it accepts a while after it has begun to listen, and asks again after the first data, and
# when a note that nobody has claimed would be gone.
LISTENER = """
import json, socket, sys, time
own, wait, patience = sys.argv[1], *map(float, sys.argv[2:])
listener = socket.create_server((own, 9095))
time.sleep(wait)
connection, peer = listener.accept()
said = [peer[0]]
try:
    connection.recv(100)
    said.append(connection.getpeername()[0])
    time.sleep(patience)
    said.append(connection.getpeername()[0])
except OSError as error:
    said.append(type(error).__name__)
print(json.dumps(said))
"""


def told(topology, other_host, entry, talk, wait=0, patience=0):
    """What LISTENER on a real server of an entry prints, while the director does `talk` with it from a local address."""
    local, director = entry.service.local_addresses[0], other_host(entry.service.directors[0].name)
    server = entry.service.real_servers[0]
    rip, kind = server.host.interfaces[0].address, entry.service.directors[0].option_kind
    real = other_host(server.host.name)
    real.run(f"cat > /tmp/listener.py <<'LVSKIT'\n{LISTENER}\nLVSKIT")
    real.check_output(f"nohup python3 /tmp/listener.py {rip} {wait} {patience} > /tmp/listener.out 2>&1 &")
    real.check_output("for i in $(seq 50); do ss -ltn | grep -q :9095 && exit; sleep 0.2; done; exit 1")
    program = f"""
option = bytes.fromhex("{kind:02x}08029a06060606")
connection = Connection("{rip}", 9095, 24001)
connection.own = "{local}"
connection.socket.bind(("{local}", 0))
def handshake(*options):
    _, sequence, _ = connection.answer(SYN, options[0])
    connection.sequence, connection.acknowledged = connection.sequence + 1, sequence + 1
    connection.send(ACK, options[1])
{talk}
"""
    with unanswered(director, range(24001, 24002)):
        run(director, RAW_CLIENT + program)
        real.check_output(
            f"for i in $(seq {int(wait + patience + 20)}); do [ -s /tmp/listener.out ] && exit; sleep 1; done; exit 1"
        )
    return json.loads(real.file("/tmp/listener.out").content_string), str(local)


@pytest.mark.clients
@pytest.mark.noted
def test_an_option_that_comes_after_the_handshake_is_kept(host, topology, other_host, entries):
    """As other senders do it."""
    accepted = "time.sleep(5)"  # until the application has accepted the connection, whose client it does not know yet
    talk = f'handshake(b"", b"")\n{accepted}\nconnection.send(ACK | PSH, option, b"data")'
    said, local = told(topology, other_host, entries[0], talk, patience=85)
    assert said == [local, "6.6.6.6", "6.6.6.6"]


@pytest.mark.clients
@pytest.mark.noted
def test_who_accepts_a_connection_that_was_reset_is_told_its_client(host, topology, other_host, entries):
    talk = "handshake(option, option)\ntime.sleep(1)\nconnection.send(RST | ACK)"
    said, _ = told(topology, other_host, entries[0], talk, wait=4)
    assert said == ["6.6.6.6", "ConnectionResetError"]


MEMBERS = [f"10.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}" for i in range(10_000)]
IN_PIECES = """
import sys
file, sign = sys.argv[1:]
members = open("/tmp/members").read().split()
for start in range(0, len(members), 200):
    with open(file, "w") as parameter:
        parameter.write(sign + ",".join(members[start : start + 200]))
"""


def put(host, path, text):
    """Writes a text that is longer than a command may be."""
    host.check_output(f": > {path}")
    for start in range(0, len(text), 100_000):
        host.check_output(f"printf %s '{text[start : start + 100_000]}' >> {path}")


@pytest.mark.clients
def test_ten_thousand_addresses(host, other_host, entries):
    """More than a page, which a parameter's own file ends at: given when the module is loaded, and while it works."""
    for entry in entries[:1]:
        director = other_host(entry.service.directors[0].name)
        module, parameter = entry.mode.sender, "vips" if entry.mode.every_packet else "lips"
        shown, file = f"/proc/net/{module}.{parameter}", f"/sys/module/{module}/parameters/{parameter}"
        before = director.check_output(f"cat {shown}")
        assert before
        put(director, "/tmp/members", "\n".join(MEMBERS))
        run(director, IN_PIECES, file, "+")
        assert set(director.check_output(f"cat {shown}").split()) == {*MEMBERS, *before.split()}
        assert director.run(f"echo +10.0.0.256 > {file}").rc != 0
        assert run(host, AGAIN, entry.vip, entry.port, 17600, 1)[0].endswith(":17600")
        run(director, IN_PIECES, file, "-")
        assert director.check_output(f"cat {shown}") == before
        # As systemd-modules-load gives it: from a file.
        line = f"options {module} {parameter}={','.join([*before.split(), *MEMBERS])}"
        put(director, "/tmp/many.conf", f"{line}\n")
        with unkept(director):
            director.check_output(f"rmmod {module}")
            try:
                director.check_output(f"modprobe --config /tmp/many.conf {module}")
                assert len(director.check_output(f"cat {shown}").split()) == 10_000 + len(before.split())
            finally:
                director.run(f"rmmod {module}; modprobe {module}")
        assert director.check_output(f"cat {shown}") == before
