"""The virtual machines of a benchmark: those of the lab's inventory and of its own, in the lab that $LVSKIT_LAB names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab import environment, lifecycle, machines, paths, spec
from lab.errors import LabError
from lab.progress import Progress

PROJECT = Path(__file__).resolve().parents[2]


class Machines:
    """Started afresh; seen from outside and by ssh. Whatever fails ends the benchmark with a message."""

    def __init__(self, *inventories: Path) -> None:
        self.inventories = [str(PROJECT / "inventory/lab"), *map(str, inventories)]
        self.state = paths.State(paths.this_lab())
        self.listing = environment.read(self.inventories)
        try:
            lifecycle.up(self.state, spec.parse(self.listing), True, Progress())
        except LabError as error:
            sys.exit(f"lab: {error}")

    def ask(self, host: str, command: str, given: bytes = b"") -> str:
        """Standard output of a command on a machine."""
        words = ["ssh", "-F", str(self.state.ssh_config), host, command]
        done = subprocess.run(words, input=given, capture_output=True, check=False)
        if done.returncode:
            sys.exit(f"{host}: {command}: {(done.stderr or done.stdout).decode()}")
        return done.stdout.decode()

    def provision(self) -> None:
        """Bring all of them to their plans."""
        options = [f"--inventory={inventory}" for inventory in self.inventories]
        words = [str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/site.yml", *options]
        if subprocess.run(words, cwd=PROJECT, check=False).returncode:
            sys.exit("playbooks/site.yml failed")

    def processor_time(self, host: str) -> float:
        """Seconds of processor time that a machine has had so far, as this machine counts them."""
        tasks = Path(f"/proc/{machines.running(self.state, host)}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
