"""All kinds of state of a host, in the order in which they are added, and how far the host has left what is recorded of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import files, formats, ipvs_netlink, kinds, module_options
from .errors import HostError
from .ipvs import IpvsTable
from .kernel_modules import KernelModules
from .kinds import KINDS, Kind
from .netfilter import Netfilter
from .network import Network
from .programs import CommandRunner, find
from .resource import REMEDY, Resource
from .sysctls import Sysctls
from .unit import Manager, Unit

MANAGER = "systemd"  # what tells systemd of the units; it has no text of its own


@dataclass(frozen=True)
class Departure:
    """One kind of state in which a host has left its files of record.

    `commands` lead back, `before` is what there is in its place, as lines of the file of record; `obstacle` says why it
    cannot be had at all.
    """

    kind: str
    commands: tuple[str, ...]
    before: tuple[str, ...] = ()
    obstacle: str = ""


@dataclass(frozen=True)
class Run:
    """What the resources of one run have in common; see lvs_state for the meaning of its options.

    `wanted` has a text for each kind of state, and `interfaces`. In a `check` run kernel modules may not be installed yet.
    """

    wanted: Mapping[str, Any]
    command: CommandRunner
    check: bool = False
    remove: bool = True
    purge_foreign: bool = False
    drain_timeout: int = 0

    def texts(self, kind: Kind) -> tuple[str, str, CommandRunner]:
        """What every resource is made of: the wanted text, the recorded one, and what runs commands."""
        return self.wanted[kind.name], recorded(kind.path), self.command


def _modules(run: Run) -> Resource:
    options = module_options.by_module(run.wanted[kinds.MODULE_OPTIONS.name])
    return KernelModules(*run.texts(kinds.MODULES), options=options, coming=list(options) if run.check else [])


def _netfilter(run: Run) -> Resource:
    installed = find("iptables-restore") is not None
    return Netfilter(*run.texts(kinds.NETFILTER), installed=installed, drain_timeout=run.drain_timeout)


def _ipvs(run: Run) -> Resource:
    return IpvsTable(
        *run.texts(kinds.IPVS),
        installed=find("ipvsadm") is not None,
        purge_foreign=run.purge_foreign,
        drain_timeout=run.drain_timeout,
        netlink=ipvs_netlink.carry_out,
    )


def _unit(kind: Kind, *, started: bool = False) -> Callable[[Run], Resource]:
    return lambda run: Unit(os.path.basename(kind.path), *run.texts(kind), started=started)


# How the resource of each kind is made.
_MADE: Mapping[Kind, Callable[[Run], Resource]] = {
    kinds.MODULES: _modules,
    kinds.MODULE_OPTIONS: lambda run: module_options.ModuleOptions(*run.texts(kinds.MODULE_OPTIONS)),
    kinds.SYSCTLS: lambda run: Sysctls(*run.texts(kinds.SYSCTLS)),
    kinds.NETFILTER: _netfilter,
    kinds.IPVS: _ipvs,
    kinds.NETWORK: lambda run: Network(*run.texts(kinds.NETWORK), interfaces=run.wanted["interfaces"]),
    kinds.NETFILTER_UNIT: _unit(kinds.NETFILTER_UNIT),
    kinds.IPVS_UNIT: _unit(kinds.IPVS_UNIT),
    kinds.NETWORK_UNIT: _unit(kinds.NETWORK_UNIT, started=True),
}


def wire(run: Run) -> dict[str, Resource]:
    """The resources of the host by the name of their kind, in the order of addition, and last MANAGER.

    Raises HostError where a file of record cannot be read, or is in a format of a newer version.
    """
    formats.recorded()
    made = {kind.name: _MADE[kind](run) for kind in KINDS}
    units = [resource for resource in made.values() if isinstance(resource, Unit)]
    return {**made, MANAGER: Manager(units, run.command, removing=run.remove)}


def departures(command: CommandRunner) -> list[Departure]:
    """Where the host has left its files of record: nothing where nothing else has changed it."""
    texts = {kind.name: recorded(kind.path) for kind in KINDS}
    found = []
    for resource in wire(Run({**texts, "interfaces": {}}, command)).values():
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
    """What a file of record holds; nothing where there is none."""
    return files.read(path, REMEDY) or ""


def commands(departed: Sequence[Departure]) -> list[str]:
    """What leads back, as lines for a person."""
    return [line for each in departed for line in (*each.commands, *([f"# {each.obstacle}"] if each.obstacle else []))]
