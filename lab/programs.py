"""The programs of the host the lab runs, and the Debian packages they come from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "vde_switch": "vde2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "tar": "tar",
    "fakeroot": "fakeroot",
}
TO_RUN = ("qemu-system-x86_64", "qemu-img", "vde_switch", "ssh")
TO_BUILD = ("mmdebstrap", "mke2fs", "tar", "qemu-img", "ssh-keygen")

# Debian keeps mke2fs out of the search path of anyone but root.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def require(programs: Sequence[str], find: Callable[[str], str | None] | None = None) -> None:
    """Raise LabError with the packages to install unless every program is there."""
    look = find or (lambda name: shutil.which(name, path=SEARCH))
    missing = [name for name in programs if look(name) is None]
    if missing:
        packages = sorted({PACKAGES[name] for name in missing})
        raise LabError(
            f"not installed on this machine: {', '.join(missing)}. "
            f"Install with: apt-get install --no-install-recommends {' '.join(packages)}"
        )


def run(command: Sequence[str | Path]) -> str:
    """Standard output of a command; LabError with what it said when it fails."""
    words = [str(word) for word in command]
    environment = {**os.environ, "PATH": SEARCH}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise LabError(f"{words[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
    return done.stdout
