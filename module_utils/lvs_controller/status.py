"""Every service with its real servers: what weight each has, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.lvs.host_plan import CheckedService, HostPlan, VirtualService
from ansible.module_utils.lvs.topology import DirectorGroup, Service
from ansible.module_utils.lvs.violations import listed
from ansible.module_utils.lvs_host import governing
from ansible.module_utils.lvs_host.verdicts import STALE

_STATES = {
    governing.FINE: "",
    governing.FLOOR: "the floor keeps failed real servers in use",
    governing.SORRY: "no real server passes: the sorry server answers",
    governing.DOWN: "no real server passes",
}


@dataclass(frozen=True)
class Server:
    """A real server of a service. Weights are those of its first virtual service; `now` is None where it is not in the table.

    `since` is a Unix time, 0 where it is not known; `answer` is keepalived's last message about it.
    """

    name: str
    address: str
    wanted: int
    now: int | None
    why: str
    since: float = 0.0
    check: str = ""
    answer: str = ""


@dataclass(frozen=True)
class Row:
    """A service in one family on one director."""

    service: str
    ends: str
    mode: str
    director: str
    family: int
    state: str
    servers: tuple[Server, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Part:
    """A director's part in the election of a group. `connections` are those it knows: of a standby those that the master has told of.
    `resigned`: it has handed the group over, and takes it again only when no other director has it.
    """

    group: str
    director: str
    master: bool
    connections: int
    resigned: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(
    services: Sequence[Service],
    plans: Mapping[str, HostPlan],
    answers: Mapping[str, Mapping[str, Any]],
    drained: Mapping[str, str],
) -> list[Row]:
    """The services on each director that answered. `drained`: since when (UTC) each real server is drained that a run has drained."""
    return [
        row
        for service in services
        for director in service.directors
        if director.name in answers
        for row in _of_director(service, director.name, plans[director.name], answers[director.name], drained)
    ]


def _of_director(
    service: Service, director: str, plan: HostPlan, found: Mapping[str, Any], drained: Mapping[str, str]
) -> Iterator[Row]:
    own = [one for one in plan.services if one.service == service.name]
    checked = {one.family: one for one in plan.checks if one.service == service.name}
    for family in service.families:
        first = next((one for one in own if _version(one) == family.version), None)
        if first is None:
            continue
        state = found["services"].get(f"{service.name} {family.version}", {})
        servers = (
            *_servers(service, first, checked.get(family.version), state, found),
            *_drained(service, family.version, drained),
        )
        words = _STATES.get(str(state.get("state", "")), "")
        yield Row(service.name, service.ends, service.mode.name, director, family.version, words, servers)


def _version(service: VirtualService) -> int:
    return 6 if service.endpoint.startswith("[") or service.endpoint.endswith(" -6") else 4


def _servers(
    service: Service,
    first: VirtualService,
    checked: CheckedService | None,
    state: Mapping[str, Any],
    found: Mapping[str, Any],
) -> Iterator[Server]:
    live = found["weights"].get(first.name, {})
    peers = checked.servers if checked else ()
    decided = state.get("servers", {})
    for place, one in enumerate(first.destinations):  # in the order of the real servers
        peer = peers[place] if place < len(peers) else None
        own = decided.get(peer.endpoint, {}) if peer else {}
        name = peer.name if peer else _owner(service, one.address)
        answer = found["answers"].get(_as_keepalived(checked, peer.address, peer.port), "") if checked and peer else ""
        check = service.health_check
        why = str(own.get("why", "")) or ("no health check" if check is None else "no verdict yet")
        override = found["overrides"].get(name)
        if override and own and (not override["services"] or service.name in override["services"]):
            why += _said(override, found["now"])
        if own and live.get(one.endpoint) != own["weight"]:
            why = f"set by somebody else, in place of {'out' if own['weight'] is None else own['weight']} ({why})"
        yield Server(
            name=name,
            address=one.address,
            wanted=one.weight,
            now=live.get(one.endpoint),
            why=why,
            since=float(own.get("since", 0)),
            check=f"{check.type} by {'VIP' if check.by_vip else 'RIP'}" if check else "",
            answer=answer,
        )
    if checked and checked.apologies and state.get("state") == governing.SORRY:
        sorry = checked.apologies[0]
        yield Server(checked.sorry, sorry.address, 0, live.get(sorry.endpoint), "sorry server", float(state["since"]))


def _drained(service: Service, version: int, drained: Mapping[str, str]) -> Iterator[Server]:
    """The real servers that are in no table because they are drained."""
    for server in service.real_servers:
        addresses = [str(address) for address in server.host.addresses if address.version == version]
        if server.host.drained and addresses:
            since = drained.get(server.host.name)
            why = (
                f"drained since {since.replace('T', ' ').replace('Z', ' UTC')}; playbooks/undrain.yml puts it back"
                if since
                else "drained by the inventory (lvs_drained)"
            )
            yield Server(server.host.name, addresses[0], server.weight, None, why)


def _said(override: Mapping[str, Any], now: float) -> str:
    """An operator's weight, its end and its reason."""
    until = override["until"]
    if until is not None and until <= now:
        return ""
    end = f" until {_time(until)}" if until else ""
    reason = f", {override['reason']}" if override["reason"] else ""
    return f"; an operator set weight {override['weight']}{end}{reason}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _owner(service: Service, address: str) -> str:
    found = (s.host.name for s in service.real_servers if address in map(str, s.host.addresses))
    return next(found, address)


