"""Whether a host's firewall lets packets pass: rules of iptables as iptables-save(8) says them, those of nf_tables as `nft --json list ruleset` does.

A rule may ask for something that is not known of a packet. So a rule matches, does not match, or may match (True, False, None), and a packet is
refused only if no rule that may match accepts it before. lvskit's own chains are left out.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, Optional

_OWN = "LVSKIT-"
_DEEPEST = 32  # jumps, as netfilter has it at most
_NUMBERS = {
    "icmp": 1, "ipencap": 4, "ipip": 4, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "ipv6-icmp": 58, "icmpv6": 58, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_HANDLE = re.compile(r"^(.*?) # handle (\d+)$")
_COUNTER = re.compile(r"\bcounter packets \d+ bytes \d+ ?")
_COUNTED = re.compile(r"^\[\d+:\d+\] ")
_FIRST = frozenset({"new", "untracked"})


@dataclass(frozen=True)
class Packet:
    """`hooks` are those that it passes. None and "" are what is not known of it. `states` are those that conntrack may give it. `reverse`:
    whether the route to its source uses the interface that it comes by.
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
    states: frozenset[str] = _FIRST
    reverse: Optional[bool] = None

    @staticmethod
    def of(raw: Mapping[str, Any]) -> Packet:
        """From JSON, where unknown parts may be missing, and the protocol has a name or a number."""
        words = {**raw, "hooks": tuple(raw["hooks"]), "protocol": _NUMBERS.get(raw["protocol"]) or int(raw["protocol"])}
        return Packet(**{**words, "states": frozenset(raw.get("states", _FIRST))})


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
        return _all(match(packet) for match in self.matches)


@dataclass
class Base:
    """A chain that a hook calls. `chains` are those of its table."""

    family: tuple[int, ...]
    hook: str
    name: str
    priority: int
    policy: str  # as a rule, if it drops; else empty
    chains: Mapping[str, Sequence[Rule]]


@dataclass
class _Result:
    """What may become of a packet in a chain."""

    passes: bool = False
    returns: bool = False
    untracked: bool = False  # for sure
    refused: list[str] = field(default_factory=list)


def refused(packets: Sequence[Packet], saved: str, saved6: str, ruleset: str, listing: str = "") -> list[str]:
    """For each packet the rule that refuses it for sure; empty if it may pass.

    `saved` and `saved6` are the outputs of iptables-save and ip6tables-save, `ruleset` that of `nft --json list ruleset`, and `listing` that of `nft
    --handle list ruleset`, for the words of its rules.
    """
    shown = {
        (family, line[1:])
        for family, text in (("ip", saved), ("ip6", saved6))
        for line in text.splitlines()
        if line.startswith("*")
    }
    bases = [
        *_of_iptables(saved, 4, "iptables"),
        *_of_iptables(saved6, 6, "ip6tables"),
        *_of_nft(ruleset, listing, shown),
    ]
    return [_refusing(packet, bases) for packet in packets]


def _refusing(packet: Packet, bases: Sequence[Base]) -> str:
    for hook in packet.hooks:
        for base in sorted(bases, key=lambda base: base.priority):
            if packet.family not in base.family or base.hook != hook:
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


def _all(found: Iterator[Known]) -> Known:
    unknown = False
    for one in found:
        if one is False:
            return False
        unknown |= one is None
    return None if unknown else True


def _any(found: Iterator[Known]) -> Known:
    unknown = False
    for one in found:
        if one:
            return True
        unknown |= one is None
    return None if unknown else False


def _not(known: Known) -> Known:
    return None if known is None else not known


def _unknown(packet: Packet) -> Known:
    return None


# What rules of both kinds compare.


def _address(value: Optional[str], low: str, high: str = "") -> Known:
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


def _port(value: Optional[int], low: str, high: str) -> Known:
    try:
        return None if value is None else int(low or 0) <= value <= int(high or 65535)
    except ValueError:  # a service's name
        return None


def _protocol(value: int, name: str) -> Known:
    number = _NUMBERS.get(name.lower(), int(name) if name.isdecimal() else None)
    return None if number is None else number == value


def _interface(value: str, pattern: str, wildcard: str) -> Known:
    if not value:
        return None
    return value.startswith(pattern[:-1]) if pattern.endswith(wildcard) else value == pattern


