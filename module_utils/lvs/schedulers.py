"""The table of schedulers: how IPVS chooses a real server for a connection (ipvsadm(8), --scheduler)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheduler:
    """`takes_turns`: each real server of some weight gets its turn, however many connections it has."""

    name: str
    takes_turns: bool = False


TABLE: tuple[Scheduler, ...] = (
    Scheduler("rr", takes_turns=True),
    Scheduler("wrr", takes_turns=True),
    Scheduler("lc"),
    Scheduler("wlc"),
    Scheduler("sed"),
    Scheduler("nq"),
    Scheduler("lblc"),
    Scheduler("lblcr"),
    Scheduler("dh"),
    Scheduler("sh"),
    Scheduler("fo"),
    Scheduler("ovf"),
    Scheduler("mh"),
    Scheduler("twos"),
)

NAMES: tuple[str, ...] = tuple(scheduler.name for scheduler in TABLE)
TURN_TAKING: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.takes_turns)
