"""The format of lvskit's files on a host.

The number is in a separate file, because the files of record are in the formats of other tools, and `ipvsadm --restore` accepts
no comments. A version writes it with its first change, before the files of record: from then on older versions refuse
the host. Each entry of the history also has its number, because a version reads entries of older versions.

1: version 0.1.0, which wrote no number. 2: numbers in entries of the history, and this file; otherwise the same.
3: a list of addresses for each interface of an entry, and the files of ip6tables rules, of IPv6 addresses and routes, and of IPVS timeouts.
4: the files of health checks.
5: the files of elections.
"""

from __future__ import annotations

from typing import Any

from . import files
from .errors import HostError, damaged

FORMAT = 5
UNNUMBERED = 1  # files without a number
PATH = "/var/lib/lvskit/format"


def recorded() -> int:
    """The format of the host's files of record. Raises HostError if this version does not know it."""
    remedy = f"If no newer lvskit has changed this host, remove {PATH} and run again"
    text = files.read(PATH, remedy)
    if text is None:
        return UNNUMBERED
    if not text.strip().isdecimal():
        raise damaged(PATH, f"it holds {text.strip()[:40]!r} and no number", remedy)
    return known(int(text), "what lvskit keeps on this host")


def known(number: int, thing: str) -> int:
    """The number, if this version can read `thing`, which is in that format. Raises HostError if it cannot."""
    if not UNNUMBERED <= number <= FORMAT:
        raise HostError(
            f"{thing} is in format {number}, and this version of lvskit knows formats {UNNUMBERED} to {FORMAT}. "
            "Use the version of lvskit that wrote it, or a newer one"
        )
    return number


def current(wanted: dict[str, Any]) -> dict[str, Any]:
    """The plan of an entry of the history in this version's format: formats 1 and 2 have one address for each interface."""
    interfaces = wanted.get("interfaces", {})
    lists = {name: [found] if isinstance(found, str) else list(found) for name, found in interfaces.items()}
    return {**wanted, "interfaces": lists} if interfaces else wanted
