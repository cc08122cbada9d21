"""The catalogue of rules, and how a rule is written: a generator of messages, registered under an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Union

from ..modes import TABLE, Mode
from ..topology import Host, Service, Topology
from ..violations import Violation

# The message, the offending value of the inventory, and the host that it concerns if it is not the service.
Finding = Union[tuple[str, Any], tuple[str, Any, Host]]
TopologyFinding = tuple[str, Any, Union[Host, None]]
TopologyCheck = Callable[[Topology], Iterator[TopologyFinding]]
ServiceCheck = Callable[[Topology, Service], Iterator[Finding]]
Services = Callable[[Topology, Service], Iterable[Service]]


@dataclass(frozen=True)
class Rule:
    """A constraint. `id` may hold {mode}, the name of the service's mode, or {carrier}, that of what carries an
    address in an option. `reason` is the effect on packets. `when` selects the modes; None for rules about
    networks and hosts, independent of the services.
    """

    id: str
    refuses: str
    reason: str
    warning: bool
    when: Callable[[Mode], bool] | None = None

    def name(self, mode: Mode) -> str:
        """The id as violations of a service in this mode have it."""
        return self.id.format(mode=mode.name.upper(), carrier=mode.carrier.upper())

    def violations(self, topology: Topology) -> Iterator[Violation]:
        """What the rule refuses or warns of in an environment."""
        raise NotImplementedError

    def added(self, topology: Topology, service: Service, before: Topology) -> Iterator[Violation]:
        """Those violations of `topology` that `before` does not have: `topology` has `service` besides, as its last one."""
        return iter(())


@dataclass(frozen=True, kw_only=True)
class TopologyRule(Rule):
    """A rule about networks and hosts."""

    check: TopologyCheck

    def violations(self, topology: Topology) -> Iterator[Violation]:
        for message, at, host in self.check(topology):
            yield Violation(self.id, message, at, self.warning, host=host.name if host else "")


@dataclass(frozen=True, kw_only=True)
class ServiceRule(Rule):
    """A rule about each service whose mode meets `when`.

    `affects` gives the services whose findings a service changes when it is added, itself apart; in any order. With
    `by_server` each finding is about one real server, whatever the service's others are; with `by_pair` it is about one other
    service, whatever further ones there are.
    """

    when: Callable[[Mode], bool]
    check: ServiceCheck
    affects: Services
    by_server: bool
    by_pair: bool

    def violations(self, topology: Topology) -> Iterator[Violation]:
        applies = {mode: self.when(mode) for mode in TABLE}
        for service in topology.services:
            if applies[service.mode]:
                yield from self._found(topology, service)

    def added(self, topology: Topology, service: Service, before: Topology) -> Iterator[Violation]:
        affected = (o for o in self.affects(topology, service) if o is not service and self.when(o.mode))
        alone = topology.reduced_to(service) if self.by_pair else None
        for whole in topology.register.in_order(affected):
            if alone:
                yield from self._of(alone, whole)
                continue
            other = _on_hosts_of(service, whole) if self.by_server else whole
            found = list(self._of(topology, other))
            known = {str(violation) for violation in self._of(before, other)} if found else ()
            yield from (violation for violation in found if str(violation) not in known)
        yield from self._of(topology, service)

    def _of(self, topology: Topology, service: Service) -> Iterator[Violation]:
        return self._found(topology, service) if self.when(service.mode) else iter(())

    def _found(self, topology: Topology, service: Service) -> Iterator[Violation]:
        said: list[str] = []
        for message, at, *hosts in self.check(topology, service):
            if message in said:  # of a second family or VIP
                continue
            said.append(message)
            name = self.name(service.mode)
            if hosts:
                yield Violation(name, message, at, self.warning, host=hosts[0].name)
            else:
                yield Violation(name, f"{service}: {message}", at, self.warning, service=service.name)


def _on_hosts_of(service: Service, other: Service) -> Service:
    """The other service with those real servers alone that `service` has, too; the whole one where that has its director."""
    hosts = {server.host.name for server in service.real_servers}
    if any(director.name in hosts for director in other.directors):
        return other
    return replace(other, real_servers=tuple(server for server in other.real_servers if server.host.name in hosts))


CATALOGUE: list[Rule] = []


def topology_rule(
    id: str, refuses: str, reason: str, *, warning: bool = False
) -> Callable[[TopologyCheck], TopologyCheck]:
    """Registers a check of networks and hosts, independent of the services."""

    def register(check: TopologyCheck) -> TopologyCheck:
        CATALOGUE.append(TopologyRule(id, refuses, reason, warning, check=check))
        return check

    return register


def service_rule(
    id: str,
    refuses: str,
    reason: str,
    *,
    when: Callable[[Mode], bool] = lambda mode: True,
    affects: Services = lambda topology, service: (),
    by_server: bool = False,
    by_pair: bool = False,
    warning: bool = False,
) -> Callable[[ServiceCheck], ServiceCheck]:
    """Registers a check of each service whose mode meets `when`; messages are prefixed with the service.

    A check that depends on services behind the one that is checked has to say so by `affects`, see ServiceRule.
    """

    def register(check: ServiceCheck) -> ServiceCheck:
        rule = ServiceRule(
            id, refuses, reason, warning, when=when, check=check, affects=affects, by_server=by_server, by_pair=by_pair
        )
        CATALOGUE.append(rule)
        return check

    return register
