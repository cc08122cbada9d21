"""Locks: only one run at a time changes a host, and either a run or the governor changes the IPVS table."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from . import files
from .errors import HostError, cannot

PATH = "/run/lvskit.lock"
TABLE = "/run/lvskit.table"  # held by a run while it adds and removes, not while it waits for connections to end
PATIENCE = 60  # seconds


class Table:
    """The lock of the IPVS table. Without a governor on the host it does nothing: there is no file for it."""

    def __init__(self) -> None:
        self._handle: int | None = None

    def take(self, *, wait: bool = True, create: bool = False) -> bool:
        """Whether the lock is taken. `create`: makes the file."""
        try:
            handle = os.open(files.place(TABLE), os.O_RDWR | os.O_CREAT if create else os.O_RDWR, 0o644)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise cannot("lock the IPVS table by", TABLE, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextlib.contextmanager
def table() -> Iterator[Table]:
    """Holds the lock of the table; the object releases it for a while."""
    lock = Table()
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


@contextlib.contextmanager
def tried() -> Iterator[bool]:
    """Holds the host's lock if no run does; says whether it does."""
    try:
        handle = os.open(files.place(PATH), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot("lock the host by", PATH, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = True
    except BlockingIOError:
        taken = False
    try:
        yield taken
    finally:
        os.close(handle)


def ended() -> float:
    """When the last run ended; 0 if there was none since the boot."""
    try:
        return os.stat(files.place(PATH)).st_mtime
    except FileNotFoundError:
        return 0.0


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
        if not check:
            os.utime(handle)
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
