"""The value of a sysctl at boot, and its file: the algorithm of systemd-sysctl (sysctl.d(5))."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")


@dataclass(frozen=True)
class Assignment:
    """One line of a file. `pattern` has slashes; `value` is None where the line only takes the key out of globs."""

    pattern: str
    value: str | None
    place: str


def read() -> list[Assignment]:
    """All assignments, in the order in which they are made at boot."""
    found: list[Assignment] = []
    for path in files(DIRECTORIES):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += assignments(path, file.read())
        except OSError:
            continue
    return found


def files(directories: Sequence[str]) -> list[str]:
    """The files by name; of two files with the same name, the one in the earlier directory counts, even if it is empty."""
    by_name: dict[str, str] = {}
    for directory in directories:
        for path in glob.glob(f"{directory}/*.conf"):
            by_name.setdefault(os.path.basename(path), path)
    return [by_name[name] for name in sorted(by_name)]


def assignments(path: str, text: str) -> Iterator[Assignment]:
    """The assignments of one file."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words[0] in "#;":
            continue
        key, equals, value = words.partition("=")
        excluded = key.startswith("-") and not equals
        pattern = _slashes(key.strip().lstrip("-").strip())
        if equals or excluded:
            yield Assignment(pattern, value.strip() if equals else None, f"{path}:{number}")


def at_boot(all_assignments: Sequence[Assignment], keys: Iterable[str]) -> dict[str, Assignment]:
    """The value of each key. A line with the key itself overrides all globs."""
    named: dict[str, Assignment] = {}
    globs = []
    for one in all_assignments:
        if any(letter in one.pattern for letter in "*?["):
            globs.append(one)
        else:
            named[one.pattern] = one
    found = {}
    for key in keys:
        own = named.get(key)
        if own is None:
            own = next((one for one in reversed(globs) if _covers(one.pattern, key)), None)
        if own is not None and own.value is not None:
            found[key] = own
    return found


def _covers(pattern: str, key: str) -> bool:
    """As in glob(7): no wildcard matches a slash."""
    parts, names = pattern.split("/"), key.split("/")
    return len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))


def _slashes(key: str) -> str:
    """A key with slashes: where the first separator is a dot, dots and slashes change places."""
    first = next((letter for letter in key if letter in "./"), "/")
    return key if first == "/" else key.translate(str.maketrans("./", "/."))
