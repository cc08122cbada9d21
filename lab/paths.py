"""Where a lab keeps things: caches for the user, the state of one run in the repository's .lab/, or where $LVSKIT_LAB says.

Several labs run beside each other, each with its own folder: the scenarios have theirs in .lab/scenarios/.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SOCKET = 107  # octets of a Unix socket's path, without the final NUL (unix(7))
# What is put behind the socket folder: "/switch/" and the name vde gives a client's socket.
ROOM_FOR_NAMES = len("/switch/.4194304-00000-00000")

BUSY = "another `python -m lab` is at work on this lab; wait for it to end"  # of a lab's lock


def cache() -> Path:
    """`$LVSKIT_CACHE`, else `lvskit` in the user's cache folder."""
    if said := os.environ.get("LVSKIT_CACHE"):
        return Path(said).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "lvskit"


def this_lab() -> Path:
    """`$LVSKIT_LAB`, else `.lab` in the repository."""
    return Path(os.environ.get("LVSKIT_LAB") or ROOT / ".lab").absolute()


class State:
    """The folder of a running lab."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ssh_config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.record = folder / "lab.json"
        self.builders = folder / "builders"

    def scenarios(self) -> list[State]:
        """The labs of the scenarios that have one."""
        folder = self.folder / "scenarios"
        return [State(own) for own in sorted(folder.iterdir())] if folder.is_dir() else []

    def host(self, name: str) -> Path:
        """A machine's disk, console log and pid."""
        return self.folder / "hosts" / name

    @property
    def sockets(self) -> Path:
        """Folder for Unix sockets: here, or a short one under /tmp whose name is recorded here."""
        here = self.folder / "run"
        if len(os.fsencode(here)) + ROOM_FOR_NAMES <= LONGEST_SOCKET:
            here.mkdir(parents=True, exist_ok=True, mode=0o700)
            return here
        link = self.folder / "run-elsewhere"
        if link.is_symlink():
            target = Path(os.readlink(link))
            if target.is_dir() and target.stat().st_uid == os.getuid():
                return target
            link.unlink()
        self.folder.mkdir(parents=True, exist_ok=True)
        target = Path(tempfile.mkdtemp(prefix="lvskit-", dir="/tmp"))
        link.symlink_to(target)
        return target


@contextmanager
def locked(file: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock; wait for whoever has it, or raise LabError saying `waiting` when it is given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if waiting else 0))
        except BlockingIOError as error:
            raise LabError(waiting or "") from error
        yield


def free_ports(number: int, seed: str) -> list[int]:
    """TCP ports of 127.0.0.1 nobody listens on, below those the kernel gives to clients; the same for a seed if they can be."""
    first = 20000 + int.from_bytes(hashlib.sha256(seed.encode()).digest()[:2], "big") % 10000
    found: list[int] = []
    for port in range(first, 32000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise LabError(f"no {number} free TCP ports from {first} on")
