"""The rules of nf_tables, as libnftables-json(5) says them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .firewall_packets import (
    FIRST,
    NUMBERS,
    Base,
    Known,
    Match,
    Packet,
    Rule,
    address,
    interface,
    negated,
    port,
    protocol,
    some,
    states,
    unknown,
)

_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_HANDLE = re.compile(r"^(.*?) # handle (\d+)$")
_COUNTER = re.compile(r"\bcounter packets \d+ bytes \d+ ?")
_NO_CONDITION = {"counter", "log", "mangle", "comment", "flow", "dup", "set", "map", "ct helper", "secmark"}
_NFT_VERDICTS = {
    "accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "queue": "perhaps", "synproxy": "perhaps",
    "notrack": "notrack", "snat": "accept", "dnat": "accept", "masquerade": "accept", "redirect": "accept", "tproxy": "perhaps",
}  # fmt: skip
Sets = Mapping[tuple[str, str, str], Sequence[Any]]


def chains_of(ruleset: str, listing: str, shown: set[tuple[str, str]]) -> Iterator[Base]:
    """The chains that hooks call, without those of tables that iptables shows, too. `listing` has the words of rules by their handles."""
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
                yield rule or Rule(text, (*matches, unknown), "perhaps")
        elif rule := _verdict(text, tuple(matches), kind, said):
            yield rule
            return
        elif kind not in _NO_CONDITION:
            matches.append(unknown)


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
        return unknown
    whole = isinstance(left, dict) and "ct" in left  # a packet has one state of several
    values = [frozenset(map(str, elements))] if whole else elements

    def match(packet: Packet) -> Known:
        return some(compare(packet, one) for one in values)

    return negated(match) if operator == "!=" else match


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
    return states(packet.states, names)


def _ct_status(packet: Packet, names: frozenset[str]) -> Known:
    return False if packet.states <= FIRST and names <= {"dnat", "snat"} else None


def _payload(protocol: str, name: str) -> Optional[Comparison]:
    if protocol in ("ip", "ip6"):
        version, own = (4 if protocol == "ip" else 6), _IP.get(name, _never_known)
        return lambda packet, value: own(packet, value) if packet.family == version else False
    ports = name in ("sport", "dport")
    if protocol == "th":
        return (lambda packet, value: _nft_port(getattr(packet, name), value)) if ports else None
    number = NUMBERS.get(protocol)
    return lambda packet, value: (
        False if number != packet.protocol else _nft_port(getattr(packet, name), value) if ports else None
    )


def _never_known(packet: Packet, value: Any) -> Known:
    return None


def _nft_address(own: Optional[str], value: Any) -> Known:
    if isinstance(value, dict) and "prefix" in value:
        return address(own, f"{value['prefix']['addr']}/{value['prefix']['len']}")
    if isinstance(value, dict) and "range" in value:
        return address(own, *value["range"])
    return address(own, value) if isinstance(value, str) else None


def _nft_port(own: Optional[int], value: Any) -> Known:
    low, high = value["range"] if isinstance(value, dict) and "range" in value else (value, value)
    return None if isinstance(low, dict) else port(own, str(low), str(high))


def _nft_protocol(packet: Packet, value: Any) -> Known:
    return protocol(packet.protocol, str(value)) if isinstance(value, (str, int)) else None


def _nft_interface(own: str, value: Any) -> Known:
    return interface(own, value, "*") if isinstance(value, str) else None


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
