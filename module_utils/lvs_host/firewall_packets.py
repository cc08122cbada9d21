"""Packets that pass the rules of a firewall, of which not all is known beforehand.

A rule may ask for something that is not known of a packet. So a rule matches, does not match, or may match (True, False, None), and a packet is
refused only if no rule that may match accepts it before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, Optional

_DEEPEST = 32  # jumps, as netfilter has it at most
NUMBERS = {
    "icmp": 1, "ipencap": 4, "ipip": 4, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "ipv6-icmp": 58, "icmpv6": 58, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
FIRST = frozenset({"new", "untracked"})


@dataclass(frozen=True)
class Packet:
    """`hooks` are those that it passes. None and "" are what is not known of it. `states` are those that conntrack may give it. `reverse`:
    whether the route to its source uses the interface that it comes by. `accepted`: lvskit's chain of iptables' table filter
    accepts it.
    """

    hooks: tuple[str, ...]
    family: int
    protocol: int
    source: Optional[str] = None
    destination: Optional[str] = None
    sport: Optional[int] = None
    dport: Optional[int] = None
    iif: str = ""
    oif: str = ""
    states: frozenset[str] = FIRST
    reverse: Optional[bool] = None
    accepted: bool = False

    @staticmethod
    def of(raw: Mapping[str, Any], tracking: bool = False) -> Packet:
        """From JSON, where unknown parts may be missing, and the protocol has a name or a number.

        The state `ipvs` is that of a reply whose request conntrack has seen only if IPVS shows it packets (`tracking`).
        """
        words = {**raw, "hooks": tuple(raw["hooks"]), "protocol": NUMBERS.get(raw["protocol"]) or int(raw["protocol"])}
        found = frozenset(raw.get("states", FIRST))
        if found == {"ipvs"}:
            unseen = "new" if words["protocol"] == NUMBERS["udp"] else "invalid"
            found = frozenset(["established" if tracking else unseen])
        return Packet(**{**words, "states": found})


Known = Optional[bool]
Match = Callable[[Packet], Known]


@dataclass(frozen=True)
class Rule:
    """`verdict`: accept, drop, return, jump or goto with a `target`, perhaps (accept or nothing), notrack; empty: nothing happens to the packet."""

    text: str
    matches: tuple[Match, ...]
    verdict: str
    target: str = ""

    def match(self, packet: Packet) -> Known:
        return every(match(packet) for match in self.matches)


@dataclass
class Base:
    """A chain that a hook calls. `chains` are those of its table. `ours`: it calls lvskit's chain that accepts packets, before its own rules."""

    family: tuple[int, ...]
    hook: str
    name: str
    priority: int
    policy: str  # as a rule, if it drops; else empty
    chains: Mapping[str, Sequence[Rule]]
    ours: bool = False


@dataclass
class _Result:
    """What may become of a packet in a chain."""

    passes: bool = False
    returns: bool = False
    untracked: bool = False  # for sure
    refused: list[str] = field(default_factory=list)


def refusing(packet: Packet, bases: Sequence[Base]) -> str:
    for hook in packet.hooks:
        for base in sorted(bases, key=lambda base: base.priority):
            if packet.family not in base.family or base.hook != hook or (packet.accepted and base.ours):
                continue
            found = _walk(packet, base.chains, base.name, 0)
            if found.untracked:
                packet = replace(packet, states=frozenset({"untracked"}))
            if found.returns and base.policy:
                found.refused.append(base.policy)
            if not found.passes and not (found.returns and not base.policy):
                return found.refused[-1] if found.refused else ""
    return ""


def _walk(packet: Packet, chains: Mapping[str, Sequence[Rule]], name: str, depth: int) -> _Result:
    result = _Result()
    for rule in chains.get(name, ()) if depth < _DEEPEST else ():
        matches = rule.match(packet)
        if matches is False or not rule.verdict:
            continue
        inner = _Result()
        if rule.verdict == "accept":
            result.passes = True
        elif rule.verdict == "perhaps":
            result.passes, inner.returns = True, True
        elif rule.verdict == "drop":
            result.refused.append(rule.text)
        elif rule.verdict == "return":
            result.returns = True
        elif rule.verdict == "notrack":
            result.untracked |= bool(matches)
            continue
        else:
            inner = _walk(packet, chains, rule.target, depth + 1)
            result.passes |= inner.passes
            result.untracked |= inner.untracked and bool(matches)
            result.refused += inner.refused
            if rule.verdict == "goto" and inner.returns:
                result.returns, inner.returns = True, False
        if matches and not inner.returns:
            return result
    result.returns = True
    return result


def every(found: Iterator[Known]) -> Known:
    unknown = False
    for one in found:
        if one is False:
            return False
        unknown |= one is None
    return None if unknown else True


def some(found: Iterator[Known]) -> Known:
    unknown = False
    for one in found:
        if one:
            return True
        unknown |= one is None
    return None if unknown else False


def negation(known: Known) -> Known:
    return None if known is None else not known


def unknown(packet: Packet) -> Known:
    return None


# What rules of both kinds compare.


def address(value: Optional[str], low: str, high: str = "") -> Known:
    """Whether an address is in a network, or in the range from `low` to `high`."""
    if value is None:
        return None
    try:
        own = ip_address(value)
        if high:
            first, last = ip_address(low), ip_address(high)
            return own.version == first.version and int(first) <= int(own) <= int(last)
        network = ip_network(low, strict=False)
        return own.version == network.version and own in network
    except ValueError:  # a name
        return None


def port(value: Optional[int], low: str, high: str) -> Known:
    try:
        return None if value is None else int(low or 0) <= value <= int(high or 65535)
    except ValueError:  # a service's name
        return None


def protocol(value: int, name: str) -> Known:
    number = NUMBERS.get(name.lower(), int(name) if name.isdecimal() else None)
    return None if number is None else number == value


def interface(value: str, pattern: str, wildcard: str) -> Known:
    if not value:
        return None
    return value.startswith(pattern[:-1]) if pattern.endswith(wildcard) else value == pattern


def states(own: frozenset[str], names: frozenset[str]) -> Known:
    return True if own <= names else None if own & names else False


def negated(match: Match) -> Match:
    return lambda packet: negation(match(packet))
