"""The constraints of each mode: what a network must be like for its packets to arrive, and what is refused otherwise."""

from __future__ import annotations

from ..topology import Topology
from ..violations import Violation
from . import addressing, forwarding, options, replies, vips  # noqa: F401  registers the rules
from .catalogue import CATALOGUE, Rule

__all__ = ["CATALOGUE", "Rule", "check"]


def check(topology: Topology) -> list[Violation]:
    """Everything that the described network cannot carry, all rules, in the catalogue's order."""
    return [violation for rule in CATALOGUE for violation in rule.violations(topology)]
