"""Files that lvskit keeps on a host. New content is written beside the old file and put in its place later, so that a full disk is
met before anything changes, and a reader never sees half a file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .errors import HostError, cannot, damaged

SUFFIX = ".new"
ROOT = ""  # what stands before every path: a folder that stands for a host, in tests


def place(path: str) -> str:
    """Where a file of the host is."""
    return ROOT + path


def read(path: str, remedy: str) -> str | None:
    """The text of a file, None where there is none. Raises HostError, with the remedy, where it is no text."""
    try:
        with open(place(path), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(path, error, remedy) from error
    except OSError as error:
        raise cannot("read", path, error) from error


def stage(path: str, text: str, *, mode: int = 0o755) -> None:
    """Writes the text beside the file, durably. A folder that is missing is made with `mode`. Raises HostError."""
    try:
        os.makedirs(os.path.dirname(place(path)), mode=mode, exist_ok=True)
        with open(place(path) + SUFFIX, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        discard([path])
        raise cannot("write", path + SUFFIX, error) from error


def staged(path: str) -> bool:
    """Whether there is something that `stage` wrote."""
    return os.path.exists(place(path) + SUFFIX)


def keep(path: str) -> None:
    """Puts in place what `stage` wrote. Raises HostError."""
    try:
        os.replace(place(path) + SUFFIX, place(path))
    except OSError as error:
        raise cannot("replace", path, error) from error


def remove(path: str) -> None:
    """Removes a file that may be missing. Raises HostError."""
    try:
        os.unlink(place(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot("remove", path, error) from error


def discard(paths: Iterable[str]) -> None:
    """Removes what `stage` wrote and nobody has put in place, as far as it can be removed."""
    for path in paths:
        try:
            remove(path + SUFFIX)
        except HostError:
            continue
