"""systemd units that restore the other files of record at boot (systemd.unit(5))."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .resource import CommandRunner, Resource, statements

DIRECTORY = "/etc/systemd/system"


class Unit(Resource):
    """A unit is its own file of record. `started`: it also has to be active, so that what it is part of restarts it."""

    def __init__(self, name: str, wanted: str, recorded: str, run: CommandRunner, *, started: bool = False) -> None:
        super().__init__(wanted, recorded, run)
        self.name = name
        self.title = f"unit {name}"
        self.path = f"{DIRECTORY}/{name}"
        self.started = started
        self.enabled = False
        self.active = False

    def prepare(self) -> None:
        self.enabled = os.path.islink(f"{DIRECTORY}/multi-user.target.wants/{self.name}")
        if self.started and self.recorded:
            code, _, _ = self.run(["systemctl", "is-active", "--quiet", self.name], None)
            self.active = code == 0

    def before(self) -> list[str]:
        return self._state(self.enabled, self.active)

    def after(self) -> list[str]:
        wanted = bool(statements(self.wanted))
        return self._state(wanted, wanted and self.started)

    def _state(self, enabled: bool, active: bool) -> list[str]:
        return [word for word, holds in (("enabled", enabled), ("active", active)) if holds]

    def additions(self) -> list[str]:
        return []

    def removals(self) -> list[str]:
        gone = self.recorded and not statements(self.wanted)
        return [f"systemctl disable --now {self.name}"] if gone else []

    def closing(self) -> list[str]:
        commands = ["systemctl daemon-reload"] if self.wanted != self.recorded else []
        if statements(self.wanted):
            commands += [] if self.enabled else [f"systemctl enable {self.name}"]
            commands += [f"systemctl start {self.name}"] if self.started and not self.active else []
        return commands

    def batch(self, commands: Sequence[str]) -> None:
        for command in commands:
            self.output(command.split())
