"""QEMU: the command line of a machine, its process, and what it is controlled by: a socket, and the pipe of its guest agent.

Every machine has the same devices in the same order, used or not, because the state of a snapshot fits only the devices it
was taken of.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import random
import select
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import programs
from lab.errors import LabError
from lab.image import Image
from lab.spec import PORTS

KERNEL_OPTIONS = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet systemd.show_status=false "
    # Emulation has no speculation to mitigate, and page-table isolation alone doubles the price of a system call in it.
    # Nor has it a use for a security module; without AppArmor alone the kernel would take SELinux, which has no policy here.
    "mitigations=off audit=0 security=none cryptomgr.notests"
)
# Translated code may take 256 MiB for each machine, besides its memory; QEMU would let it take 1 GiB.
EMULATION = "tcg,thread=multi,tb-size=256"
# An emulated `rep stos` goes step by step. Without these features, and REP_GOOD (word 3, bit 16), the kernel clears and copies
# pages by plain instructions.
EMULATED_PROCESSOR = "max,-erms,-fsrm"
EMULATED_KERNEL_OPTIONS = " clearcpuid=112"


def accelerator(cpuinfo: str, kvm_usable: bool) -> str:
    """KVM only where the processor has it: on others /dev/kvm may exist and still hang the guest."""
    flags = set(cpuinfo.split())
    return "kvm" if kvm_usable and flags & {"vmx", "svm"} else EMULATION


def this_accelerator() -> str:
    return accelerator(Path("/proc/cpuinfo").read_text(), os.access("/dev/kvm", os.R_OK | os.W_OK))


@dataclass(frozen=True)
class Machine:
    """What differs between one machine and another. A template has no switch and shares its memory file."""

    name: str
    image: Image
    disk: Path
    memory: int  # MiB
    memory_file: Path
    memory_shared: bool
    folder: Path  # console.log and pid
    sockets: Path
    handle: str  # short name of the sockets
    ssh_port: int
    macs: Sequence[str]  # of eth0 and of PORTS
    switch: Path | None = None
    switch_ports: Sequence[int | None] = (None,) * len(PORTS)
    restore: bool = False
    kernel_options: str = ""

    @property
    def qmp(self) -> Path:
        return self.sockets / f"{self.handle}.qmp"

    @property
    def agent(self) -> Path:
        return agent_pipe(self.sockets, self.handle)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    def command(self) -> list[str]:
        """The words of QEMU's command line."""
        memory = f"memory-backend-file,id=ram,size={self.memory}M,mem-path={_value(self.memory_file)}"
        emulated = this_accelerator() != "kvm"
        processor = EMULATED_PROCESSOR if emulated else "max"
        options = f"{KERNEL_OPTIONS}{EMULATED_KERNEL_OPTIONS if emulated else ''} {self.kernel_options}".rstrip()
        words = [
            "qemu-system-x86_64", "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc,memory-backend=ram", "-accel", this_accelerator(), "-cpu", processor, "-smp", "1",
            "-m", str(self.memory), "-object", f"{memory},share={'on' if self.memory_shared else 'off'}",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", options,
            # The disk of a lab may be lost with the host's power: no flush is waited for.
            "-drive", f"file={_value(self.disk)},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap",
            "-device", "virtio-blk-pci,drive=disk",
            # restrict: without it QEMU answers for any address, and what is unreachable looks reachable.
            "-netdev", f"user,id=eth0,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
            "-device", f"virtio-net-pci,netdev=eth0,mac={self.macs[0]},romfile=",
        ]  # fmt: skip
        for name, mac, port in zip(PORTS, self.macs[1:], self.switch_ports, strict=True):
            device = f"virtio-net-pci,mac={mac},romfile="
            if self.switch is not None and port is not None:
                words += ["-netdev", f"vde,id={name},sock={_value(self.switch)},port={port}"]
                device += f",netdev={name}"
            words += ["-device", device]
        words += [
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"pipe,id=agent,path={_value(self.agent)}",
            "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-chardev", f"file,id=console,path={_value(self.console)}", "-serial", "chardev:console",
            "-qmp", f"unix:{_value(self.qmp)},server=on,wait=off",
        ]  # fmt: skip
        return [*words, "-incoming", "defer"] if self.restore else words


