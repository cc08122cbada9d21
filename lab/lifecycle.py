"""Up, down and status of a whole lab."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import builder, identity, paths, programs, qemu, snapshot, switch
from lab.errors import LabError
from lab.image import digest_of
from lab.paths import State
from lab.progress import Progress
from lab.snapshot import Snapshot
from lab.spec import PORTS, Host, Lab, port_of, tagged

AGENT_SECONDS = 120  # for a restored machine's guest agent
SSH_SECONDS = 120
SHUTDOWN_SECONDS = 180


@dataclass(frozen=True)
class Record:
    """What was started for a host, to tell whether it still is what the inventory says."""

    ssh_port: int
    hardware: str  # digest of what takes a new machine to change
    identity: str  # digest of what the guest agent can change


def read_records(state: State) -> dict[str, Record]:
    """The records of what was started last; empty when nothing was."""
    try:
        hosts = json.loads(state.record.read_text())
        return {name: Record(**record) for name, record in hosts.items()}
    except (OSError, ValueError, TypeError):
        return {}


def machine(state: State, host: Host, frozen: Snapshot, ssh_port: int) -> qemu.Machine:
    """The machine of a host, a clone of the snapshot."""
    folder = state.host(host.name)
    return qemu.Machine(
        name=host.name, image=frozen.image, disk=folder / "disk.qcow2", memory=host.memory,
        memory_file=frozen.ram, memory_shared=False, folder=folder, sockets=state.sockets, handle=str(host.index),
        ssh_port=ssh_port, macs=[host.mac(name) for name in ("eth0", *PORTS)], switch=switch.folder(state),
        switch_ports=[host.switch_port(name) for name in PORTS], restore=True,
    )  # fmt: skip


def running(state: State, name: str) -> int | None:
    """The pid of a host's machine; None when it does not run."""
    folder = state.host(name)
    return qemu.running(folder / "pid", str(folder / "console.log"))


def up(state: State, lab: Lab, fresh: bool, progress: Progress) -> None:
    """Bring the lab up; keep what already runs as the inventory wants it, unless `fresh`.

    Raises LabError, with nothing left running, when a machine does not come up.
    """
    programs.require(programs.TO_RUN)
    frozen = {
        (release, memory): snapshot.ensure(release, memory, progress)
        for release, memory in dict.fromkeys((host.release, host.memory) for host in lab.hosts)
    }
    with paths.locked(state.folder / "lock", "another `python -m lab` is at work on this lab; wait for it to end"):
        try:
            _bring_up(state, lab, {host.name: frozen[host.release, host.memory] for host in lab.hosts}, fresh, progress)
        except BaseException:
            progress("failed: stopping every machine")
            _stop_all(state)
            raise


