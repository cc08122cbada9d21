"""What an inventory describes: read with ansible-inventory, and made a Topology by lvskit's own model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible.module_utils.lvs import inventory

from lab.errors import LabError
from lab.paths import ROOT

if TYPE_CHECKING:
    from lvs.topology import Topology


def read(inventories: Sequence[str]) -> dict[str, Any]:
    """The answer of `ansible-inventory --list`; later inventories override earlier ones.

    Raises LabError when ansible-inventory refuses them.
    """
    options = [word for path in inventories for word in ("--inventory", path)]
    command = [sys.executable, "-m", "ansible.cli.inventory", "--list", *options]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise LabError(f"ansible-inventory refuses the inventory:\n{answer.stderr.strip()}")
    listing: dict[str, Any] = json.loads(answer.stdout)
    return listing


def topology(listing: Mapping[str, Any]) -> Topology:
    """The topology of a listing. Hosts are in the inventory's order, a host's interfaces in that of their numbers.

    Raises LabError with every fault of form, one a line.
    """
    variables = listing.get("_meta", {}).get("hostvars", {})
    hosts = {name: _lvs_variables(variables.get(name, {})) for name in _members(listing, "all")}
    groups = {group: _members(listing, group) for group in listing if group != "_meta"}
    common = ChainMap(*hosts.values())  # networks and services are the same for every host
    found: Topology
    services = common.get("lvs_services", [])
    found, violations = inventory.parse(
        common.get("lvs_networks"), services, hosts, groups, common.get("lvs_directors")
    )
    if faults := [str(violation) for violation in violations if not violation.warning]:
        raise LabError("\n".join(faults))
    return found


def _members(listing: Mapping[str, Any], group: str) -> list[str]:
    """Hosts of a group and of its children, each once."""
    found: dict[str, None] = {}
    waiting = [group]
    for name in waiting:
        content = listing.get(name, {})
        found.update(dict.fromkeys(content.get("hosts", ())))
        waiting += [child for child in content.get("children", ()) if child not in waiting]
    return list(found)


def _lvs_variables(own: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in own.items() if key.startswith("lvs_")}
    if isinstance(plugged := found.get("lvs_interfaces"), Mapping):
        found["lvs_interfaces"] = dict(sorted(plugged.items(), key=_natural))
    return found


def _natural(item: tuple[str, Any]) -> list[int]:
    """Sort key of interfaces: eth1, eth1.20, eth1.100, eth2. (ansible-inventory does not keep the order of a mapping.)"""
    return [int(number) for number in re.findall(r"\d+", item[0])]
