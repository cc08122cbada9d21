"""All kinds of state of a host, in the order in which they are added, and how far the host has left what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.process import get_bin_path

from . import ipvs_netlink, module_options
from .ipvs import IpvsTable
from .kernel_modules import KernelModules
from .netfilter import Netfilter
from .network import Network
from .resource import CommandRunner, HostError, Resource
from .sysctls import Sysctls
from .unit import DIRECTORY, Manager, Unit

STATE = (
    "modules", "module_options", "sysctls", "netfilter", "ipvs", "network", "netfilter_unit", "ipvs_unit", "network_unit"
)  # fmt: skip


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


def wire(
    wanted: Mapping[str, Any],
    run: CommandRunner,
    *,
    check: bool = False,
    remove: bool = True,
    purge_foreign: bool = False,
    drain_timeout: int = 0,
) -> list[Resource]:
    """The resources of the host, one for each of STATE, and what tells systemd of them.

    `wanted` has a text for each of STATE, and `interfaces`. In a `check` run kernel modules may not be installed yet.
    """
    units = [
        _unit("lvskit-netfilter.service", wanted["netfilter_unit"], run),
        _unit("lvskit-ipvs.service", wanted["ipvs_unit"], run),
        _unit("lvskit-network.service", wanted["network_unit"], run, started=True),
    ]
    options = module_options.by_module(wanted["module_options"])
    return [
        KernelModules(
            wanted["modules"], recorded(KernelModules.path), run, options=options, coming=list(options) if check else []
        ),
        module_options.ModuleOptions(wanted["module_options"], recorded(module_options.ModuleOptions.path), run),
        Sysctls(wanted["sysctls"], recorded(Sysctls.path), run),
        Netfilter(
            wanted["netfilter"],
            recorded(Netfilter.path),
            run,
            installed=_installed("iptables-restore"),
            drain_timeout=drain_timeout,
        ),
        IpvsTable(
            wanted["ipvs"],
            recorded(IpvsTable.path),
            run,
            installed=_installed("ipvsadm"),
            purge_foreign=purge_foreign,
            drain_timeout=drain_timeout,
            netlink=ipvs_netlink.carry_out,
        ),
        Network(wanted["network"], recorded(Network.path), run, interfaces=wanted["interfaces"]),
        *units,
        Manager(units, run, removing=remove),
    ]


def departures(run: CommandRunner) -> list[Departure]:
    """Where the host has left its files of record: nothing where nothing else has changed it."""
    nothing = dict.fromkeys(STATE, "")
    texts = {key: resource.recorded for key, resource in zip(STATE, wire({**nothing, "interfaces": {}}, run))}
    found = []
    for resource in wire({**texts, "interfaces": {}}, run):
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
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _installed(program: str) -> bool:
    try:
        get_bin_path(program)
    except ValueError:
        return False
    return True


def _unit(name: str, text: str, run: CommandRunner, **options: Any) -> Unit:
    return Unit(name, text, recorded(f"{DIRECTORY}/{name}"), run, **options)


def commands(departed: Sequence[Departure]) -> list[str]:
    """What leads back, as lines for a person."""
    return [line for each in departed for line in (*each.commands, *([f"# {each.obstacle}"] if each.obstacle else []))]
