"""The safety net of a run: services that answered before it, and do not afterwards.

One request that fails proves nothing: it may have met the one dead real server of ten, and a good change would be rolled back.
So a service is lost only when every one of many requests fails. Under some schedulers and with persistence one client always
meets the same real server, however often it asks. Then a second witness has to agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.lvs.schedulers import BY_SOURCE, SPREADING
from ansible.module_utils.lvs.topology import Host, Service, Topology
from ansible.module_utils.lvs.violations import listed

from . import asking

ASKERS = 2  # clients; the second one is the witness where the first always meets the same real server
Answers = Mapping[str, Any]  # what lvs_probe has returned

_COUNT_BEFORE = 3
_BEFORE = {"timeout": 1, "seconds": 120, "until_answered": True}
_AFTER = {"timeout": 3, "seconds": 180, "until_answered": True}
_COUNT_BEHIND = 2


def askers(topology: Topology, in_run: Collection[str]) -> list[str]:
    """The clients that ask: the first ones that have an interface and are in this run."""
    return [host.name for host in topology.clients if host.interfaces and host.name in in_run][:ASKERS]


def nobody_asks(topology: Topology) -> str:
    """Why nobody asks the services in this run, as a line for a person."""
    clients = [host.name for host in topology.clients if host.interfaces]
    why = (
        f"--limit leaves out {listed(clients, 'and')}"
        if clients
        else "the group clients has no host with lvs_interfaces"
    )
    return f"Nobody asks the services before and after this run, so it does not notice when one is lost: {why}."


def before(topology: Topology, recorded: Mapping[str, Collection[str]], path: str | None) -> dict[str, Any]:
    """The questions before the run, for lvs_probe. `recorded`: the services of the directors that were asked for them.

    A service that none of its directors carries yet cannot be lost, and its VIP would only be waited for.
    """
    carried = [
        service
        for service in topology.services
        if any(name not in recorded or _key(service) in recorded[name] for name in (d.name for d in service.directors))
    ]
    return {"requests": [asking.request(service, _COUNT_BEFORE, path) for service in carried], **_BEFORE}


def after(topology: Topology, answers: Answers, path: str | None) -> dict[str, Any]:
    """The questions after the run, for lvs_probe: the services that have answered before."""
    answered = _answered(answers)
    requests = [
        asking.request(service, asking.enough(service), path)
        for service in topology.services
        if service.name in answered
    ]
    return {"requests": requests, **_AFTER}


@dataclass
class Verdict:
    """`lost`: services, each with what its client met. `doubts`: sentences about services that may be lost.

    `undecided`: services that a second witness has to decide about.
    """

    lost: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    undecided: list[Service] = field(default_factory=list)
    unknown: bool = False  # the clients that asked before the run could not ask again

    def behind(self, topology: Topology, in_run: Collection[str]) -> dict[str, dict[str, Any]]:
        """What directors ask the real servers of undecided services, for lvs_probe, by director."""
        found: dict[str, dict[str, Any]] = {}
        for service in self.undecided:
            director = next((host for host in service.directors if host.name in in_run), None)
            if director is not None:
                questions = found.setdefault(director.name, {"requests": [], **_AFTER})
                questions["requests"] += [request for request, _ in _to_real_servers(topology, service, director)]
        return found


def verdict(
    topology: Topology, before: Mapping[str, Answers], after: Mapping[str, Answers], behind: Mapping[str, Answers]
) -> Verdict:
    """What the run has cost. `before` and `after` are the answers by client, `behind` those of real servers by director."""
    asked = {name for name, answers in before.items() if _answered(answers)}
    found = Verdict(unknown=bool(asked) and not asked & after.keys())
    witnesses = {name: (_answered(before[name]), _answered(after[name]), after[name]) for name in asked & after.keys()}
    for service in topology.services:
        clients = sorted(name for name, (answered, _, _) in witnesses.items() if service.name in answered)
        still = [name for name in clients if service.name in witnesses[name][1]]
        late = [name for name in clients if service.name in witnesses[name][2]["unasked"]]
        gone = [name for name in clients if name not in still]
        if not gone or not asking.in_use(service):
            continue  # a service without real servers in use is meant not to answer
        begin = f"{service.name} answered {listed(gone, 'and')} before this run, and not afterwards."
        if still:
            found.doubts.append(f"{begin} It still answers {listed(still, 'and')}.")
        elif late:
            found.doubts.append(f"{begin} Not all requests to it were sent: the time for them was over.")
        elif _several(service) or (len(gone) > 1 and _by_source(service)):
            found.lost[service.name] = _error(service, witnesses[gone[0]][2])
        else:
            _by_real_servers(topology, found, service, begin, _error(service, witnesses[gone[0]][2]), behind)
    return found


def _by_real_servers(
    topology: Topology, found: Verdict, service: Service, begin: str, error: str, behind: Mapping[str, Answers]
) -> None:
    """Decides by the real servers: when their director reaches all of them, it is the way to them that is broken."""
    director = next((host for host in service.directors if host.name in behind), None)
    answers = behind[director.name] if director else {"connections": []}
    sent = {str(one["service"]) for one in answers["connections"]}
    asked = [
        (str(request["service"]), host)
        for request, host in (_to_real_servers(topology, service, director) if director else ())
        if request["service"] in sent
    ]
    answered = _answered(answers)
    silent = [host for name, host in asked if name not in answered]
    why = (
        "with persistence" if service.persistence_timeout else f"by its scheduler {service.scheduler}"
    ) + " one client always meets the same real server"
    if not asked:
        found.undecided.append(service)
        found.doubts.append(f"{begin} But {why}, and nobody else has asked. Ask it from another client.")
    elif not silent:
        found.lost[service.name] = f"{error}, although its director reaches all of its real servers"
    else:
        found.doubts.append(
            f"{begin} But {why}, and {listed(silent, 'and')} {'do' if len(silent) > 1 else 'does'} not answer the director either. "
            f"Look after {listed(silent, 'and')}, then run playbooks/verify.yml."
        )


def _to_real_servers(topology: Topology, service: Service, director: Host) -> Iterator[tuple[dict[str, Any], str]]:
    """Requests by which a director asks each real server by its own address, and the real servers' names."""
    for server in asking.in_use(service)[: asking.MOST_REQUESTS]:
        interface = topology.real_interface(service, director, server.host)
        if interface:
            own = {"service": f"{server.host.name}:{server.port} of {service.name}", "port": server.port}
            request = {**asking.request(service, _COUNT_BEHIND), **own, "address": interface.text}
            yield request, server.host.name


