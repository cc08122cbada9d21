"""What a run of the site playbook costs the controller: an environment of 400 hosts with 1,000 services, one of 1,000 with 10,000.

The hosts are stand-ins: a local connection, and a module that takes lvs_state's arguments and does nothing. Printed are the
processor seconds of a compilation beyond those of `ansible lb1 -m debug`, which reads the same files and contacts no host either
(of each, the least of three runs); those for each host beyond `ansible all -m ping`; the memory of the largest process; and the
run's time as a multiple of the ping's, all measured in this run. With an earlier version (`BASE`: a commit) the same is measured of it for a
few hosts: it may take a minute for each.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .model import environment

PROJECT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "stand_in"
COMPILE = Path(__file__).parent / "compile.yml"
BIN = Path(sys.executable).parent
SIZES = ((400, 1000), (1000, 10_000))
SERVERS = 10
COMPILE_GOAL = 5  # seconds of processor time, at most
REPEATS = 3
OF_BASE = 4  # hosts that an earlier version is measured on


@dataclass(frozen=True)
class Cost:
    """Of one command: seconds of time and of processor time, and MiB of its largest process."""

    wall: float
    cpu: float
    memory: float


def run(*command: str, project: Path = PROJECT) -> Cost:
    """Runs a command of Ansible's in a project's folder. Exits with its output where it fails."""
    library = f"{STAND_IN}:{project / 'library'}"
    variables = {**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "ANSIBLE_LIBRARY": library}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=project,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = process.communicate()
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, after.ru_maxrss / 1024)


def least(*command: str) -> float:
    """The least processor time of some runs of a command: what other processes add to it differs from run to run."""
    return min(run(*command).cpu for _ in range(REPEATS))


def write(folder: Path, hosts: int, services: int) -> None:
    """An inventory of so many real servers behind one director."""
    raw = environment(hosts, services, SERVERS)
    groups = {
        name: {"hosts": {host: raw["hosts"][host] for host in members}}
        for name, members in raw["groups"].items()
        if name not in ("all", "clients")  # nobody is to send requests
    }
    everywhere = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    common = folder / "group_vars/all"
    common.mkdir(parents=True)
    files: dict[Path, Any] = {
        folder / "hosts.yml": {"all": {"children": groups}},
        common / "ansible.yml": everywhere,
        common / "networks.yml": {"lvs_networks": raw["networks"]},
        common / "services.yml": {"lvs_services": raw["services"]},
    }
    for path, content in files.items():
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))


def measure(inventory: Path, hosts: int) -> None:
    which = ("-i", str(inventory))
    reading = least("ansible", *which, "lb1", "-m", "debug")
    print(
        f"  reading    {reading:7.1f} s of processor time: Ansible starts, and reads the inventory's files", flush=True
    )
    for name, playbook in (("validate", "playbooks/validate.yml"), ("compile", str(COMPILE))):
        beyond = least("ansible-playbook", *which, playbook) - reading
        print(
            f"  {name:<10} {beyond:7.1f} s of processor time beyond that: {beyond / COMPILE_GOAL:.2f} of the goal, "
            f"{beyond / reading:.2f} of the reading",
            flush=True,
        )
    ping = run("ansible", *which, "all", "-m", "ping")
    print(f"  ping       {ping.wall:7.1f} s  {ping.cpu / hosts:.3f} s of processor time for each host", flush=True)
    site = run("ansible-playbook", *which, "playbooks/site.yml")
    print(
        f"  site       {site.wall:7.1f} s  {(site.cpu - ping.cpu) / hosts:.3f} s of processor time for each host beyond ping, "
        f"{site.memory:.0f} MiB, {site.wall / ping.wall:.2f} pings",
        flush=True,
    )


def measure_base(inventory: Path, hosts: int, base: str) -> None:
    """The same of an earlier version, for a few hosts: what it needs for all would be so many times as much."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", f"{folder}/base", base], cwd=PROJECT, check=True
        )
        project = Path(folder) / "base"
        try:
            which = ("-i", str(inventory), "--limit", ",".join(["lb1", *(f"rs{i}" for i in range(OF_BASE - 1))]))
            ping = run("ansible", *which, "all", "-m", "ping", project=project)
            validate = run("ansible-playbook", *which, "playbooks/validate.yml", project=project)
            site = run("ansible-playbook", *which, "playbooks/site.yml", project=project)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(project)], cwd=PROJECT, check=True)
    each = (site.cpu - validate.cpu) / OF_BASE
    print(
        f"  {base:<10} {site.wall:7.1f} s for {OF_BASE} of the {hosts} hosts: {each:.3f} s of processor time for each, "
        f"validate {validate.cpu - ping.cpu:.1f} s beyond ping, {site.memory:.0f} MiB",
        flush=True,
    )


def main() -> None:
    base = os.environ.get("BASE", "")
    for behind, services in SIZES:
        hosts = behind + 1
        print(f"{hosts} hosts, {services} services of {SERVERS} real servers", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), behind, services)
            measure(Path(folder), hosts)
            if base:
                measure_base(Path(folder), hosts, base)


if __name__ == "__main__":
    main()
