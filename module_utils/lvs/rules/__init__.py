"""The rules of each mode: the conditions that a network must meet for its packets to arrive."""

from __future__ import annotations

from ..topology import Service, Topology
from ..violations import Violation
from . import addressing, forwarding, health, options, redundancy, replies, scheduling, vips  # noqa: F401  registers the rules
from .catalogue import CATALOGUE, Rule

__all__ = ["CATALOGUE", "Rule", "added", "check"]


def check(topology: Topology) -> list[Violation]:
    """The violations of all rules, in the catalogue's order."""
    return [violation for rule in CATALOGUE for violation in rule.violations(topology)]


def added(topology: Topology, service: Service) -> list[Violation]:
    """What `check` would find besides, with `service` behind the services of `topology`, which has none of its name.

    Only what the service can change is checked: the service, and others as far as they share something with it.
    """
    after = topology.beside(service)
    return [violation for rule in CATALOGUE for violation in rule.added(after, service, topology)]
