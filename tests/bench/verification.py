"""What a verification of 1,000 services with 10 real servers each costs the controller: prediction, and comparison of the captures.

The captures are those of a network in which everything goes as predicted, with as many packets for each request as a page of
20 kB takes. Printed are seconds of processor time; and for a small and a large number of services what one of them costs, so that
a cost that grows faster than the number of services shows in one run. Last come the lengths of the capture filters, and the BPF
instructions that tcpdump makes of them.
"""

from __future__ import annotations

import base64
import gzip
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.lvs import inventory, rules
from ansible.module_utils.lvs.observation import Ends, bind
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.walk import Endpoint, Hop, Packet, Walk
from ansible.module_utils.lvs_controller import batches, comparison, verification
from ansible.module_utils.lvs_controller.batches import Batch
from ansible.module_utils.lvs_controller.run_folder import RunFolder

SIZES = (100, 1000)  # services
SERVERS = 10
SEGMENTS = 14  # frames of a page that follow the first one, on each hop of the reply
FILTERS = (
    ("fullnat", 40, 20),
    ("fullnat", 1, 1000),
    ("nat", 300, 10),
    ("dr", 300, 10),
    ("tun", 300, 10),
    ("enat", 250, 10),
)
LOCALS = 4
OF_MODE: dict[str, dict[str, Any]] = {
    "nat": {"return_path": "policy"},
    "fullnat": {"local_addresses": [f"10.0.0.{200 + last}" for last in range(LOCALS)]},
}
MAPPED = ("nat", "fullnat", "enat")  # modes whose real servers listen on another port


def environment(mode: str, services: int, servers: int) -> Topology:
    """One director between a network of VIPs and one of real servers, and a client behind a router."""
    networks = {
        "clients": {"cidr": "198.51.100.0/24", "vlan": 9, "gateway": "198.51.100.1"},
        "app": {"cidr": "10.0.0.0/8", "vlan": 10, "gateway": "10.255.255.254"},
    }
    names = [f"rs{number}" for number in range(max(servers, 300))]
    hosts = {name: _plugged("app", f"10.1.{i // 200}.{i % 200 + 1}") for i, name in enumerate(names)}
    hosts |= {"lb1": _plugged("app", "10.0.0.10"), "client1": _plugged("clients", "198.51.100.10")}
    groups = {"all": [*hosts], "directors": ["lb1"], "real_servers": names, "clients": ["client1"]}
    port = {"port": 8080} if mode in MAPPED else {}
    described = [
        {
            "name": f"service{number}",
            "vip": f"10.2.{number // 200}.{number % 200 + 1}",
            "port": 80,
            "mode": mode,
            "scheduler": "rr",
            "real_servers": [{"host": names[(number * 7 + i) % len(names)], **port} for i in range(servers)],
            **OF_MODE.get(mode, {}),
        }
        for number in range(services)
    ]
    topology, faults = inventory.parse(networks, described, hosts, groups)
    found = [*faults, *(violation for violation in rules.check(topology) if not violation.warning)]
    if found:
        sys.exit(f"the environment of this benchmark is refused: {found[0]}")
    return topology


def _plugged(network: str, address: str) -> dict[str, Any]:
    return {"lvs_interfaces": {"eth1": {"network": network, "address": address}}}


def mac(name: str) -> bytes:
    return b"\x52\x54" + (hash(name) & 0xFFFFFFFF).to_bytes(4, "big")


