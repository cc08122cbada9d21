"""The verdicts of keepalived's checker, and whether it is alive.

keepalived checks real servers in a process of its own, whose IPVS table is in a network namespace where nothing is forwarded
(net_namespace_ipvs). With alpha and inhibit_on_failure a real server has weight 1 there if it has passed its check; weight 0 if it has
failed, or has not been asked yet; and it is missing if keepalived has stopped, which is no verdict.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from . import files, ipvs

NAMESPACE = "lvskit-verdict"
FOLDER = "/run/lvskit"
FIFO = f"{FOLDER}/verdicts"  # keepalived writes a line for each verdict that changes
CANARY = f"{FOLDER}/canary"  # its checker touches this file
CANARY_INTERVAL = 5  # seconds
CANARY_COMMAND = f"/usr/bin/env touch {CANARY}"  # keepalived 2.3 refuses a path with a symbolic link, as /bin is one
STALE = 30  # seconds without the canary after which verdicts do not count any more
CHECKER = f"{FOLDER}/checkers.pid"
FINE = "fine"  # what the governor says of the checker while verdicts count
SLACK = 1  # second beyond the time that a check needs at worst

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
_CLONE_NEWNET = 0x40000000
_DOWN = re.compile(
    r"RS \[(?P<rs>[^\]]+)\]:\w+:(?P<rport>\d+) \[(?P<vs>[^\]]+)\]:(?P<protocol>\w+):(?P<vport>\d+) (?P<state>UP|DOWN)"
)
_FLAGS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}

Endpoint = tuple[
    str, str
]  # a service as ipvsadm names it, `-t 203.0.113.80:80`, and a real server of it, `192.0.2.11:8080`


def table() -> str:
    """The verdicts: /proc/net/ip_vs of the namespace. Raises OSError if there is no namespace."""
    with open("/proc/self/ns/net") as own, open(f"/run/netns/{NAMESPACE}") as other:
        _enter(other.fileno())
        try:
            with open("/proc/thread-self/net/ip_vs", encoding="ascii") as file:
                return file.read()
        finally:
            _enter(own.fileno())


def _enter(namespace: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def weights(text: str) -> dict[Endpoint, int]:
    """The weight of each real server in the verdicts."""
    return {(" ".join(key), rip): int(words[3]) for key, rip, words in ipvs.listed(text)}


def told(text: str) -> Iterator[tuple[Endpoint, bool]]:
    """The real servers that lines of keepalived's FIFO are about, and whether each has passed."""
    for found in _DOWN.finditer(text):
        service = f"{_FLAGS[found['protocol']]} {_joined(found['vs'], found['vport'])}"
        yield (service, _joined(found["rs"], found["rport"])), found["state"] == "UP"


def _joined(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def canary_age(now: float) -> float | None:
    """Seconds since the checker gave its last sign of life; None if it has not given any. `now` is time.time()."""
    try:
        return now - os.stat(files.place(CANARY)).st_mtime
    except FileNotFoundError:
        return None


def checker() -> int | None:
    """The process number of the checker; None if it does not run."""
    try:
        with open(files.place(CHECKER), encoding="ascii") as file:
            number = int(file.read())
        os.kill(number, 0)
    except (OSError, ValueError):
        return None
    return number


@dataclass
class Intake:
    """Turns the weights in the table into verdicts.

    A passed check counts at once. Weight 0 counts when keepalived says that the check has failed, when the real server had passed
    before, or when the check has had its time (`detection`, by real server, in seconds).
    """

    detection: Mapping[Endpoint, float] = field(default_factory=dict)
    _seen: dict[Endpoint, float] = field(
        default_factory=dict
    )  # since when each is in the table, in the clock's seconds
    _had_passed: set[Endpoint] = field(default_factory=set)
    _failed: set[Endpoint] = field(default_factory=set)  # said by keepalived
    waiting: bool = True  # whether time alone can make a verdict: a real server has not been asked yet

    def restart(self) -> None:
        """Another checker has begun, and has asked nobody yet."""
        self._seen.clear()
        self._had_passed.clear()
        self._failed.clear()
        self.waiting = True

    def hear(self, lines: str) -> None:
        """Takes what keepalived wrote into its FIFO."""
        for endpoint, passed in told(lines):
            if passed:
                self._failed.discard(endpoint)
            else:
                self._failed.add(endpoint)

    def verdicts(self, found: Mapping[Endpoint, int], now: float) -> dict[Endpoint, str]:
        """The verdict on each real server in the table; none on others. `now` is a clock's time that never goes back."""
        for endpoint in [one for one in self._seen if one not in found]:
            del self._seen[endpoint]
            self._had_passed.discard(endpoint)
            self._failed.discard(endpoint)
        verdicts = {}
        for endpoint, weight in found.items():
            since = self._seen.setdefault(endpoint, now)
            if weight:
                self._had_passed.add(endpoint)
                self._failed.discard(endpoint)
                verdicts[endpoint] = PASSED
            elif endpoint in self._had_passed or endpoint in self._failed or now - since > self.due(endpoint):
                verdicts[endpoint] = FAILED
            else:
                verdicts[endpoint] = UNKNOWN
        self.waiting = UNKNOWN in verdicts.values()
        return verdicts

    def due(self, endpoint: Endpoint) -> float:
        """Seconds after which a real server that has not passed has failed."""
        return self.detection.get(endpoint, 0) + SLACK
