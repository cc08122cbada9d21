"""Up, down and status of a whole lab."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lab import builder, identity, paths, programs, qemu, records, snapshot, switch, update
from lab.errors import LabError
from lab.image import digest_of
from lab.machines import AGENT_SECONDS, each, execute, machine, running
from lab.paths import State
from lab.progress import Progress
from lab.records import Record
from lab.snapshot import Snapshot
from lab.spec import Host, Lab, port_of, tagged

SSH_SECONDS = 120
SHUTDOWN_SECONDS = 180


def up(state: State, lab: Lab, fresh: bool, progress: Progress) -> None:
    """Bring the lab up; keep what already runs as the inventory wants it, unless `fresh`.

    Raises LabError when a machine does not come up. Then stops all machines that it started; those that ran before continue.
    """
    programs.require(programs.TO_RUN)
    kinds = {
        (system, memory): snapshot.ensure(system, memory, progress)
        for system, memory in dict.fromkeys((host.system, host.memory) for host in lab.hosts)
    }
    frozen = {host.name: kinds[host.system, host.memory] for host in lab.hosts}
    with paths.locked(state.folder / "lock", paths.BUSY):
        kept = {} if fresh else _to_keep(state, lab, frozen)
        try:
            _discard_others(state, kept, progress)
            _bring_up(state, lab, frozen, kept, progress)
        except BaseException:
            progress(f"failed: stopping every machine{' that did not run before' if kept else ''}")
            _discard_others(state, kept, progress)
            raise


def _to_keep(state: State, lab: Lab, frozen: Mapping[str, Snapshot]) -> dict[str, Record]:
    """Records of the machines that run as the inventory wants them."""
    if switch.running(state) is None:
        return {}
    hardware = {host.name: _hardware(state, lab, host, frozen[host.name]) for host in lab.hosts}
    return {
        name: record
        for name, record in records.read(state).items()
        if record.hardware == hardware.get(name) and running(state, name)
    }


def _hardware(state: State, lab: Lab, host: Host, frozen: Snapshot) -> str:
    return digest_of(machine(state, host, frozen, 0).command(), digest_of(switch.commands(lab)))


def _discard_others(state: State, kept: Mapping[str, Record], progress: Progress) -> None:
    """Stop and forget the machines that are not kept, and the switch when none is."""
    others = [name for name in _known(state) if name not in kept]
    if stopped := [name for name in others if name in records.read(state) and running(state, name)]:
        progress(f"started anew, without what was provisioned on them: {', '.join(stopped)}")
    if kept:
        for name in others:
            _discard(state, name)
    else:
        _stop_all(state)


def _bring_up(
    state: State, lab: Lab, frozen: Mapping[str, Snapshot], kept: Mapping[str, Record], progress: Progress
) -> None:
    if not kept:
        state.folder.mkdir(parents=True, exist_ok=True)
        switch.start(state, lab)
        progress(f"switch: VLANs {', '.join(f'{network.vlan} ({network.name})' for network in lab.networks)}")

    new = [host for host in lab.hosts if host.name not in kept]
    taken = {record.ssh_port for record in kept.values()}
    spare = iter(port for port in paths.free_ports(len(new) + len(taken), str(state.folder)) if port not in taken)
    ports = {host.name: kept[host.name].ssh_port if host.name in kept else next(spare) for host in lab.hosts}
    own = {host.name: machine(state, host, frozen[host.name], ports[host.name]) for host in lab.hosts}
    # A machine has no record until it is complete, so that the next `up` replaces what is left of one that was killed here.
    records.write(state, kept)
    _write_ssh_configuration(state, lab.hosts, own)
    _write_builders(state, frozen.values())

    def begin(host: Host) -> None:
        _start(own[host.name], frozen[host.name])

    def become(host: Host) -> None:
        execute(state, host, identity.script(lab, host, time.time(), os.urandom(64)))

    def answers(host: Host) -> None:
        execute(state, host, identity.check_script(lab, host), AGENT_SECONDS + identity.READY_SECONDS)

    def greets(host: Host) -> None:
        until = time.monotonic() + SSH_SECONDS
        # With a long interval: sshd starts a process for every attempt, and too many of them at once are what keeps a machine from answering.
        while not banner(ports[host.name], SSH_SECONDS / 4):
            if time.monotonic() > until:
                raise LabError(f"ssh does not answer on port {ports[host.name]}")

    wanted = {host.name: identity.files(lab, host) for host in lab.hosts}
    if new:
        each(new, begin, state)
        progress(f"{len(new)} machines continue from the snapshot")
        each(new, become, state)
        progress("each has its name, addresses and clock")
        each(new, answers, state)
    each(lab.hosts, greets, state)
    started = {
        host.name: Record(ports[host.name], _hardware(state, lab, host, frozen[host.name]), wanted[host.name])
        for host in new
    }
    records.write(state, {**kept, **started})
    changed = update.bring(state, lab, {name: wanted[name] for name in kept}, progress)
    progress(f"{len(lab.hosts)} machines {'answer' if new or changed else 'were up, and answer'}")


def _start(clone: qemu.Machine, frozen: Snapshot) -> None:
    clone.folder.mkdir(parents=True, exist_ok=True)
    snapshot.overlay(clone.disk, frozen.disk)
    qemu.start(clone)
    qemu.restore(clone, frozen.state)


def reboot(
    state: State, lab: Lab, names: Sequence[str], progress: Progress, *, cut: bool = False, kernel_options: str = ""
) -> None:
    """Shut machines down, or cut their power, and boot them from their disks; returns when they have booted far enough to be asked.

    Each gets a new QEMU. One that is only reset keeps the translations of all code that ever ran, and checks every write of
    the new system against them, which takes minutes.
    """
    with paths.locked(state.folder / "lock", paths.BUSY):
        known = records.read(state)
        hosts = [host for host in lab.hosts if host.name in names]
        for name in names:
            if name not in known or not running(state, name):
                raise LabError(f"{name} does not run: `python -m lab status` lists the machines")

        def again(host: Host) -> None:
            frozen = snapshot.locate(host.system, host.memory)
            usual = machine(state, host, frozen, known[host.name].ssh_port)
            clone = replace(usual, restore=False, kernel_options=kernel_options)
            if cut:
                qemu.kill(filter(None, [running(state, host.name)]))
            else:
                with qemu.agent(clone.agent, AGENT_SECONDS) as agent:
                    agent.send({"execute": "guest-shutdown"})
                    until = time.monotonic() + SHUTDOWN_SECONDS
                    while running(state, host.name):
                        if time.monotonic() > until:
                            raise LabError(f"does not shut down within {SHUTDOWN_SECONDS} seconds")
                        time.sleep(0.2)
            qemu.start(clone)
            with qemu.agent(clone.agent, snapshot.BOOT_SECONDS):
                pass

        each(hosts, again, state)
        progress(f"{', '.join(names)} booted")


def _write_ssh_configuration(state: State, hosts: Iterable[Host], machines: dict[str, qemu.Machine]) -> None:
    """One entry a host. All machines of an image share its host key, which is known from the start."""
    keys = {machines[host.name].image.folder.name: machines[host.name].image.host_key for host in hosts}
    records.write_text(state.known_hosts, "".join(f"lvskit-lab-{image} {key}\n" for image, key in sorted(keys.items())))
    lines = ["# Written by `python -m lab up`."]
    for host in hosts:
        own = machines[host.name]
        lines += [
            f"Host {host.name}",
            "    HostName 127.0.0.1",
            f"    Port {own.ssh_port}",
            f'    IdentityFile "{own.image.key}"',
            f"    HostKeyAlias lvskit-lab-{own.image.folder.name}",
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
    records.write_text(state.ssh_config, "\n".join(lines) + "\n")


def _write_builders(state: State, frozen: Iterable[Snapshot]) -> None:
    """One program for each release."""
    state.builders.mkdir(exist_ok=True)
    for image in {own.image.release: own.image for own in frozen}.values():
        program = state.builders / image.release
        records.write_text(program, builder.script(image))
        program.chmod(0o755)


def down(state: State) -> int:
    """Stop everything this lab started and forget it; the number of machines that ran."""
    if not state.folder.exists():
        return 0
    with paths.locked(state.folder / "lock", paths.BUSY):
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
    known = records.read(state)
    rows = [("HOST", "PID", "SSH", "RELEASE", "INTERFACE", "ADDRESS", "NETWORK", "VLAN", "MAC")]
    for host in lab.hosts:
        pid = running(state, host.name)
        record = known.get(host.name)
        port = f"127.0.0.1:{record.ssh_port}" if record and pid else "-"
        if record and pid and not banner(record.ssh_port):
            port += " no answer"
        first = (host.name, str(pid or "down"), port, host.system.release)
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