def _value(path: Path) -> str:
    """A path as the value of a QEMU option, where a comma has to be doubled."""
    return str(path).replace(",", ",,")


def agent_pipe(sockets: Path, handle: str) -> Path:
    """The guest agent of the machine with that handle: what is said to it goes into the FIFO .in, its answers come out of .out.

    It is no socket. While nobody is connected to one, the agent looks ten times a second whether somebody is, which is two
    fifths of what an idle machine costs.
    """
    return sockets / f"{handle}.ga"


def _fifos(pipe: Path) -> tuple[Path, Path]:
    """What goes in, what comes out."""
    return Path(f"{pipe}.in"), Path(f"{pipe}.out")


def start(machine: Machine) -> None:
    """Start the machine's process and record its pid."""
    machine.folder.mkdir(parents=True, exist_ok=True)
    for fifo in _fifos(machine.agent):
        with contextlib.suppress(FileExistsError):
            os.mkfifo(fifo, 0o600)
    with (machine.folder / "qemu.log").open("w") as log:
        process = subprocess.Popen(
            machine.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PATH": programs.SEARCH},
        )  # fmt: skip
    machine.pid_file.write_text(f"{process.pid}\n")


def running(pid_file: Path, mark: str) -> int | None:
    """The pid in the file, if that process still is the one whose command line contains `mark`.

    A pid is used again sooner or later; the mark (a path of this lab alone) distinguishes our process from others.
    """
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(mark) in command and state != "Z" else None


def kill(pids: Iterable[int], patience: float = 10) -> None:
    """End these processes at once, and return when they are gone. (What a machine has not written yet is lost.)"""
    left = set(pids)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + patience
    while (left := {pid for pid in left if not _gone(pid)}) and time.monotonic() < until:
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child of ours stays a zombie until it is asked for
    return not Path(f"/proc/{pid}").exists()


