"""The safety net of a run: services that answered before it, and do not afterwards.

One failed request is not enough: it may have reached the one dead real server of ten, and a good change would be rolled back.
A service is therefore lost only if every one of many requests fails. With some schedulers and with persistence, one client always
gets the same real server. Then a second observer must confirm the loss.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.lvs.families import IPV6
from ansible.module_utils.lvs.schedulers import BY_SOURCE, SPREADING
from ansible.module_utils.lvs.topology import Entry, Host, Service, Topology
from ansible.module_utils.lvs.violations import listed

from . import asking

ASKERS = 2  # clients; the second one confirms if the first always gets the same real server
Answers = Mapping[str, Any]  # what lvs_probe has returned

_COUNT_BEFORE = 3
_BEFORE = {"timeout": 1, "seconds": 120, "until_answered": True}
_AFTER = {"timeout": 3, "seconds": 180, "until_answered": True}
_COUNT_BEHIND = 2
_COUNT_CHECKED = 3  # after the run, of a service with health checks: dead real servers are out of the table when the last ones are sent
_MOST_PATIENCE = 60  # seconds; where checks take longer, many requests are sent at once


def askers(topology: Topology, in_run: Collection[str]) -> list[str]:
    """The clients that send the requests: the first ones that have an interface and are in this run."""
    return [host.name for host in topology.clients if host.interfaces and host.name in in_run][:ASKERS]


def nobody_asks(topology: Topology) -> str:
    """Why no client probes the services in this run, as a line for a person."""
    clients = [host.name for host in topology.clients if host.interfaces]
    why = (
        f"--limit excludes {listed(clients, 'and')}" if clients else "the group clients has no host with lvs_interfaces"
    )
    return f"No client probes the services before and after this run, so the run cannot detect a lost service: {why}."


def before(
    topology: Topology, client: str, recorded: Mapping[str, Collection[str]], path: str | None
) -> dict[str, Any]:
    """The requests of a client before the run, for lvs_probe. `recorded`: the recorded services of each director that could be read.

    A service that none of its directors has yet cannot be lost, and requests to its VIP would only time out.
    """
    carried = [
        entry
        for entry in _entries(topology, client)
        if any(d.name not in recorded or _key(topology, entry) in recorded[d.name] for d in entry.service.directors)
    ]
    return {"requests": [asking.request(entry, _COUNT_BEFORE, path) for entry in carried], **_BEFORE}


def _entries(topology: Topology, client: str) -> Iterator[Entry]:
    """The entries that a client can ask: those of the families of its addresses."""
    host = topology.hosts[client]
    for service in topology.services:
        yield from (entry for entry in asking.probed(service) if host.on(entry.family))


def after(topology: Topology, client: str, answers: Answers, path: str | None) -> dict[str, Any]:
    """The requests of a client after the run, for lvs_probe: to the services that have answered before."""
    answered = _answered(answers)
    requests = [_enough(entry, path) for entry in _entries(topology, client) if entry.label in answered]
    return {"requests": requests, **_AFTER}


def _enough(entry: Entry, path: str | None) -> dict[str, Any]:
    """The requests to an entry after the run: so many that each real server gets some, or few of which the last ones are sent when health
    checks have taken dead real servers out.
    """
    check = entry.service.health_check
    if check is None or check.detection >= _MOST_PATIENCE:
        return asking.request(entry, asking.enough(entry.service), path)
    return {**asking.request(entry, _COUNT_CHECKED, path), "patience": check.detection + 1}


@dataclass
class Verdict:
    """`lost`: services, each with its client's error. `doubts`: sentences about services that may be lost.

    Of a service with several entries each is decided by itself. `undecided`: those whose loss a second observer must confirm.
    """

    lost: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    undecided: list[Entry] = field(default_factory=list)
    unknown: bool = False  # the clients of the first requests could not send the second ones

    def behind(self, topology: Topology, in_run: Collection[str]) -> dict[str, dict[str, Any]]:
        """The requests of directors to the real servers of undecided services, for lvs_probe, by director."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.undecided:
            director = next((host for host in entry.service.directors if host.name in in_run), None)
            if director is not None:
                questions = found.setdefault(director.name, {"requests": [], **_AFTER})
                questions["requests"] += [request for request, _ in _to_real_servers(topology, entry, director)]
        return found