def _several(service: Service) -> bool:
    """Whether many requests of one client meet all real servers; a single one is all there is."""
    return len(asking.in_use(service)) == 1 or (service.scheduler in SPREADING and not service.persistence_timeout)


def _by_source(service: Service) -> bool:
    """Whether another client may meet another real server."""
    return service.scheduler in BY_SOURCE or service.scheduler in SPREADING


def _answered(answers: Answers) -> set[str]:
    return {str(one["service"]) for one in answers["connections"] if not one["error"]}


def _error(service: Service, answers: Answers) -> str:
    errors = (str(one["error"]) for one in answers["connections"] if one["service"] == service.name)
    return next(errors, "no answer")


def _key(service: Service) -> str:
    """The service as lvs_recorded names it."""
    return f"{service.protocol} {service.vip}:{service.port}"


def report(found: Verdict, *, rolled_back: bool) -> Sequence[str]:
    """The sentences with which a run that has cost a service ends."""
    lines = []
    if found.unknown:
        lines.append(
            "The clients could ask the services before this run, and cannot be reached any more: whether they answer is not "
            "known. Nothing was rolled back. Look after the clients, then run playbooks/verify.yml."
        )
    if found.lost:
        errors = "; ".join(dict.fromkeys(found.lost.values()))
        end = (
            "The hosts were brought back to what they had before it. playbooks/verify.yml on a run like this one shows where "
            "packets get lost."
            if rolled_back
            else "Nothing was rolled back (lvs_site_rollback: false). playbooks/verify.yml shows where packets get lost, "
            "playbooks/rollback.yml brings the hosts back."
        )
        lines.append(f"{listed(list(found.lost), 'and')} answered before this run, and not afterwards: {errors}. {end}")
    return lines
