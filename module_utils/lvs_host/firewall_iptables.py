"""The rules of iptables, as iptables-save(8) says them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .firewall_packets import Base, Match, Rule, address, interface, negated, port, protocol, some, states, unknown
from .netfilter import PREFIX

_COUNTED = re.compile(r"^\[\d+:\d+\] ")
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}

# What is asked for is in their options.
_PLAIN = frozenset(("tcp", "udp", "sctp", "multiport", "conntrack", "state", "comment", "addrtype"))
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return", "NFQUEUE": "perhaps", "QUEUE": "perhaps", "SYNPROXY": "perhaps"}  # fmt: skip


def chains_of(text: str, family: int, program: str) -> Iterator[Base]:
    """The chains that hooks call, but for those of nat, which refuse nothing. `program` is the word of a rule's command."""
    tables: dict[str, dict[str, list[Rule]]] = {}
    policies: dict[tuple[str, str], str] = {}
    table = ""
    for line in (_COUNTED.sub("", line) for line in text.splitlines()):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            tables.setdefault(table, {}).setdefault(name, [])
            if policy != "-":
                policies[table, name] = f"{program} -t {table} -P {name} DROP" if policy == "DROP" else ""
        elif line.startswith("-A ") and not line.startswith(f"-A {PREFIX}"):
            rule = _iptables_rule(line, f"{program} -t {table} {line}", tables.get(table, {}))
            tables.setdefault(table, {}).setdefault(line.split()[1], []).append(rule)
    for (table, name), policy in policies.items():
        if table != "nat":
            place = _PRIORITIES.get(table, 0)
            yield Base((family,), name.lower(), name, place, policy, tables[table], ours=table == "filter")


def _iptables_rule(line: str, text: str, chains: Mapping[str, Any]) -> Rule:
    try:
        words = shlex.split(line)[2:]
    except ValueError:
        return Rule(text, (unknown,), "perhaps")
    matches: list[Match] = []
    place = 0
    while place < len(words):
        inverted = words[place] == "!"
        place += inverted
        option, value = words[place], words[place + 1] if place + 1 < len(words) else ""
        if option in ("-j", "-g"):
            target = ("notrack", "") if words[place + 1 :] == ["CT", "--notrack"] else _target(option, value, chains)
            return Rule(text, tuple(matches), *target)
        if option == "-m":
            matches += [] if value in _PLAIN else [unknown]
        elif made := _OPTIONS.get(option):
            matches.append(negated(made(value)) if inverted else made(value))
        elif option != "--comment":
            matches.append(unknown)
        place += 2
        while place < len(words) and not words[place].startswith("-") and words[place] != "!":
            place += 1  # further values of an option
    return Rule(text, tuple(matches), "")


def _target(option: str, name: str, chains: Mapping[str, Any]) -> tuple[str, str]:
    if name in _VERDICTS:
        return _VERDICTS[name], ""
    if name in chains and not name.startswith(PREFIX):
        return ("goto" if option == "-g" else "jump"), name
    return "", ""


def _ports(text: str, *ends: str) -> Match:
    ranges = [(low, high if found else low) for low, found, high in (one.partition(":") for one in text.split(","))]
    return lambda packet: some(port(getattr(packet, end), low, high) for end in ends for low, high in ranges)


def _conntrack(text: str) -> Match:
    names = frozenset(text.lower().split(","))
    return lambda packet: states(packet.states, names)


def _destination_type(text: str) -> Match:
    return lambda packet: ("LOCAL" in text.split(",")) if "input" in packet.hooks else None


_OPTIONS: dict[str, Callable[[str], Match]] = {
    "-s": lambda text: lambda packet: address(packet.source, text),
    "-d": lambda text: lambda packet: address(packet.destination, text),
    "-p": lambda text: lambda packet: True if text in ("all", "0") else protocol(packet.protocol, text),
    "-i": lambda text: lambda packet: interface(packet.iif, text, "+"),
    "-o": lambda text: lambda packet: interface(packet.oif, text, "+"),
    "--dport": lambda text: _ports(text, "dport"),
    "--dports": lambda text: _ports(text, "dport"),
    "--sport": lambda text: _ports(text, "sport"),
    "--sports": lambda text: _ports(text, "sport"),
    "--ports": lambda text: _ports(text, "sport", "dport"),
    "--ctstate": _conntrack,
    "--state": _conntrack,
    "--dst-type": _destination_type,
}  # fmt: skip
