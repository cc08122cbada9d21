"""What becomes of real servers whose checks fail: decisions about weights, without a look at the host.

A decision is a *share* of the planned weight: 1 is the whole weight, 0 is weight 0 (no new connections), None is removed from the
table. Where an operator has set a weight, that one counts in place of the planned one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .ipvs import VirtualService, parse
from .resource import statements
from .verdicts import FAILED, PASSED, UNKNOWN, Endpoint

FINE, FLOOR, SORRY, DOWN = "fine", "floor", "sorry", "down"
LEAST_SHARE = 0.01  # of a weight that grows


@dataclass(frozen=True)
class Service:
    """A service in one family, as the plan has it: see CheckedService in lvs/host_plan.py."""

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

    @property
    def by_address(self) -> dict[str, str]:
        """The endpoint that keepalived knows a real server by, by the real server's address."""
        return {address_of(endpoint): endpoint for endpoint in self.servers}

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
    """What the governor has decided about a service, by the addresses of its real servers."""

    state: str = FINE
    since: float = 0.0
    servers: dict[str, Standing] = field(default_factory=dict)

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
        return cls(str(raw["state"]), float(raw["since"]), servers)


def address_of(endpoint: str) -> str:
    """The address of `192.0.2.11:80`, or of `[2001:db8::11]:80`."""
    return endpoint.rpartition(":")[0].strip("[]")


def hear(state: State, service: Service, verdicts: Mapping[Endpoint, str], now: float) -> list[str]:
    """Takes new verdicts; returns the addresses of the real servers whose verdict has changed. UNKNOWN and a missing verdict change nothing."""
    changed = []
    for address, endpoint in service.by_address.items():
        own = state.servers.setdefault(address, Standing())
        own.name = service.servers[endpoint]
        found = verdicts.get((service.verdicts, endpoint), UNKNOWN)
        if found in (UNKNOWN, own.verdict):
            continue
        if found == PASSED and own.verdict == FAILED:
            own.passing_since = now
        own.verdict, own.since, own.known = found, now, True
        changed.append(address)
    for address in [one for one in state.servers if one not in service.by_address]:
        del state.servers[address]
    return changed


def decide(
    state: State, service: Service, planned: Mapping[str, int], overrides: Mapping[str, Override], now: float
) -> None:
    """Decides on each real server of a service; `planned` are the weights of the plan by address, `overrides` by the host's name."""
    known, new = state.servers, not any(own.share is not None or own.known for own in state.servers.values())
    weights: dict[str, int] = {}
    for address, own in known.items():
        own.planned = planned.get(address, 0)
        override = overrides.get(own.name)
        held = override is not None and override.holds(service.service, now)
        weights[address] = override.weight if override and held else own.planned
    enabled = [address for address, weight in weights.items() if weight]
    passing = [address for address in enabled if _passes(known[address], service, now)]
    asked = [address for address in enabled if known[address].verdict == UNKNOWN]
    waiting = [address for address in asked if new or known[address].share is not None or not passing]
    used = {*passing, *waiting}
    failed = [address for address in enabled if address not in used]
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
    for address, own in known.items():
        _settle(own, service, weights[address], address in used, address in kept, state.state, now)


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
    have = sum(weights[address] for address in used)
    order = sorted(failed, key=lambda address: (not known[address].share, -known[address].since, address))
    kept = []
    for address in order:
        if have >= need:
            break
        have += weights[address]
        kept.append(address)
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


def due(state: State, service: Service, overrides: Mapping[str, Override], now: float) -> bool:
    """Whether time alone can change a decision: a weight grows, a server waits for its `rise`, or an operator's weight ends."""
    for own in state.servers.values():
        override = overrides.get(own.name)
        if override and override.until is not None:
            return True
        if own.verdict == PASSED and (own.share is None or own.share < 1):
            return True
    return False


def governed(text: str, services: Iterable[Service], states: Mapping[str, State]) -> str:
    """The table of the plan, in ipvsadm's format, with the decisions. A service without decisions stays as it is planned."""
    changes: dict[str, tuple[Service, State]] = {}
    for service in services:
        state = states.get(service.key)
        if state and state.servers:
            changes.update((entry, (service, state)) for entry in service.entries)
    if not changes:
        return text
    lines = []
    for line in statements(text):
        words = line.split()
        name = _name(words)
        lines += _changed(line, words, *changes[name]) if name in changes else [line]
        if words[0] == "-A" and name in changes:
            service, state = changes[name]
            if state.state == SORRY and name in service.apologies:
                lines.append(f"-a {name} -r {service.apologies[name]} -w 1")
    return "".join(f"{line}\n" for line in lines)


def _name(words: Sequence[str]) -> str:
    """The service that a line is about, as ipvsadm names it."""
    return " ".join(words[1:4] if words[3:4] == ["-6"] else words[1:3])


def _changed(line: str, words: Sequence[str], service: Service, state: State) -> list[str]:
    if words[0] != "-a":
        return [line]
    own = state.servers.get(address_of(words[words.index("-r") + 1]))
    if own is None:  # it is new: it enters when its check has passed
        return [] if any(other.known for other in state.servers.values()) else [line]
    if own.weight is None:
        return []
    place = words.index("-w") + 1
    return [" ".join([*words[:place], str(own.weight), *words[place + 1 :]])]


def planned_weights(text: str, service: Service) -> dict[str, int]:
    """The weights of the plan for a service's real servers, by address."""
    table = parse(text)
    found: dict[str, int] = {}
    for entry in service.entries[:1]:
        flag, _, rest = entry.partition(" ")
        planned = table.get((flag, rest), VirtualService(""))
        for endpoint, options in planned.destinations.items():
            words = options.split()
            found[address_of(endpoint)] = int(words[words.index("-w") + 1])
    return found
