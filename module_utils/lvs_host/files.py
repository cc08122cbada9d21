"""Files that lvskit stores on a host. New content is written to a file next to the old one, which it replaces later. A full disk is
therefore detected before anything changes, and a reader never reads an incomplete file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .errors import HostError, cannot, damaged

SUFFIX = ".new"
OWN = "lvskit"  # the name of the folders that contain only files of lvskit
ROOT = ""  # prefix of every path: in tests, a folder that represents a host


def place(path: str) -> str:
    """The path of a file of the host."""
    return ROOT + path


def read(path: str, remedy: str) -> str | None:
    """The content of a file, None if it does not exist. Raises HostError, with the remedy, if it is not text."""
    try:
        with open(place(path), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(path, error, remedy) from error
    except OSError as error:
        raise cannot("read", path, error) from error


def stamp(path: str) -> object:
    """What differs after a change of a file; None if it does not exist."""
    try:
        found = os.stat(place(path))
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def stage(path: str, text: str, *, mode: int = 0o755) -> None:
    """Writes the text next to the file, and syncs it to disk. Creates a missing folder with `mode`. Raises HostError."""
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
    """Whether `stage` has written a new file."""
    return os.path.exists(place(path) + SUFFIX)


def keep(path: str) -> None:
    """Replaces the file by the one that `stage` wrote. Raises HostError."""
    try:
        os.replace(place(path) + SUFFIX, place(path))
    except OSError as error:
        raise cannot("replace", path, error) from error


def remove(path: str) -> None:
    """Removes a file that may be missing, and then those of lvskit's own folders that contained nothing else. Raises HostError."""
    try:
        os.unlink(place(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise cannot("remove", path, error) from error
    folder = os.path.dirname(path)
    while OWN in folder.split("/"):
        try:
            os.rmdir(place(folder))
        except OSError:  # it contains other files, or is missing
            return
        folder = os.path.dirname(folder)


def discard(paths: Iterable[str]) -> None:
    """Removes a file that `stage` wrote and that has not replaced the old one; ignores errors."""
    for path in paths:
        try:
            remove(path + SUFFIX)
        except HostError:
            continue
