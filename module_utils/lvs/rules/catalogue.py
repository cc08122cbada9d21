"""The catalogue of rules, and how a rule is written: a generator of messages, registered under an id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union

from ..modes import Mode
from ..topology import Host, Service, Topology
from ..violations import Violation

Finding = tuple[str, Any]  # the message, and the offending value of the inventory
TopologyFinding = tuple[str, Any, Union[Service, Host, None]]  # the same, and the service or host that it concerns
TopologyCheck = Callable[[Topology], Iterator[TopologyFinding]]
ServiceCheck = Callable[[Topology, Service], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A constraint. `id` may hold {mode}, the name of the service's mode, or {carrier}, that of what carries an
    address in an option. `reason` speaks of packets. `when` says which modes it is about, None where it is about the
    environment as a whole.
    """

    id: str
    refuses: str
    reason: str
    warning: bool
    violations: Callable[[Topology], Iterator[Violation]]
    when: Callable[[Mode], bool] | None = None

    def name(self, mode: Mode) -> str:
        """The id as violations of a service in this mode have it."""
        return _name(self.id, mode)


CATALOGUE: list[Rule] = []


def topology_rule(
    id: str, refuses: str, reason: str, *, warning: bool = False
) -> Callable[[TopologyCheck], TopologyCheck]:
    """Registers a check of the environment as a whole; messages about a service are prefixed with it."""

    def register(check: TopologyCheck) -> TopologyCheck:
        def violations(topology: Topology) -> Iterator[Violation]:
            for message, at, subject in check(topology):
                if isinstance(subject, Service):
                    yield Violation(id, f"{subject}: {message}", at, warning, service=subject.name)
                else:
                    yield Violation(id, message, at, warning, host=subject.name if subject else "")

        CATALOGUE.append(Rule(id, refuses, reason, warning, violations))
        return check

    return register


def service_rule(
    id: str, refuses: str, reason: str, *, when: Callable[[Mode], bool] = lambda mode: True, warning: bool = False
) -> Callable[[ServiceCheck], ServiceCheck]:
    """Registers a check of each service whose mode meets `when`; messages are prefixed with the service."""

    def register(check: ServiceCheck) -> ServiceCheck:
        def violations(topology: Topology) -> Iterator[Violation]:
            for service in topology.services:
                if when(service.mode):
                    name = _name(id, service.mode)
                    for message, at in check(topology, service):
                        yield Violation(name, f"{service}: {message}", at, warning, service=service.name)

        CATALOGUE.append(Rule(id, refuses, reason, warning, violations, when))
        return check

    return register


def _name(id: str, mode: Mode) -> str:
    return id.format(mode=mode.name.upper(), carrier=mode.carrier.upper())
