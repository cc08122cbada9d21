"""The table of kernel modules that modes need: the effect on packets if a host has lost one, as a clause."""

from __future__ import annotations

from collections.abc import Mapping

WITHOUT: Mapping[str, str] = {
    "ip_vs_ftp": "data connections of FTP come to no real server",
    "xt_ipvs": "the source NAT rules match no packet",
    "ipip": "the real server does not decapsulate requests",
    "sit": "the real server does not decapsulate requests",
    "ip6_tunnel": "the real server does not decapsulate requests",
    "lvskit_toa": "the director sends no client address, and does not remove forged ones",
    "lvskit_toa_peer": "applications see the director's local address as their client",
    "lvskit_restore": "the real server sees the director's local address, and not the client's",
    "lvskit_enat": "the director sends requests without the client's address, and the real server cannot answer them",
    "lvskit_ctk": "the client's address stays in the option of requests, and the real server sends no replies",
}


def without(name: str) -> str:
    """The effect on packets without the module."""
    return WITHOUT.get(name, "the part of the plan that uses it does not work")
