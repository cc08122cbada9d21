"""Machines as they are found: real servers with published ports or as clients of virtual services, MPTCP, TCP Fast Open, and devices
that join segments in their own ways."""

import contextlib
import json

import pytest

from tests.vm.keepers import unkept
from tests.vm.test_state import address_of, run

# TCP_MD5SIG (RFC 2385): the segments to and from an address are signed.
SIGNED = """
import socket, struct
def signed(one, peer):
    place = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(peer))
    one.setsockopt(socket.IPPROTO_TCP, 14, place + struct.pack("=BBHI80s", 0, 0, 6, 0, b"secret"))
"""

# A server that says who its peer is, and whether it speaks MPTCP with it (SOL_MPTCP, MPTCP_INFO). Each line gets an answer.
LINES = (
    SIGNED
    + """
import json, socket, sys, threading
address, port, protocol, fast = sys.argv[1], *map(int, sys.argv[2:5])
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
for peer in sys.argv[5:]:
    signed(listener, peer)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if fast:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
listener.bind((address, port))
listener.listen(64)
def serve(connection):
    with connection, connection.makefile("rwb") as stream:
        try:
            multipath = bool(connection.getsockopt(284, 1, 256))
        except OSError:
            multipath = False
        for line in stream:
            said = {"peer": "%s:%d" % connection.getpeername(), "multipath": multipath, "bytes": len(line)}
            stream.write(json.dumps(said).encode() + b"\\n")
            stream.flush()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
)

# Lines, one after the other on one connection; each answer, with the address that the client has there.
TALK = (
    SIGNED
    + """
import json, signal, socket, sys
address, port, protocol, fast = sys.argv[1], *map(int, sys.argv[2:5])
signal.alarm(20)
lines = [b"one\\n", b"x" * 5000 + b"\\n", b"three\\n"]
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
for peer in sys.argv[5:]:
    signed(client, peer)
    client.settimeout(4)
if fast:
    client.sendto(lines.pop(0), socket.MSG_FASTOPEN, (address, port))
else:
    client.connect((address, port))
with client, client.makefile("rb") as stream:
    said = [json.loads(stream.readline())] if fast else []
    for line in lines:
        client.sendall(line)
        said.append(json.loads(stream.readline()))
    print(json.dumps(["%s:%d" % client.getsockname(), said]))
"""
)
TCP, MPTCP = 6, 262


def together(host, *commands):
    """Commands in one go: on an emulated machine each call takes half a second. The first that fails ends it."""
    host.check_output("\n".join(["set -e", *commands]))


def listens(port, inside=""):
    """A command that waits until somebody listens on a TCP port."""
    return f"for i in $(seq 100); do {inside} ss -ltn | grep -q :{port} && exit; sleep 0.2; done; exit 1"


@contextlib.contextmanager
def serving(real, address, port, *words):
    """LINES instead of the demo application, at an address and port of a real server."""
    arguments = " ".join(map(str, (address, port, *words)))
    together(
        real,
        f"cat > /tmp/lines.py <<'LVSKIT'\n{LINES}\nLVSKIT",
        "systemctl stop lvskit-lab-app",
        f"systemd-run -q --collect --unit lines python3 /tmp/lines.py {arguments}",
    )
    try:
        real.check_output(listens(port))
        yield
    finally:
        real.check_output("systemctl stop lines; systemctl start lvskit-lab-app")


@contextlib.contextmanager
def served(other_host, entry, *words):
    """LINES on every real server of an entry."""
    with contextlib.ExitStack() as stack:
        for server in entry.service.real_servers:
            real = other_host(server.host.name)
            stack.enter_context(serving(real, "0.0.0.0", server.at_port(entry.port), *words))
        yield


def knows_mptcp(host):
    return host.file("/proc/sys/net/mptcp/enabled").exists


@pytest.mark.long
@pytest.mark.clients
@pytest.mark.sender
def test_a_client_that_speaks_mptcp(host, other_host, entries):
    """enat has no room for its options, and makes it speak TCP; in fullnat it is the client all the same."""
    for entry in entries:
        servers = [other_host(server.host.name) for server in entry.service.real_servers]
        if not all(map(knows_mptcp, [host, *servers])):
            continue
        with served(other_host, entry, MPTCP, 0):
            for _ in servers:
                own, said = run(host, TALK, entry.vip, entry.port, MPTCP, 0)
                assert [answer["bytes"] for answer in said] == [4, 5001, 6], entry
                assert {answer["peer"] for answer in said} == {own}, entry
                assert {answer["multipath"] for answer in said} == {not entry.mode.every_packet}, entry


@pytest.mark.long
@pytest.mark.clients
@pytest.mark.sender
def test_a_client_that_sends_data_with_its_syn(host, other_host, entries):
    """TCP Fast Open (RFC 7413): the first connection asks for a cookie, the next one uses it."""
    for entry in entries:
        servers = [other_host(server.host.name) for server in entry.service.real_servers]
        machines = [host, *servers]
        for one in machines:
            one.check_output("sysctl -qw net.ipv4.tcp_fastopen=3; ip tcp_metrics flush")
        try:
            with served(other_host, entry, TCP, 1):
                for _ in range(1 + len(servers)):
                    own, said = run(host, TALK, entry.vip, entry.port, TCP, 1)
                    assert [answer["bytes"] for answer in said] == [4, 5001, 6], entry
                    assert {answer["peer"] for answer in said} == {own}, entry
                # A cookie is of both addresses, as the real server knows them: another one does not take it.
                if not entry.mode.source_nat and len(servers) == 1:
                    counted = (one.check_output("nstat -asz | grep 'FastOpenPassive '") for one in servers)
                    assert sum(int(line.split()[1]) for line in counted) > 0, entry
        finally:
            for one in machines:
                one.check_output("sysctl -qw net.ipv4.tcp_fastopen=1")


@pytest.mark.long
@pytest.mark.clients
@pytest.mark.tcp
def test_signed_connections_are_for_modes_that_leave_addresses_alone(host, topology, name, other_host, entries):
    """TCP-MD5, as BGP uses it, signs the addresses, too."""
    one_each = {entry.mode: entry for entry in reversed(entries) if entry.family.version == 4 and entry.port}
    for entry in one_each.values():
        with served(other_host, entry, TCP, 0, address_of(topology, name)):
            host.run(f"cat > /tmp/state.py <<'LVSKIT'\n{TALK}\nLVSKIT")
            said = host.run(f"timeout 20 python3 /tmp/state.py {entry.vip} {entry.port} {TCP} 0 {entry.vip}")
        assert (said.rc == 0) == entry.mode.holds_vip, (entry, said.stderr)


@contextlib.contextmanager
def published(real, address, port):
    """What Docker and kube-proxy do: the port leads to a container, here LINES in a network namespace, by DNAT."""
    rule = f"PREROUTING -d {address} -p tcp --dport {port} -j DNAT --to-destination 172.31.0.2:9080"
    forwarded = real.check_output("sysctl -n net.ipv4.ip_forward")
    together(
        real,
        f"cat > /tmp/lines.py <<'LVSKIT'\n{LINES}\nLVSKIT",
        "ip netns add container",
        "ip link add outer type veth peer name inner netns container",
        "ip address add 172.31.0.1/24 dev outer",
        "ip link set outer up",
        "ip -n container address add 172.31.0.2/24 dev inner",
        "ip -n container link set inner up",
        "ip -n container route add default via 172.31.0.1",
        "sysctl -qw net.ipv4.ip_forward=1",
        f"iptables -w -t nat -A {rule}",
        f"systemd-run -q --collect --unit lines ip netns exec container python3 /tmp/lines.py 172.31.0.2 9080 {TCP} 0",
        listens(9080, "ip netns exec container"),
    )
    try:
        yield
    finally:
        together(
            real,
            "systemctl stop lines || true",
            f"iptables -w -t nat -D {rule}",
            "ip link del outer",
            "ip netns del container",
            f"sysctl -qw net.ipv4.ip_forward={forwarded}",
        )


@contextlib.contextmanager
def heard(host, interface, about):
    """A list that has, at the end, the packets on an interface that tcpdump's filter is about."""
    lines = []
    host.check_output("rm -f /tmp/heard.pcap")
    dump = f"tcpdump -U -n -s 96 -i {interface} -w /tmp/heard.pcap {about}"
    host.check_output(f"systemd-run -q --collect --unit heard {dump}")
    host.check_output("for i in $(seq 50); do [ -s /tmp/heard.pcap ] && exit; sleep 0.2; done; exit 1")
    try:
        yield lines
    finally:
        host.run("sleep 1; systemctl stop heard")
        lines += host.check_output("tcpdump -n -r /tmp/heard.pcap 2>/dev/null").splitlines()


def ends_of(topology, entry):
    """The only real server of an entry: its name, address and port."""
    (server,) = entry.service.real_servers
    return server.host.name, str(server.host.interfaces[0].address), server.at_port(entry.port)


@pytest.mark.long
@pytest.mark.clients
@pytest.mark.every_packet
def test_a_published_port_is_a_real_server_like_any_other(host, topology, other_host, entries):
    for entry in entries:
        name, rip, port = ends_of(topology, entry)
        real = other_host(name)
        with published(real, rip, port):
            with heard(host, "any", f"src host {rip}") as packets:
                for _ in range(3):
                    own, said = run(host, TALK, entry.vip, entry.port, TCP, 0)
                    assert [answer["bytes"] for answer in said] == [4, 5001, 6], entry
                    assert {answer["peer"] for answer in said} == {own}, entry
                assert host.run(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{rip}/{port}'").rc == 124
            assert packets == []  # neither to those who come by the VIP, nor to those who do not


@pytest.mark.long
@pytest.mark.clients
@pytest.mark.every_packet
def test_a_port_answers_nobody_by_itself_while_the_module_is_away(host, topology, other_host, entries):
    """Published or not; with the client as source the real server's own port alone, because conntrack has the last word."""
    for entry in entries:
        name, rip, port = ends_of(topology, entry)
        real = other_host(name)
        forms = [contextlib.nullcontext(), *([] if entry.mode.cip_src else [published(real, rip, port)])]
        for form in forms:
            with form, unkept(real), heard(host, "any", f"src host {rip}") as packets:
                real.check_output("rmmod lvskit_ctk")
                try:
                    assert host.run(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{rip}/{port}'").rc == 124
                    assert host.run(f"curl -sS -m 3 http://{entry.vip}:{entry.port}/").rc != 0
                finally:
                    real.check_output("modprobe lvskit_ctk")
            assert packets == []
        assert host.run(f"curl -sS -m 15 http://{entry.vip}:{entry.port}/").rc == 0


@pytest.mark.real_servers
@pytest.mark.sender
def test_a_real_server_is_a_client_of_a_virtual_service(host, topology, name, entries):
    """It is answered whenever another real server was chosen: by a VIP whose packets it knows with an option only."""
    own = address_of(topology, name)
    for entry in entries:
        names = [server.host.name for server in entry.service.real_servers]
        if not entry.mode.every_packet or name not in names or len(names) == 1:
            continue
        said = [host.run(f"curl -sS -m 5 http://{entry.vip}:{entry.port}/") for _ in range(2 * len(names))]
        answers = [json.loads(one.stdout) for one in said if one.rc == 0]
        assert len(answers) >= 2 * (len(names) - 1), entry
        assert {answer["host"] for answer in answers} >= set(names) - {name}, entry
        assert {answer["peer"].rpartition(":")[0] for answer in answers if answer["host"] != name} == {own}, entry


@contextlib.contextmanager
def inner_client(director, router, gateway):
    """A client in a network namespace of the director, whose segments come in one piece however long they are: the largest it sends."""
    size = 180_000
    together(
        director,
        "ip netns add inner",
        "ip link add outer type veth peer name inner netns inner",
        "ip address add 10.66.0.1/24 dev outer",
        "ip link set outer up",
        "ip -n inner address add 10.66.0.2/24 dev inner",
        "ip -n inner link set inner up",
        "ip -n inner route add default via 10.66.0.1 initcwnd 300",
        "ip netns exec inner sysctl -qw net.ipv4.tcp_tso_rtt_log=30 || true",  # 5.18 and later
        "ip netns exec inner sysctl -qw net.ipv4.tcp_wmem='4096 1000000 4000000'",
        "sysctl -qw net.ipv4.conf.all.accept_local=1",  # replies of enat pass it on their way to this client,
        "iptables -w -I FORWARD -o outer -j ACCEPT",  # and its conntrack has not seen the requests
    )
    router.check_output(f"ip route add 10.66.0.0/24 via {gateway}")
    sizes = f"gso_max_size {size} gro_max_size {size} gso_ipv4_max_size {size} gro_ipv4_max_size {size}"
    big = all(
        director.run(command).rc == 0
        for command in (f"ip link set outer {sizes}", f"ip -n inner link set inner {sizes}")
    )
    try:
        # Packets from a VIP would be forged answers to health checks, but for this client.
        known = "PREROUTING -d 10.66.0.0/24 -j ACCEPT"
        with unkept(director):
            director.check_output(f"iptables -w -t raw -I {known}")
            try:
                yield big
            finally:
                director.run(f"iptables -w -t raw -D {known}")
    finally:
        director.run("iptables -w -D FORWARD -o outer -j ACCEPT")
        director.run("ip link del outer; ip netns del inner; sysctl -qw net.ipv4.conf.all.accept_local=0")
        router.run("ip route del 10.66.0.0/24")


def uploaded(host, entry, prefix=""):
    """Whether all of a file has arrived as it is."""
    host.check_output("[ -e /tmp/noise ] || head -c 6000000 /dev/urandom > /tmp/noise")
    said = host.check_output(f"{prefix} curl -sS -m 120 -T /tmp/noise http://{entry.vip}:{entry.port}/")
    return json.loads(said)["sha256"] == host.check_output("sha256sum < /tmp/noise").split()[0]


@contextlib.contextmanager
def every_segment_marked(topology, other_host, entry):
    """Each segment with data that comes to a real server meanwhile has the option right behind the fixed header, as enat's must.

    Receivers need the option of the SYN alone, and would not miss that of a later segment.
    """
    if not entry.mode.every_packet:
        yield
        return
    reals = {other_host(server.host.name): server for server in entry.service.real_servers}
    devices = {real: server.host.interfaces[0].name.partition(".")[0] for real, server in reals.items()}
    with contextlib.ExitStack() as stack:
        for real, server in reals.items():
            real.check_output(f"ethtool -K {devices[real]} gro off")
            stack.callback(real.run, f"ethtool -K {devices[real]} gro on")
            data = f"'tcp dst port {server.at_port(entry.port)} and greater 500'"
            stack.enter_context(heard(real, server.host.interfaces[0].name, data))
        yield
    marked, bare = (
        sum(
            int(
                real.check_output(
                    f"tcpdump -r /tmp/heard.pcap 'tcp[20] {sign} {server.host.option_kind}' 2>/dev/null | wc -l"
                )
            )
            for real, server in reals.items()
        )
        for sign in ("=", "!=")
    )
    assert marked > 1000 and bare == 0, (entry, marked, bare)


@pytest.mark.long
@pytest.mark.directors
@pytest.mark.sender
def test_segments_longer_than_an_ip_packet(host, topology, name, other_host, entries):
    """IPv4 BIG TCP, where the kernel knows it (6.3 and later); else as long as a packet can be."""
    router = other_host(topology.groups["routers"][0])
    director = topology.hosts[name]
    for entry in (entry for entry in entries if director in entry.service.directors):
        with inner_client(host, router, director.interfaces[0].address) as big:
            with heard(host, "outer", "tcp") as lines, every_segment_marked(topology, other_host, entry):
                assert uploaded(host, entry, "ip netns exec inner"), entry
            longest = max(int(line.rpartition("length ")[2].split(":")[0]) for line in lines if "length " in line)
            assert longest > (65536 if big else 5_000), (entry, longest)


@pytest.mark.clients
@pytest.mark.sender
def test_segments_that_a_director_joins_with_their_headers(host, topology, other_host, entries):
    """rx-gro-list, which kernels from 6.10 on apply to TCP."""
    for entry in entries:
        director = other_host(entry.service.directors[0].name)
        devices = {one.name.partition(".")[0] for one in topology.hosts[director.backend.get_hostname()].interfaces}
        for device in devices:
            director.check_output(f"ethtool -K {device} rx-gro-list on")
        try:
            with every_segment_marked(topology, other_host, entry):
                assert uploaded(host, entry), entry
        finally:
            for device in devices:
                director.check_output(f"ethtool -K {device} rx-gro-list off")


@contextlib.contextmanager
def flow_table(router, devices, rules):
    """The kernel forwards packets of connections that the rules give to the table past all hooks, from their third packet on."""
    quoted = ", ".join(f'"{device}"' for device in devices)
    text = f"""
table ip shortcut {{
    flowtable known {{ hook ingress priority 0; devices = {{ {quoted} }}; }}
    chain passing {{ type filter hook forward priority 0; {rules}; }}
}}
"""
    router.check_output(f"nft -f - <<'LVSKIT'\n{text}\nLVSKIT")
    try:
        yield
    finally:
        router.check_output("nft delete table ip shortcut")


@pytest.mark.clients
@pytest.mark.restored
def test_replies_that_a_flow_table_forwards_are_not_translated(host, topology, other_host, entries):
    """Why preflight names such rules on a host in front of real servers; one that leaves the service's port out does no harm."""
    for entry in entries:
        behind = [
            (server, place)
            for server in entry.service.real_servers
            if (place := topology.restorer(entry.service, server.host)) and place is not server.host
        ]
        for server, place in behind:
            router, port = other_host(place.name), server.at_port(entry.port)
            devices = sorted({one.name for one in place.interfaces})
            count = 3 * len(entry.service.real_servers)
            asked = (
                f"curl -sS -m 5 -o /dev/null -w '%{{size_download}}\\n' http://{entry.vip}:{entry.port}/bytes/300000"
            )
            several = f"for i in $(seq {count}); do {asked}; done 2>/dev/null"
            with flow_table(router, devices, f"tcp dport {port} flow add @known"):
                whole = host.run(several).stdout.split().count("300000")
                assert whole <= count - 3, (entry, whole)
            # Not `tcp dport != 80 tcp sport != 80 flow add`: nft 1.0.6 makes one comparison of both.
            left_out = f"meta l4proto != tcp return; tcp dport {port} return; tcp sport {port} return"
            with flow_table(router, devices, f"{left_out}; flow add @known"):
                assert host.run(several).stdout.split() == ["300000"] * count, entry
