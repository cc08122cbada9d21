"""The checks on hosts, and the report of their findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible.module_utils.lvs.diagnosis import Counts
from ansible.module_utils.lvs.findings import Finding, findings
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.questions import Questions, questions
from ansible.module_utils.lvs.topology import Service, Topology

INSPECTED = ("directors", "real_servers", "hypervisors", "clients")


def hosts(topology: Topology) -> list[str]:
    """The hosts that can be inspected: those of the groups that lvskit provisions, and the clients."""
    return list(dict.fromkeys(name for group in INSPECTED for name in topology.groups.get(group, ())))


def asked(
    topology: Topology, names: Collection[str], services: Collection[Service] | None = None
) -> dict[str, Questions]:
    """The checks of each host; for the given services only, if there are any."""
    return questions(topology, plans(topology, names), names, services)


def wrong(
    topology: Topology, asked_of: Mapping[str, Questions], answers: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """The findings. `answers` are the results of lvs_inspect by host, also those of hosts that could not be reached."""
    return findings(topology, plans(topology, list(asked_of)), asked_of, answers)


def counts(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Counts]:
    """The present counters of each host."""
    return {
        name: Counts({str(rule): count for rule, count in answer["drops"]}, dict(answer["counters"]))
        for name, answer in answers.items()
        if answer and "drops" in answer
    }


def lines(found: Sequence[Finding]) -> Iterable[str]:
    """The findings as text for a person, under each host's name."""
    for name in dict.fromkeys(finding.host for finding in found):
        yield name
        for finding in (one for one in found if one.host == name):
            kind = "risk  " if finding.risk else "fault "
            yield f"  {kind} {finding.check}  {finding.subject}"
            yield f"         found {finding.found}"
            yield f"         needed {finding.needed}"
            yield f"         {finding.consequence}"
        yield ""