def _states(own: frozenset[str], names: frozenset[str]) -> Known:
    return True if own <= names else None if own & names else False


# iptables-save(8)

_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}

_PLAIN = {
    "tcp",
    "udp",
    "sctp",
    "multiport",
    "conntrack",
    "state",
    "comment",
    "addrtype",
}  # what is asked for is in their options
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return", "NFQUEUE": "perhaps", "QUEUE": "perhaps", "SYNPROXY": "perhaps"}  # fmt: skip


def _of_iptables(text: str, family: int, program: str) -> Iterator[Base]:
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
        elif line.startswith("-A ") and not line.startswith(f"-A {_OWN}"):
            rule = _iptables_rule(line, f"{program} -t {table} {line}", tables.get(table, {}))
            tables.setdefault(table, {}).setdefault(line.split()[1], []).append(rule)
    for (table, name), policy in policies.items():
        if table != "nat":
            yield Base((family,), name.lower(), name, _PRIORITIES.get(table, 0), policy, tables[table])


def _iptables_rule(line: str, text: str, chains: Mapping[str, Any]) -> Rule:
    try:
        words = shlex.split(line)[2:]
    except ValueError:
        return Rule(text, (_unknown,), "perhaps")
    matches: list[Match] = []
    place = 0
    while place < len(words):
        negated = words[place] == "!"
        place += negated
        option, value = words[place], words[place + 1] if place + 1 < len(words) else ""
        if option in ("-j", "-g"):
            target = ("notrack", "") if words[place + 1 :] == ["CT", "--notrack"] else _target(option, value, chains)
            return Rule(text, tuple(matches), *target)
        if option == "-m":
            matches += [] if value in _PLAIN else [_unknown]
        elif made := _OPTIONS.get(option):
            matches.append(_negated(made(value)) if negated else made(value))
        elif option != "--comment":
            matches.append(_unknown)
        place += 2
        while place < len(words) and not words[place].startswith("-") and words[place] != "!":
            place += 1  # further values of an option
    return Rule(text, tuple(matches), "")


def _target(option: str, name: str, chains: Mapping[str, Any]) -> tuple[str, str]:
    if name in _VERDICTS:
        return _VERDICTS[name], ""
    if name in chains and not name.startswith(_OWN):
        return ("goto" if option == "-g" else "jump"), name
    return "", ""


def _negated(match: Match) -> Match:
    return lambda packet: _not(match(packet))


def _ports(text: str, *ends: str) -> Match:
    ranges = [(low, high if found else low) for low, found, high in (one.partition(":") for one in text.split(","))]
    return lambda packet: _any(_port(getattr(packet, end), low, high) for end in ends for low, high in ranges)


def _conntrack(text: str) -> Match:
    names = frozenset(text.lower().split(","))
    return lambda packet: _states(packet.states, names)


def _destination_type(text: str) -> Match:
    return lambda packet: ("LOCAL" in text.split(",")) if "input" in packet.hooks else None


_OPTIONS: dict[str, Callable[[str], Match]] = {
    "-s": lambda text: lambda packet: _address(packet.source, text),
    "-d": lambda text: lambda packet: _address(packet.destination, text),
    "-p": lambda text: lambda packet: True if text in ("all", "0") else _protocol(packet.protocol, text),
    "-i": lambda text: lambda packet: _interface(packet.iif, text, "+"),
    "-o": lambda text: lambda packet: _interface(packet.oif, text, "+"),
    "--dport": lambda text: _ports(text, "dport"),
    "--dports": lambda text: _ports(text, "dport"),
    "--sport": lambda text: _ports(text, "sport"),
    "--sports": lambda text: _ports(text, "sport"),
    "--ports": lambda text: _ports(text, "sport", "dport"),
    "--ctstate": _conntrack,
    "--state": _conntrack,
    "--dst-type": _destination_type,
}  # fmt: skip


# libnftables-json(5)

_NO_CONDITION = {"counter", "log", "mangle", "comment", "flow", "dup", "set", "map", "ct helper", "secmark"}
_NFT_VERDICTS = {
    "accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "queue": "perhaps", "synproxy": "perhaps",
    "notrack": "notrack", "snat": "accept", "dnat": "accept", "masquerade": "accept", "redirect": "accept", "tproxy": "perhaps",
}  # fmt: skip
Sets = Mapping[tuple[str, str, str], Sequence[Any]]


