"""A whole verification: every batch of services, compared with what its hosts have captured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import captures, verification
from .batches import Batch
from .run_folder import RunFolder
from .verification import Report

SHOWN = 40  # services that are listed without a difference


@dataclass
class Comparison:
    """`blind`: hosts without a capture. `remarks`: gaps of the captures."""

    reports: list[Report] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table, and under it each service's path and what differs from it. Of many services those that differ come first."""
        ordered = verification.by_service(self.reports)
        if len(ordered) > SHOWN:
            ordered.sort(key=lambda items: not any(item.failures for item in items))
        shown = [items for number, items in enumerate(ordered) if number < SHOWN or any(i.failures for i in items)]
        lines = [verification.table(shown)]
        if len(shown) < len(ordered):
            lines.append(f"and {len(ordered) - len(shown)} more, all ok")
        lines.append("")
        for item in (item for items in shown for item in items):
            lines += [_name(item), verification.path(item)]
            lines += [f"    DIFFERS {failure}" for failure in item.failures]
            if item.not_chosen:
                lines.append(f"    {', '.join(item.not_chosen)} got no request ({item.expectation.service.scheduler})")
        return lines + self._limits()

    def failures(self) -> list[str]:
        """Why the verification has failed; empty if it has not."""
        failed = list(dict.fromkeys(item.expectation.service.name for item in self.reports if item.failures))
        limits = self._limits()
        if not failed and not limits:
            return []
        what = f"{', '.join(failed)} did not behave as predicted" if failed else "not every hop could be compared"
        details = [f"{_name(item)}: {failure}" for item in self.reports for failure in item.failures]
        return [f"{what}.", *details, *limits]

    def _limits(self) -> list[str]:
        blind = [f"No capture from {', '.join(self.blind)}: their hops were not compared."] if self.blind else []
        return [*blind, *self.remarks]


def _name(item: Report) -> str:
    """The service, with the entry where it has several."""
    entry = item.expectation.entry
    alone = entry.label == entry.service.name
    return f"{entry.service}" if alone else f"{entry.service}, {entry}/{entry.protocol}"


def compared(folder: RunFolder, *, peers: bool) -> Comparison:
    """Compares the stored results of a run, one batch after the other. `peers`: applications must report their clients' addresses."""
    found = Comparison()
    blind: dict[str, None] = {}
    for number in sorted(map(int, folder.names("batches"))):
        batch: Batch = folder.read(f"batches/{number}")
        seen = {name: folder.read(f"captured-{number}/{name}") for name in folder.names(f"captured-{number}")}
        answers = folder.read(f"answered-{number}/{batch.client}", {"connections": [], "unasked": []})
        found.reports += _reports(batch, answers["connections"], seen, peers)
        blind.update(dict.fromkeys(sorted(batch.captures.keys() - seen.keys())))
        found.remarks += remarks(seen)
        if answers["unasked"]:
            found.remarks.append(
                f"Not all requests were sent to {', '.join(answers['unasked'])}: the time limit was reached."
            )
    found.blind = list(blind)
    return found


def _reports(
    batch: Batch, connections: Sequence[Mapping[str, Any]], seen: Mapping[str, Mapping[str, Any]], peers: bool
) -> Iterable[Report]:
    kinds = {host.name: host.option_kind for item in batch.expectations for host in item.hosts}
    sightings, vantages = captures.read(seen, kinds)
    by_service: dict[str, list[Mapping[str, Any]]] = {}
    for one in connections:
        by_service.setdefault(str(one["service"]), []).append(one)
    for item in batch.expectations:
        probes = by_service.get(item.entry.label, [])
        yield verification.report(item, probes, sightings, vantages, peers=peers)


def remarks(seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The gaps of the captures, by host."""
    found = []
    for host, capture in seen.items():
        for interface in capture["ended"]:
            found.append(
                f"The capture on {host} ({interface}) ended before the last request: its time or its number of packets was used "
                "up. Packets of other clients count, too. Verify fewer services at a time: lvs_verify_services."
            )
        for interface, packets in capture["lost"].items():
            found.append(
                f"The kernel of {host} had no room for {packets} packets of the capture on {interface}: a packet that was not "
                "seen there may have been sent. Verify at a quieter time."
            )
    return found
