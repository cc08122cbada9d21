"""Attacks on the modules' tables of connections: whether new clients are served meanwhile, how fast, and what the tables take.

Each row is one attack on one service of tests/bench/datapath/: packets that seem to come from the director are made on the real server itself
(crowds.py), those of clients on the client. Two of three rows have tables that are full all the time, because they may have FEW
connections only. Machines are emulated and share this machine's processors, so seconds mean something as ratios alone.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import environment

from .crowds import CLIENTS, FIRST_CLIENT, FIRST_LOCAL, LOCALS, PORTS, SOURCE, Crowd
from .datapath import CLIENT, HERE
from .machines import Machines

FEW, ALL = 1_000, 1 << 20
RATE = int(os.environ.get("RATE", "5000"))  # packets per second of an attack on a real server
SLOWER = 5  # how much slower a client sends, which has a director on its way
ASKED = 60  # new clients
# Each module has its own: what lvskit_restore takes for a director's packet, lvskit_toa_peer does not see as one any more.
LOCAL_OF = {"lvskit_restore": FIRST_LOCAL, "lvskit_toa_peer": "10.91.0.1"}
MANY = 4096  # sources of an attack
# Seconds of each request on a connection of its own; null where there was no answer within 10 s.
NEW_CLIENTS = f"""
import http.client, json, sys, time
taken = []
for _ in range({ASKED}):
    begin = time.monotonic()
    try:
        connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
        connection.request("GET", "/")
        own, said = "%s:%d" % connection.sock.getsockname(), json.load(connection.getresponse())["peer"]
        taken.append([time.monotonic() - begin, said == own])
        connection.close()
    except OSError:
        taken.append([None, False])
print(json.dumps(taken))
"""


@dataclass(frozen=True)
class Service:
    vip: str
    port: int
    host: str
    rip: str
    rport: int


def service_of(machines: Machines, name: str) -> Service:
    found = next(one for one in environment.topology(machines.listing).services if one.name == name)
    (server,) = found.real_servers
    port = found.ports[0].first
    rip = str(server.host.interfaces[0].address)
    return Service(str(found.vips[0]), port, server.host.name, rip, server.at_port(port))


def ask(machines: Machines, service: Service) -> tuple[int, int, float]:
    """New clients that were served, for how many of them the application knew the address, and the median of their seconds."""
    said = json.loads(machines.ask(CLIENT, f"python3 - {service.vip} {service.port}", NEW_CLIENTS.encode()))
    served = [seconds for seconds, _ in said if seconds is not None]
    return len(served), sum(known for _, known in said), statistics.median(served or [0])


@contextmanager
def attacked(machines: Machines, host: str, command: str) -> Iterator[None]:
    """While a command sends packets: it goes on until it is ended, and has to be running then."""
    machines.ask(host, f"systemd-run -q --unit attack sh -c 'while {command}; do :; done'; sleep 3")
    try:
        yield
        machines.ask(host, "systemctl is-active -q attack")
    finally:
        machines.ask(host, "systemctl stop attack")


def main() -> None:
    machines = Machines(HERE / "datapath")
    machines.provision()
    crowds = {
        name: Crowd(machines, one.host, module, form, one.rip, *other)
        for name, module, form in (
            ("enat", "lvskit_ctk", "vip"),
            ("enat+cip_src", "lvskit_ctk", "cip"),
            ("fullnat+restore", "lvskit_restore", "lip"),
            ("fullnat+toa", "lvskit_toa_peer", "lip"),
        )
        for one in [service_of(machines, name)]
        for other in [(one.vip, one.port) if form in ("vip", "cip") else (LOCAL_OF[module],)]
    }
    rows = [("service", "entries", "attack", "sources", "served", "client known", "x calm", "at most", "evicted/s")]
    for name, crowd in crowds.items():
        service = service_of(machines, name)
        crowd.prepare()
        for most, opened in ((FEW, 0), *([(ALL, ALL)] if name == "enat" else [])):
            crowd.limit(most)
            if opened:
                crowd.open(opened)
                print(f"{name}: {crowd.count('connections')} connections", file=sys.stderr, flush=True)
            *_, calm = ask(machines, service)
            for kind in ("syn", "pin") if crowd.module != "lvskit_toa_peer" else ("syn",):
                for sources in (LOCALS if crowd.form == "lip" else MANY, 1):
                    number = 3 * RATE
                    evicted, begin = crowd.count("evicted"), time.monotonic()
                    with attacked(machines, service.host, crowd.command(kind, number, service.rport, sources, RATE)):
                        served, known, seconds = ask(machines, service)
                        there, gone = crowd.count("connections"), crowd.count("evicted")
                        spent = time.monotonic() - begin
                    row = (
                        name,
                        f"{most:,}",
                        kind,
                        f"{sources:,}",
                        f"{served} of {ASKED}",
                        f"{known} of {served}",
                        f"{seconds / calm:.1f}",
                        f"{there:,}",
                        f"{(gone - evicted) / spent:.0f}",
                    )
                    rows.append(row)
                    print("  ".join(row), file=sys.stderr, flush=True)
        crowd.limit(ALL)
    senders(machines, rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{RATE} packets per second, {RATE // SLOWER} by clients; {ASKED} new clients, one after the other")


def senders(machines: Machines, rows: list[tuple[str, ...]]) -> None:
    """SYNs of clients to the director, with forged options: its own modules have no table."""
    machines.ask(CLIENT, "cat > /tmp/crowd.c", SOURCE.read_bytes())
    machines.ask(CLIENT, "gcc -O2 -o /tmp/crowd /tmp/crowd.c")
    machines.ask(CLIENT, f"ip route replace blackhole {CLIENTS}")
    for name in ("enat", "fullnat+toa", "fullnat+restore"):
        service = service_of(machines, name)
        route = json.loads(machines.ask(CLIENT, f"ip -j route get {service.vip}"))[0]
        machines.ask(CLIENT, f"ping -c 1 -W 5 {route['gateway']}")
        mac = json.loads(machines.ask(CLIENT, f"ip -j neighbour show {route['gateway']} dev {route['dev']}"))[0][
            "lladdr"
        ]
        *_, calm = ask(machines, service)
        for sources in (MANY, 1):
            ends = f"{FIRST_CLIENT} {sources} 0.0.0.0 0 {service.vip} {service.port}"
            command = f"/tmp/crowd {route['dev']} {mac} syn forged {RATE // SLOWER} 0 {PORTS * 4} {ends}"
            with attacked(machines, CLIENT, command):
                served, known, seconds = ask(machines, service)
            row = (
                name,
                "director",
                "forged",
                f"{sources:,}",
                f"{served} of {ASKED}",
                f"{known} of {served}",
                f"{seconds / calm:.1f}",
                "-",
                "-",
            )
            rows.append(row)
            print("  ".join(row), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
