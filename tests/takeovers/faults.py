"""What happens to the master of a pair, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.outages.lab_hosts import ROOT

from .engines import Pair

GAP = 3.0  # seconds without an answer that are promised when a master dies
PLANNED = 0.5
SINGLE = "molecule/pair/single"  # the first inventory's director with the same services
SPLIT = 8.0  # seconds
ADVERTS = 3 * 0.7  # seconds: when the directors hear each other again, one is master after these at most


@dataclass(frozen=True)
class Fault:
    """`begin` returns the time on the client's clock, `heal` ends it under load and returns the seconds that this took, `end` ends it
    afterwards. `gap`: the seconds without an answer that are promised.
    """

    name: str
    begin: Callable[[Pair], float]
    end: Callable[[Pair], None] = lambda pair: None
    heal: Callable[[Pair], float] | None = None
    gap: float = GAP
    healed: float = 0.0
    long: bool = True
    alone: bool = True  # whether keepalived alone can be compared
    lasting: bool = False  # minutes, in which emulated machines need time beside the load


def on_master(command: str) -> Callable[[Pair], float]:
    return lambda pair: pair.do(pair.master, command.format(unit=pair.unit))


def later_on_master(command: str) -> Callable[[Pair], None]:
    def act(pair: Pair) -> None:
        pair.do(pair.master, command.format(unit=pair.unit))

    return act


def boot(pair: Pair, *options: str, name: str = "") -> None:
    given = [f"--inventory={one}" for one in pair.inventories]
    words = [sys.executable, "-m", "lab", "reboot", *options, name or pair.master, *given]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)


def cut_power(pair: Pair) -> None:
    boot(pair, "--cut")


def split(pair: Pair) -> float:
    """Neither director hears the other one."""
    began = pair.now()
    _at_once(pair, "-I")
    return began


def heal(pair: Pair) -> float:
    """The seconds until one is master alone."""
    time.sleep(SPLIT)
    if len(pair.masters()) != 2:
        raise RuntimeError(f"the network is split, and masters are {pair.masters()}")
    _at_once(pair, "-D")
    began = time.monotonic()
    while len(pair.masters()) != 1:
        if time.monotonic() - began > 30:
            raise RuntimeError("both directors stay master")
    return time.monotonic() - began


def _at_once(pair: Pair, action: str) -> None:
    with ThreadPoolExecutor() as workers:
        list(workers.map(lambda name: pair.ask(name, _peers(pair, name, action)), pair.directors))


def _peers(pair: Pair, name: str, action: str) -> str:
    """Commands that drop what comes from the other directors, or take it again."""
    others = [i for other in pair.directors if other != name for i in pair.topology.hosts[other].interfaces]
    return "; ".join(
        f"{'ip6tables' if ':' in str(address) else 'iptables'} -w -t raw {action} PREROUTING -s {address} -j DROP"
        for interface in others
        for address in (interface.address, interface.address6)
        if address
    )


def boot_both(pair: Pair) -> float:
    """A kernel upgrade of the pair: the standby boots, takes over, and the other one boots."""
    began = pair.now()
    first, last = pair.standby, pair.master
    boot(pair, name=first)
    pair.settle()
    if pair.master != last:
        raise RuntimeError(f"{first} has booted, and {pair.master} is master in place of {last}")
    pair.hand_over()
    boot(pair, name=last)
    pair.settle()
    if pair.master != first:
        raise RuntimeError(f"{last} has booted, and {pair.master} is master in place of {first}")
    return began


def replace_master(pair: Pair) -> float:
    """The master is taken out of the pair, and comes back as a new machine would."""
    began = pair.now()
    _run(pair, "teardown", pair.inventories, f"lvs_teardown_hosts={pair.master}")
    _run(pair, "site", pair.inventories)
    return began


def give_pair_up(pair: Pair) -> float:
    """The pair becomes a single director without lvs_directors, and a pair again."""
    began = pair.now()
    _run(pair, "teardown", pair.inventories, f"lvs_teardown_hosts={pair.directors[1]}")
    _run(pair, "site", [pair.inventories[0], SINGLE])
    _run(pair, "site", pair.inventories)
    return began


def _run(pair: Pair, name: str, inventories: Sequence[str], *variables: str) -> None:
    words = [f"--extra-vars={one}" for one in ('{"lvs_batches": ["100%"]}', *variables)]
    pair.playbook(name, "--limit=all:!absent", *words, inventories=inventories)


FAULTS = (
    Fault("handed over", Pair.hand_over, Pair.stand_again, gap=PLANNED, long=False),
    Fault("keepalived killed", on_master("systemctl kill --signal=KILL {unit}")),
    Fault("keepalived frozen", on_master("systemctl kill --signal=STOP {unit}"), later_on_master("systemctl kill --signal=CONT {unit} || true")),
    Fault("powered off", lambda pair: pair.freeze(pair.master), cut_power, long=False),
    Fault("kernel panic", on_master("echo 1 > /proc/sys/kernel/sysrq; (sleep 0.3; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &"), cut_power),
    Fault("link cut", on_master("ip link set eth1 down"), later_on_master("ip link set eth1 up; systemctl restart systemd-networkd")),
    Fault("directors split", split, heal=heal, healed=ADVERTS),
    Fault("both booted, one after the other", boot_both, Pair.stand_again, lasting=True),
    Fault("master replaced", replace_master, alone=False, lasting=True),
    Fault("pair given up and made again", give_pair_up, alone=False, lasting=True),
)  # fmt: skip
