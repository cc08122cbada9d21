"""What becomes of real servers whose checks fail: decisions about weights, without a look at the host.

A decision is a *share* of the planned weight: 1 is the whole weight, 0 is weight 0 (no new connections), None is removed from the
table. Where an operator has set a weight, that one counts in place of the planned one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .ipvs import VirtualService, parse
from .resource import statements
from .verdicts import FAILED, PASSED, UNKNOWN, Endpoint

FINE, FLOOR, SORRY, DOWN = "fine", "floor", "sorry", "down"
LEAST_SHARE = 0.01  # of a weight that grows
LINGER = 60  # seconds for which a sorry server that is no longer needed stays with weight 0: its open connections end


@dataclass(frozen=True)
class Service:
    """A service in one family, as the plan has it: see CheckedService in lvs/host_plan.py.

    `servers` are the names of the real servers by the endpoint that keepalived knows each by, in the order of the plan, which is that of the
    destinations of each entry.
    """

    service: str
    family: int
    verdicts: str
    entries: tuple[str, ...]
    servers: Mapping[str, str]
    detection: float
    hold: float
    slow_start: float
    floor: int
    quiesce: bool
    sorry: str
    apologies: Mapping[str, str]

    @property
    def key(self) -> str:
        """Its name in the governor's state."""
        return f"{self.service} {self.family}"

    def endpoints(self) -> Iterable[Endpoint]:
        return ((self.verdicts, endpoint) for endpoint in self.servers)


@dataclass(frozen=True)
class Override:
    """A weight that an operator has set for a host, in all services or in some, until a time (Unix; None: until it is taken back)."""

    weight: int
    until: float | None = None
    services: tuple[str, ...] = ()
    reason: str = ""
    since: float = 0.0

    def holds(self, service: str, now: float) -> bool:
        return (not self.services or service in self.services) and (self.until is None or now < self.until)


@dataclass
class Standing:
    """What the governor knows of a real server. Times are Unix times."""

    name: str = ""
    verdict: str = UNKNOWN
    since: float = 0.0  # of the verdict
    share: float | None = None
    weight: int | None = None  # that the table is to have; None: removed
    planned: int = 0
    why: str = ""
    passing_since: float = 0.0  # after a failure: when the check passed again; 0: has not failed
    used_since: float = 0.0  # when it came back into use, for slow_start; 0: was never out
    known: bool = False  # whether there was ever a verdict on it


@dataclass
class State:
    """What the governor has decided about a service, by the endpoints of its real servers.

    `apology` is the weight of the sorry server (None: it is not in the table), `apologized` when it got weight 0. `due` is the time when
    a decision may change without a new verdict (None: never).
    """

    state: str = FINE
    since: float = 0.0
    apology: int | None = None
    apologized: float = 0.0
    servers: dict[str, Standing] = field(default_factory=dict)
    due: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> State:
        """The state of a file; raises KeyError, TypeError or ValueError for what is none."""
        known = {one.name for one in fields(Standing)}
        servers = {
            str(address): Standing(**{name: value for name, value in dict(own).items() if name in known})
            for address, own in dict(raw["servers"]).items()
        }
        apology = None if raw["apology"] is None else int(raw["apology"])
        due = None if raw.get("due") is None else float(raw["due"])
        return cls(str(raw["state"]), float(raw["since"]), apology, float(raw["apologized"]), servers, due)


def hear(state: State, service: Service, verdicts: Mapping[Endpoint, str], now: float) -> list[str]:
    """Takes new verdicts; returns the endpoints of the real servers whose verdict has changed. UNKNOWN and a missing verdict change
    nothing.
    """
    changed = []
    for endpoint, name in service.servers.items():
        own = state.servers.setdefault(endpoint, Standing())
        own.name = name
        found = verdicts.get((service.verdicts, endpoint), UNKNOWN)
        if found in (UNKNOWN, own.verdict):
            continue
        if found == PASSED and own.verdict == FAILED:
            own.passing_since = now
        own.verdict, own.since, own.known = found, now, True
        changed.append(endpoint)
    for endpoint in [one for one in state.servers if one not in service.servers]:
        del state.servers[endpoint]
    return changed


def decide(
    state: State, service: Service, planned: Mapping[str, int], overrides: Mapping[str, Override], now: float
) -> None:
    """Decides on each real server of a service; `planned` are the weights of the plan by endpoint, `overrides` by the host's name."""
    known, new = state.servers, not any(own.share is not None or own.known for own in state.servers.values())
    weights: dict[str, int] = {}
    for endpoint, own in known.items():
        own.planned = planned.get(endpoint, 0)
        override = overrides.get(own.name)
        held = override is not None and override.holds(service.service, now)
        weights[endpoint] = override.weight if override and held else own.planned
    enabled = [endpoint for endpoint, weight in weights.items() if weight]
    passing = [endpoint for endpoint in enabled if _passes(known[endpoint], service, now)]
    asked = [endpoint for endpoint in enabled if known[endpoint].verdict == UNKNOWN]
    waiting = [endpoint for endpoint in asked if new or known[endpoint].share is not None or not passing]
    used = {*passing, *waiting}
    failed = [endpoint for endpoint in enabled if endpoint not in used]
    kept: list[str] = []
    before = state.state
    state.state = FINE
    if not used and failed and service.sorry:
        state.state = SORRY
    elif failed:
        kept = _kept(failed, used, weights, known, service.floor)
        state.state = FLOOR if kept and passing else FINE if used else DOWN
    if state.state != before:
        state.since = now
    _apologize(state, now)
    for endpoint, own in known.items():
        _settle(own, service, weights[endpoint], endpoint in used, endpoint in kept, state.state, now)
    state.due = min(_times(state, service, overrides, now), default=None)


