"""A lock, so that only one run at a time changes a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from . import files
from .errors import HostError, cannot

PATH = "/run/lvskit.lock"
PATIENCE = 60  # seconds


@contextlib.contextmanager
def held(*, check: bool = False) -> Iterator[None]:
    """Holds the host's lock; waits for another run for PATIENCE seconds, then raises HostError.

    In check mode (`check`) creates no file: if it does not exist, no run is in progress.
    """
    path = files.place(PATH)
    if check and not os.path.exists(path):
        yield
        return
    try:
        handle = os.open(path, os.O_RDONLY if check else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot("lock the host by", PATH, error) from error
    try:
        _wait(handle)
        yield
    finally:
        os.close(handle)


def _wait(handle: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise HostError(
                    f"another run has been changing this host for {PATIENCE} seconds (it holds {PATH}: see `fuser {PATH}`). "
                    "Wait for it to end, and run again"
                ) from error
        time.sleep(1)
