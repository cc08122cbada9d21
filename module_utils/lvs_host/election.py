"""The election of one director of a group by keepalived, as its file of record has it: which addresses move, and who has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .programs import CommandRunner, listed

# `169.254.76.51/32 dev lo scope host`; the first address of an instance is the token, which adverts carry.
_INSTANCE = re.compile(r"^vrrp_instance (\S+) \{$")
_ADDRESS = re.compile(r"^ +([0-9a-f.:]+/\d+) dev (\S+)")


@dataclass(frozen=True)
class Instance:
    """One election. `token` is the address that the master has on its loopback device, `addresses` are those that it carries for clients
    and real servers, each with its device.
    """

    token: str
    addresses: tuple[tuple[str, str], ...]


def instances(text: str) -> dict[str, Instance]:
    """The elections in a file of record, by the name of the group."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if begun := _INSTANCE.match(line):
            found[begun[1]] = []
        elif (address := _ADDRESS.match(line)) and found:
            list(found.values())[-1].append((address[1], address[2]))
    return {name: Instance(own[0][0], tuple(own[1:])) for name, own in found.items() if own}


def addresses(text: str) -> set[tuple[str, str]]:
    """All addresses that move, each with its device."""
    return {address for instance in instances(text).values() for address in instance.addresses}


def parts(text: str, run: CommandRunner) -> dict[str, bool]:
    """The groups in whose elections this host takes part, each with whether it is the master."""
    wanted: Mapping[str, Instance] = instances(text)
    if not wanted:
        return {}
    code, out, _ = run(["ip", "-json", "address", "show", "dev", "lo"], None)
    present = {
        f"{address['local']}/{address['prefixlen']}"
        for link in (listed(out) if not code else ())
        for address in link.get("addr_info", ())
    }
    return {name: instance.token in present for name, instance in wanted.items()}