def _of_nft(ruleset: str, listing: str, shown: set[tuple[str, str]]) -> Iterator[Base]:
    try:
        objects = [item for one in json.loads(ruleset or "{}").get("nftables", ()) for item in one.items()]
    except ValueError:
        return
    words = _words(listing)
    sets: dict[tuple[str, str, str], Sequence[Any]] = {}
    chains: dict[tuple[str, str], dict[str, list[Rule]]] = {}
    bases = []
    for kind, own in objects:
        table = own.get("family"), own.get("table")
        if table in shown or table[0] not in _FAMILIES:
            continue
        if kind in ("set", "map"):
            sets[(*table, own["name"])] = own.get("elem", ())
        elif kind == "chain":
            chains.setdefault(table, {})[own["name"]] = []
            if own.get("type") in ("filter", "route"):
                bases.append((table, own))
    for kind, own in objects:
        table = own.get("family"), own.get("table")
        if kind == "rule" and own["chain"] in chains.get(table, {}):
            where = f"nft {own['family']} {own['table']} {own['chain']}"
            text = f"{where} {words.get((*table, own['handle']), 'rule with handle ' + str(own['handle']))}"
            chains[table][own["chain"]] += _nft_rules(text, own["expr"], _Named(sets, table))
    for table, own in bases:
        policy = f"nft {table[0]} {table[1]} {own['name']} policy drop" if own.get("policy") == "drop" else ""
        yield Base(_FAMILIES[table[0]], own["hook"], own["name"], int(own.get("prio", 0)), policy, chains[table])


def _words(listing: str) -> dict[tuple[str, str, int], str]:
    """The rules as nft lists them, by family, table and handle."""
    found = {}
    table = ("", "")
    for line in listing.splitlines():
        if line.startswith("table "):
            table = line.split()[1], line.split()[2]
        elif handled := _HANDLE.match(line.strip()):
            found[(*table, int(handled[2]))] = _COUNTER.sub("", handled[1])
    return found


@dataclass(frozen=True)
class _Named:
    """The sets and maps of a table."""

    sets: Sets
    table: tuple[Any, Any]

    def elements(self, right: Any) -> Optional[Sequence[Any]]:
        """The values that the right side of a comparison stands for; None if it is not known."""
        if isinstance(right, str) and right.startswith("@"):
            return self.sets.get((*self.table, right[1:]))
        if isinstance(right, dict) and ("set" in right or "|" in right):
            inner = right.get("set", right.get("|"))
            return self.elements(inner) if isinstance(inner, str) else inner
        return right if isinstance(right, list) else [right]


def _nft_rules(text: str, expressions: Sequence[Mapping[str, Any]], named: _Named) -> Iterator[Rule]:
    """One rule, or one for each element of a verdict map."""
    matches: list[Match] = []
    for expression in expressions:
        ((kind, said),) = expression.items()
        if kind == "match":
            matches.append(_nft_match(said["op"], said["left"], said["right"], named))
        elif kind == "vmap":
            for key, verdict in _pairs(named.elements(said["data"])):
                rule = _verdict(
                    text, (*matches, _nft_match("==", said["key"], key, named)), *next(iter(verdict.items()))
                )
                yield rule or Rule(text, (*matches, _unknown), "perhaps")
        elif rule := _verdict(text, tuple(matches), kind, said):
            yield rule
            return
        elif kind not in _NO_CONDITION:
            matches.append(_unknown)


def _pairs(elements: Optional[Sequence[Any]]) -> list[tuple[Any, Mapping[str, Any]]]:
    """The elements of a verdict map; one that may be anything if it is not known."""
    if elements is None:
        return [(None, {"queue": None})]
    return [
        (one[0].get("elem", {}).get("val", one[0]) if isinstance(one[0], dict) else one[0], one[1]) for one in elements
    ]


def _verdict(text: str, matches: tuple[Match, ...], kind: str, said: Any) -> Optional[Rule]:
    if kind in ("jump", "goto"):
        return Rule(text, matches, kind, said["target"])
    return Rule(text, matches, _NFT_VERDICTS[kind]) if kind in _NFT_VERDICTS else None


