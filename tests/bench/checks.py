"""What the health checks of 20,000 real servers cost a director: keepalived's start and reload, and the processor time of each check.

The services are in dr, and are checked by the way of the VIP. One machine has the addresses of all real servers. The director is an
emulated machine with one processor: its seconds are many times those of a real one, so ratios and shares are what counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from .machines import PROJECT, Machines
from .model import environment

HERE = Path(__file__).parent
DIRECTOR, REAL_SERVER = "lb1", "rs1"
HOSTS, SERVICES, SERVERS = 400, 1000, 20
INTERVAL = 60
SECONDS = 2 * INTERVAL  # for which the cost is measured
OTHER_INTERVALS = (5, 10, 30)


def write(folder: Path) -> dict[str, Any]:
    """The environment, as an inventory beside the lab's."""
    raw = environment(HOSTS, SERVICES, SERVERS)
    for service in raw["services"]:
        service["health_check"] = {"type": "tcp", "interval": INTERVAL, "timeout": 5}
    groups = {
        name: {"hosts": {host: raw["hosts"][host] for host in members}}
        for name, members in raw["groups"].items()
        if name not in ("all", "clients")
    }
    common = folder / "group_vars/all"
    common.mkdir(parents=True)
    files: dict[Path, Any] = {
        folder / "hosts.yml": {"all": {"children": groups}},
        common / "environment.yml": {"lvs_networks": raw["networks"], "lvs_services": raw["services"]},
    }
    for path, content in files.items():
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))
    return raw


def prepare(machines: Machines, raw: dict[str, Any]) -> None:
    """The machine that is every real server."""
    own = [raw["hosts"][name]["lvs_interfaces"]["eth1"]["address"] for name in raw["groups"]["real_servers"]]
    taken = machines.ask(REAL_SERVER, "ip -brief address show dev eth1")
    lines = [f"address add {address}/32 dev eth1" for address in own if f"{address}/" not in taken]
    lines += [f"address add {service['vip']}/32 dev lo" for service in raw["services"]]
    settings = "net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.neigh.default.gc_thresh3=8192"
    machines.ask(REAL_SERVER, f"sysctl -q {settings}; systemctl stop lvskit-lab-app")
    machines.ask(REAL_SERVER, "ip -batch -", "\n".join([*lines, ""]).encode())
    machines.ask(REAL_SERVER, "cat > /tmp/accept.c", (HERE / "accept.c").read_bytes())
    machines.ask(REAL_SERVER, "gcc -O2 -o /tmp/accept /tmp/accept.c; systemd-run --quiet /tmp/accept 80")
    machines.ask(DIRECTOR, "sysctl -q net.ipv4.neigh.default.gc_thresh1=4096 net.ipv4.neigh.default.gc_thresh3=8192")


def provision(machines: Machines, inventory: Path) -> float:
    """Seconds that the run takes."""
    options = [f"--inventory={one}" for one in (*machines.inventories, inventory)]
    words = [str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/site.yml", *options, "--limit", DIRECTOR]
    started = time.monotonic()
    if subprocess.run([*words, "--extra-vars", "lvs_unprepared=true"], cwd=PROJECT, check=False).returncode:
        sys.exit("playbooks/site.yml failed")
    return time.monotonic() - started


def main() -> None:
    machines = Machines(HERE / "checks")
    with tempfile.TemporaryDirectory() as folder:
        raw = write(Path(folder))
        prepare(machines, raw)
        idle = busy(machines)
        print(f"site.yml, from nothing         {provision(machines, Path(folder)):6.0f} s", flush=True)
        print(f"site.yml, nothing to change    {provision(machines, Path(folder)):6.0f} s", flush=True)
    machines.ask(DIRECTOR, "cat > /tmp/on_director.py", (HERE / "checks_on_director.py").read_bytes())
    found = json.loads(machines.ask(DIRECTOR, f"python3 /tmp/on_director.py {SECONDS}"))
    checks = found["servers"] * SECONDS / INTERVAL
    share = busy(machines) - idle
    print(f"{found['servers']} real servers in {SERVICES} services, a check of each every {INTERVAL} s")
    print(f"start: first check passed      {found['first']:6.1f} s")
    print(f"start: all checks passed       {found['all']:6.1f} s, {found['all'] / INTERVAL:.2f} intervals")
    print(f"start: all weights written     {found['all'] + found['used']:6.1f} s")
    print(f"reload: silence of the checker {found['pause']:6.1f} s; {found['servers'] - found['least']} verdicts lost")
    for name in ("checker", "governor"):
        own = found[name]
        print(
            f"{name:<10} {1000 * own / checks:8.3f} ms of processor time for each check, {own / SECONDS:.1%} of the processor, "
            f"{found['memory'][name]:.0f} MiB"
        )
    print(
        f"whole machine, beyond idle     {share:.1%} of the processor, {1000 * share * INTERVAL / found['servers']:.3f} ms for each check"
    )
    for interval in OTHER_INTERVALS:
        print(f"by calculation, every {interval:>2} s    {share * INTERVAL / interval:.0%} of the processor")
    if found["left"] != found["servers"] or found["least"] != found["servers"]:
        sys.exit("real servers that answer have failed their checks")


def busy(machines: Machines) -> float:
    """The share of a processor that the director's machine uses, over some time."""
    started, before = time.monotonic(), machines.processor_time(DIRECTOR)
    time.sleep(INTERVAL)
    return (machines.processor_time(DIRECTOR) - before) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
