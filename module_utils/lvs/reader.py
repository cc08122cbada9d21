"""Reads mappings of the inventory by their declared keys, and reports every fault in them instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .contract.key import Key, Keyed, Nested, keys_of
from .contract.values import Fault, Passed, closest, described, nearest
from .violations import Violation

# Keys of keepalived, ipvsadm and other load balancers, and what lvskit has for them; or a sentence, where it has nothing.
OTHER_WORDS: Mapping[str, str | tuple[str, ...]] = {
    "balance": "scheduler",
    "virtual": "vip",
    "bind": "vip",
    "ip": ("address", "vip"),
    "virtual_server": "an entry of lvs_services for it, with vip: and port:",
    "real_server": "real_servers",
    "fallback": "sorry_server",
    "delay_loop": ("interval", "interval of health_check"),
    "checkinterval": ("interval", "interval of health_check"),
    "checktype": ("type", "type of health_check"),
    "checktimeout": ("timeout", "timeout of health_check"),
    "connect_timeout": ("timeout", "timeout of health_check"),
    "connect_port": ("port", "port of health_check"),
    "retry": ("retries", "retries of health_check"),
    "nb_get_retry": ("retries", "retries of health_check"),
    "request": ("path", "path of health_check"),
    "url": ("path", "path of health_check"),
    "receive": ("match", "match of health_check"),
    "status_code": ("status", "status of health_check"),
    "vrrp_id": "virtual_router_id",
    "priority": "preferred",
    "interface": "network",
    "gw": "gateway",
    "router": "gateway",
    "subnet": "cidr",
    "prefix": "cidr",
    "lb_kind": "mode",
    "lvs_method": "mode",
    "forward_method": "mode",
    "lb_algo": "scheduler",
    "lvs_sched": "scheduler",
    "algorithm": "scheduler",
    "virtual_ip": "vip",
    "virtual_ipaddress": "vip",
    "backends": "real_servers",
    "servers": "real_servers",
    "members": "real_servers",
    "ops": "one_packet",
    "persistence_granularity": "persistence_netmask",
    "sticky": "persistence_timeout",
    "stickiness": "persistence_timeout",
    "persistent_timeout": "persistence_timeout",
    "max_connections": "upper_threshold of a real server",
    "maxconn": "upper_threshold of a real server",
    "uthreshold": "upper_threshold of a real server",
    "lthreshold": "lower_threshold of a real server",
    "idle_timeout": "lvs_timeouts of the directors (in group_vars)",
    "tcp_timeout": "lvs_timeouts of the directors (in group_vars)",
    "laddr_group": "local_addresses",
    "snat_pool": "local_addresses",
    "nopreempt": "the addresses stay where they are unless preempt: true is said. Leave it out.",
    "monitor": "health_check",
    "healthcheck": "health_check",
    "check": "health_check",
    "uri": ("path", "path of health_check"),
    "periodSeconds": ("interval", "interval of health_check"),
    "timeoutSeconds": ("timeout", "timeout of health_check"),
    "failureThreshold": ("retries", "retries of health_check"),
    "fall": ("retries", "retries of health_check"),
    "successThreshold": ("rise", "rise of health_check"),
    "expect": ("match", "match of health_check"),
    "misc_path": ("command", "command of health_check"),
    "proxy_protocol": "client_address (IPVS has no PROXY protocol)",
    "sessionAffinity": "persistence_timeout",
    "clusterIP": "vip",
    "externalIP": "vip",
    "targetPort": ("port", "port of a real server"),
    "quorum": "floor",
    "lb_method": "scheduler",
    "backend": "real_servers",
    "pool": "real_servers",
    "backup": "sorry_server",
    "ratio": ("weight", "weight of a real server"),
    "disabled": "lvs_drained: true of the host",
    "state": "preferred",
    "vrid": "virtual_router_id",
    "authentication": "VRRP version 3 has none. Leave it out, and put the directors' network where no stranger is.",
    "auth_pass": "VRRP version 3 has none. Leave it out, and put the directors' network where no stranger is.",
    "ports": "port",
    "vips": "vip",
    "addresses": "address",
    "vlan_id": "vlan",
    "netmask": "cidr",
    "mtu": ("mtu", "mtu of the network"),
    "hosts": ("host", "real_servers"),
    "upper_threshold": ("upper_threshold", "upper_threshold of a real server"),
    "lower_threshold": ("lower_threshold", "lower_threshold of a real server"),
    "weight": ("weight", "weight of a real server"),
    "lvs_timeouts": "lvs_timeouts of the directors (in group_vars)",
    "fwmark": "port ranges and persistence_across_ports, for which it sets firewall marks itself,",
}
Report = Callable[[Violation], None]


def about(report: Report, *, service: str = "", host: str = "") -> Report:
    """`report`, with the service or host that the violations concern."""
    return lambda violation: report(replace(violation, service=service, host=host))


def _shown(value: Any) -> str:
    """A value in a message: blanks at its ends, and an empty string, would not be seen."""
    if isinstance(value, str) and (not value or value != value.strip()):
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _placed(value: Any, key: Any) -> Any:
    """The object with the place in the inventory: the value, or its key if the value is empty, true or false."""
    return key if value is None or isinstance(value, bool) else value


class Reader:
    """One mapping of the contract, with the keys of a class.

    `get` converts a key's value and reports what its kind refuses; `finish` reports keys that the class does not have.
    `ok` tells whether the mapping can be used all the same: an unknown key, or a fault where there is a default, leaves
    the rest usable, so that the rules can be checked as well.
    """

    def __init__(self, raw: Any, place: str, report: Report, of: type[Keyed], at: Any = None) -> None:
        """`at` has the place in the inventory where `raw` has none: its key, or the list that it is in."""
        self.place = place
        self.ok = True
        self.readable = isinstance(raw, Mapping)
        self.report = report
        self.keys = keys_of(of)
        self.least = of.LEAST
        self.decisive = of.DECISIVE
        self._read: dict[str, Any] = {}
        self.raw: Mapping[str, Any] = {}
        if self.readable:
            self.raw = raw
        else:
            self.fault("VALUE-TYPE", f"is {described(raw)}, it must be a mapping of keys to values", _placed(raw, at))

    def fault(self, rule: str, message: str, at: Any) -> None:
        self.ok = False
        self.report(Violation(rule, f"{self.place}: {message}", at))

    def get(self, name: str, then: Callable[[Any], Any] | None = None) -> Any:
        """The converted value of a key, which `then` converts further: into the host that has the name, for example.

        Returns the default if the key is absent or faulty; None without a default. A fault is reported once.
        """
        if name not in self._read:
            self._read[name] = self._value(self.keys[name], then)
        return self._read[name]

    def values(self, **then: Callable[[Any], Any]) -> dict[str, Any]:
        """The values of the class's fields. `then` as in `get`, by the key's name."""
        for name in self.keys.required:
            if name not in self.raw:
                self.get(name)
        if self.least and self.readable and not any(name in self.raw for name in self.least):
            self._missing(self.least[0], f" (or {' or '.join(self.least[1:])})")
        found = self.keys.defaults.copy()
        for name in self.raw:
            key = self.keys.get(name)
            if key and key.field:
                found[key.field] = self.get(name, then.get(name))
        return found

    def _value(self, key: Key, then: Callable[[Any], Any] | None) -> Any:
        if key.name not in self.raw:
            if key.required and self.readable:
                self._missing(key.name)
            return key.fallback
        value = self.raw[key.name]
        try:
            if value is None:
                raise Fault("VALUE-EMPTY", "has no value. Set one, or remove the key")
            if then is None and isinstance(key.kind, Nested):
                return self._nested(key, key.kind, value)
            read = key.kind.read(value)
            return then(read) if then else read
        except Passed:
            self.ok = False
        except Fault as fault:
            usable = self.ok and not key.required and key.name not in (*self.least, *self.decisive)
            said = "" if value is None else f"{_shown(value)} "
            self.fault(fault.rule, f"{key.name}: {said}{fault}", self.at(key.name))
            self.ok = usable
        return key.fallback

    def _missing(self, name: str, besides: str = "") -> None:
        """Reports a missing key, unless an unknown one is told that is meant for it."""
        self.ok = False
        if any(self._nearest(str(one)) == name for one in self.raw if one not in self.keys):
            return
        at = next(iter(self.raw.values()), self.raw)
        self.fault("KEY-MISSING", f"has no {name}. Add {name}:{besides} to it.", self.raw.get("name", at))

    def _nested(self, key: Key, kind: Nested, value: Any) -> Any:
        inner = Reader(value, f"{self.place}: {key.name}", self.report, kind.of, self.at(key.name))
        values = inner.values()
        return kind.of(**values) if inner.finish() else key.fallback

    def _nearest(self, name: str) -> str:
        """The key of this mapping that an unknown one is meant for; empty if none looks like it."""
        own = self._own_word(name)
        return own if own in self.keys else "" if own else next(iter(closest(name, self.keys)), "")

    def _own_word(self, name: str) -> str:
        """What lvskit has for another tool's key: one of this mapping's keys, or where it is else. Empty if nothing is known."""
        given = OTHER_WORDS.get(name, ())
        words = (given,) if isinstance(given, str) else given
        return next((one for one in words if one in self.keys), next((one for one in words if " " in one), ""))

    def at(self, name: str) -> Any:
        """The object with the place of a key that the mapping has."""
        return _placed(self.raw[name], next(own for own in self.raw if own == name))

    def finish(self) -> bool:
        """Reports unknown keys; whether the mapping can be used."""
        usable = self.ok
        for name in self.raw:
            if name not in self.keys:
                own = self._own_word(str(name))
                hint = (
                    f"lvskit has {own} for it"
                    if own and not own.endswith(".")
                    else own or nearest(str(name), self.keys)
                )
                self.fault("KEY-UNKNOWN", f"has an unknown key {name}: {hint}", name)
        return usable
