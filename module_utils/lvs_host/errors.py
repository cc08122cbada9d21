"""Errors on the host, for a person: what failed, the remedy, and what was done before."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_REMEDIES = {
    errno.ENOSPC: "Free some space on its file system (df {folder}) and run again",
    errno.EDQUOT: "Free some space, or raise the quota of its file system (df {folder}), and run again",
    errno.EROFS: "Check why its file system is mounted read-only (findmnt -T {folder}; dmesg), mount it for writing and run again",
    errno.EACCES: "Check what denies root access (lsattr -d {folder}; SELinux, AppArmor) and run again",
    errno.EPERM: "Check what denies root access (lsattr -d {folder}; SELinux, AppArmor) and run again",
}


class HostError(Exception):
    """The host cannot have its plan; the message contains the cause and the remedy."""


def cannot(verb: str, path: str, error: OSError) -> HostError:
    """The error of an operation on a file, with its remedy."""
    folder = os.path.dirname(path)
    while not os.path.isdir(folder) and folder not in ("", "/"):
        folder = os.path.dirname(folder)
    remedy = _REMEDIES.get(error.errno or 0, "Remove the cause and run again").format(folder=folder or path)
    return HostError(f"cannot {verb} {path}: {error.strerror or error}. {remedy}")


def damaged(path: str, reason: object, remedy: str) -> HostError:
    """The error of a file of lvskit's whose content lvskit did not write."""
    return HostError(f"{path} is damaged: {reason}. {remedy}")


@contextmanager
def reported(module: Any, done: Sequence[str] = (), *, root: bool = True, **result: Any) -> Iterator[None]:
    """Fails an Ansible module with a sentence if its work raises HostError or OSError.

    `done` are the commands that the work has executed so far. With `root`, a user without root privileges is refused
    before the work begins. `result` is what the module returns with the failure.
    """
    try:
        if root and os.geteuid():
            raise HostError(_unprivileged())
        yield
    except (HostError, OSError) as error:
        told = str(error)
        if not isinstance(error, HostError):
            told = str(cannot("use", error.filename, error)) if error.filename else f"the host refuses: {error}"
        so_far = f"Done before that: {'; '.join(done)}." if done else "Nothing was changed."
        module.fail_json(msg=f"{told.rstrip('.')}. {so_far}", **result)


def _unprivileged() -> str:
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    return f"this needs root privileges, and runs as {name}. Set `become: true` for the task, or ansible_become for the host"