def _nft_match(operator: str, left: Any, right: Any, named: _Named) -> Match:
    compare = _left(left)
    elements = named.elements(right)
    if compare is None or elements is None or operator not in ("==", "in", "!="):
        return _unknown
    whole = isinstance(left, dict) and "ct" in left  # a packet has one state of several
    values = [frozenset(map(str, elements))] if whole else elements

    def match(packet: Packet) -> Known:
        return _any(compare(packet, one) for one in values)

    return _negated(match) if operator == "!=" else match


Comparison = Callable[[Packet, Any], Known]


def _left(left: Any) -> Optional[Comparison]:
    """How to compare the left side of a comparison with a value; None if nothing is known of it."""
    if not isinstance(left, dict):
        return None
    ((kind, said),) = left.items()
    if kind == "payload" and "field" in said:
        return _payload(str(said["protocol"]), str(said["field"]))
    if kind == "meta":
        return _META.get(said["key"])
    if kind == "fib":
        return _reverse if said.get("result") == "oif" and {"saddr", "iif"} <= set(said.get("flags", ())) else None
    return {"state": _ct_state, "status": _ct_status}.get(said["key"]) if kind == "ct" else None


def _reverse(packet: Packet, value: Any) -> Known:
    """`fib saddr . iif oif missing` (False), or `exists` (True)."""
    return packet.reverse == value if packet.reverse is not None and isinstance(value, bool) else None


def _ct_state(packet: Packet, names: frozenset[str]) -> Known:
    return _states(packet.states, names)


def _ct_status(packet: Packet, names: frozenset[str]) -> Known:
    return False if packet.states <= _FIRST and names <= {"dnat", "snat"} else None


def _payload(protocol: str, name: str) -> Optional[Comparison]:
    if protocol in ("ip", "ip6"):
        version, own = (4 if protocol == "ip" else 6), _IP.get(name, _never_known)
        return lambda packet, value: own(packet, value) if packet.family == version else False
    ports = name in ("sport", "dport")
    if protocol == "th":
        return (lambda packet, value: _nft_port(getattr(packet, name), value)) if ports else None
    number = _NUMBERS.get(protocol)
    return lambda packet, value: (
        False if number != packet.protocol else _nft_port(getattr(packet, name), value) if ports else None
    )


def _never_known(packet: Packet, value: Any) -> Known:
    return None


def _nft_address(own: Optional[str], value: Any) -> Known:
    if isinstance(value, dict) and "prefix" in value:
        return _address(own, f"{value['prefix']['addr']}/{value['prefix']['len']}")
    if isinstance(value, dict) and "range" in value:
        return _address(own, *value["range"])
    return _address(own, value) if isinstance(value, str) else None


def _nft_port(own: Optional[int], value: Any) -> Known:
    low, high = value["range"] if isinstance(value, dict) and "range" in value else (value, value)
    return None if isinstance(low, dict) else _port(own, str(low), str(high))


def _nft_protocol(packet: Packet, value: Any) -> Known:
    return _protocol(packet.protocol, str(value)) if isinstance(value, (str, int)) else None


def _nft_interface(own: str, value: Any) -> Known:
    return _interface(own, value, "*") if isinstance(value, str) else None


_IP: dict[str, Comparison] = {
    "saddr": lambda packet, value: _nft_address(packet.source, value),
    "daddr": lambda packet, value: _nft_address(packet.destination, value),
    "protocol": _nft_protocol,
    "nexthdr": _nft_protocol,
}
_META: dict[str, Comparison] = {
    "iifname": lambda packet, value: _nft_interface(packet.iif, value),
    "iif": lambda packet, value: _nft_interface(packet.iif, value),
    "oifname": lambda packet, value: _nft_interface(packet.oif, value),
    "oif": lambda packet, value: _nft_interface(packet.oif, value),
    "l4proto": _nft_protocol,
    "nfproto": lambda packet, value: {"ipv4": 4, "ipv6": 6}.get(value) == packet.family,
    "protocol": lambda packet, value: {"ip": 4, "ip6": 6}.get(value) == packet.family,
}
