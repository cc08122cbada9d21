"""What each mode costs: new connections, bytes, and the director's processor time for both.

The services of tests/bench/datapath/ lead to real servers in one VLAN; `direct` asks one without a director. In each round every one is
measured, in another order; what is compared is measured in the same round, and the median of the rounds' ratios is printed. With an
earlier version (`BASE`: a commit) its kernel modules are measured in the same rounds. Then the services whose real servers remember
connections are measured again while they remember many (`ENTRIES`).
The director's processor time is that of its whole virtual machine, as this machine counts it.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from lab import environment

from .crowds import Crowd
from .machines import PROJECT, Machines

HERE = Path(__file__).parent
CONNECTIONS = 400
OCTETS = 8_000_000
ROUNDS = int(os.environ.get("ROUNDS", "7"))
ENTRIES = tuple(map(int, os.environ.get("ENTRIES", "10000 1000000").split()))
DIRECTOR, CLIENT = "lb1", "client1"
SOURCES = "roles/toa/files/lvskit-toa"
# Built by the image's compiler: a tar archive of the sources comes in, one of the modules goes out.
BUILD = """
import glob, io, os, subprocess, sys, tarfile, tempfile
with tempfile.TemporaryDirectory() as folder:
    tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())).extractall(folder)
    (tree,) = glob.glob("/lib/modules/*/build")
    subprocess.run(["make", "-s", "-C", folder, "TREE=" + tree], check=True, stdout=sys.stderr)
    os.chdir(folder)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as out:
        for name in glob.glob("*.ko"):
            subprocess.run(["strip", "--strip-debug", name], check=True)
            out.add(name)
"""
# Loads the modules of a folder in place of those that are loaded, with what modprobe.d has of their parameters.
EXCHANGE = """
for module in $(ls /sys/module | grep ^lvskit_); do
    file=$(ls {folder}/$module.ko 2>/dev/null || modinfo -n $module)
    settings=
    for setting in $(sed -n "s/^options $module //p" /etc/modprobe.d/lvskit.conf); do
        if modinfo -F parm $file | grep -q "^${{setting%%=*}}:"; then settings="$settings $setting"; fi
    done
    rmmod $module && insmod $file $settings || exit 1
done
"""


class Versions:
    """The modules of this version and of an earlier one, on the machines that have any."""

    def __init__(self, machines: Machines, base: str, hosts: Iterable[str]) -> None:
        self.machines, self.hosts = machines, tuple(hosts)
        self.folders = {"": "/nowhere"}  # modprobe's own
        if not base:
            return
        packed = subprocess.run(
            ["git", "archive", f"{base}:{SOURCES}"], cwd=PROJECT, stdout=subprocess.PIPE, check=True
        )
        builder = machines.state.builders / "bookworm"
        built = subprocess.run([builder, "-c", BUILD], input=packed.stdout, stdout=subprocess.PIPE, check=True)
        with tarfile.open(fileobj=io.BytesIO(built.stdout)) as archive:
            print(f"{base}: {', '.join(sorted(archive.getnames()))}", file=sys.stderr)
        for host in self.hosts:
            machines.ask(host, "mkdir -p /tmp/base && tar -C /tmp/base -x", built.stdout)
        self.folders[base] = "/tmp/base"

    def load(self, version: str) -> None:
        for host in self.hosts:
            self.machines.ask(host, EXCHANGE.format(folder=self.folders[version]))


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
    first = topology.services[0]
    (server,) = first.real_servers
    ends = {"direct": (str(server.host.interfaces[0].address), server.at_port(first.ports[0].first)), **ends}
    by_module = [service.name for service in topology.services if service.mode.sender]
    hosts = {one.host.name for service in topology.services if service.mode.sender for one in service.real_servers}
    versions = Versions(machines, os.environ.get("BASE", ""), (DIRECTOR, *sorted(hosts)))
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(-1, ROUNDS):
        order = [(name, version) for version in versions.folders for name in (ends if not version else by_module)]
        random.Random(number).shuffle(order)
        order.sort(key=lambda one: one[1], reverse=number % 2 == 1)
        found, loaded = {}, None
        for name, version in order:
            if version != loaded and len(versions.folders) > 1:
                versions.load(version)
                loaded = version
            found[f"{name} {version}".strip()] = measured(machines, *ends[name])
        if number >= 0:  # the first time everything is cold
            rounds.append(found)
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    versions.load("")
    report(
        rounds,
        [
            f"{name} {version}".strip()
            for name in ends
            for version in versions.folders
            if name in by_module or not version
        ],
    )
    for version in filter(None, versions.folders):
        beside(rounds, by_module, version)
    remember(machines, ends, server.host.name)


def beside(rounds: list[dict[str, dict[str, float]]], names: list[str], base: str) -> None:
    """The modules of this version beside those of an earlier one: more than 1 is more work in the same time, or less time for the same work."""
    print(f"\nas a multiple of {base} in the same round, median (least to most):")
    for name in names:
        found = []
        for what in ("connection", "octet", "connection, director", "octet, director"):
            ratios = sorted(one[f"{name} {base}"][what] / one[name][what] for one in rounds)
            found.append(f"{what} {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print(f"{name:<16}  {'   '.join(found)}")


def remember(machines: Machines, ends: dict[str, tuple[str, int]], host: str) -> None:
    """What is measured while the modules of a real server remember many connections."""
    remembering = {"enat": ("lvskit_ctk", "vip"), "fullnat+restore": ("lvskit_restore", "lip")}
    for entries in ENTRIES:
        for module, form in remembering.values():
            crowd = Crowd(machines, host, module, form, ends["direct"][0], *(ends["enat"] if form == "vip" else ()))
            crowd.prepare()
            packets, seconds = crowd.open(entries)
            remembered = crowd.count("connections")
            print(f"{module}: {remembered} connections, {packets / seconds:.0f} packets/s", file=sys.stderr, flush=True)
            if remembered < 0.99 * entries:
                sys.exit(f"{module} remembers {remembered} of {entries} connections")
        own = []
        for number in range(ROUNDS):
            order = ["direct", "fullnat", *remembering]
            random.Random(number).shuffle(order)
            own.append({name: measured(machines, *ends[name]) for name in order})
        print(f"\nwhile each of the modules remembers {entries:,} connections:")
        report(own, ["direct", "fullnat", *remembering])


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
