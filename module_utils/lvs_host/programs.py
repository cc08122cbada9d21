"""The programs that run on a host, and the messages for a missing or failing one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Optional

from .errors import HostError

# Arguments and standard input to return code, standard output and standard error.
CommandRunner = Callable[[Sequence[str], Optional[str]], tuple[int, str, str]]

_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in the PATH of every user
# The package that has each program, by Debian's name.
PACKAGES = {
    "conntrack": "conntrack",
    "depmod": "kmod",
    "dkms": "dkms",
    "ip": "iproute2",
    "ip6tables-restore": "iptables",
    "ip6tables-save": "iptables",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
    "ipvsadm": "ipvsadm",
    "keepalived": "keepalived",
    "make": "make",
    "modinfo": "kmod",
    "modprobe": "kmod",
    "nft": "nftables",
    "rmmod": "kmod",
    "strip": "binutils",
    "systemctl": "systemd",
}


def search_path() -> str:
    """Where programs are looked for: the PATH of the run, and the folders of system programs."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_FOLDERS])


def find(program: str) -> str | None:
    """The program's file, None if the host does not have it."""
    return shutil.which(program, path=search_path())


def run(argv: Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
    """Runs a command, in English, and returns its exit code, standard output and standard error.

    Raises HostError if it cannot be started. A program that ends before it has read its input counts as a failed
    command: its output contains the reason.
    """
    try:
        ended = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise HostError(missing(argv[0])) from error
    except OSError as error:
        raise HostError(f"`{argv[0]}` cannot be started on this host: {error.strerror or error}") from error
    return ended.returncode, ended.stdout, ended.stderr


def listed(answer: str) -> list[dict[str, Any]]:
    """The items of an answer of `ip -json`. Raises HostError if it is not JSON."""
    try:
        return [item for item in json.loads(answer or "[]") if item]  # a filter leaves empty items
    except ValueError as error:
        raise HostError(f"`ip -json` answers no JSON ({error}): install iproute2 4.18 or newer") from error


def missing(program: str) -> str:
    """The sentence for a program that the host does not have."""
    package = PACKAGES.get(os.path.basename(program))
    return f"`{program}` is missing on this host: install " + (f"the package {package}" if package else "it")


def output(run: CommandRunner, argv: Sequence[str], stdin: str | None = None) -> str:
    """The standard output of a command; HostError with its error output if it fails."""
    code, out, err = run(argv, stdin)
    if code:
        words = (err or out).strip() or f"exit code {code}"
        raise HostError(f"`{' '.join(argv)}` failed: {words}")
    return out
