"""systemd units that restore the other files of record at boot (systemd.unit(5))."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from . import files
from .kinds import UNITS as DIRECTORY
from .programs import CommandRunner
from .resource import Resource, Stateless, statements

DROP_IN = f"{DIRECTORY}/{{}}.service.d/lvskit.conf"  # of a program's package
_MISTRUSTFUL = 256  # the first systemd whose NeedDaemonReload= also covers new files


class Unit(Resource):
    """A unit is its own file of record. `started`: it must also be active, so that a restart of the unit that it is part of restarts it.

    `daemon`: a new content of the unit restarts it. `reload`: what its process reads has changed; `restart`: the program has.
    """

    def __init__(
        self,
        name: str,
        wanted: str,
        recorded: str,
        run: CommandRunner,
        *,
        started: bool = False,
        daemon: bool = False,
        reload: bool = False,
        restart: bool = False,
    ) -> None:
        super().__init__(wanted, recorded, run)
        self.reload = reload
        self.restart = restart or (daemon and bool(recorded) and wanted != recorded)
        self.name = name
        self.title = f"unit {name}"
        self.path = f"{DIRECTORY}/{name}"
        self.started = started
        self.enabled = False
        self.active = False
        self.outdated = False  # systemd still uses the old content of the file

    def prepare(self) -> None:
        self.enabled = os.path.islink(files.place(f"{DIRECTORY}/multi-user.target.wants/{self.name}"))
        if self.started and self.recorded:
            _, out, _ = self.run(["systemctl", "show", "--property=ActiveState,NeedDaemonReload", self.name], None)
            self.active = "ActiveState=active" in out
            self.outdated = "NeedDaemonReload=yes" in out

    def before(self) -> list[str]:
        return self._state(self.enabled, self.active)

    def after(self) -> list[str]:
        wanted = bool(statements(self.wanted))
        return self._state(wanted, wanted and self.started)

    def _state(self, enabled: bool, active: bool) -> list[str]:
        return [word for word, holds in (("enabled", enabled), ("active", active)) if holds]

    def additions(self) -> list[str]:
        return []

    def stale(self) -> list[str]:
        return statements(self.recorded) if self.gone else []

    def record(self, *, keep_stale: bool) -> str:
        return self.recorded if keep_stale and self.gone else super().record(keep_stale=False)

    @property
    def gone(self) -> bool:
        return bool(self.recorded) and not statements(self.wanted)

    def removals(self) -> list[str]:
        return [f"systemctl disable --now --no-reload {self.name}"] if self.gone else []

    def closing(self) -> list[str]:
        enabled = self.enabled or not statements(self.wanted)
        return [] if enabled else [f"systemctl enable --no-reload {self.name}"]

    def verb(self) -> str:
        """What systemd has to do with it after the files of record are written; empty if nothing."""
        if self.started and not self.active:
            return "start"
        return "restart" if self.restart else "reload" if self.reload else ""

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            self.output(command.split())


class DropIn(Stateless):
    """The file that keeps the unit of a package from starting: that of keepalived or conntrackd.

    The role lvs_host writes it before it installs the package, and nothing does where the package was there before. `needed`: lvskit runs
    the program on the host.
    """

    def __init__(self, run: CommandRunner, program: str, *, needed: bool) -> None:
        super().__init__("", "", run)
        self.title = f"drop-in of {program}.service"
        self.file = DROP_IN.format(program)
        self.needed = needed
        self.there = False

    def prepare(self) -> None:
        self.there = os.path.exists(files.place(self.file))

    def before(self) -> list[str]:
        return [self.file] if self.there else []

    def after(self) -> list[str]:
        return [self.file] if self.there and self.needed else []

    def removals(self) -> list[str]:
        return [f"rm {self.file}"] if self.there and not self.needed else []

    def batch(self, commands: Sequence[str]) -> None:
        """The only command removes it, and its folder if nobody else has a file there."""
        if commands:
            files.remove(self.file)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(files.place(self.file)))


class Manager(Stateless):
    """The reload of systemd, once for all units: it is the slowest step, and its time grows with the number of units.
    systemd reads a new unit without a reload when the unit is started, by the run or at boot. From version 256 on, it then reports
    all units as outdated, also those of other software; there lvskit reloads it.

    `removing`: this run removes the units that are no longer planned.
    """

    title = "systemd"

    def __init__(self, units: Sequence[Unit], run: CommandRunner, *, removing: bool) -> None:
        super().__init__("", "", run)
        self.units = units
        self.removing = removing
        self.hears_of_new = True

    def prepare(self) -> None:
        if any(statements(unit.wanted) and not unit.recorded for unit in self.units):
            _, out, _ = self.run(["systemctl", "show", "--property=Version"], None)
            version = re.search(r"\d+", out)
            self.hears_of_new = version is not None and int(version[0]) < _MISTRUSTFUL

    def closing(self) -> list[str]:
        stay = [unit for unit in self.units if statements(unit.wanted)]
        changed = any(unit.outdated or (unit.recorded and unit.wanted != unit.recorded) for unit in stay)
        new = any(not unit.recorded for unit in stay)
        reload = changed or (new and not self.hears_of_new) or (self.removing and any(unit.gone for unit in self.units))
        verbs = [(unit.verb(), unit.name) for unit in stay]
        acts = [f"systemctl {verb} {name}" for verb, name in verbs if verb]
        return [*(["systemctl daemon-reload"] if reload else []), *acts]
