"""The netfilter rules of one family that are collected for a host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .host_plan import (
    Adverts,
    Answers,
    Chain,
    Guard,
    LocalSource,
    Mark,
    MssClamp,
    Netfilter,
    SourceNat,
    Strip,
    Untracked,
)


@dataclass
class Rules:
    """The netfilter rules of one family that are collected for a host."""

    chains: dict[Chain, None] = field(default_factory=dict)
    marked: dict[tuple[str, str, int], dict[str, None]] = field(default_factory=dict)  # ports by protocol, VIP and mark
    stripped: dict[str, tuple[int, ...]] = field(default_factory=dict)  # kinds of options, by the VIP
    mss: dict[tuple[str, int], int] = field(default_factory=dict)  # by the source of replies; port 0: any
    source_nats: list[SourceNat] = field(default_factory=list)
    returning_vips: dict[str, None] = field(default_factory=dict)
    one_way: list[Untracked] = field(default_factory=list)
    guarded: dict[tuple[str, tuple[str, ...], int], dict[str, None]] = field(
        default_factory=dict
    )  # ports by address, directors and kind
    answers: dict[tuple[str, str], dict[tuple[str, int], None]] = field(
        default_factory=dict
    )  # by interface and address
    unseen: str = ""  # the marks of checks that need not be seen by conntrack
    unseen_answers: dict[tuple[str, str, str, str], dict[str, None]] = field(
        default_factory=dict
    )  # ports by hook, protocol, source and destination
    adverts: dict[Adverts, None] = field(default_factory=dict)

    def build(self) -> Netfilter:
        untracked = tuple(self.one_way) if self.source_nats else ()
        unseen = self.unseen if self.source_nats else ""
        unseen_answers = self.unseen_answers if self.source_nats else {}
        raw = untracked or self.answers or self.guarded or unseen_answers
        chains = dict.fromkeys(self.chains)
        chains |= dict.fromkeys([Chain("raw", "PREROUTING")] if raw else ())
        chains |= dict.fromkeys([Chain("raw", "OUTPUT")] if unseen else ())
        return Netfilter(
            chains=tuple(chains),
            marks=tuple(
                Mark(protocol, vip, tuple(ports), mark) for (protocol, vip, mark), ports in self.marked.items()
            ),
            strips=tuple(Strip(vip, kinds) for vip, kinds in self.stripped.items()),
            mss_clamps=tuple(MssClamp(address, mss, port) for (address, port), mss in self.mss.items()),
            source_nats=tuple(self.source_nats),
            returning_vips=tuple(self.returning_vips),
            untracked=untracked,
            guards=tuple(
                Guard(address, tuple(ports), directors, kind)
                for (address, directors, kind), ports in self.guarded.items()
            ),
            local_sources=tuple(LocalSource(*place, _by_protocol(ports)) for place, ports in self.answers.items()),
            unseen=unseen,
            unseen_answers=tuple(Answers(*ends, tuple(ports)) for ends, ports in unseen_answers.items()),
            adverts=tuple(self.adverts),
        )


def _by_protocol(ports: Iterable[tuple[str, int]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for protocol, port in sorted(ports):
        found.setdefault(protocol, []).append(str(port))
    return tuple((protocol, tuple(own)) for protocol, own in found.items())
