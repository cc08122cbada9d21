"""The netfilter rules of one family that are collected for a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import families
from .families import Address
from .host_plan import (
    Adverts,
    Answers,
    Chain,
    Guard,
    LocalSource,
    Mark,
    MssClamp,
    Netfilter,
    Ports,
    Replies,
    SourceNat,
    Strip,
    Untracked,
)


@dataclass
class Rules:
    """The netfilter rules of one family that are collected for a host. Those that each packet passes are few: what differs by its address
    alone becomes a rule for each prefix.
    """

    chains: dict[Chain, None] = field(default_factory=dict)
    marked: dict[tuple[str, str, int], dict[str, None]] = field(default_factory=dict)  # ports by protocol, VIP and mark
    stripped: dict[str, tuple[int, ...]] = field(default_factory=dict)  # kinds of options, by the VIP
    mss: dict[tuple[str, int], int] = field(default_factory=dict)  # by the source of replies; port 0: any
    source_nats: dict[SourceNat, None] = field(default_factory=dict)
    returning_vips: dict[Address, None] = field(default_factory=dict)
    replies: dict[tuple[str, str, bool], dict[Address, dict[str, None]]] = field(
        default_factory=dict
    )  # ports by the interface, the protocol, and whether they open connections; and the real server
    errors: dict[str, dict[Address, dict[str, None]]] = field(
        default_factory=dict
    )  # types of messages about replies, by the protocol and VIP
    # Ports by the protocol and VIP: of requests whose replies take another way, and of those whose replies come back.
    one_way: dict[str, dict[Address, dict[str, None]]] = field(default_factory=dict)
    two_way: dict[str, dict[Address, dict[str, None]]] = field(default_factory=dict)
    guarded: dict[tuple[str, tuple[str, ...], int], dict[str, None]] = field(
        default_factory=dict
    )  # ports by address, directors and kind
    answers: dict[tuple[str, str], dict[tuple[str, int], None]] = field(
        default_factory=dict
    )  # by interface and address
    unseen: str = ""  # the marks of checks that need not be seen by conntrack
    # Ports by hook, protocol and destination; and the source. Those that the host takes are its own.
    unseen_answers: dict[tuple[str, str, str], dict[Address, dict[str, None]]] = field(default_factory=dict)
    taken_answers: dict[tuple[str, str, str], dict[Address, dict[str, None]]] = field(default_factory=dict)
    adverts: dict[Adverts, None] = field(default_factory=dict)

    def build(self, *, tracking: bool) -> Netfilter:
        """`tracking`: IPVS lets conntrack keep what it has seen, of both families. Else it sees a packet and forgets it."""
        ends = {} if tracking else _merged(self.one_way.get("tcp", {}), self.two_way.get("tcp", {}))
        untracked = self.one_way if tracking else {"tcp": ends}
        raw = any(untracked.values()) or self.answers or self.guarded or self.unseen_answers
        chains = dict.fromkeys(self.chains)
        chains |= dict.fromkeys([Chain("raw", "PREROUTING")] if raw else ())
        chains |= dict.fromkeys([Chain("raw", "OUTPUT")] if self.unseen else ())
        chains |= dict.fromkeys([Chain("filter", "INPUT")] if self.taken_answers or ends or self.errors else ())
        return Netfilter(
            chains=tuple(chains),
            marks=tuple(
                Mark(protocol, vip, tuple(ports), mark) for (protocol, vip, mark), ports in self.marked.items()
            ),
            strips=tuple(Strip(vip, kinds) for vip, kinds in self.stripped.items()),
            mss_clamps=tuple(MssClamp(address, mss, port) for (address, port), mss in self.mss.items()),
            source_nats=tuple(self.source_nats),
            returning_vips=tuple(map(_short, families.prefixes(self.returning_vips))),
            replies=tuple(
                Replies(protocol, prefix, ports, interface, opening)
                for (interface, protocol, opening), found in self.replies.items()
                for prefix, ports in _by_prefix(found)
            ),
            untracked=tuple(
                Untracked(protocol, *one, ending=not tracking)
                for protocol, found in untracked.items()
                for one in _by_prefix(found)
            ),
            admitted=tuple(
                Ports(protocol, *one)
                for protocol, found in {"tcp": ends, **self.errors}.items()
                for one in _by_prefix(found)
            ),
            guards=tuple(
                Guard(address, tuple(ports), directors, kind)
                for (address, directors, kind), ports in self.guarded.items()
            ),
            local_sources=tuple(LocalSource(*place, _by_protocol(ports)) for place, ports in self.answers.items()),
            unseen=self.unseen,
            unseen_answers=_answers(self.unseen_answers),
            taken_answers=_answers(self.taken_answers),
            adverts=tuple(self.adverts),
        )


def _merged(*found: Mapping[Address, Iterable[str]]) -> dict[Address, dict[str, None]]:
    merged: dict[Address, dict[str, None]] = {}
    for address, ports in (item for one in found for item in one.items()):
        merged.setdefault(address, {}).update(dict.fromkeys(ports))
    return merged


def _answers(of_hooks: Mapping[tuple[str, str, str], Mapping[Address, Iterable[str]]]) -> tuple[Answers, ...]:
    return tuple(
        Answers(hook, protocol, source, address, ports)
        for (hook, protocol, address), found in of_hooks.items()
        for source, ports in _by_prefix(found)
    )


def _by_prefix(found: Mapping[Address, Iterable[str]]) -> list[tuple[str, tuple[str, ...]]]:
    """The prefixes of addresses that have the same ports, each with them."""
    alike: dict[tuple[str, ...], list[Address]] = {}
    for address, ports in found.items():
        alike.setdefault(tuple(ports), []).append(address)
    return [(str(prefix), ports) for ports, own in alike.items() for prefix in families.prefixes(own)]


def _short(prefix: families.Prefix) -> str:
    """The prefix, or the address that is alone in it, as iptables-save has those of conntrack."""
    return str(prefix.network_address if prefix.num_addresses == 1 else prefix)


def _by_protocol(ports: Iterable[tuple[str, int]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for protocol, port in sorted(ports):
        found.setdefault(protocol, []).append(str(port))
    return tuple((protocol, tuple(own)) for protocol, own in found.items())
