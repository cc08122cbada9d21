"""All kinds of state of a host, in the order of addition, and the host's differences from its files of record."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import decisions, election, files, formats, ipvs_netlink, kinds, module_options
from .documents import Document, GovernedServices, KeepalivedConf
from .errors import HostError
from .ipvs import IpvsTable
from .kernel_modules import KernelModules
from .kinds import KINDS, Kind
from .netfilter import Netfilter, Netfilter6
from .network import KeptAddresses, Network, Network6
from .program import Program
from .programs import CommandRunner, find
from .resource import REMEDY, Resource
from .sysctls import Sysctls
from .timeouts import Timeouts
from .unit import DropIn, Manager, Unit

DROP_IN = "drop_in"  # keeps the unit of a package from starting; it has no file of record
PROGRAM = "program"  # what the governor runs; it has no file of record
KEPT_ADDRESSES = "kept_addresses"  # those that keepalived gives up, and the host keeps; no file of record
# Units of lvskit's that run a program whose package has a unit of its own.
_OF_PACKAGES = {"keepalived": (kinds.HEALTH_UNIT, kinds.VRRP_UNIT), "conntrackd": (kinds.CONNTRACKD_UNIT,)}
MANAGER = "systemd"  # reloads systemd after changes of units; it has no file of record


@dataclass(frozen=True)
class Departure:
    """One kind of state that differs from its file of record.

    `commands` restore it, `before` is the present state, as lines of the file of record; `obstacle` is the reason if it
    cannot be restored.
    """

    kind: str
    commands: tuple[str, ...]
    before: tuple[str, ...] = ()
    obstacle: str = ""


@dataclass(frozen=True)
class Run:
    """The arguments of all resources of one run; see lvs_state for the meaning of its options.

    `wanted` contains the wanted content of each file of record, and `interfaces`. In check mode (`check`) kernel modules may not be installed yet.
    """

    wanted: Mapping[str, Any]
    command: CommandRunner
    check: bool = False
    remove: bool = True
    purge_foreign: bool = False
    drain_timeout: int = 0
    last_server: bool = False
    as_recorded: bool = False  # it wants what the files of record say

    def changes(self, kind: Kind) -> bool:
        """Whether there is a file of record of this kind, and its content changes."""
        before = recorded(kind.path)
        return bool(before) and before != self.wanted[kind.name]

    def away(self) -> set[str]:
        """The addresses that another director has before the run."""
        return election.away(recorded(kinds.VRRP.path), self.command)

    def texts(self, kind: Kind) -> tuple[str, str, CommandRunner]:
        """The arguments of every resource: the wanted content, the recorded one, and the command runner."""
        wanted = self.wanted[kind.name]
        return wanted, wanted if self.as_recorded else recorded(kind.path), self.command


def _modules(run: Run) -> Resource:
    options = module_options.by_module(run.wanted[kinds.MODULE_OPTIONS.name])
    return KernelModules(*run.texts(kinds.MODULES), options=options, coming=list(options) if run.check else [])


def _netfilter(made: type[Netfilter], kind: Kind) -> Callable[[Run], Resource]:
    def make(run: Run) -> Resource:
        installed = find(f"{made.iptables}-restore") is not None
        return made(*run.texts(kind), installed=installed, drain_timeout=run.drain_timeout, away=run.away)

    return make


def _ipvs(run: Run) -> Resource:
    wanted = run.wanted[kinds.IPVS.name]
    return IpvsTable(
        *run.texts(kinds.IPVS),
        target=decisions.table(wanted, decisions.services(run.wanted[kinds.HEALTH_PLAN.name])),
        installed=find("ipvsadm") is not None,
        purge_foreign=run.purge_foreign,
        drain_timeout=run.drain_timeout,
        netlink=ipvs_netlink.carry_out,
        away=run.away,
    )


def _unit(kind: Kind, *, started: bool = False) -> Callable[[Run], Resource]:
    return lambda run: Unit(os.path.basename(kind.path), *run.texts(kind), started=started)


def _own_daemon(kind: Kind, *, reads: Kind | None = None) -> Callable[[Run], Resource]:
    """A unit that runs lvskit's program. It starts anew with a new program, and with a new content of what it `reads`."""

    def make(run: Run) -> Resource:
        program = _program(run)
        program.prepare()
        restart = (program.changed and program.there is not None) or (reads is not None and run.changes(reads))
        return Unit(os.path.basename(kind.path), *run.texts(kind), started=True, daemon=True, restart=restart)

    return make


def _checker(run: Run) -> Resource:
    kind, reload = kinds.HEALTH_UNIT, run.changes(kinds.HEALTH)
    return Unit(os.path.basename(kind.path), *run.texts(kind), started=True, daemon=True, reload=reload)


def _elector(run: Run) -> Resource:
    kind, reload = kinds.VRRP_UNIT, run.changes(kinds.VRRP)
    return Unit(os.path.basename(kind.path), *run.texts(kind), started=True, reload=reload)


def _conntrackd(run: Run) -> Resource:
    kind, restart = kinds.CONNTRACKD_UNIT, run.changes(kinds.CONNTRACKD)
    return Unit(os.path.basename(kind.path), *run.texts(kind), started=True, daemon=True, restart=restart)


def _network(run: Run) -> Resource:
    elected = election.addresses(run.wanted[kinds.VRRP.name])
    return Network(*run.texts(kinds.NETWORK), interfaces=run.wanted["interfaces"], elected=elected)


def _network6(run: Run) -> Resource:
    return Network6(*run.texts(kinds.NETWORK6), elected=election.addresses(run.wanted[kinds.VRRP.name]))


