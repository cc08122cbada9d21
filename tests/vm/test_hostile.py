"""Hostile packets from clients, for the kernel modules that carry a client's address: the application still sees the true one."""

import contextlib
import json
import os
import random
from pathlib import Path

import pytest
from ansible.module_utils.lvs.director import MPTCP

from tests.vm.keepers import unkept

pytestmark = pytest.mark.sender

RAW_CLIENT = Path(__file__).parent / "raw_client.py"
FLOOD = Path(__file__).parent / "flood.c"
MANY = int(os.environ.get("LVSKIT_FLOOD", "10000"))  # connections; the scenario `releases` has ten times as many
COUNTED = {
    "lvskit_toa": "added_to_syn",
    "lvskit_enat": "forwarded",
}  # the counter of packets that were given the client's address

FORGED = (
    "KK08029a06060606"  # 6.6.6.6:666, as a director would write it; where it writes the VIP, that with another port
)
TIMESTAMP = "0101080a0000000100000000"
THREE_BLOCKS_OF_SACK = "0101051a" + "00" * 24
NO_ROOM = "6328" + "00" * 38  # one option that fills the header, of a kind that nobody knows
CASES = {
    "nothing": {},
    "forged everywhere": {"syn": FORGED, "ack": FORGED, "data": FORGED},
    "forged behind others": {"syn": "020405b4" + TIMESTAMP + FORGED, "data": TIMESTAMP + FORGED},
    "forged at an odd place": {"syn": "01" + FORGED + "010101", "ack": "010101" + FORGED + "01"},
    "forged twice": {"syn": FORGED * 2, "data": FORGED * 2},
    "fast open (kind 254, magic F989)": {"syn": "fe04f989", "data": "fe0cf9890102030405060708"},
    "the kind without a length": {"syn": "010101KK", "data": "010101KK"},
    "length 0": {"syn": "KK000000", "data": "KK000000"},
    "length 1": {"syn": "KK010000"},
    "longer than the header": {"syn": "KK28029a06060606", "data": "KK09029a06060606"},
    "forged behind a malformed one": {"syn": "KK000000" + FORGED},
    "forged behind the end": {"syn": "00000000" + FORGED},
    "SYN full of padding": {"syn": "01" * 40},
    "full of SACK blocks": {"ack": TIMESTAMP + THREE_BLOCKS_OF_SACK, "data": TIMESTAMP + THREE_BLOCKS_OF_SACK},
    "all in fragments": {"fragment": True},
}
# A kernel that knows TCP-AO (RFC 5925) drops what it finds malformed before any authentication; so it does without lvskit.
MALFORMED = (
    "the kind without a length",
    "length 0",
    "length 1",
    "longer than the header",
    "forged behind a malformed one",
)


def cases_for(entry):
    """The cases, forged so that the real server would believe it if the director let it pass."""
    believed = f"KK08029a{entry.vip.packed.hex()}" if entry.mode.cip_src else FORGED
    kind = f"{entry.service.directors[0].option_kind:02x}"
    return json.loads(json.dumps(CASES).replace(FORGED, believed).replace("KK", kind))


def ask(host, entry, cases):
    host.run(f"cat > /tmp/raw_client.py <<'LVSKIT'\n{RAW_CLIENT.read_text()}\nLVSKIT")
    command = f"python3 /tmp/raw_client.py {entry.vip} {entry.port} <<'LVSKIT'\n{json.dumps(cases)}\nLVSKIT"
    return json.loads(host.check_output(command))


def answered(said):
    return not said["peer"].startswith("no answer")


def knows_ao(server):
    return server.run("grep -q CONFIG_TCP_AO=y /boot/config-$(uname -r)").rc == 0


def counters(host, entry):
    """What the director's module has counted."""
    lines = host.check_output(f"cat /proc/net/{entry.mode.sender}").splitlines()
    return {name: int(count) for name, count in map(str.split, lines)}


@contextlib.contextmanager
def without_rule(director, entry):
    """The kernel module alone strips what clients forge."""
    kinds = {entry.service.directors[0].option_kind, *([MPTCP] if entry.mode.every_packet else [])}
    words = f"--strip-options {','.join(map(str, sorted(kinds)))}"
    rule = f"LVSKIT-PREROUTING -d {entry.vip}/32 -p tcp -m tcp -j TCPOPTSTRIP {words}"
    with unkept(director):
        director.check_output(f"iptables -w -t mangle -D {rule}")
        try:
            yield
        finally:
            director.check_output(f"iptables -w -t mangle -I {rule}")


