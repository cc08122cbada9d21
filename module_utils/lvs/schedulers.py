"""The table of schedulers: how IPVS chooses a real server for a connection (ipvsadm(8), --scheduler)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheduler:
    """`takes_turns`: each real server of some weight gets its turn, however many connections it has.

    Of the requests of one client, one after the other and without other traffic: `spreads`: they reach several real servers.
    `by_source`: they always reach the same one, those of another client possibly another one. Neither: all clients reach the same
    real server, by the VIP, or as long as it has no open connection (ip_vs_*.c in the kernel).
    """

    name: str
    takes_turns: bool = False
    spreads: bool = False
    by_source: bool = False


TABLE: tuple[Scheduler, ...] = (
    Scheduler("rr", takes_turns=True, spreads=True),
    Scheduler("wrr", takes_turns=True, spreads=True),
    Scheduler("lc", spreads=True),
    Scheduler("wlc", spreads=True),
    Scheduler("sed"),
    Scheduler("nq"),
    Scheduler("lblc"),
    Scheduler("lblcr"),
    Scheduler("dh"),
    Scheduler("sh", by_source=True),
    Scheduler("fo"),
    Scheduler("ovf"),
    Scheduler("mh", by_source=True),
    Scheduler("twos", spreads=True),
)

NAMES: tuple[str, ...] = tuple(scheduler.name for scheduler in TABLE)
TURN_TAKING: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.takes_turns)
SPREADING: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.spreads)
BY_SOURCE: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.by_source)
