"""The disk image of a Debian release: packages, the lab's files, a key for root.

An image lives in `<cache>/images/<release>-<digest>/`: disk.qcow2, vmlinuz, initrd, root/ (the same files as the disk's, for
what runs there without a machine), id_ed25519 (root's key) and host_key.pub (the machines' ssh host key, one for all of them). The digest covers everything the lab decides about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import paths, programs
from lab.errors import LabError
from lab.progress import Progress

HERE = Path(__file__).parent
GUEST = HERE / "guest"
APP = HERE / "app.py"
DISK_SIZE = "4G"  # as the guest sees it; the file only holds what is used

PACKAGES = [
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "openssh-server",
    "qemu-guest-agent",
    "python3",
    "python3-apt",
    "iproute2",
    "ipvsadm",
    "iptables",
    "nftables",
    "conntrack",
    "ethtool",
    "tcpdump",
    "iputils-ping",
    "iputils-arping",
    "curl",
    "netcat-openbsd",
    "less",
    "sudo",
    "keepalived",
    "conntrackd",
    # For kernel modules.
    "linux-headers-cloud-amd64",
    "gcc",
    "libc6-dev",
    "make",
    "dkms",
    "openssl",
    "sparse",
]

# Bullseye's security suite lists files the archive no longer has, so only its main archive is of use.
MAIN_ARCHIVE_ALONE = ("bullseye",)
APT_OPTIONS = {
    # A testing release may be past the date in its release file, for days on end.
    "forky": ('Acquire::Check-Valid-Until "false"',),
}


# Disables the services of the packages in the arguments.
IDLE = r"""
for package in "$@"; do
    dpkg -L "$package" | sed -n 's,.*/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$,\1,p'
done | xargs -r systemctl disable
"""

# From the tar archive to a file system, with kernel and initramfs beside it: $1 parts, $2 result, $3 size.
FILE_SYSTEM = """set -e
    tar -xf "$1/root.tar" -C "$2/root" --exclude './dev/*'
    cp "$2"/root/boot/vmlinuz-* "$2/vmlinuz"
    cp "$2"/root/boot/initrd.img-* "$2/initrd"
    cp "$2/root/etc/ssh/ssh_host_ed25519_key.pub" "$2/host_key.pub"
    rm -f "$2"/root/boot/initrd.img-*
    mke2fs -q -t ext4 -d "$2/root" -m 0 -E lazy_itable_init=1 "$1/disk.raw" "$3"
"""


@dataclass(frozen=True)
class System:
    """What is installed: a Debian release, and packages beyond the lab's own, whose services run when something starts them."""

    release: str
    packages: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " with ".join(filter(None, [self.release, ", ".join(self.packages)]))


@dataclass(frozen=True)
class Image:
    """A finished image."""

    system: System
    folder: Path

    @property
    def release(self) -> str:
        return self.system.release

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> str:
        """Type and key, as in a known_hosts line."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])


def guest_files() -> Iterator[tuple[str, Path]]:
    """(path in the image, source) of what the lab puts there."""
    tree = GUEST / "files"
    for source in sorted(tree.rglob("*")):
        if source.is_file():
            yield str(source.relative_to(tree)), source
    yield "usr/local/lib/lvskit-lab/app.py", APP


def digest_of(*parts: object) -> str:
    """Twelve hexadecimal digits that change with any of the parts (anything JSON can hold)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def locate(system: System) -> Image:
    """Where the image of a system is, or will be."""
    contents = {where: source.read_text() for where, source in guest_files()}
    build = [(GUEST / "customize.sh").read_text(), FILE_SYSTEM, DISK_SIZE, _mmdebstrap(system, Path())]
    digest = digest_of(system.release, contents, build)
    return Image(system, paths.cache() / "images" / f"{system.release}-{digest}")


