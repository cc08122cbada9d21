"""The keeper of a host: it puts back what something else has taken away of lvskit's state, and says so.

It restores what the files of record say: kernel modules and their parameters, sysctls, iptables rules, addresses, routes and rules. It takes
nothing away, and touches neither the IPVS table, which is the governor's, nor the addresses of an election, which are keepalived's.
Nothing depends on it: a boot and a run need no keeper.
"""

from __future__ import annotations

import json
import re
import select
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from . import files, host, kinds, lock, netfilter, netlink_events
from .errors import HostError
from .journal import ERROR, NOTICE, REPORT, WARNING, notify, say
from .kinds import Kind
from .programs import CommandRunner
from .programs import run as run_program

KEPT = (
    kinds.MODULES,
    kinds.MODULE_OPTIONS,
    kinds.SYSCTLS,
    kinds.NETFILTER,
    kinds.NETFILTER6,
    kinds.NETWORK,
    kinds.NETWORK6,
)
LOOKED_AT = (kinds.MODULES, kinds.MODULE_OPTIONS, kinds.SYSCTLS)  # the kernel tells nobody of their changes
LOOK = 10.0  # seconds between two looks at them, which are reads of files
AGAIN = 30.0  # seconds until what could not be put back is tried again, and between two looks at rules of the older iptables
SETTLE = 0.5  # seconds from a change to the pass: changes seldom come alone, and a unit of the boot that starts anew adds what it has removed
APART = 1.0  # seconds between two passes about one kind, and between two looks whether a run has ended
FIGHTS, WITHIN = 10, 600.0  # so often within so many seconds one kind is put back; then the keeper gives way
SHOWN = 5  # commands in an event


@dataclass
class Told:
    """What happened to one kind of state."""

    restored: int = 0
    last: float = 0.0
    commands: Sequence[str] = ()
    failing: str = ""
    doubtful: bool = False  # it failed, and may have met something else that did the same
    given_up: bool = False
    times: deque[float] = field(default_factory=deque)  # of the last restorations


