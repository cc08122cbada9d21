"""One request hop by hop: the predicted packets, the captured ones, and the findings that explain a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.lvs.diagnosis import Diagnosis, diagnose, waits
from ansible.module_utils.lvs.observation import Connection, Observed, Vantage
from ansible.module_utils.lvs.topology import Topology

from . import drawing, inspection
from .sightings import Sightings
from .verification import Expectation, followed

_SIGNS = {"seen": "ok", "differs": "DIFFERS", "missing": "MISSING", "unknown": "not captured", "after": "-"}


@dataclass(frozen=True)
class Trace:
    """One request and its reply. `waits` are in milliseconds, one for each hop."""

    expectation: Expectation
    connection: Connection
    probe: Mapping[str, Any]
    diagnosis: Diagnosis
    waits: Sequence[float | None]

    def states(self) -> list[str]:
        """For each hop: seen, differs, missing, unknown (no capture), or after (behind the hop that failed)."""
        found: list[str] = []
        for hop in self.connection.hops:
            broken = any(state in ("missing", "differs") for state in found)
            if broken and not hop.sent and not hop.arrived:
                found.append("after")
            else:
                found.append(_state(hop))
        return found

    def summary(self) -> list[str]:
        """The verdict and the causes as sentences."""
        service = self.expectation.service
        lines = [f"{service}: {self.diagnosis.verdict}."]
        lines += [f"Cause: {cause}" for cause in self.diagnosis.causes[:1]]
        lines += [f"Also: {cause}" for cause in self.diagnosis.causes[1:]]
        if not self.diagnosis.fine and not self.diagnosis.causes:
            lines.append("No check on the hosts explains it.")
        return lines

    def lines(self) -> list[str]:
        """The trace as text for a person."""
        lines = [f"{self.expectation.service}, asked by {self.expectation.client.name}", ""]
        for hop, state, wait in zip(self.connection.hops, self.states(), self.waits):
            time = f", {hop.hop.sender} took {wait} ms" if wait is not None else ""
            lines.append(
                f"  {hop.hop.leg:<8}{hop.hop.sender} > {hop.hop.receiver} ({hop.hop.network.name}): {hop.packet}"
            )
            lines.append(f"          {_SIGNS[state]}{time}{_macs(hop)}")
            lines += [f"          {hop.difference}"] if hop.difference and state != "after" else []
        for frame in self.connection.strangers:
            way = "leaving" if frame.leaving else "arriving at"
            lines.append(
                f"  unexpected, {way} {frame.host} ({frame.interface}): {frame.packet}, to {frame.destination_mac}"
            )
        lines += ["", f"  the client got: {self._answer()}", "", *self.summary()]
        lines += [f"Besides: {finding}" for finding in self.diagnosis.besides]
        return lines

    def _answer(self) -> str:
        if self.probe["error"]:
            return str(self.probe["error"])
        what = f"{self.probe['bytes']} bytes" if self.probe["bytes"] else "a connection"
        return f"{what} in {round(float(self.probe['seconds']) * 1000, 1)} ms"

    def as_dict(self) -> dict[str, Any]:
        """The trace as mappings and lists."""
        rows = zip(self.connection.hops, self.states(), self.waits)
        return {
            "service": self.expectation.service.name,
            "mode": self.expectation.service.mode.name,
            "client": self.expectation.client.name,
            "director": self.expectation.director.name,
            "real_server": self.connection.real_server,
            "fine": self.diagnosis.fine,
            "verdict": self.diagnosis.verdict,
            "causes": [{"host": c.host, "text": c.text, "counted": c.counted} for c in self.diagnosis.causes],
            "besides": [finding.as_dict() for finding in self.diagnosis.besides],
            "answer": {key: self.probe[key] for key in ("bytes", "seconds", "peer", "error")},
            "hops": [
                {
                    "leg": hop.hop.leg,
                    "network": hop.hop.network.name,
                    "vlan": hop.hop.network.vlan,
                    "from": str(hop.hop.sender),
                    "to": str(hop.hop.receiver),
                    "predicted": str(hop.packet),
                    "state": state,
                    "difference": hop.difference,
                    "source_mac": frame.source_mac if frame else None,
                    "destination_mac": frame.destination_mac if frame else None,
                    "sender_took_ms": wait,
                }
                for hop, state, wait in rows
                for frame in [next(iter((*hop.sent, *hop.arrived)), None)]
            ],
            "unexpected": [
                {
                    "host": frame.host,
                    "interface": frame.interface,
                    "leaving": frame.leaving,
                    "packet": str(frame.packet),
                }
                for frame in self.connection.strangers
            ],
        }

    def svg(self) -> str:
        """The trace as a picture."""
        drawn = [
            drawing.Drawn(hop.hop, hop.packet, state, milliseconds=wait)
            for hop, state, wait in zip(self.connection.hops, self.states(), self.waits)
        ]
        return drawing.walk(drawn, f"{self.expectation.service}: {self.diagnosis.verdict}")


def follow(
    topology: Topology,
    expectation: Expectation,
    probe: Mapping[str, Any],
    seen: tuple[Sightings, Mapping[str, Vantage]],
    answers: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
) -> Trace:
    """`seen`: all frames, and the captures. `answers`: the result of lvs_inspect of each host; `before` and `after`: its counters then."""
    service = expectation.service
    connection = followed(expectation, probe, *seen)
    asked = inspection.asked(topology, inspection.hosts(topology), [service])
    wrong = inspection.wrong(topology, {name: asked[name] for name in answers if name in asked}, answers)
    counted = inspection.counts(before), inspection.counts(after)
    diagnosis = diagnose(topology, service, expectation.director.name, connection, str(probe["error"]), wrong, *counted)
    return Trace(expectation, connection, probe, diagnosis, waits(connection.hops))


def _state(hop: Observed) -> str:
    if hop.missing:
        return "missing"
    if hop.difference:
        return "differs"
    return "seen" if hop.watched else "unknown"


def _macs(hop: Observed) -> str:
    frame = next(iter((*hop.sent, *hop.arrived)), None)
    return f", {frame.source_mac} > {frame.destination_mac}" if frame else ""