def ensure(system: System, progress: Progress) -> Image:
    """The image, built now unless it is cached. Of several builders at once, one builds and the others wait."""
    image = locate(system)
    if image.folder.exists():
        return image
    programs.require(programs.TO_BUILD + (() if os.geteuid() == 0 else ("fakeroot",)))
    with paths.locked(image.folder.with_suffix(".lock")):
        if image.folder.exists():
            return image
        for stale in image.folder.parent.glob(f".{image.folder.name}.*"):
            shutil.rmtree(stale, ignore_errors=True)  # a build that was killed: the lock was free
        work = Path(tempfile.mkdtemp(prefix=f".{image.folder.name}.", dir=image.folder.parent))
        try:
            _build(Image(system, work), work / "parts", progress)
            work.rename(image.folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return image


def _build(image: Image, parts: Path, progress: Progress) -> None:
    parts.mkdir()
    programs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lvskit-lab", "-f", image.key])
    progress(f"{image.system} image: packages (mmdebstrap)")
    _bootstrap(image, parts, progress)
    progress(f"{image.release} image: kernel and file system")
    image.root.mkdir()
    # Without root's rights the owners of the files live in fakeroot's memory, so one fakeroot has to do all of it.
    as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    programs.run([*as_root, "sh", "-c", FILE_SYSTEM, "sh", parts, image.folder, DISK_SIZE])
    programs.run(["qemu-img", "convert", "-O", "qcow2", parts / "disk.raw", image.disk])
    shutil.rmtree(parts)


def _bootstrap(image: Image, parts: Path, progress: Progress) -> None:
    """The packages and the lab's files, as `root.tar`."""
    public = image.key.with_suffix(".pub")
    early, late = parts / "early.tar", parts / "late.tar"
    files = dict(guest_files())
    # The kernel's package makes the initramfs, so its configuration has to be there before.
    _pack(early, {where: source for where, source in files.items() if "initramfs" in where})
    _pack(late, {where: source for where, source in files.items() if "initramfs" not in where}
          | {"root/.ssh/authorized_keys": public})  # fmt: skip
    shutil.copy(GUEST / "customize.sh", parts)
    command = _mmdebstrap(image.system, parts)
    if image.release in MAIN_ARCHIVE_ALONE and (archive := main_archive()):
        command.append(f"deb {archive} {image.release} main")
    log = parts / "mmdebstrap.log"
    with log.open("w") as said:
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            for line in run.stderr or ():
                said.write(line)
                if step := re.match(r"I: (.*?)\.*$", line):
                    progress(f"{image.release} image:   {step[1]}")
            failed = run.wait()
        except BaseException:
            run.terminate()
            run.wait()
            raise
    if failed:
        tail = "".join(log.read_text().splitlines(keepends=True)[-30:])
        raise LabError(f"mmdebstrap could not make a {image.system} image ({failed}):\n{tail}")


def _mmdebstrap(system: System, parts: Path) -> list[str]:
    """The command that makes `root.tar` in the folder of the parts."""
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join([*PACKAGES, *system.packages])}",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=force-unsafe-io",
        *(f"--aptopt={option}" for option in APT_OPTIONS.get(system.release, ())),
        f"--essential-hook=tar-in {parts / 'early.tar'} /",
        f"--customize-hook=tar-in {parts / 'late.tar'} /",
        f'--customize-hook=chroot "$1" sh <{parts / "customize.sh"}',
        *(
            [f'--customize-hook=chroot "$1" sh -c {shlex.quote(IDLE)} sh {" ".join(system.packages)}']
            if system.packages
            else []
        ),
        system.release,
        str(parts / "root.tar"),
    ]


def _pack(archive: Path, files: dict[str, Path]) -> None:
    """A tar archive of the files, owned by root."""

    def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o644
        return entry

    with tarfile.open(archive, "w") as tar:
        for where, source in files.items():
            tar.add(source, where, filter=owned_by_root)


def main_archive() -> str | None:
    """Debian's main archive as this machine's apt has it configured; None if it is not known."""
    if shutil.which("apt-get") is None:
        return None
    targets = programs.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages"]
    )
    found = (line.split(" ", 1) for line in targets.splitlines() if line.strip().endswith(" Debian Debian"))
    return next((uri for uri, _ in found), None)
