"""Whether a host's firewall lets packets pass: rules of iptables and of nf_tables. lvskit's own chains are left out."""

from __future__ import annotations

from collections.abc import Sequence

from . import firewall_iptables, firewall_nft
from .firewall_packets import Packet, refusing

__all__ = ["Packet", "refused"]


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
        *firewall_iptables.chains_of(saved, 4, "iptables"),
        *firewall_iptables.chains_of(saved6, 6, "ip6tables"),
        *firewall_nft.chains_of(ruleset, listing, shown),
    ]
    return [refusing(packet, bases) for packet in packets]
