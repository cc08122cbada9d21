"""The table of schedulers: how IPVS chooses a real server for a connection (ipvsadm(8), --scheduler; ip_vs_*.c in the kernel)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scheduler:
    """`takes_turns`: each real server of some weight gets its turn, however many connections it has.

    Of the requests of one client, one after the other and without other traffic: `spreads`: they reach several real servers.
    `by_source`: they always reach the same one, those of another client possibly another one. Neither: all clients reach the same
    real server, by the VIP, or as long as it has no open connection.

    `by_destination`: it chooses by the address of the request, which is the VIP.

    `weighted`: weights are shares; where they are not, only 0 means something. `flags` are ipvsadm's --sched-flags for it. `slots`: the
    size of its table, in which a real server of weight 0 keeps its slots: with the flag `fallback` their clients get another one, else none.
    `since`: the first release of Debian whose kernel has it, if not all have.
    """

    name: str
    takes_turns: bool = False
    spreads: bool = False
    by_source: bool = False
    by_destination: bool = False
    weighted: bool = True
    flags: tuple[str, ...] = ()
    fallback: str = ""
    slots: int = 0
    since: int = 0


TABLE: tuple[Scheduler, ...] = (
    Scheduler("rr", takes_turns=True, spreads=True, weighted=False),
    Scheduler("wrr", takes_turns=True, spreads=True),
    Scheduler("lc", spreads=True, weighted=False),
    Scheduler("wlc", spreads=True),
    Scheduler("sed"),
    Scheduler("nq"),
    Scheduler("lblc", by_destination=True),
    Scheduler("lblcr", by_destination=True),
    Scheduler("dh", by_destination=True, weighted=False, slots=256),
    Scheduler("sh", by_source=True, flags=("sh-fallback", "sh-port"), fallback="sh-fallback", slots=256),
    Scheduler("fo"),
    Scheduler("ovf"),
    Scheduler("mh", by_source=True, flags=("mh-fallback", "mh-port"), fallback="mh-fallback", slots=4093),
    Scheduler("twos", spreads=True, since=13),
)

BY_NAME = {scheduler.name: scheduler for scheduler in TABLE}
NAMES: tuple[str, ...] = tuple(BY_NAME)
FLAGS: tuple[str, ...] = tuple(flag for scheduler in TABLE for flag in scheduler.flags)
TURN_TAKING: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.takes_turns)
SPREADING: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.spreads)
BY_SOURCE: frozenset[str] = frozenset(scheduler.name for scheduler in TABLE if scheduler.by_source)


def sh_slots(weights: Sequence[int], slots: int = BY_NAME["sh"].slots) -> list[int]:
    """The slots of each real server in the table of sh, in the order that they are added in.

    The kernel fills the table once, with as many slots for each as its weight (at least one), and begins with the one that was added
    last (ip_vs_sh_reassign). With large weights the table is full before all have had theirs.
    """
    found = [0] * len(weights)
    left = slots
    while left and weights:
        for place in reversed(range(len(weights))):
            taken = min(max(weights[place], 1), left)
            found[place] += taken
            left -= taken
    return found


# mh shifts weights to this many bits at most, after dividing them by their greatest common divisor (ip_vs_mh_gcd_weight, _shift_weight).
MH_WEIGHT_BITS = 6
