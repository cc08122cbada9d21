"""The lab's segments: one vde_switch, a learning switch with 802.1Q VLANs in user space.

`commands` is pure. `counters` tells from outside what passed each host's link:

    counters(state, lab)["lb1"]["eth1"].bytes_in      octets the switch received from lb1's eth1
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import programs, qemu
from lab.errors import LabError
from lab.paths import State
from lab.spec import PORTS, Host, Lab, tagged

if TYPE_CHECKING:
    from lvs.topology import Interface

NO_UNTAGGED = 4095  # vde's NOVLAN: untagged frames are dropped, as on a trunk without a native VLAN


@dataclass(frozen=True)
class Counters:
    """What one port of the switch has seen. In and out are the switch's: `in` is what the machine sent."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0


def commands(lab: Lab) -> list[str]:
    """What makes an empty switch carry the lab's VLANs. A port without a dot in its interfaces' names is an access port."""
    lines = [f"vlan/create {vlan}" for vlan in sorted({network.vlan for network in lab.networks})]
    for host in lab.hosts:
        for port in PORTS:
            number = host.switch_port(port)
            if number is not None:
                lines += _port(number, host.on(port))
    return lines


def _port(number: int, interfaces: list[Interface]) -> list[str]:
    untagged = [interface.network.vlan for interface in interfaces if not tagged(interface)] or [NO_UNTAGGED]
    trunked = [interface.network.vlan for interface in interfaces if tagged(interface)]
    return [
        f"port/create {number}",
        f"port/setvlan {number} {untagged[0]}",
        *(f"vlan/addport {vlan} {number}" for vlan in trunked),
    ]


def last_port(lab: Lab) -> int:
    """The highest port number in use."""
    return max((host.switch_port(port) or 0 for host in lab.hosts for port in PORTS), default=0)


def folder(state: State) -> Path:
    """The switch's folder, which QEMU's `-netdev vde,sock=` wants."""
    return state.sockets / "switch"


def start(state: State, lab: Lab) -> None:
    """Start the switch and configure it. Raises LabError with what the switch answers to a command it refuses."""
    management = state.sockets / "switch.mgmt"
    management.unlink(missing_ok=True)
    command = ["vde_switch", "-sock", folder(state), "-mgmt", management, "-mgmtmode", "0600", "-mode", "0600",
               "-numports", last_port(lab) + 1, "-daemon", "-pidfile", pid_file(state), "-rcfile", "/dev/null"]  # fmt: skip
    programs.run([str(word) for word in command])
    with Management(state) as switch:
        for line in commands(lab):
            switch.ask(line)


def pid_file(state: State) -> Path:
    return state.folder / "switch.pid"


def running(state: State) -> int | None:
    """The switch's pid; None when it does not run."""
    return qemu.running(pid_file(state), str(folder(state)))


def stop(state: State) -> None:
    if pid := running(state):
        qemu.kill([pid])
    pid_file(state).unlink(missing_ok=True)


class Management:
    """A session on the switch's management socket."""

    def __init__(self, state: State) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        path = state.sockets / "switch.mgmt"
        until = time.monotonic() + 5
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() > until:
                    raise LabError("the lab's switch does not run: start the lab with `python -m lab up`") from error
                time.sleep(0.02)
        self._read()

    def __enter__(self) -> Management:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _read(self) -> str:
        """Everything up to the next prompt."""
        said = b""
        while not said.rstrip().endswith(b"vde$"):
            part = self._socket.recv(65536)
            if not part:
                raise LabError("the lab's switch closed its management socket")
            said += part
        return said.decode(errors="replace")

    def ask(self, command: str) -> str:
        """The answer to a command. Raises LabError when the switch does not call it a success."""
        self._socket.sendall(command.encode() + b"\n")
        said = self._read()
        if not re.search(r"^1000 Success", said, re.MULTILINE):
            raise LabError(f"the switch refuses {command!r}: {said.replace('vde$', '').strip()}")
        return said


def counters(state: State, lab: Lab) -> dict[str, dict[str, Counters]]:
    """Packets and octets that passed each host's link so far, by host and port (`eth1`, `eth2`)."""
    with Management(state) as switch:
        by_number = parse_counters(switch.ask("port/allprint"))
    return {host.name: _of_host(host, by_number) for host in lab.hosts}


def _of_host(host: Host, by_number: dict[int, Counters]) -> dict[str, Counters]:
    numbers = {port: host.switch_port(port) for port in PORTS}
    return {port: by_number.get(number, Counters()) for port, number in numbers.items() if number is not None}


def parse_counters(text: str) -> dict[int, Counters]:
    """Counters by port number, from the answer to port/allprint."""
    found: dict[int, Counters] = {}
    for block in re.split(r"^Port ", text, flags=re.MULTILINE)[1:]:
        number = int(block.split()[0])
        ways = {
            way.lower(): (int(packets), int(octets))
            for way, packets, octets in re.findall(r"(IN|OUT):\s*pkts\s*(\d+)\s*bytes\s*(\d+)", block)
        }
        if len(ways) == 2:
            found[number] = Counters(*ways["in"], *ways["out"])
    return found
