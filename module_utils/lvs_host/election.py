"""The election of one director of a group by keepalived, as its file of record has it: which addresses move, and who has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .programs import CommandRunner, listed

# `169.254.76.51/32 dev lo scope host`; the first address of an instance is the token, which adverts carry.
_INSTANCE = re.compile(r"^vrrp_instance (\S+) \{$")
_ADDRESS = re.compile(r"^ +([0-9a-f.:]+/\d+) dev (\S+)")


MARKS = "firewall marks"  # which stand for addresses that nobody can tell from them


@dataclass(frozen=True)
class Instance:
    """One election. `number`, `interval` (in seconds), `source` and `peers` are those of its adverts. `token` is the address that the master has on its loopback device, `addresses` are those that it carries for clients
    and real servers, each with its device.
    """

    token: str
    addresses: tuple[tuple[str, str], ...]
    number: int = 0
    interval: float = 0.0
    source: str = ""
    peers: tuple[str, ...] = ()


def instances(text: str) -> dict[str, Instance]:
    """The elections in a file of record, by the name of the group."""
    blocks: dict[str, list[str]] = {}
    for line in text.splitlines():
        if begun := _INSTANCE.match(line):
            blocks[begun[1]] = []
        elif blocks:
            list(blocks.values())[-1].append(line)
    return {name: instance for name, lines in blocks.items() if (instance := _instance(lines))}


def _instance(lines: list[str]) -> Instance | None:
    """One block; None if it has no address."""
    own = [(found[1], found[2]) for line in lines if (found := _ADDRESS.match(line))]
    words = dict(line.split(maxsplit=1) for line in lines if len(line.split()) == 2)
    peers = tuple(line.split()[0] for line in lines if line.endswith(" min_ttl 255"))
    if not own:
        return None
    return Instance(
        token=own[0][0],
        addresses=tuple(own[1:]),
        number=int(words.get("virtual_router_id", 0)),
        interval=float(words.get("advert_int", 0)),
        source=words.get("unicast_src_ip", ""),
        peers=peers,
    )


def addresses(text: str) -> set[tuple[str, str]]:
    """All addresses that move, each with its device."""
    return {address for instance in instances(text).values() for address in instance.addresses}


def away(text: str, run: CommandRunner) -> set[str]:
    """The addresses of which another director is master: open connections to them end there. MARKS if this host is master of nothing."""
    masters = parts(text, run)
    found = {
        address.partition("/")[0]
        for name, instance in instances(text).items()
        if not masters[name]
        for address, _ in instance.addresses
    }
    return found if any(masters.values()) else {*found, *([MARKS] if masters else [])}


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
