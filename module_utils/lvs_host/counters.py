"""Kernel counters of packets that are not accepted, and firewall rules that drop packets, or have them forwarded past all rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .evidence import COUNTERS

_COUNTED = re.compile(r"^\[(\d+):\d+\] (.*)$")
_POLICY = re.compile(r"^:(\S+) (DROP) \[(\d+):\d+\]$")
_VERDICT = re.compile(r" -j (DROP|REJECT)(\s|$)")
_NFT_FAMILIES = ("ip", "ip6", "inet", "netdev")  # that see IP packets of this host
_NFT_COUNTER = re.compile(r"\bcounter packets (\d+) bytes \d+ ?")
_NFT_OFFLOAD = re.compile(r"\bflow (?:add|offload) @")
_NFT_VERDICT = re.compile(r"\b(drop|reject)\b")


def kernel(texts: list[str]) -> dict[str, int]:
    """The values of COUNTERS in the contents of /proc/net/snmp, snmp6 and netstat."""
    found: dict[str, int] = {}
    for text in texts:
        lines = [line.split() for line in text.splitlines()]
        if not text.partition(" ")[0].endswith(":"):  # snmp6: a counter and its value on each line
            found.update((words[0], int(words[1])) for words in lines if len(words) == 2)
            continue
        for names, values in zip(lines[::2], lines[1::2]):
            for name, value in zip(names[1:], values[1:]):
                found[f"{names[0].rstrip(':')}.{name}"] = int(value)
    return {name: found[name] for name in COUNTERS if name in found}


def iptables_drops(text: str, program: str = "iptables") -> Iterator[tuple[str, int]]:
    """Each rule and policy that drops or rejects, with the packets it has counted.

    `text` is the output of `iptables-save --counters`, or of ip6tables-save with the `program` ip6tables.
    """
    table = ""
    for line in text.splitlines():
        policy, counted = _POLICY.match(line), _COUNTED.match(line)
        if line.startswith("*"):
            table = line[1:]
        elif policy:
            yield f"{program} -t {table} -P {policy[1]} {policy[2]}", int(policy[3])
        elif counted and _VERDICT.search(counted[2]):
            yield f"{program} -t {table} {counted[2]}", int(counted[1])


def nft_drops(text: str, saved: str, saved6: str = "") -> Iterator[tuple[str, int | None]]:
    """Each rule and policy in the output of `nft list ruleset` that drops or rejects; None if it has no counter. See nft_rules."""
    for chain, line, count in nft_rules(text, saved, saved6):
        words = line.split()
        if line.startswith("type ") and "policy drop" in line:
            yield f"nft {chain} hook {words[words.index('hook') + 1]} policy drop", None
        elif _NFT_VERDICT.search(re.sub(r'"[^"]*"', "", line)) and not line.startswith("type "):
            yield f"nft {chain} {line}", count


def nft_offloads(text: str) -> Iterator[str]:
    """Each rule in the output of `nft list ruleset` that gives connections to a flow table."""
    for chain, line, _ in nft_rules(text, ""):
        if _NFT_OFFLOAD.search(re.sub(r'"[^"]*"', "", line)):
            yield f"nft {chain} {line}"


def nft_rules(text: str, saved: str, saved6: str = "") -> Iterator[tuple[str, str, int | None]]:
    """The lines of each chain in the output of `nft list ruleset`: family, table and chain, the line without its counter, and the packets
    that it has counted.

    Skips tables that are also in `saved` and `saved6`, the outputs of iptables-save and ip6tables-save.
    """
    both = (("ip", saved), ("ip6", saved6))
    shown = {f"{family} {line[1:]}" for family, own in both for line in own.splitlines() if line.startswith("*")}
    table = chain = ""
    listing = False  # the line before was within a set's or map's elements, and not the last one
    for line in (line.strip() for line in text.splitlines()):
        words = line.split()
        element = listing or line.startswith("elements = {")
        listing = element and "}" not in line
        if line.startswith("table "):
            table = " ".join(words[1:3])
        elif line.startswith("chain "):
            chain = words[1]
        elif not element and table not in shown and table.partition(" ")[0] in _NFT_FAMILIES:
            counter = _NFT_COUNTER.search(line)
            yield f"{table} {chain}", _NFT_COUNTER.sub("", line), int(counter[1]) if counter else None
