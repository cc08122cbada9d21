"""What lvskit's daemons tell: events for the journal, that they work (sd_notify(3)), and what the keeper has put back."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from . import files
from .errors import HostError

REPORT = "/run/lvskit/kept.json"  # the keeper's, for monitoring too
WARNING, NOTICE, ERROR = 4, 5, 3  # syslog(3)'s levels, as systemd reads them at the beginning of a line


def say(level: int, event: str, **words: object) -> None:
    """An event in the journal: `event=out service=web server=rs1 …`."""
    said = " ".join(f"{name}={_word(value)}" for name, value in {"event": event, **words}.items())
    print(f"<{level}>{said}", flush=True)


def _word(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def notify(text: str) -> None:
    """sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.send(text.encode())


def kept() -> dict[str, dict[str, Any]]:
    """What the keeper has put back or could not, by the kind of state: see Keeper.report. Empty where there is nothing, or no keeper."""
    try:
        return dict(json.loads(files.read(REPORT, "") or "{}"))
    except (HostError, TypeError, ValueError):
        return {}
