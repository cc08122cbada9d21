"""The modes that would carry a service, the best one first, and the reasons against the others.

The rules decide, not this module: it parses the service for every row of the table of modes, with the
settings that the row needs, and checks it with all rules together with the other services.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from . import inventory, modes, rules
from .contract.key import keys_of
from .families import TABLE, Address
from .modes import Mode
from .rules.sharing import LOCAL_BY_DIRECTORS, VIP
from .topology import Service, Topology
from .violations import Violation, listed

_KEYS = keys_of(Service)
# Keys of a service that depend on the mode: advice tries values and ignores the given ones.
_OF_ONE_MODE = {"mode", *(key.name for key in _KEYS.values() if key.modes)}


@dataclass(frozen=True)
class Option:
    """One row of the table, tried for a service. `settings` are the keys that it needs besides the mode.

    `obstacles` are the reasons against it; without any it is possible.
    """

    mode: Mode
    settings: Mapping[str, Any]
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def possible(self) -> bool:
        return not self.obstacles

    @property
    def title(self) -> str:
        """The mode as in the inventory."""
        said = ", ".join(f"{key}: {_yaml(value)}" for key, value in self.settings.items())
        return f"{self.mode.name} ({said})" if said else self.mode.name

    def as_dict(self) -> dict[str, Any]:
        """The option as mappings and lists."""
        return {
            "mode": self.mode.name,
            "settings": dict(self.settings),
            "possible": self.possible,
            "obstacles": list(self.obstacles),
            "warnings": list(self.warnings),
            "effects": list(self.mode.effects),
        }


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def options(raw: Mapping[str, Any], topology: Topology) -> tuple[Option, ...]:
    """Every row of the table for the service `raw` (as in lvs_services; its mode does not matter), the best one first.

    `topology`: the environment; a service of the same name in it is ignored. Impossible rows come last. Of the
    possible rows, those come first whose replies do not pass the director, then those that need no kernel modules, then those
    whose applications see the client, then those that add the fewest bytes.
    """
    others = topology.without(raw.get("name", ""))
    tried = (_tried(raw, mode, others) for mode in modes.TABLE)
    return tuple(sorted(tried, key=_rank))


def needing(raw: Any, needs: Mapping[str, Any]) -> Any:
    """The service with `needs` added to its own; unchanged if it cannot be read."""
    own = raw.get("needs", {}) if isinstance(raw, Mapping) else None
    return {**raw, "needs": {**own, **needs}} if isinstance(own, Mapping) else raw


def faults(raw: Any, topology: Topology) -> list[Violation]:
    """The faults of the service `raw` in every mode."""
    if not isinstance(raw, Mapping):
        return inventory.service(raw, topology)[1]
    candidate = {key: value for key, value in raw.items() if key not in _OF_ONE_MODE}
    return inventory.service({**candidate, "mode": modes.NAMES[0]}, topology)[1]


def _rank(option: Option) -> tuple[Any, ...]:
    mode = option.mode
    unseen = mode.seen is not modes.Address.CLIENT
    return (not option.possible, mode.reply_through_director, mode.needs_modules, unseen, mode.cip_src, mode.overhead)


def _tried(raw: Mapping[str, Any], mode: Mode, others: Topology) -> Option:
    """The first of the settings for this row that has the fewest obstacles."""
    found = [_option(raw, mode, settings, others) for settings in _settings(raw, mode, others)]
    return min(found, key=lambda option: len(option.obstacles))


def _settings(raw: Mapping[str, Any], mode: Mode, others: Topology) -> Iterator[dict[str, Any]]:
    if mode.source_nat:
        given = raw.get("local_addresses")
        free = [str(address) for address in _free(raw, others)]
        yield {**mode.settings, "local_addresses": given or free}
    elif mode.director_is_gateway:
        yield {}
        yield {"return_path": "policy"}
    else:
        yield mode.settings


def _free(raw: Mapping[str, Any], topology: Topology) -> Iterator[Address]:
    """For each director of the service and each family of its VIPs, the highest address of its last network that nothing has."""
    vips = inventory.service({**raw, "mode": modes.NAMES[0]}, topology)[0]
    wanted = vips.families if vips else TABLE[:1]
    gateways = {router for network in topology.networks.values() for router in network.routers}
    for name in topology.groups.get(raw.get("directors", _KEYS["directors"].default), ()):
        for family in wanted:
            for one in topology.hosts[name].on(family)[-1:]:
                last = int(one.prefix.broadcast_address) - 1
                candidates = (family.address_type(last - i) for i in range(min(one.prefix.num_addresses - 2, 1000)))
                free = (
                    a for a in candidates if a not in gateways and a not in topology.owners and not _used(a, topology)
                )
                yield from islice(free, 1)


def _used(address: Address, topology: Topology) -> bool:
    """Whether a service has the address."""
    register = topology.register
    return bool(register.first(VIP, address) or register.firsts(LOCAL_BY_DIRECTORS, address))


def _option(raw: Mapping[str, Any], mode: Mode, settings: Mapping[str, Any], others: Topology) -> Option:
    candidate = {key: value for key, value in raw.items() if key not in _OF_ONE_MODE}
    candidate |= {"mode": mode.name, **settings}
    service, faults = inventory.service(candidate, others)
    found: list[Violation] = list(faults)
    if service:
        found += rules.added(others, service)
    errors = dict.fromkeys(str(violation) for violation in found if not violation.warning)
    warnings = dict.fromkeys(str(violation) for violation in found if violation.warning)
    return Option(mode, settings, tuple(errors), tuple(warnings))


def report(raw: Mapping[str, Any], found: Sequence[Option]) -> list[str]:
    """The options of a service as lines of text for a person."""
    needs = [f"{key}: {_yaml(value)}" for key, value in raw.get("needs", {}).items()]
    vips, ports = (" and ".join(_texts(raw.get(key))) for key in ("vip", "port"))
    end = f"{vips}{':' if len(_texts(raw.get('vip'))) == 1 else ', port '}{ports}/{','.join(_texts(raw.get('protocol', 'tcp')))}"
    lines = [f"service {raw.get('name')} ({end}{', now ' if 'mode' in raw else ''}{raw.get('mode', '')})"]
    lines += [f"  needs    {', '.join(needs)}"] if needs else []
    best = next((option for option in found if option.possible), None)
    for option in found:
        verdict = "best" if option is best else "possible" if option.possible else "no"
        lines.append(f"  {verdict:<9}{option.title}")
        lines += [] if option.obstacles else [f"           {'; '.join(option.mode.effects)}"]
        lines += [f"           {text}" for text in _first_of_each_rule([*option.obstacles, *option.warnings])]
    return lines


def _texts(value: Any) -> list[str]:
    """A value of the inventory, or each of a list of them."""
    return list(map(str, value)) if isinstance(value, (list, tuple)) else [str(value)]


def _first_of_each_rule(messages: Sequence[str]) -> Iterator[str]:
    """One message for each rule: a rule that refuses one of a thousand real servers usually refuses the others too."""
    by_rule: dict[str, list[str]] = {}
    for message in messages:
        by_rule.setdefault(message.split(":")[0], []).append(message)
    for first, *more in by_rule.values():
        yield f"{first} ({len(more)} more like this)" if more else first


def in_short(found: Sequence[Option]) -> str:
    """The options in two sentences, for a message."""
    possible = [option.title for option in found if option.possible]
    ids = {
        option.title: listed(list(dict.fromkeys(text.split(":")[0] for text in option.obstacles)), "and")
        for option in found
        if not option.possible
    }
    no = "; ".join(f"not {title}: {names}" for title, names in ids.items())
    yes = (
        f"Choose {listed(possible)}, of which the first is best" if len(possible) > 1 else f"Choose {''.join(possible)}"
    )
    return f"{yes if possible else 'No mode would do'}. {f'{no}. ' if no else ''}playbooks/advise.yml says why."
