"""The changes of one run to the inventory: drained real servers, removed hosts and services."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .contract.values import nearest
from .violations import listed

EVERY_SERVICE = "all"  # no service has this name


@dataclass(frozen=True)
class Changes:
    """Names of real servers to drain and to put back, and of hosts and services to remove.

    `recorded` are the real servers that earlier runs have drained, each with the time.
    """

    drained: Sequence[str] = ()
    undrained: Sequence[str] = ()
    without_hosts: Sequence[str] = ()
    without_services: Sequence[str] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether this run changes anything."""
        return bool(self.drained or self.undrained or self.without_hosts or self.without_services)

    def with_members(self, groups: Mapping[str, Sequence[str]], servers: Collection[str]) -> Changes:
        """With the real servers of a group in place of the group's name, among those to drain and to put back."""

        def members(names: Sequence[str]) -> Sequence[str]:
            found: dict[str, None] = {}
            for name in names:
                own = [member for member in groups.get(name, ()) if member in servers]
                found.update(dict.fromkeys(own or [name]))
            return tuple(found)

        return replace(self, drained=members(self.drained), undrained=members(self.undrained))

    def left_out(self, run: str) -> dict[str, str]:
        """Since when each real server is drained, by this run at the time `run` or an earlier one."""
        found = {**dict.fromkeys(self.drained, run), **self.recorded}
        return {name: since for name, since in sorted(found.items()) if name not in self.undrained}

    def check(self, services: Any, hosts: Collection[str], servers: Collection[str]) -> list[str]:
        """The violations: names that the inventory does not have. `servers`: the hosts of the group real_servers."""
        known = [*(str(service.get("name")) for service in _mappings(services)), EVERY_SERVICE]
        out = [name for name in self.undrained if name in self.recorded]
        return [
            *(_no_server(name, hosts, servers) for name in (*self.drained, *self.undrained) if name not in servers),
            *([_none_drained(self.undrained, self.recorded)] if self.undrained and not out else []),
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

    def directors(self, directors: Any) -> Any:
        """lvs_directors without the hosts to remove: another director is preferred then."""
        if not self.without_hosts or not isinstance(directors, Mapping):
            return directors
        return {name: self._without_preferred(own) for name, own in directors.items()}

    def _without_preferred(self, group: Any) -> Any:
        if not isinstance(group, Mapping) or group.get("preferred") not in self.without_hosts:
            return group
        return {key: value for key, value in group.items() if key != "preferred"}

    def groups(self, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """The inventory's groups without the hosts to remove. These stay in `all`: they get an empty plan."""
        return {
            group: [name for name in members if group == "all" or name not in self.without_hosts]
            for group, members in groups.items()
        }

    def hosts(self, hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The hosts' variables, with `lvs_drained` set for the drained ones."""
        out = self.left_out("")
        return {
            name: {**variables, "lvs_drained": True} if name in out else dict(variables)
            for name, variables in hosts.items()
        }


def _no_server(name: str, hosts: Collection[str], servers: Collection[str]) -> str:
    if name not in hosts:
        return f"there is no real server {name}: {nearest(name, servers)}"
    return (
        f"there is no real server {name}: the host is not in the group real_servers. What a director of a group in lvs_directors holds is moved by "
        "playbooks/failover.yml."
    )


def _none_drained(names: Sequence[str], recorded: Mapping[str, str]) -> str:
    drained = f"Drained are {listed(sorted(recorded), 'and')}." if recorded else "No real server is drained."
    return (
        f"{listed(names, 'and')} cannot be put back: playbooks/drain.yml has not drained {'them' if len(names) > 1 else 'it'}. "
        f"{drained} A real server with lvs_drained: true stays out until the inventory changes."
    )


def _mappings(services: Any) -> list[Mapping[str, Any]]:
    """The services that can be read; the parser reports the others."""
    return [service for service in services if isinstance(service, Mapping)] if isinstance(services, list) else []