def keep(folder: RunFolder, number: int, batch: Batch, topology: Topology) -> int:
    """Stores a batch with answers and captures as its hosts would have them; how many frames that are."""
    records: dict[tuple[str, str], list[bytes]] = {}
    connections = []
    port = 20_000
    for item, request in zip(batch.expectations, batch.requests):
        walks = list(item.walks.values())
        for turn in range(request["count"]):
            port += 1
            connections.append(
                {"service": item.service.name, "port": port, "bytes": 20_000, "seconds": 0.1, "peer": "", "error": ""}
            )
            for host, interface, frame in _frames(walks[turn % len(walks)], item.source, port):
                if host in batch.captures:
                    records.setdefault((host, interface), []).append(frame)
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 160, 1)
    for host, capture in batch.captures.items():
        files = {
            i: base64.b64encode(gzip.compress(header + b"".join(records.get((host, i), [])))).decode()
            for i in capture.interfaces
        }
        macs = {i: mac(f"{host} {i}").hex(":") for i in capture.interfaces}
        gateways = {str(n.gateway): mac(f"gateway {n.gateway} None").hex(":") for n in topology.networks.values()}
        report = {"captures": files, "macs": macs, "neighbours": gateways, "ended": [], "lost": {}}
        folder.keep(f"captured-{number}/{host}", report)
    folder.keep(f"answered-{number}/{batch.client}", {"connections": connections, "unasked": []})
    folder.keep(f"batches/{number}", batch)
    return sum(map(len, records.values()))


def _frames(walk: Walk, client: Any, port: int) -> Iterator[tuple[str, str, bytes]]:
    ends = Ends(Endpoint(client, port), Endpoint(walk.hops[1].packet.source.address, port))
    for hop in walk.hops:
        packet = bind(hop.packet, ends)
        for part in range(1 + (SEGMENTS if hop.leg == "reply" else SEGMENTS // 2)):
            frame = _frame(hop, packet, opens=part == 0 and hop.leg == "request")
            for end in (hop.sender, hop.receiver):
                if end.host and end.interface:
                    yield end.host, end.interface, frame


def _frame(hop: Hop, packet: Packet, *, opens: bool) -> bytes:
    tcp = struct.pack(
        ">HHIIBBHHH",
        int(packet.source.port),
        int(packet.destination.port),
        int(packet.source.port),
        0,
        0x50,
        2 if opens else 16,
        0,
        0,
        0,
    )
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, packet.source.address.packed, packet.destination.address.packed
    )
    link = mac(f"{hop.receiver} {hop.receiver.interface}") + mac(f"{hop.sender} {hop.sender.interface}") + b"\x08\x00"
    data = link + ip + tcp
    return struct.pack("<IIII", 1, 0, len(data), 1400) + data


def cost(services: int) -> None:
    """Prints what a verification of so many services costs."""
    topology = environment("nat", services, SERVERS)
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(place)
        started = time.process_time()
        expected = verification.expectations(topology, [])
        found = batches.batches(topology, expected)
        predicted = time.process_time()
        frames = sum(keep(folder, number, batch, topology) for number, batch in enumerate(found))
        kept = time.process_time()
        result = comparison.compared(folder, peers=False)
        compared = time.process_time()
    if result.failures():
        sys.exit(f"a network without faults is reported to have some: {result.failures()[:5]}")
    requests = sum(request["count"] for batch in found for request in batch.requests)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{services} services of {SERVERS} real servers, {len(found)} batches, {requests} requests, {frames} frames: "
        f"predicted in {predicted - started:.2f} s, compared in {compared - kept:.1f} s; for each service "
        f"{(predicted - started) / services * 1000:.1f} ms and {(compared - kept) / services * 1000:.0f} ms; {memory:.0f} MiB",
        flush=True,
    )


def instructions(text: str) -> int:
    """How many BPF instructions the filter has. The kernel takes 4,096."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        command = ["tcpdump", "-y", "EN10MB", "-d", "-F", file.name]
        return len(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


def main() -> None:
    for services in SIZES:
        cost(services)
    for mode, services, servers in FILTERS:
        topology = environment(mode, services, servers)
        found = batches.batches(topology, verification.expectations(topology, []))
        longest = max((c.filter for batch in found for c in batch.captures.values()), key=len)
        print(
            f"{mode}, {services} services of {servers} real servers, {len(found)} batches: the longest filter has {len(longest)} bytes, "
            f"{instructions(longest)} instructions",
            flush=True,
        )


if __name__ == "__main__":
    main()