def _bring_up(state: State, lab: Lab, frozen: dict[str, Snapshot], fresh: bool, progress: Progress) -> None:
    wiring = digest_of(switch.commands(lab))
    wanted = {host.name: _record(state, lab, host, frozen[host.name], wiring) for host in lab.hosts}
    before = read_records(state)
    good = {
        name: record.ssh_port
        for name, record in before.items()
        if not fresh and name in wanted and record.hardware == wanted[name].hardware and running(state, name)
    }
    if not good or switch.running(state) is None:
        good = {}
        _stop_all(state)
    for name in set(_known(state)) - set(good):
        _discard(state, name)
    if not good:
        state.folder.mkdir(parents=True, exist_ok=True)
        switch.start(state, lab)
        progress(f"switch: VLANs {', '.join(f'{network.vlan} ({network.name})' for network in lab.networks)}")

    new = [host for host in lab.hosts if host.name not in good]
    taken = set(good.values())
    spare = iter(port for port in paths.free_ports(len(new) + len(taken), str(state.folder)) if port not in taken)
    ports = {host.name: good[host.name] if host.name in good else next(spare) for host in lab.hosts}
    records = {name: Record(ports[name], record.hardware, record.identity) for name, record in wanted.items()}
    machines = {host.name: machine(state, host, frozen[host.name], ports[host.name]) for host in lab.hosts}
    # Until a machine has its identity its record must not match, so that an `up` killed here is finished by the next.
    kept = {name: before[name] for name in good}
    _write(state.record, {name: asdict(record) for name, record in kept.items()})
    _write_ssh_configuration(state, lab.hosts, machines)
    _write_builders(state, frozen.values())

    def begin(host: Host) -> None:
        _start(machines[host.name], frozen[host.name])

    def become(host: Host) -> None:
        text = identity.script(lab, host, time.time(), os.urandom(64))
        with qemu.agent(machines[host.name], AGENT_SECONDS) as agent:
            qemu.execute(agent, text)

    def answers(host: Host) -> None:
        with qemu.agent(machines[host.name], AGENT_SECONDS + identity.READY_SECONDS) as agent:
            qemu.execute(agent, identity.check_script(lab, host))

    def greets(host: Host) -> None:
        until = time.monotonic() + SSH_SECONDS
        # Patiently: sshd starts a process for every attempt, and too many of them at once are what keeps a machine from answering.
        while not banner(ports[host.name], SSH_SECONDS / 4):
            if time.monotonic() > until:
                raise LabError(f"ssh does not answer on port {ports[host.name]}")

    changed = [
        host for host in lab.hosts if host.name in good and before[host.name].identity != wanted[host.name].identity
    ]
    if new:
        each(new, begin, state)
        progress(f"{len(new)} machines continue from the snapshot")
    if new or changed:
        each([*new, *changed], become, state)
        progress("each has its name, addresses and clock")
    each([*new, *changed], answers, state)
    each(lab.hosts, greets, state)
    _write(state.record, {name: asdict(record) for name, record in records.items()})
    progress(
        f"{len(lab.hosts)} machines answer" if new or changed else f"{len(lab.hosts)} machines were up, and answer"
    )


def _record(state: State, lab: Lab, host: Host, frozen: Snapshot, wiring: str) -> Record:
    words = machine(state, host, frozen, 0).command()
    own = identity.identity(lab, host)
    return Record(0, digest_of(words, wiring), digest_of(dict(own.files), own.serves))


def _start(clone: qemu.Machine, frozen: Snapshot) -> None:
    clone.folder.mkdir(parents=True, exist_ok=True)
    snapshot.overlay(clone.disk, frozen.disk)
    qemu.start(clone)
    qemu.restore(clone, frozen.state)


def reboot(state: State, lab: Lab, names: Sequence[str], progress: Progress) -> None:
    """Shut machines down and boot them from their disks; returns when they have booted far enough to be asked.

    Each gets a new QEMU. One that is only reset keeps the translations of all code that ever ran, and checks every write of
    the new system against them, which takes minutes.
    """
    with paths.locked(state.folder / "lock", "another `python -m lab` is at work on this lab; wait for it to end"):
        records = read_records(state)
        hosts = [host for host in lab.hosts if host.name in names]
        for name in names:
            if name not in records or not running(state, name):
                raise LabError(f"{name} does not run: `python -m lab status` lists the machines")

        def again(host: Host) -> None:
            frozen = snapshot.locate(host.release, host.memory)
            clone = replace(machine(state, host, frozen, records[host.name].ssh_port), restore=False)
            with qemu.agent(clone, AGENT_SECONDS) as agent:
                agent.send({"execute": "guest-shutdown"})
                until = time.monotonic() + SHUTDOWN_SECONDS
                while running(state, host.name):
                    if time.monotonic() > until:
                        raise LabError(f"does not shut down within {SHUTDOWN_SECONDS} seconds")
                    time.sleep(0.2)
            qemu.start(clone)
            with qemu.agent(clone, snapshot.BOOT_SECONDS):
                pass

        each(hosts, again, state)
        progress(f"{', '.join(names)} booted")


def each(hosts: Sequence[Host], action: Callable[[Host], None], state: State) -> None:
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


