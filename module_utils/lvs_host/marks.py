"""Rules of other software that match or set firewall marks: of ip-rule(8), iptables and nftables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .counters import nft_rules
from .netfilter import PREFIX

# How a rule uses a mark. ROUTES: it selects a routing table before the kernel finds out that the destination is an address of the host.
ROUTES, MATCHES, SETS = "routes", "matches", "sets"
_WHOLE = "0xffffffff"
_OF_IP = re.compile(r"\d+:\s+from .*\bfwmark (?P<value>0x[0-9a-f]+)(?:/(?P<mask>0x[0-9a-f]+))?")
_IN_IPTABLES = {
    MATCHES: re.compile(r" -m mark --mark (?P<value>0x[0-9a-f]+)(?:/(?P<mask>0x[0-9a-f]+))?"),
    SETS: re.compile(r" -j (?:MARK --set-xmark|TPROXY .*--tproxy-mark) (?P<value>0x[0-9a-f]+)"),
}
_IN_NFT = {
    MATCHES: re.compile(r"\bmeta mark (?:& (?P<mask>0x[0-9a-f]+) )?(?:== )?(?P<value>0x[0-9a-f]+)"),
    SETS: re.compile(r"\bmeta mark set (?:meta mark (?:& 0x[0-9a-f]+ )?[|^] )?(?P<value>0x[0-9a-f]+)"),
}


class Use(NamedTuple):
    """A rule as text. It sets a mark to `value`, or is about packets whose mark has that value in the bits of `mask`; a rule about all
    other marks is no use.
    """

    rule: str
    value: int
    mask: int
    how: str


def of_ip(text: str, program: str = "ip rule") -> Iterator[Use]:
    """`text` is the output of `ip rule show`, or of `ip -6 rule show` with the `program` ip -6 rule."""
    how = ROUTES
    for line in text.splitlines():
        found = _OF_IP.match(line)
        if found:
            yield _use(f"{program} {' '.join(line.split())}", found, how)
        elif line.endswith(" lookup local") or " lookup local " in line:
            how = MATCHES


def of_iptables(text: str, program: str = "iptables") -> Iterator[Use]:
    """`text` is the output of iptables-save, with or without counters, or of ip6tables-save with the `program` ip6tables."""
    table = ""
    for line in text.splitlines():
        rule = line[line.find("-A ") :]
        if line.startswith("*"):
            table = line[1:]
        elif rule.startswith("-A ") and not rule.startswith(f"-A {PREFIX}"):
            for how, form in _IN_IPTABLES.items():
                yield from (_use(f"{program} -t {table} {rule}", found, how) for found in form.finditer(rule))


def of_nft(text: str, saved: str, saved6: str) -> Iterator[Use]:
    """`text` is the output of `nft list ruleset`; skips tables that are in the outputs of iptables-save and ip6tables-save, too."""
    for chain, line, _ in nft_rules(text, saved, saved6):
        for how, form in _IN_NFT.items():
            yield from (_use(f"nft {chain} {line}", found, how) for found in form.finditer(line))


def _use(rule: str, found: re.Match[str], how: str) -> Use:
    return Use(rule, int(found["value"], 16), int(found.groupdict().get("mask") or _WHOLE, 16), how)