def _times(state: State, service: Service, overrides: Mapping[str, Override], now: float) -> Iterator[float]:
    """When a weight grows, a real server has passed for long enough, an operator's weight or a sorry server's time ends."""
    if state.apology == 0:
        yield state.apologized + LINGER
    for own in state.servers.values():
        override = overrides.get(own.name)
        if override and override.until is not None and override.holds(service.service, now):
            yield override.until
        if own.verdict == PASSED and not own.share:
            if own.passing_since + service.hold > now:
                yield own.passing_since + service.hold
        elif own.share is not None and own.share < 1:
            yield now + 1


def _apologize(state: State, now: float) -> None:
    if state.state == SORRY:
        state.apology = 1
    elif state.apology:
        state.apology, state.apologized = 0, now
    elif state.apology == 0 and now - state.apologized >= LINGER:
        state.apology = None


def _passes(own: Standing, service: Service, now: float) -> bool:
    """Whether a real server may be used: after a failure only when it has passed for some time (`rise`)."""
    if own.verdict != PASSED:
        return False
    return bool(own.share) or not own.passing_since or now - own.passing_since >= service.hold


def _kept(
    failed: Sequence[str], used: Iterable[str], weights: Mapping[str, int], known: Mapping[str, Standing], floor: int
) -> list[str]:
    """The failed real servers that must stay, so that the floor's share of the weight is in use: those in use first, of these the ones
    that failed last.
    """
    need = sum(weights.values()) * floor / 100
    have = sum(weights[endpoint] for endpoint in used)
    order = sorted(failed, key=lambda endpoint: (not known[endpoint].share, -known[endpoint].since, endpoint))
    kept = []
    for endpoint in order:
        if have >= need:
            break
        have += weights[endpoint]
        kept.append(endpoint)
    return kept


def _settle(own: Standing, service: Service, weight: int, used: bool, kept: bool, state: str, now: float) -> None:
    """Share, weight and reason of one real server."""
    was_out = not own.share and own.known and own.passing_since > 0
    if used and was_out and weight:
        own.used_since = now
    out = 0.0 if service.quiesce else None
    if not weight:
        own.share = 0.0
        own.why = "weight 0"
    elif used:
        own.share = _grown(own, service, now)
        own.why = "check passed" if own.verdict == PASSED else "no verdict yet"
        if own.share < 1:
            own.why += f", weight grows for {service.slow_start:g} s"
    elif kept:
        own.share, own.used_since = 1.0, 0.0
        own.why = "check failed, kept by the floor"
    else:
        own.share = out
        own.why = "check passed, not long enough yet" if own.verdict == PASSED else "check failed"
        if own.verdict == UNKNOWN:
            own.why = "no verdict yet"
        elif state == SORRY:
            own.why += ", the sorry server answers"
    own.weight = None if own.share is None else max(1, round(weight * own.share)) if own.share else 0


def _grown(own: Standing, service: Service, now: float) -> float:
    if not service.slow_start or not own.used_since:
        return 1.0
    return min(1.0, max(LEAST_SHARE, (now - own.used_since) / service.slow_start))


def due(state: State, now: float) -> bool:
    """Whether time alone can change a decision."""
    return state.due is not None and now >= state.due


def governed(text: str, services: Iterable[Service], states: Mapping[str, State]) -> str:
    """The table of the plan, in ipvsadm's format, with the decisions. A service without decisions stays as it is planned."""
    changes: dict[str, list[Standing | None]] = {}
    apologies: dict[str, tuple[str, int]] = {}
    for service in services:
        state = states.get(service.key)
        if state and state.servers:
            servers = [state.servers.get(endpoint) for endpoint in service.servers]
            changes.update((entry, servers) for entry in service.entries)
            if state.apology is not None:
                apologies.update((entry, (real, state.apology)) for entry, real in service.apologies.items())
    if not changes:
        return text
    lines = []
    places: dict[str, int] = {}  # of the next destination of each entry among the real servers
    for line in statements(text):
        words = line.split()
        name = " ".join(words[1:4] if words[3:4] == ["-6"] else words[1:3])
        if name not in changes:
            lines.append(line)
        elif words[0] == "-A":
            lines.append(line)
            if name in apologies:
                real, weight = apologies[name]
                lines.append(f"-a {name} -r {real} -w {weight}")
        else:
            servers = changes[name]
            place = places.get(name, 0)
            places[name] = place + 1
            lines += _changed(line, words, servers, place) if place < len(servers) else [line]
    return "".join(f"{line}\n" for line in lines)


def _changed(line: str, words: Sequence[str], servers: Sequence[Standing | None], place: int) -> list[str]:
    """The line of a destination with the decision on it."""
    own = servers[place]
    if own is None:  # it is new: it enters when its check has passed, if others are there meanwhile
        return [] if any(other and other.weight for other in servers) else [line]
    if own.weight is None:
        return []
    place = words.index("-w") + 1
    return [" ".join([*words[:place], str(own.weight), *words[place + 1 :]])]


def planned_weights(text: str, service: Service) -> dict[str, int]:
    """The weights of the plan for a service's real servers, by their endpoints."""
    flag, _, rest = service.entries[0].partition(" ")
    planned = parse(text).get((flag, rest), VirtualService(""))
    weights = [int(options.partition("-w ")[2].split()[0]) for options in planned.destinations.values()]
    return dict(zip(service.servers, weights))