def _write_ssh_configuration(state: State, hosts: Iterable[Host], machines: dict[str, qemu.Machine]) -> None:
    """One entry a host. All machines of a release share the image's host key, which is known from the start."""
    keys = {machines[host.name].image.release: machines[host.name].image.host_key for host in hosts}
    _write_text(state.known_hosts, "".join(f"lvskit-lab-{release} {key}\n" for release, key in sorted(keys.items())))
    lines = ["# Written by `python -m lab up`."]
    for host in hosts:
        own = machines[host.name]
        lines += [
            f"Host {host.name}",
            "    HostName 127.0.0.1",
            f"    Port {own.ssh_port}",
            f'    IdentityFile "{own.image.key}"',
            f"    HostKeyAlias lvskit-lab-{own.image.release}",
        ]
    lines += [
        "Host *",
        "    User root",
        "    IdentitiesOnly yes",
        "    IdentityAgent none",
        f'    UserKnownHostsFile "{state.known_hosts}"',
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        "    GSSAPIAuthentication no",
        "    PreferredAuthentications publickey",
        "    KexAlgorithms curve25519-sha256",
        "    LogLevel ERROR",
        "    ServerAliveInterval 15",
    ]
    _write_text(state.ssh_config, "\n".join(lines) + "\n")


def _write_builders(state: State, frozen: Iterable[Snapshot]) -> None:
    """One program for each release."""
    state.builders.mkdir(exist_ok=True)
    for image in {own.image.release: own.image for own in frozen}.values():
        program = state.builders / image.release
        _write_text(program, builder.script(image))
        program.chmod(0o755)


def _write(file: Path, content: object) -> None:
    _write_text(file, json.dumps(content, indent=2) + "\n")


def _write_text(file: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old one or the new one."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.rename(file)


def down(state: State) -> int:
    """Stop everything this lab started and forget it; the number of machines that ran."""
    if not state.folder.exists():
        return 0
    with paths.locked(state.folder / "lock", "another `python -m lab` is at work on this lab; wait for it to end"):
        return _stop_all(state)


def _known(state: State) -> list[str]:
    """Hosts that have a folder, whatever the inventory says by now."""
    hosts = state.folder / "hosts"
    return sorted(folder.name for folder in hosts.iterdir()) if hosts.is_dir() else []


def _stop_all(state: State) -> int:
    pids = [pid for name in _known(state) if (pid := running(state, name))]
    qemu.kill(pids)
    switch.stop(state)
    for file in (state.record, state.ssh_config, state.known_hosts):
        file.unlink(missing_ok=True)
    for folder in (state.folder / "hosts", state.builders):
        shutil.rmtree(folder, ignore_errors=True)
    for left in state.sockets.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return len(pids)


def _discard(state: State, name: str) -> None:
    if pid := running(state, name):
        qemu.kill([pid])
    shutil.rmtree(state.host(name), ignore_errors=True)


def status(state: State, lab: Lab) -> str:
    """A table of the inventory's machines: whether each runs and answers ssh, and how it is wired."""
    records = read_records(state)
    rows = [("HOST", "PID", "SSH", "RELEASE", "INTERFACE", "ADDRESS", "NETWORK", "VLAN", "MAC")]
    for host in lab.hosts:
        pid = running(state, host.name)
        record = records.get(host.name)
        port = f"127.0.0.1:{record.ssh_port}" if record and pid else "-"
        if record and pid and not banner(record.ssh_port):
            port += " no answer"
        first = (host.name, str(pid or "down"), port, host.release)
        for interface in host.interfaces:
            network, mac = interface.network, host.mac(port_of(interface))
            vlan = f"{network.vlan}{' tagged' if tagged(interface) else ''}"
            rows.append((*first, interface.name, str(interface), network.name, vlan, mac))
            first = ("", "", "", "")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def banner(port: int, seconds: float = 5) -> bool:
    """Whether sshd greets on a forwarded port. (A connection alone says nothing: QEMU accepts it.)"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.settimeout(seconds)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
