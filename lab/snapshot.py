"""A machine of an image, booted, settled and frozen.

A snapshot lives in `<cache>/snapshots/<release>-<digest>/`: ram (the memory), state (the devices) and disk.qcow2 (what booting
wrote, on top of the image's disk). All three are only read from then on, by any number of clones.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lab import paths, programs, qemu
from lab.errors import LabError
from lab.image import Image, System, digest_of
from lab.image import ensure as ensure_image
from lab.image import locate as locate_image
from lab.progress import Progress

BOOT_SECONDS = 900  # before a template counts as hung; on idle processors it needs half a minute

# Waits until no job of the boot is left, then reads what every login and every Ansible module reads, so that the clones
# find it in memory. The demo application waits there too, without a port: starting Python is the dearest thing a clone
# could have to do.
SETTLE = """
    mkdir -p /etc/lvskit-lab
    echo '{}' >/etc/lvskit-lab/app.json
    systemctl start lvskit-lab-app.service
    for second in $(seq 120); do
        state=$(systemctl is-system-running || true)
        [ "$state" = running ] || [ "$state" = degraded ] && break
        sleep 1
    done
    systemctl --failed --no-legend
    systemctl list-jobs --no-legend
    python3 -c 'import asyncio, json, subprocess, tempfile, zipfile, hashlib, platform, shlex, logging, apt'
    cat /usr/sbin/ipvsadm /usr/bin/ssh-keygen /usr/bin/ping /usr/sbin/sysctl >/dev/null
    networkctl --no-legend >/dev/null
    rm -f /var/lib/systemd/random-seed
    sync
"""


@dataclass(frozen=True)
class Snapshot:
    """A finished snapshot."""

    image: Image
    memory: int  # MiB
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def ram(self) -> Path:
        return self.folder / "ram"

    @property
    def state(self) -> Path:
        return self.folder / "state"


def locate(system: System, memory: int) -> Snapshot:
    """Where the snapshot is, or will be. It fits one version of QEMU on one kind of processor."""
    image = locate_image(system)
    version = programs.run(["qemu-system-x86_64", "--version"]).splitlines()[0]
    accelerator = qemu.this_accelerator()
    cpuinfo = Path("/proc/cpuinfo").read_text().split("\n\n")[0] if accelerator == "kvm" else ""
    model = [line for line in cpuinfo.splitlines() if line.startswith(("model name", "flags", "microcode"))]
    unplaced = _template(Snapshot(image, memory, Path()), Path(), 0).command()
    digest = digest_of(image.folder.name, unplaced, version, model, SETTLE)
    return Snapshot(image, memory, paths.cache() / "snapshots" / f"{system.release}-{digest}")


def _template(snapshot: Snapshot, sockets: Path, ssh_port: int) -> qemu.Machine:
    """The machine that becomes the snapshot."""
    return qemu.Machine(
        name="template", image=snapshot.image, disk=snapshot.disk, memory=snapshot.memory,
        memory_file=snapshot.ram, memory_shared=True, folder=snapshot.folder, sockets=sockets,
        handle="template", ssh_port=ssh_port, macs=[f"52:54:00:00:00:{number:02x}" for number in range(3)],
    )  # fmt: skip


def ensure(system: System, memory: int, progress: Progress) -> Snapshot:
    """The snapshot, taken now unless it is cached."""
    snapshot = locate(system, memory)
    if snapshot.folder.exists() and snapshot.image.folder.exists():
        return snapshot
    ensure_image(system, progress)
    with paths.locked(snapshot.folder.with_suffix(".lock")):
        if snapshot.folder.exists():
            return snapshot
        for stale in snapshot.folder.parent.glob(f".{snapshot.folder.name}.*"):
            _stop(stale)
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{snapshot.folder.name}.", dir=snapshot.folder.parent))
        try:
            _take(Snapshot(snapshot.image, memory, work), progress)
            work.rename(snapshot.folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return snapshot


def _stop(folder: Path) -> None:
    if pid := qemu.running(folder / "pid", str(folder)):
        qemu.kill([pid])


def _take(snapshot: Snapshot, progress: Progress) -> None:
    overlay(snapshot.disk, snapshot.image.disk)
    system = snapshot.image.system
    with tempfile.TemporaryDirectory(prefix="lvskit-") as sockets:
        machine = _template(snapshot, Path(sockets), paths.free_ports(1, str(snapshot.folder))[0])
        started = time.monotonic()
        progress(f"{system} snapshot: booting a template ({snapshot.memory} MiB)")
        qemu.start(machine)
        try:
            with qemu.agent(machine.agent, BOOT_SECONDS) as agent:
                progress(f"{system} snapshot: guest agent answers after {time.monotonic() - started:.0f} s; settling")
                trouble = qemu.execute(agent, SETTLE).strip()
                _log_in(machine, Path(sockets))
                if trouble:
                    progress(f"{system} snapshot: units that failed or still start: {trouble}")
            qemu.save(machine, snapshot.state)
        except (LabError, OSError) as error:
            raise LabError(f"the {system} template: {error}\n{console_tail(machine.folder)}") from error
        finally:
            _stop(snapshot.folder)
    progress(f"{system} snapshot: frozen after {time.monotonic() - started:.0f} s")


def _log_in(machine: qemu.Machine, folder: Path) -> None:
    """Log in once, as the lab will: it proves the keys for every clone, and leaves in memory what a login reads."""
    known = folder / "known_hosts"
    known.write_text(f"lvskit-lab {machine.image.host_key}\n")
    options = {
        "Port": machine.ssh_port, "User": "root", "IdentityFile": f'"{machine.image.key}"', "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{known}"', "HostKeyAlias": "lvskit-lab", "StrictHostKeyChecking": "yes",
        "BatchMode": "yes", "ConnectTimeout": 30,
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    programs.run(["ssh", "-F", "none", *words, "127.0.0.1", "true"])


def overlay(disk: Path, base: Path) -> None:
    """A qcow2 that starts as `base` and takes the writes."""
    programs.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, disk])


def console_tail(folder: Path, lines: int = 25) -> str:
    """The end of what a machine's QEMU and its serial console said."""
    said = []
    for name in ("qemu.log", "console.log"):
        try:
            text = (folder / name).read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            continue
        if text:
            said.append("\n".join([f"--- {folder.name}: {name}", *text]))
    return "\n".join(said) or f"--- {folder.name}: nothing on its console"