@pytest.mark.clients
@pytest.mark.parametrize("by", ["rule", "module"])
def test_the_application_sees_the_client_whatever_it_sends(host, other_host, entries, by):
    for entry in entries:
        director = other_host(entry.service.directors[0].name)
        before = counters(director, entry)
        with without_rule(director, entry) if by == "module" else contextlib.nullcontext():
            answers = ask(host, entry, list(cases_for(entry).values()))
        dropped = MALFORMED if any(knows_ao(other_host(s.host.name)) for s in entry.service.real_servers) else ()
        told = {name: answer for name, answer in zip(CASES, answers) if name not in dropped or answered(answer)}
        assert {name: answer["peer"] for name, answer in told.items()} == {n: a["sent"] for n, a in told.items()}
        forged = sum(FORGED in case.get(part, "") for case in CASES.values() for part in ("syn", "ack", "data"))
        hidden = 2  # behind what ends the options or makes them unreadable: nobody finds it there
        left = forged - hidden if by == "module" else 0
        stripped = counters(director, entry)["stripped"] - before["stripped"]
        assert 0 <= stripped - left <= sum(answer["repeated"] for answer in answers)


@pytest.mark.clients
def test_nobody_believes_a_forged_address_while_the_directors_module_is_away(host, other_host, entries):
    """Real servers then see the local address."""
    for entry in (entry for entry in entries if entry.mode.source_nat):
        director = other_host(entry.service.directors[0].name)
        with unkept(director):
            director.check_output(f"rmmod {entry.mode.sender}")
            try:
                forged = [case for case in cases_for(entry).values() if "9a06060606" in json.dumps(case)]
                answers = ask(host, entry, forged)
            finally:
                director.check_output(f"modprobe {entry.mode.sender}")
        seen = {answer["peer"].rpartition(":")[0] for answer in answers if answered(answer)}
        assert seen == set(map(str, entry.service.local_addresses)), entry


@pytest.mark.long
@pytest.mark.clients
def test_a_connection_without_any_room_has_the_local_address_or_fails_cleanly(host, other_host, entries):
    for entry in entries:
        director = other_host(entry.service.directors[0].name)
        before = counters(director, entry)
        (answer,) = ask(host, entry, [{"syn": NO_ROOM, "ack": NO_ROOM, "data": NO_ROOM}])
        if entry.mode.every_packet:
            assert answer["peer"].startswith("no answer")
        else:
            assert answer["peer"].rpartition(":")[0] in map(str, entry.service.local_addresses)
        assert counters(director, entry)["no_option_space"] > before["no_option_space"]


@pytest.mark.clients
def test_noise_does_no_harm(host, entries):
    """Random flags, options and lengths; then a connection as ever."""
    noise = random.Random(2026)
    program = RAW_CLIENT.read_text().partition("def main()")[0]
    packets = [
        (noise.randrange(256), noise.randbytes(4 * noise.randrange(11)).hex(), noise.randrange(200)) for _ in range(500)
    ]
    for entry in entries:
        script = f"""{program}
connection = Connection("{entry.vip}", {entry.port}, 19000)
for flags, options, length in {packets}:
    connection.own_port = 19000 + length
    connection.send(flags, bytes.fromhex(options), bytes(length))
"""
        host.run_test(f"python3 - <<'LVSKIT'\n{script}\nLVSKIT")
        (answer,) = ask(host, entry, [{}])
        assert answer["peer"] == answer["sent"]


@pytest.mark.clients
def test_a_flood_of_connections(host, other_host, topology, name, entries, second_client):
    """Each from an address and port of its own, hundreds at a time."""
    entry = entries[0]
    director = other_host(entry.service.directors[0].name)
    host.run(f"cat > /tmp/flood.c <<'LVSKIT'\n{FLOOD.read_text()}\nLVSKIT")
    host.check_output("gcc -O2 -Wall -Werror -o /tmp/flood /tmp/flood.c")
    before = counters(director, entry)
    own = topology.hosts[name].interfaces[0].address
    answered = host.check_output(f"/tmp/flood {entry.vip} {entry.port} {MANY} {own} {second_client}")
    after = counters(director, entry)
    assert int(answered) == MANY
    assert after[COUNTED[entry.mode.sender]] - before[COUNTED[entry.mode.sender]] >= MANY
    assert after["no_memory"] == before["no_memory"]
    (answer,) = ask(host, entry, [{}])
    assert answer["peer"] == answer["sent"]


def test_no_kernel_has_complained(host, host_plan):
    said = host.check_output("dmesg")
    assert not [line for line in said.splitlines() if any(w in line for w in ("BUG", "Oops", "WARNING:", "Call Trace"))]
