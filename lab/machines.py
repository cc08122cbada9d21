"""The machines of a lab: their processes, what runs in one of them, and an action on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab import qemu, snapshot, switch
from lab.errors import LabError
from lab.paths import State
from lab.snapshot import Snapshot
from lab.spec import PORTS, Host

AGENT_SECONDS = 120  # for a restored machine's guest agent


def machine(state: State, host: Host, frozen: Snapshot, ssh_port: int) -> qemu.Machine:
    """The machine of a host, a clone of the snapshot."""
    folder = state.host(host.name)
    return qemu.Machine(
        name=host.name, image=frozen.image, disk=folder / "disk.qcow2", memory=host.memory,
        memory_file=frozen.ram, memory_shared=False, folder=folder, sockets=state.sockets, handle=_handle(host),
        ssh_port=ssh_port, macs=[host.mac(name) for name in ("eth0", *PORTS)], switch=switch.folder(state),
        switch_ports=[host.switch_port(name) for name in PORTS], restore=True,
    )  # fmt: skip


def _handle(host: Host) -> str:
    return str(host.index)


def running(state: State, name: str) -> int | None:
    """The pid of a host's machine; None when it does not run."""
    folder = state.host(name)
    return qemu.running(folder / "pid", str(folder / "console.log"))


def execute(state: State, host: Host, script: str, seconds: float = AGENT_SECONDS) -> str:
    """Run a shell script in a host's machine as root, within that time, and return its output."""
    with qemu.agent(qemu.agent_pipe(state.sockets, _handle(host)), seconds) as agent:
        return qemu.execute(agent, script)


def each(hosts: Sequence[Host], action: Callable[[Host], object], state: State) -> None:
    """Run an action for all hosts at once. Raises one LabError naming every host it failed for, with its console."""
    failures = []
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        for host, future in [(host, pool.submit(action, host)) for host in hosts]:
            try:
                future.result()
            except (LabError, OSError) as error:
                failures.append(f"{host.name}: {error}\n{snapshot.console_tail(state.host(host.name))}")
    if failures:
        raise LabError("\n\n".join(failures))