def _as_keepalived(checked: CheckedService, address: str, port: int) -> str:
    return f"[{address}]:{checked.protocol}:{port}"


def troubles(services: Sequence[Service], answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Directors whose decisions or state are not up to date, as sentences."""
    found = []
    for name in dict.fromkeys(director.name for service in services for director in service.directors):
        own = answers.get(name)
        if own is None:
            found.append(f"{name} cannot be reached: nothing is known of its services.")
        elif own["governed"] and (own["silent"] is None or own["silent"] > STALE):
            ago = "has not run yet" if own["silent"] is None else f"has been silent for {own['silent']:.0f} s"
            found.append(
                f"{name}: the governor {ago}, and weights stay as they are. See: journalctl -u lvskit-governor"
            )
        elif own["governed"] and own["checker"] != "fine":
            found.append(f"{name}: {own['checker']}, and weights stay as they are. See: journalctl -u lvskit-health")
        if own is not None:
            found += _not_kept(name, own["kept"])
    return found


def _not_kept(name: str, kept: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for kind, told in kept.items():
        if told["given_up"]:
            yield f"{name}: something takes {kind} away again and again, and the keeper leaves them alone. See: journalctl -u lvskit-keeper"
        elif told["failing"]:
            yield f"{name}: the keeper cannot put {kind} back: {told['failing']}"


def elections(groups: Mapping[str, DirectorGroup], answers: Mapping[str, Mapping[str, Any]]) -> list[Part]:
    """The part of each director in the election of its group."""
    return [
        Part(
            group.name,
            name,
            bool(answers[name]["elections"][group.name]),
            int(answers[name]["connections"]),
            group.name in answers[name]["resigned"],
        )
        for group in groups.values()
        for name in group.names
        if name in answers and group.name in answers[name]["elections"]
    ]


def troubles_of_elections(groups: Mapping[str, DirectorGroup], answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Groups without a master, or with several, and directors that do not tell the others of their connections, as sentences."""
    found = []
    parts = elections(groups, answers)
    for group in groups.values():
        own = [part for part in parts if part.group == group.name]
        masters = [part.director for part in own if part.master]
        absent = [name for name in group.names if name not in [part.director for part in own]]
        log = "See: journalctl -u lvskit-vrrp"
        if own and not masters and not absent:
            found.append(f"{group.name} has no master, and nobody answers for its services. {log}")
        if len(masters) > 1:
            found.append(
                f"{listed(masters, 'and')} are master of {group.name} at the same time: they do not hear each other. {log}"
            )
        if absent and masters:
            found.append(f"{listed(absent, 'and')} cannot take over {group.name}: unreachable, or not provisioned.")
        if group.sync == "ipvs" and len(group.directors) > 1:
            found += [
                f"{part.director} does not synchronize connections ({' and '.join(missing)} daemon). See: systemctl status lvskit-sync"
                for part in own
                if (missing := [one for one in ("master", "backup") if one not in answers[part.director]["daemons"]])
            ]
    return found


def lines_of_elections(parts: Sequence[Part]) -> list[str]:
    """Who is master, and how many connections each director knows."""
    return [
        f"{name}: "
        + ", ".join(
            f"{part.director} {'is master' if part.master else 'stands by'} ({part.connections} connections"
            f"{', has handed over' if part.resigned and not part.master else ''})"
            for part in parts
            if part.group == name
        )
        for name in dict.fromkeys(part.group for part in parts)
    ]


def lines(found: Sequence[Row], troubled: Sequence[str]) -> list[str]:
    """The rows as a table for a person, and then what is wrong."""
    text: list[str] = []
    several = len({row.director for row in found}) > 1
    for row in found:
        where = f" on {row.director}" if several else ""
        text.append(
            f"{row.service} ({row.ends}, {row.mode}), IPv{row.family}{where}" + (f": {row.state}" if row.state else "")
        )
        width = max((len(server.name) for server in row.servers), default=0)
        for one in row.servers:
            now = "out" if one.now is None else str(one.now)
            since = f" since {_time(one.since)}" if one.since else ""
            asked = f" ({one.check}{': ' + one.answer if one.answer else ''})" if one.check else ""
            text.append(f"  {one.name:<{width}}  weight {now} of {one.wanted}: {one.why}{since}{asked}")
    return [*text, *troubled] if text or troubled else ["No director answered."]