def _socket(path: Path) -> tuple[int, int]:
    """What to read from and what to write to, of a Unix socket. Raises OSError while QEMU does not listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.setblocking(False)
        own = connection.detach()
    return own, os.dup(own)


def _pipe(path: Path) -> tuple[int, int]:
    """The same of a pair of FIFOs, which one process has at a time; what an earlier one left unread is gone. OSError while QEMU has not
    opened them, or another process has them.
    """
    to, answers = _fifos(path)
    with contextlib.ExitStack() as opened:
        written = os.open(to, os.O_WRONLY | os.O_NONBLOCK)
        opened.callback(os.close, written)
        fcntl.flock(written, fcntl.LOCK_EX | fcntl.LOCK_NB)
        read = os.open(answers, os.O_RDONLY | os.O_NONBLOCK)
        opened.callback(os.close, read)
        with contextlib.suppress(BlockingIOError):
            while os.read(read, 65536):
                pass
        opened.pop_all()
    return read, written


class Channel:
    """JSON objects, one a line, exchanged with QEMU over a socket (QMP), or with the guest agent over a pair of FIFOs."""

    def __init__(self, path: Path, seconds: float, connect: Callable[[Path], tuple[int, int]]) -> None:
        self._until = time.monotonic() + seconds
        self._path = path
        self._buffer = b""
        while True:
            try:
                self._read, self._written = connect(path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ECONNREFUSED, errno.ENXIO, errno.EAGAIN):
                    raise
                if time.monotonic() > self._until:
                    raise LabError(f"QEMU does not open {path.name}") from None
                time.sleep(0.02)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read)
        os.close(self._written)

    def send(self, message: dict[str, Any], before: bytes = b"") -> None:
        left = memoryview(before + json.dumps(message).encode() + b"\n")
        while left:
            if not select.select([], [self._written], [], max(0.01, self._until - time.monotonic()))[1]:
                raise TimeoutError(f"{self._path.name} takes nothing")
            try:
                left = left[os.write(self._written, left) :]
            except BrokenPipeError:
                raise LabError(f"QEMU closed {self._path.name}: the machine ended") from None

    def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """The next object. Raises TimeoutError after `seconds`, or when the channel's time is over."""
        until = self._until if seconds is None else min(self._until, time.monotonic() + seconds)
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer on {self._path.name}")
            if not select.select([self._read], [], [], left)[0]:
                continue
            part = os.read(self._read, 65536)
            if not part:
                raise LabError(f"QEMU closed {self._path.name}: the machine ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line.rpartition(b"\xff")[2])
        return answer

    def call(self, command: str, **arguments: object) -> Any:
        """Execute a command and return what it returns; events in between are dropped. LabError when it fails."""
        self.send({"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}})
        while True:
            answer = self.receive()
            if "error" in answer:
                raise LabError(f"{command}: {answer['error'].get('desc', answer['error'])}")
            if "return" in answer:
                return answer["return"]


def qmp(machine: Machine, seconds: float = 30) -> Channel:
    """QEMU's own control channel, ready for commands."""
    channel = Channel(machine.qmp, seconds, _socket)
    channel.receive()  # the greeting
    channel.call("qmp_capabilities")
    return channel


def agent(path: Path, seconds: float) -> Channel:
    """The guest agent behind a pipe, as soon as it answers. Raises TimeoutError when it does not within `seconds`."""
    channel = Channel(path, seconds, _pipe)
    try:
        while True:
            attempt = random.getrandbits(31)  # an answer to somebody else's is none
            # The octet 0xff makes the agent forget half a command of an earlier connection (QEMU's qga protocol).
            channel.send({"execute": "guest-sync-delimited", "arguments": {"id": attempt}}, before=b"\xff")
            try:
                while channel.receive(2).get("return") != attempt:
                    pass
                return channel
            except TimeoutError:
                if time.monotonic() > channel._until:
                    raise
    except BaseException:
        channel.__exit__()
        raise


def execute(channel: Channel, script: str) -> str:
    """Run a shell script in the guest as root and return its output. LabError with its stderr when it fails."""
    started = channel.call(
        "guest-exec", path="/bin/sh", arg=["-s"], capture_output=True,
        input_data=base64.b64encode(script.encode()).decode(),
    )  # fmt: skip
    pause = 0.3
    while True:
        time.sleep(pause)
        status = channel.call("guest-exec-status", pid=started["pid"])
        if status["exited"]:
            break
        pause = 1  # the agent writes a line to the journal each time it is asked, which an emulated guest feels
    out, error = (base64.b64decode(status.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
    if status.get("exitcode") != 0:
        raise LabError(f"a script in the guest failed ({status.get('exitcode', 'killed')}): {(error or out).strip()}")
    return out


def restore(machine: Machine, state: Path, seconds: float = 60) -> None:
    """Continue from a snapshot's state in a machine started with `restore`."""
    with qmp(machine, seconds) as channel:
        _keep_memory_in_its_file(channel)
        channel.call("migrate-incoming", uri=f"exec:cat {shlex.quote(str(state))}")
        _wait_for(channel, "query-status", ("running",), ("inmigrate",))


def save(machine: Machine, state: Path, seconds: float = 60) -> None:
    """Write the state of a running machine to a file and end it; its memory stays in its memory file."""
    with qmp(machine, seconds) as channel:
        _keep_memory_in_its_file(channel)
        channel.call("migrate", uri=f"exec:cat >{shlex.quote(str(state))}")
        _wait_for(channel, "query-migrate", ("completed",), ("setup", "active", "device", "none", "pre-switchover"))
        channel.call("quit")


def _keep_memory_in_its_file(channel: Channel) -> None:
    # The state then holds the devices only: clones map the template's memory file privately, and copy a page when they
    # write to it. (This is what a template of Kata Containers is, too.)
    capability = {"capability": "x-ignore-shared", "state": True}
    channel.call("migrate-set-capabilities", capabilities=[capability])


def _wait_for(channel: Channel, query: str, wanted: tuple[str, ...], meanwhile: tuple[str, ...]) -> None:
    while (status := channel.call(query).get("status", "none")) not in wanted:
        if status not in meanwhile:
            raise LabError(f"QEMU's {query} says {status}")
        time.sleep(0.02)
