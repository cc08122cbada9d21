"""The table of kernel modules that modes need: what becomes of packets on a host that has lost one, as half a sentence."""

from __future__ import annotations

from collections.abc import Mapping

WITHOUT: Mapping[str, str] = {
    "xt_ipvs": "the rules that translate sources match nothing",
    "ipip": "the real server does not unwrap requests",
    "lvskit_toa": "the director sends no client address, and lets forged ones pass",
    "lvskit_toa_peer": "applications see the director's local address as their client",
    "lvskit_restore": "the real server sees the director's local address, and its clients are unknown to it",
    "lvskit_enat": "the director sends requests without the client's address, and the real server cannot answer them",
    "lvskit_ctk": "requests keep the address that they carry, and the real server answers nobody",
}


def without(name: str) -> str:
    """What becomes of packets without the module."""
    return WITHOUT.get(name, "what the plan has of it does not work")
