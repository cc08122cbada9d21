"""The changes of one run to the inventory: drained real servers, removed hosts and services."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .contract.values import nearest

EVERY_SERVICE = "all"  # no service has this name


@dataclass(frozen=True)
class Changes:
    """Names of drained real servers, and of hosts and services to remove."""

    drained: Sequence[str] = ()
    without_hosts: Sequence[str] = ()
    without_services: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.drained or self.without_hosts or self.without_services)

    def with_members(self, groups: Mapping[str, Sequence[str]], servers: Collection[str]) -> Changes:
        """With the real servers of a group in place of the group's name, among those to drain."""
        found: dict[str, None] = {}
        for name in self.drained:
            members = [member for member in groups.get(name, ()) if member in servers]
            found.update(dict.fromkeys(members or [name]))
        return replace(self, drained=tuple(found))

    def check(self, services: Any, hosts: Collection[str], servers: Collection[str]) -> list[str]:
        """The violations: names that the inventory does not have. `servers`: the hosts of the group real_servers."""
        known = [*(str(service.get("name")) for service in _mappings(services)), EVERY_SERVICE]
        return [
            *(f"there is no real server {name}: {nearest(name, servers)}" for name in self.drained if name not in servers),
            *(f"there is no host {name}: {nearest(name, hosts)}" for name in self.without_hosts if name not in hosts),
            *(f"there is no service {name}: {nearest(name, known)}" for name in self.without_services if name not in known),
        ]  # fmt: skip

    def services(self, services: Any) -> Any:
        """lvs_services without the services to remove, and without the hosts to remove as real servers."""
        if not self.without_hosts and not self.without_services:
            return services
        leaving = self.without_services
        kept = [s for s in _mappings(services) if s.get("name") not in leaving and EVERY_SERVICE not in leaving]
        return [{key: self._value(key, value) for key, value in service.items()} for service in kept]

    def _value(self, key: str, value: Any) -> Any:
        if key != "real_servers" or not isinstance(value, Sequence) or isinstance(value, str):
            return value
        return [e for e in value if not (isinstance(e, Mapping) and e.get("host") in self.without_hosts)]

    def groups(self, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """The inventory's groups without the hosts to remove. These stay in `all`: they get an empty plan."""
        return {
            group: [name for name in members if group == "all" or name not in self.without_hosts]
            for group, members in groups.items()
        }

    def hosts(self, hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The hosts' variables, with `lvs_drained` set for the drained ones."""
        return {
            name: {**variables, "lvs_drained": True} if name in self.drained else dict(variables)
            for name, variables in hosts.items()
        }


def _mappings(services: Any) -> list[Mapping[str, Any]]:
    """The services that can be read; the parser reports the others."""
    return [service for service in services if isinstance(service, Mapping)] if isinstance(services, list) else []
