"""What each mode costs: new connections, bytes, and the director's processor time for both.

The services of tests/bench/datapath/ lead to real servers in one VLAN; `direct` asks it without a director. In each round every one is
measured, in another order; what is compared is measured in the same round, and the median of the rounds' ratios is printed.
The director's processor time is that of its whole virtual machine, as this machine counts it.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from lab import environment

from .machines import Machines

HERE = Path(__file__).parent
CONNECTIONS = 400
OCTETS = 8_000_000
ROUNDS = int(os.environ.get("ROUNDS", "7"))
DIRECTOR, CLIENT = "lb1", "client1"


def measured(machines: Machines, address: str, port: int) -> dict[str, float]:
    """One service, once. Per connection and per octet: seconds, and seconds of the director's processor."""
    before = machines.processor_time(DIRECTOR)
    seconds = float(machines.ask(CLIENT, f"/tmp/connect {address} {port} {CONNECTIONS}"))
    between = machines.processor_time(DIRECTOR)
    words = (
        f"curl -sS -o /dev/null -m 300 -w '%{{time_total}} %{{size_download}}' http://{address}:{port}/bytes/{OCTETS}"
    )
    total, size = map(float, machines.ask(CLIENT, words).split())
    if size != OCTETS:
        sys.exit(f"{address}:{port} sent {size:.0f} of {OCTETS} octets")
    after = machines.processor_time(DIRECTOR)
    return {
        "connection": seconds / CONNECTIONS,
        "connection, director": (between - before) / CONNECTIONS,
        "octet": total / OCTETS,
        "octet, director": (after - between) / OCTETS,
    }


def main() -> None:
    machines = Machines(HERE / "datapath")
    machines.provision()
    machines.ask(CLIENT, "cat > /tmp/connect.c", (HERE / "connect.c").read_bytes())
    machines.ask(CLIENT, "gcc -O2 -o /tmp/connect /tmp/connect.c")
    topology = environment.topology(machines.listing)
    ends = {service.name: (str(service.entries[0].vip), service.entries[0].port) for service in topology.services}
    server = topology.services[0].real_servers[0]
    ends = {"direct": (str(server.host.interfaces[0].address), server.port), **ends}
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(-1, ROUNDS):
        order = list(ends)
        random.Random(number).shuffle(order)
        found = {name: measured(machines, *ends[name]) for name in order}
        if number >= 0:  # the first time everything is cold
            rounds.append(found)
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    report(rounds, list(ends))


def report(rounds: list[dict[str, dict[str, float]]], names: list[str]) -> None:
    def median(name: str, what: str) -> float:
        return statistics.median(found[name][what] for found in rounds)

    def ratio(name: str, other: str, what: str) -> float:
        return statistics.median(found[name][what] / found[other][what] for found in rounds)

    head = (
        "",
        "connections/s",
        "x direct",
        "director ms/connection",
        "x fullnat",
        "MB/s",
        "x direct",
        "director ms/MB",
    )
    rows = [head]
    for name in names:
        rows.append(
            (
                name,
                f"{1 / median(name, 'connection'):.0f}",
                f"{1 / ratio(name, 'direct', 'connection'):.2f}",
                f"{median(name, 'connection, director') * 1e3:.2f}",
                f"{ratio(name, 'fullnat', 'connection, director'):.2f}",
                f"{1e-6 / median(name, 'octet'):.1f}",
                f"{1 / ratio(name, 'direct', 'octet'):.2f}",
                f"{median(name, 'octet, director') * 1e9:.1f}",
            )
        )
    widths = defaultdict(int)
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], len(cell))
    for row in rows:
        print("  ".join(cell.rjust(widths[i]) if i else cell.ljust(widths[i]) for i, cell in enumerate(row)))
    print(f"medians of {len(rounds)} rounds of {CONNECTIONS} connections and {OCTETS / 1e6:.0f} MB each")


if __name__ == "__main__":
    main()
