"""The governor of a director: reads the verdicts of keepalived's checker, decides, and writes the weights of the IPVS table.

It never takes the table away: without verdicts, or when it ends, the table stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from . import decisions, files, governing, ipvs, ipvs_netlink, kinds, lock, verdicts
from .errors import HostError
from .governing import Override, Service, State
from .journal import ERROR, NOTICE, WARNING, notify, say
from .programs import CommandRunner
from .programs import run as run_program

TICK = 1.0  # seconds between looks at the files
HEAL = 10.0  # seconds between looks at the kernel's table, and at the verdicts where keepalived has told nothing
LISTEN = 3.0  # seconds for which verdicts are read each TICK after keepalived has told something: it writes line and table one after the other


@dataclass
class Plan:
    """What the files of record say."""

    text: str = ""
    services: list[Service] = field(default_factory=list)
    weights: dict[str, dict[str, int]] = field(default_factory=dict)  # by Service.key and endpoint
    stamp: tuple[object, ...] = ()


class Governor:
    def __init__(self, command: CommandRunner = run_program) -> None:
        self.command = command
        self.plan = Plan()
        self.intake = verdicts.Intake()
        decided = decisions.read()
        self.states: dict[str, State] = decided.states
        self.overrides: dict[str, Override] = {}
        self.checker: int | None = None
        self.checker_since = time.time()
        self.trouble = verdicts.FINE  # what keeps verdicts from counting
        self.told_foreign: set[str] = set()
        self._healed = 0.0
        self._looked = 0.0
        self._listening = 0.0  # until when verdicts are read each TICK
        self._stamps: tuple[object, ...] = ()
        self._killed = 0.0
        self._kept = ("", "")  # what was last written: the text of the decisions, and the trouble
        self._last = ""  # the table as of the last decisions
        self._pending = False  # decisions that are not in the kernel yet

    def step(self, heard: str = "") -> None:
        """One pass. `heard` are the lines from keepalived's FIFO."""
        now = time.time()
        fresh = self.read_files()
        self._watch_checker(now)
        self.intake.hear(heard)
        if heard or fresh:
            self._listening = now + LISTEN
        changed = fresh
        found = self._verdicts(now)
        for service in self.plan.services:
            state = self.states.setdefault(service.key, State(since=now))
            news = bool(found or fresh) and bool(governing.hear(state, service, found, now))
            if news or fresh or governing.due(state, now):
                changed = True
                self._decide(state, service, now)
        self._pending = self._pending or changed or now - self._healed >= HEAL
        if self._pending:
            self.write(now)
        if changed or self.trouble != self._kept[1]:
            self._keep(now)
        self._sign_of_life(now)

    def read_files(self) -> bool:
        """Whether plan or operators' weights have changed since the last look."""
        stamps = tuple(map(files.stamp, (kinds.IPVS.path, kinds.HEALTH_PLAN.path, decisions.OVERRIDES)))
        if stamps == self._stamps:
            return False
        text = files.read(kinds.IPVS.path, "") or ""
        services = decisions.services(files.read(kinds.HEALTH_PLAN.path, "") or "")
        weights = {service.key: governing.planned_weights(text, service) for service in services}
        self.plan = Plan(text, services, weights)
        self.intake.detection = {one: service.detection for service in services for one in service.endpoints()}
        known = {service.key for service in services}
        for key in [key for key in self.states if key not in known]:
            del self.states[key]
        try:
            self.overrides = decisions.overrides()
        except HostError as error:
            say(ERROR, "weights-unreadable", reason=error)
        self.told_foreign.clear()
        self._last = self.target()
        self._stamps = stamps
        return True

    def _watch_checker(self, now: float) -> None:
        """Finds out whether the checker lives; one that is frozen is killed, and its parent starts another one."""
        checker = verdicts.checker()
        if checker != self.checker:
            self.checker, self.checker_since = checker, now
            self.intake.restart()
        age = verdicts.canary_age(now)
        quiet = min(now - self.checker_since, now if age is None else age)
        trouble = verdicts.FINE
        if checker is None:
            trouble = "keepalived does not run"
        elif quiet > verdicts.STALE:
            trouble = f"the checker of keepalived has been silent for {verdicts.STALE} s"
        if trouble != self.trouble:
            if trouble == verdicts.FINE:
                say(NOTICE, "verdicts-again")
            elif checker is not None or now - self.checker_since > 2 * TICK:
                say(ERROR, "no-verdicts", reason=f"{trouble}; the table stays as it is")
            else:
                return  # it may only be starting again
            self.trouble = trouble
        if trouble != verdicts.FINE and checker is not None and now - self._killed > verdicts.STALE:
            self._killed = now
            with contextlib.suppress(OSError):
                os.kill(checker, signal.SIGKILL)

    def _verdicts(self, now: float) -> Mapping[verdicts.Endpoint, str]:
        """The verdicts, if they count and there may be new ones. With 20,000 real servers a look costs a good part of a second."""
        quiet = now >= self._listening and now - self._looked < HEAL and not self.intake.waiting
        if self.trouble != verdicts.FINE or self.checker is None or quiet:
            return {}
        self._looked = now
        try:
            return self.intake.verdicts(verdicts.weights(verdicts.table()), time.monotonic())
        except OSError as error:
            say(ERROR, "no-verdicts", reason=f"the namespace {verdicts.NAMESPACE} cannot be read: {error}")
            return {}

    def _decide(self, state: State, service: Service, now: float) -> None:
        before = {endpoint: (own.weight, own.why) for endpoint, own in state.servers.items()}
        was = state.state
        governing.decide(state, service, self.plan.weights[service.key], self.overrides, now)
        for endpoint, own in state.servers.items():
            old, why = before.get(endpoint, (None, ""))
            if own.weight != old or (own.why != why and own.share in (0.0, 1.0, None)):
                level = NOTICE if own.verdict != verdicts.FAILED else WARNING
                to = "none" if own.weight is None else own.weight
                say(
                    level,
                    "weight",
                    service=service.service,
                    server=own.name,
                    address=endpoint,
                    weight=to,
                    reason=own.why,
                )
        if state.state != was:
            level = NOTICE if state.state == governing.FINE else WARNING
            say(
                level,
                "service",
                service=service.service,
                family=service.family,
                state=state.state,
                sorry=service.sorry or "none",
            )

    def target(self) -> str:
        """The table that the kernel is to have."""
        return governing.governed(self.plan.text, self.plan.services, self.states)

    def write(self, now: float) -> None:
        """Brings the kernel's table to the decisions. A weight that neither the plan nor the governor has set stays."""
        table = lock.Table()
        if not self.plan.services or not table.take(wait=False, create=True):
            return  # a run is changing the table, and the next pass comes soon
        try:
            self._write(now)
        finally:
            table.release()

    def _write(self, now: float) -> None:
        if files.stamp(kinds.IPVS.path) != self._stamps[0]:
            return  # a run has just changed the plan
        target, last = self.target(), self._last
        wanted, before = ipvs.parse(target), ipvs.parse(last)
        planned = ipvs.parse(self.plan.text)
        code, saved, said = self.command(["ipvsadm", "--save", "--numeric"], None)
        if not code and " -x " in self.plan.text:
            code, listing, said = self.command(["ipvsadm", "--list", "--numeric", "--thresholds"], None)
            saved = "\n".join(ipvs.with_thresholds(saved.splitlines(), listing))
        if code:
            say(ERROR, "table-unreadable", reason=said.strip())
            return
        commands = list(self._commands(ipvs.parse(saved), wanted, before, planned))
        try:
            refused = ipvs_netlink.carry_out(commands) if commands else []
        except (OSError, ipvs_netlink.Interrupted, ipvs_netlink.Unsupported) as error:
            say(ERROR, "table-not-written", reason=error)
            return
        self._healed, self._last, self._pending = now, target, False
        if refused:
            say(ERROR, "refused", commands="; ".join(refused))

    def _commands(self, live: ipvs.Table, wanted: ipvs.Table, before: ipvs.Table, planned: ipvs.Table) -> Iterator[str]:
        for key, service in wanted.items():
            name = " ".join(key)
            here, last, plan = (table.get(key, ipvs.VirtualService("")) for table in (live, before, planned))
            if key not in live:
                yield f"-A {name} {service.options}"
            for real, options in service.destinations.items():
                found = here.destinations.get(real)
                ours = (options, last.destinations.get(real), plan.destinations.get(real))
                if found is None:
                    yield f"-a {name} -r {real} {options}"
                elif found != options and found in ours:
                    yield f"-e {name} -r {real} {options}"
                elif found != options:
                    self._foreign(f"{name} -r {real}", found)
            for real, found in here.destinations.items():
                if real in service.destinations:
                    continue
                if found in (last.destinations.get(real), plan.destinations.get(real)):
                    yield f"-d {name} -r {real}"
                elif real in last.destinations or real in plan.destinations:
                    self._foreign(f"{name} -r {real}", found)

    def _foreign(self, name: str, options: str) -> None:
        if name not in self.told_foreign:
            self.told_foreign.add(name)
            say(
                WARNING,
                "foreign",
                server=name,
                options=options,
                reason="neither planned nor decided here; it stays until the next run",
            )

    def _keep(self, now: float) -> None:
        """Stores the decisions if they have changed."""
        decided = decisions.Decided(self.states, self.trouble, 0)
        text = decided.text()
        if (text, self.trouble) != self._kept:
            decided.time = now
            try:
                decisions.write(decided)
                self._kept = text, self.trouble
            except HostError as error:
                say(ERROR, "state-not-kept", reason=error)

    def _sign_of_life(self, now: float) -> None:
        with contextlib.suppress(OSError), open(files.place(decisions.HEARTBEAT), "w", encoding="ascii") as file:
            file.write(f"{now:.0f}\n")


def fifo() -> int:
    """Keepalived's FIFO, open for reading; made if it is missing."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(verdicts.FIFO, 0o600)
    if not stat.S_ISFIFO(os.stat(verdicts.FIFO).st_mode):
        raise HostError(f"{verdicts.FIFO} is no FIFO. Remove it, and restart lvskit-governor.service")
    return os.open(verdicts.FIFO, os.O_RDWR | os.O_NONBLOCK)


def govern() -> None:
    """Runs until it is ended."""
    handle = fifo()
    governor = Governor()
    say(NOTICE, "started")
    governor.step()
    notify("READY=1")
    while True:
        heard = b""
        if select.select([handle], [], [], TICK)[0]:
            with contextlib.suppress(BlockingIOError):
                while part := os.read(handle, 65536):
                    heard += part
        governor.step(heard.decode("utf-8", "replace"))
        notify("WATCHDOG=1")


def restore() -> None:
    """Applies the last decisions to the table that the boot has restored: without a new verdict."""
    governor = Governor()
    if governor.read_files():
        governor.write(time.time())