def _program(run: Run) -> Program:
    units = kinds.GOVERNOR_UNIT, kinds.VRRP_WATCH_UNIT, kinds.KEEPER_UNIT
    wanted = any(run.wanted[kind.name].strip() for kind in units)
    return Program(run.command, wanted=wanted, fixed=run.as_recorded)


# Constructs the resource of each kind.
_MADE: Mapping[Kind, Callable[[Run], Resource]] = {
    kinds.MODULES: _modules,
    kinds.MODULE_OPTIONS: lambda run: module_options.ModuleOptions(*run.texts(kinds.MODULE_OPTIONS)),
    kinds.SYSCTLS: lambda run: Sysctls(*run.texts(kinds.SYSCTLS)),
    kinds.NETFILTER: _netfilter(Netfilter, kinds.NETFILTER),
    kinds.NETFILTER6: _netfilter(Netfilter6, kinds.NETFILTER6),
    kinds.IPVS_TIMEOUTS: lambda run: Timeouts(*run.texts(kinds.IPVS_TIMEOUTS), installed=find("ipvsadm") is not None),
    kinds.IPVS: _ipvs,
    kinds.NETWORK: _network,
    kinds.NETWORK6: _network6,
    kinds.NETFILTER_UNIT: _unit(kinds.NETFILTER_UNIT),
    kinds.IPVS_UNIT: _unit(kinds.IPVS_UNIT),
    kinds.NETWORK_UNIT: _unit(kinds.NETWORK_UNIT, started=True),
    kinds.HEALTH: lambda run: KeepalivedConf(kinds.HEALTH, *run.texts(kinds.HEALTH), option="-C"),
    kinds.VRRP: lambda run: KeepalivedConf(kinds.VRRP, *run.texts(kinds.VRRP), option="-P"),
    kinds.HEALTH_PLAN: lambda run: GovernedServices(*run.texts(kinds.HEALTH_PLAN), consent=run.last_server),
    kinds.DRAINED: lambda run: Document(kinds.DRAINED, *run.texts(kinds.DRAINED)),
    kinds.VERDICT_UNIT: _unit(kinds.VERDICT_UNIT, started=True),
    kinds.GOVERNOR_UNIT: _own_daemon(kinds.GOVERNOR_UNIT),
    kinds.HEALTH_UNIT: _checker,
    kinds.SYNC_UNIT: lambda run: Unit(
        os.path.basename(kinds.SYNC_UNIT.path), *run.texts(kinds.SYNC_UNIT), started=True, daemon=True
    ),
    kinds.CONNTRACKD: lambda run: Document(kinds.CONNTRACKD, *run.texts(kinds.CONNTRACKD)),
    kinds.CONNTRACKD_UNIT: _conntrackd,
    kinds.VRRP_UNIT: _elector,
    kinds.VRRP_WATCH_UNIT: _own_daemon(kinds.VRRP_WATCH_UNIT, reads=kinds.VRRP),
    kinds.KEEPER_UNIT: _own_daemon(kinds.KEEPER_UNIT),
}


def wire(run: Run) -> dict[str, Resource]:
    """The resources of the host by the name of their kind, in the order of addition; DROP_IN and PROGRAM are the first, MANAGER and KEPT_ADDRESSES the last.

    Raises HostError if a file of record cannot be read, or has the format of a newer version.
    """
    formats.recorded()
    made = {kind.name: _MADE[kind](run) for kind in KINDS}
    own_units = [resource for resource in made.values() if isinstance(resource, Unit)]
    return {
        **{
            f"{DROP_IN}_{program}": DropIn(
                run.command, program, needed=any(run.wanted[kind.name].strip() for kind in units)
            )
            for program, units in _OF_PACKAGES.items()
        },
        PROGRAM: _program(run),
        **made,
        MANAGER: Manager(own_units, run.command, removing=run.remove),
        KEPT_ADDRESSES: KeptAddresses(
            [run.wanted[kinds.NETWORK.name], run.wanted[kinds.NETWORK6.name]],
            given_up=election.addresses(recorded(kinds.VRRP.path)) - election.addresses(run.wanted[kinds.VRRP.name]),
            run=run.command,
        ),
    }


class _Records(dict[str, Any]):
    """The wanted content of a run that wants what the files of record say. A file is read once, when its content is asked for."""

    def __missing__(self, name: str) -> str:
        self[name] = recorded(kinds.TEXTS[name])
        return str(self[name])


def _as_recorded(command: CommandRunner) -> Run:
    return Run(_Records(interfaces={}), command, last_server=True, as_recorded=True)


class Recorded:
    """What the files of record say, read once. Raises HostError as `wire` does."""

    def __init__(self, command: CommandRunner) -> None:
        formats.recorded()
        self._run = _as_recorded(command)

    def resource(self, kind: Kind) -> Resource:
        """The resource of one kind that wants it."""
        return _MADE[kind](self._run)


def departures(command: CommandRunner) -> list[Departure]:
    """The differences between the host and its files of record; empty if nothing else has changed the host."""
    found = []
    for resource in wire(_as_recorded(command)).values():
        try:
            resource.prepare()
            commands = (*resource.additions(), *resource.removals(), *resource.closing())
        except HostError as error:
            found.append(Departure(resource.title, (), obstacle=str(error)))
            continue
        if commands:
            found.append(Departure(resource.title, commands, tuple(resource.before())))
    return found


def recorded(path: str) -> str:
    """The content of a file of record; empty if it does not exist."""
    return files.read(path, REMEDY) or ""


def commands(departed: Sequence[Departure]) -> list[str]:
    """The commands that restore the state, as lines for a person."""
    return [line for each in departed for line in (*each.commands, *([f"# {each.obstacle}"] if each.obstacle else []))]