def verdict(
    topology: Topology, before: Mapping[str, Answers], after: Mapping[str, Answers], behind: Mapping[str, Answers]
) -> Verdict:
    """The services that the run has lost. `before` and `after` are the answers by client, `behind` those of real servers by director."""
    asked = {name for name, answers in before.items() if _answered(answers)}
    found = Verdict(unknown=bool(asked) and not asked & after.keys())
    witnesses = {name: (_answered(before[name]), _answered(after[name]), after[name]) for name in asked & after.keys()}
    for entry in (entry for service in topology.services for entry in asking.probed(service)):
        service, label = entry.service, entry.label
        clients = sorted(name for name, (answered, _, _) in witnesses.items() if label in answered)
        still = [name for name in clients if label in witnesses[name][1]]
        late = [name for name in clients if label in witnesses[name][2]["unasked"]]
        gone = [name for name in clients if name not in still]
        if not gone or not asking.in_use(service):
            continue  # a service without real servers in use need not answer
        begin = f"{label} answered {listed(gone, 'and')} before this run, and not afterwards."
        if still:
            found.doubts.append(f"{begin} It still answers {listed(still, 'and')}.")
        elif late:
            found.doubts.append(f"{begin} Not all requests to it were sent: the time limit was reached.")
        elif _several(service) or (len(gone) > 1 and _by_source(service)):
            found.lost[label] = _error(entry, witnesses[gone[0]][2])
        else:
            _by_real_servers(topology, found, entry, begin, _error(entry, witnesses[gone[0]][2]), behind)
    return found


def _by_real_servers(
    topology: Topology, found: Verdict, entry: Entry, begin: str, error: str, behind: Mapping[str, Answers]
) -> None:
    """Decides by the real servers: if their director reaches all of them, the service is lost."""
    service = entry.service
    director = next((host for host in service.directors if host.name in behind), None)
    answers = behind[director.name] if director else {"connections": []}
    sent = {str(one["service"]) for one in answers["connections"]}
    asked = [
        (str(request["service"]), host)
        for request, host in (_to_real_servers(topology, entry, director) if director else ())
        if request["service"] in sent
    ]
    answered = _answered(answers)
    silent = [host for name, host in asked if name not in answered]
    why = (
        "with persistence" if service.persistence_timeout else f"by its scheduler {service.scheduler}"
    ) + " one client always gets the same real server"
    if not asked:
        found.undecided.append(entry)
        found.doubts.append(f"{begin} But {why}, and no other client has probed it. Probe it from another client.")
    elif not silent:
        found.lost[entry.label] = f"{error}, although its director reaches all of its real servers"
    else:
        found.doubts.append(
            f"{begin} But {why}, and {listed(silent, 'and')} {'do' if len(silent) > 1 else 'does'} not answer the director either. "
            f"Check {listed(silent, 'and')}, then run playbooks/verify.yml."
        )


def _to_real_servers(topology: Topology, entry: Entry, director: Host) -> Iterator[tuple[dict[str, Any], str]]:
    """Requests by which a director asks each real server by its own address, and the real servers' names."""
    for server in asking.in_use(entry.service)[: asking.MOST_REQUESTS]:
        interface = topology.real_interface(entry, director, server.host)
        if interface:
            port = server.at_port(entry.port)
            own = {"service": f"{server.host.name}:{port} of {entry.label}", "port": port, "address": interface.text}
            yield {**asking.request(entry, _COUNT_BEHIND), **own}, server.host.name


def _several(service: Service) -> bool:
    """Whether many requests of one client reach all real servers; with a single real server they do."""
    return len(asking.in_use(service)) == 1 or (service.scheduler in SPREADING and not service.persistence_timeout)


def _by_source(service: Service) -> bool:
    """Whether another client may get another real server."""
    return service.scheduler in BY_SOURCE or service.scheduler in SPREADING


def _answered(answers: Answers) -> set[str]:
    return {str(one["service"]) for one in answers["connections"] if not one["error"]}


def _error(entry: Entry, answers: Answers) -> str:
    errors = (str(one["error"]) for one in answers["connections"] if one["service"] == entry.label)
    return next(errors, "no answer")


def _key(topology: Topology, entry: Entry) -> str:
    """The entry as lvs_recorded names it."""
    if entry.by_mark:
        return f"mark {topology.mark(entry)}{' -6' if entry.family is IPV6 else ''}"
    return f"{entry.protocol} {entry}"


def report(found: Verdict, *, rolled_back: bool) -> Sequence[str]:
    """The final sentences of a run that has lost a service."""
    lines = []
    if found.unknown:
        lines.append(
            "The clients cannot be reached after this run, so it is not known whether the services still "
            "answer. Nothing was rolled back. Check the clients, then run playbooks/verify.yml."
        )
    if found.lost:
        errors = "; ".join(dict.fromkeys(found.lost.values()))
        end = (
            "The hosts were rolled back. Run site.yml with -e lvs_site_rollback=false, then playbooks/verify.yml, to see where "
            "packets are lost."
            if rolled_back
            else "Nothing was rolled back (lvs_site_rollback: false). playbooks/verify.yml shows where packets are lost, "
            "playbooks/rollback.yml rolls the hosts back."
        )
        lines.append(f"{listed(list(found.lost), 'and')} answered before this run, and not afterwards: {errors}. {end}")
    return lines