class Keeper:
    def __init__(self, command: CommandRunner = run_program) -> None:
        self.command = self._remembering(command)
        self.told = {kind: Told() for kind in KEPT}
        self.due: dict[Kind, float] = {}  # when to look at each kind
        self.older_iptables = False  # of which the kernel tells nothing
        self.chains: set[str] = set()  # of iptables that matter
        self._depends: dict[tuple[str, ...], tuple[int, str, str]] = {}
        self._stamps: tuple[object, ...] = ()
        self._recorded: Optional[host.Recorded] = None  # until the next run
        self._written = ""
        self._last: dict[Kind, float] = {}

    def _remembering(self, command: CommandRunner) -> CommandRunner:
        """A module that the kernel has built in is asked for once, and not in every look."""

        def run(argv: Sequence[str], stdin: Optional[str]) -> tuple[int, str, str]:
            if list(argv[:2]) != ["modprobe", "--show-depends"]:
                return command(argv, stdin)
            if tuple(argv) not in self._depends:
                self._depends[tuple(argv)] = command(argv, stdin)
            return self._depends[tuple(argv)]

        return run

    def concern(self, concerned: Collection[Kind], now: float, after: float = SETTLE) -> None:
        """Something may have changed: the kinds are looked at after that many seconds."""
        for kind in concerned:
            at = max(now + after, self._last.get(kind, 0.0) + APART)
            self.due[kind] = min(at, self.due.get(kind, at))

    def patience(self, now: float) -> float:
        """Seconds until there is something to do."""
        return max(0.0, min(self.due.values(), default=now + LOOK) - now)

    def step(self, now: float) -> None:
        """Looks at the kinds that are due, unless a run changes the host: then a second later."""
        if not (ripe := [kind for kind in KEPT if self.due.get(kind, now + 1) <= now]):
            return
        with lock.tried() as taken:
            if not taken:
                self.due.update(dict.fromkeys(ripe, now + APART))
                return
            self._after_a_run(now)
            for kind in ripe:
                self.due.pop(kind, None)
                self._last[kind] = now
                self._look(kind, now)
        self.concern(LOOKED_AT, now, LOOK)
        if self.older_iptables:
            self.concern(netlink_events.RULES, now, AGAIN)
        self._report()

    def _after_a_run(self, now: float) -> None:
        """A run makes a new start: all is looked at, and what was given up is kept again."""
        stamps = (lock.ended(), *(files.stamp(kind.path) for kind in KEPT))
        if stamps == self._stamps:
            return
        self._stamps = stamps
        self._recorded = None
        self._depends.clear()
        texts = (files.read(kind.path, "") or "" for kind in netlink_events.RULES)
        self.chains = {chain for text in texts for _, chain in netfilter.called(netfilter.parse(text))}
        for told in self.told.values():
            told.given_up, told.failing = False, ""
            told.times.clear()
        self.concern([kind for kind in KEPT if kind not in self.due], now, APART)

    def _look(self, kind: Kind, now: float) -> None:
        told = self.told[kind]
        if told.given_up:
            return
        try:
            self._recorded = self._recorded or host.Recorded(self.command)
            resource = self._recorded.resource(kind)
            resource.prepare()
            commands = resource.additions()
            if commands:
                resource.add()
        except HostError as error:
            if not told.doubtful:
                told.doubtful = True
                self.concern([kind], now, 2 * APART)
                return
            if str(error) != told.failing:
                say(ERROR, "not-kept", kind=kind.title, reason=error)
            told.failing = str(error)
            self.concern([kind], now, AGAIN)
            return
        told.doubtful = False
        if told.failing:
            told.failing = ""
            say(NOTICE, "kept-again", kind=kind.title)
        if not commands:
            return
        told.restored, told.last, told.commands = told.restored + 1, time.time(), commands
        more = f"; and {len(commands) - SHOWN} more" if len(commands) > SHOWN else ""
        say(WARNING, "restored", kind=kind.title, commands="; ".join(commands[:SHOWN]) + more)
        told.times.append(now)
        while now - told.times[0] > WITHIN:
            told.times.popleft()
        if len(told.times) >= FIGHTS:
            told.given_up = True
            reason = f"taken away {FIGHTS} times within {WITHIN / 60:.0f} minutes; it is left alone until the next run"
            say(ERROR, "given-up", kind=kind.title, reason=reason)

    def report(self) -> dict[str, Any]:
        """What monitoring reads: by the kind's title, how often it was put back, when last and by which commands; what fails, and what was given up."""
        return {
            kind.title: {
                "restored": told.restored,
                "last": round(told.last),
                "commands": list(told.commands),
                "failing": told.failing,
                "given_up": told.given_up,
            }
            for kind, told in self.told.items()
            if told.restored or told.failing or told.given_up
        }

    def _report(self) -> None:
        text = json.dumps(self.report(), indent=1) + "\n"
        if text == self._written:
            return
        try:
            files.stage(REPORT, text)
            files.keep(REPORT)
            self._written = text
        except HostError as error:
            say(ERROR, "report-not-written", reason=error)


def _older(command: CommandRunner) -> bool:
    """Whether iptables is the one that does not use nf_tables."""
    try:
        code, said, _ = command(["iptables", "--version"], None)
    except HostError:
        return False
    return code == 0 and not re.search(r"\(nf_tables\)", said)


def keep() -> None:
    """Runs until it is ended."""
    keeper = Keeper()
    events = netlink_events.Events()
    keeper.older_iptables = not events.tables or _older(run_program)
    say(NOTICE, "started")
    keeper.concern(KEPT, time.monotonic())
    notify("READY=1")
    while True:
        heard = select.select(events.sockets, [], [], min(LOOK, keeper.patience(time.monotonic())))[0]
        now = time.monotonic()
        for one in heard:
            keeper.concern(events.concerned(one), now)
        keeper.step(now)
        events.chains = keeper.chains
        notify("WATCHDOG=1")
