"""What lvskit's program on a host does when it runs: one of its daemons, or a step of the boot.

Each imports what it needs when it begins, and no other one's modules: they would cost memory on every host.
"""

from __future__ import annotations

import signal
import sys

from .errors import HostError
from .journal import ERROR, say


def _govern() -> None:
    from .governor import govern

    govern()


def _restore() -> None:
    from .governor import restore

    restore()


def _watch() -> None:
    from .rival import watch

    watch()


def _keep() -> None:
    from .keeper import keep

    keep()


COMMANDS = {"govern": _govern, "restore": _restore, "watch": _watch, "keep": _keep}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: {sys.argv[0]} {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[sys.argv[1]]()
    except HostError as error:
        say(ERROR, "ended", reason=error)
        return 1
    return 0
