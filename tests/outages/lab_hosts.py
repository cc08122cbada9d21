"""The machines of a running lab, by ssh and from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.lvs.plan import plans

from lab import environment, machines, paths

ROOT = Path(__file__).resolve().parents[2]
LOAD = Path(__file__).parent / "load.py"
CLIENT, DIRECTOR = "client1", "lb1"
DISCARD = 9  # see load.py


class Hosts:
    """`inventories` describe the lab that $LVSKIT_LAB names."""

    def __init__(self, inventories: Sequence[str]) -> None:
        self.inventories = inventories
        self.state = paths.State(paths.this_lab())
        self.topology = environment.topology(environment.read(inventories))
        self.plan = plans(self.topology, [DIRECTOR])[DIRECTOR]
        self.sockets = tempfile.mkdtemp(prefix="lvskit-ssh-")
        self.stop_checks = self.start_checks = "true"  # commands on the director; an engine sets them

    def words(self, host: str, command: str) -> list[str]:
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.sockets}/%n", "-o", "ControlPersist=3600"]
        return ["ssh", "-F", str(self.state.ssh_config), *shared, host, command]

    def ask(self, host: str, command: str, given: str = "", *, check: bool = True) -> str:
        """Standard output of a command on a machine."""
        done = subprocess.run(
            self.words(host, command), input=given, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode and check:
            raise RuntimeError(f"{host}: {command}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def now(self) -> float:
        """The time on the client's clock. The clocks of emulated machines drift, so it is asked each time."""
        return time.time() + self._ahead(CLIENT)

    def do(self, host: str, command: str) -> float:
        """Runs a command on a machine; the time of its start on the client's clock. Both clocks are compared just before it."""
        ahead = self._ahead(CLIENT) - self._ahead(host)
        return float(self.ask(host, f"date +%s.%N; {command}").split()[0]) + ahead

    def _ahead(self, host: str) -> float:
        """How far a machine's clock is ahead of this one's, in seconds."""
        self.ask(host, "true")  # opens the connection
        tries = []
        for _ in range(4):
            before = time.time()
            there = float(self.ask(host, "date +%s.%N"))
            after = time.time()
            tries.append((after - before, there - (before + after) / 2))
        return min(tries)[1]

    def freeze(self, host: str) -> float:
        """Stops a machine, as a power cut does for those who talk to it; the time on the client's clock."""
        return self._signal(host, signal.SIGSTOP)

    def thaw(self, host: str) -> float:
        return self._signal(host, signal.SIGCONT)

    def _signal(self, host: str, number: int) -> float:
        pid = machines.running(self.state, host)
        assert pid
        began = self.now()
        os.kill(pid, number)
        return began

    def playbook(self, name: str, *options: str, inventories: Sequence[str] = ()) -> None:
        words = [
            "ansible-playbook",
            f"playbooks/{name}.yml",
            *(f"--inventory={one}" for one in inventories or self.inventories),
            *options,
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"playbooks/{name}.yml failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")

    @property
    def ends(self) -> list[tuple[str, str, int]]:
        """Service, VIP and port of each end that clients can ask."""
        return [(s.name, str(e.vip), e.port) for s in self.topology.services for e in s.by_vip if s.health_check]

    @property
    def controls(self) -> list[str]:
        """An address of each machine that forwards requests or answers them."""
        running = (host for host in self.topology.hosts.values() if host.name not in self.topology.members("absent"))
        return [str(host.interfaces[0].address) for host in running if host.interfaces and host.name != CLIENT]

    @contextlib.contextmanager
    def load(self, period: float, timeout: float) -> Iterator[Load]:
        """A steady load on all ends, and on the machines themselves."""
        self.ask(CLIENT, "cat > /tmp/outage_load.py", LOAD.read_text())
        asked = [(vip, port) for _, vip, port in self.ends] + [(address, DISCARD) for address in self.controls]
        ends = " ".join(f"{address} {port}" for address, port in asked)
        self.ask(CLIENT, "rm -f /tmp/outage.stop /tmp/outage.jsonl")
        command = f"exec python3 /tmp/outage_load.py /tmp/outage.jsonl /tmp/outage.stop {period} {timeout} {ends}"
        running = subprocess.Popen(self.words(CLIENT, command), stdout=subprocess.DEVNULL)
        try:
            yield Load(self)
        finally:
            self.ask(CLIENT, "touch /tmp/outage.stop")
            running.wait(timeout=60)


class Load:
    """What has become of the requests so far."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.read = 0
        self.requests: list[dict[str, Any]] = []

    def update(self) -> list[dict[str, Any]]:
        """All requests that have ended."""
        said = self.hosts.ask(CLIENT, f"tail -c +{self.read + 1} /tmp/outage.jsonl", check=False)
        whole = said[: said.rfind("\n") + 1]
        self.read += len(whole)
        self.requests += [json.loads(line) for line in whole.splitlines()]
        return self.requests

    def between(self, start: float, end: float) -> list[dict[str, Any]]:
        """The requests that began in a time on the client's clock."""
        return [one for one in self.requests if start <= one["at"] < end]
