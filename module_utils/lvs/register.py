"""Indexes of the services of an environment by shared objects: a VIP, a real server, a local address.

A loop over all services for each service takes time by the square of their number; a look-up here does not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from .contract.services import Service

_Found = Mapping[Hashable, Sequence[Service]]  # by kind, each in the inventory's order
_NOTHING: _Found = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Index:
    """What services are found by: `of` gives a service's keys, each with a kind.

    Services with one key are told apart by their kinds: those with one local address, for example, by their directors. The
    kind is None where nothing tells them apart.
    """

    of: Callable[[Service], Iterable[tuple[Hashable, Hashable]]]


class Register:
    """The services of an environment by any Index, in the inventory's order.

    A register with a service more or less shares the tables of the one that it comes from.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._tables = _Tables(services)
        self._added = _Tables(())
        self._gone: frozenset[int] = frozenset()

    def without(self, services: Iterable[Service]) -> Register:
        """The register without some of the services that it was made of."""
        return self._changed(self._added, self._gone.union(map(id, services)))

    def beside(self, service: Service) -> Register:
        """The register with one more service behind all others."""
        return self._changed(_Tables((*self._added.services, service)), self._gone)

    def _changed(self, added: _Tables, gone: frozenset[int]) -> Register:
        found = Register(())
        found._tables, found._added, found._gone = self._tables, added, gone
        return found

    def all(self, index: Index, key: Hashable, kind: Hashable = None) -> Sequence[Service]:
        """The services with a key and kind."""
        found = self._tables.found(index, key).get(kind, ())
        if self._gone:
            found = [service for service in found if id(service) not in self._gone]
        added = self._added.found(index, key).get(kind, ())
        return [*found, *added] if added else found

    def firsts(self, index: Index, key: Hashable) -> Mapping[Hashable, Service]:
        """Of the services with a key, the first of each kind. The kinds are in no order."""
        found = {}
        for kind, services in self._tables.found(index, key).items():
            first: Service | None = services[0]
            if id(first) in self._gone:
                first = next((service for service in services if id(service) not in self._gone), None)
            if first:
                found[kind] = first
        if self._added.services:
            for kind, services in self._added.found(index, key).items():
                found.setdefault(kind, services[0])
        return found

    def first(self, index: Index, key: Hashable) -> Service | None:
        """The first service with a key, where nothing tells services with the same key apart."""
        return self.firsts(index, key).get(None)

    def first_other(self, index: Index, key: Hashable, kind: Hashable) -> Service | None:
        """The first service with a key that is of another kind."""
        others = [service for other, service in self.firsts(index, key).items() if other != kind]
        return min(others, key=self.position, default=None)

    def others(self, index: Index, key: Hashable, kind: Hashable) -> list[Service]:
        """The services with a key that are of other kinds. They are in no order."""
        kinds = (other for other in self.firsts(index, key) if other != kind)
        return [service for other in kinds for service in self.all(index, key, other)]

    def position(self, service: Service) -> int:
        """The service's place in the inventory's order."""
        found = self._tables.positions.get(id(service))
        return len(self._tables.services) + self._added.positions[id(service)] if found is None else found

    def in_order(self, services: Iterable[Service]) -> list[Service]:
        """Each of the services once, in the inventory's order."""
        return sorted({id(service): service for service in services}.values(), key=self.position)


class _Tables:
    """Services by each Index that has been asked for."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = services
        self._by_index: dict[Index, dict[Hashable, dict[Hashable, list[Service]]]] = {}

    def found(self, index: Index, key: Hashable) -> _Found:
        if index not in self._by_index:
            self._by_index[index] = self._table(index)
        return self._by_index[index].get(key, _NOTHING)

    def _table(self, index: Index) -> dict[Hashable, dict[Hashable, list[Service]]]:
        table: dict[Hashable, dict[Hashable, list[Service]]] = {}
        for service in self.services:
            for key, kind in index.of(service):
                found = table.setdefault(key, {}).setdefault(kind, [])
                if not found or found[-1] is not service:
                    found.append(service)
        return table

    @cached_property
    def positions(self) -> Mapping[int, int]:
        return {id(service): place for place, service in enumerate(self.services)}
