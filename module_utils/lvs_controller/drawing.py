"""A packet walk as a picture: SVG, a column for each host, an arrow for each hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from ansible.module_utils.lvs.walk import Hop, Node, Packet

LETTER = 7.3  # width of a character, in pixels, in the typeface below
NEAREST, FARTHEST, LEFT, ROW, TOP = 190, 310, 90, 58, 64  # pixels: the distance of two hosts, and what surrounds them
ROUTER = "router"

STYLE = """
.walk{--ink:#1b2430;--quiet:#56616e;--paper:#fff;--line:#c3ccd6;--request:#0b5cad;--reply:#7a3e00;--good:#17692f;--bad:#b3121d;
font:12px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){.walk{--ink:#e6ebf1;--quiet:#a3afbc;--paper:#12171d;--line:#3b4652;--request:#7fb8f5;
--reply:#f0b070;--good:#7fd99a;--bad:#ff8f8f}}
@media print{.walk{--ink:#000;--quiet:#444;--paper:#fff;--line:#999;--request:#0b5cad;--reply:#7a3e00;--good:#17692f;--bad:#b3121d}}
.walk text{fill:var(--ink)}.walk .halo{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}
.walk .host{font-weight:700;text-anchor:middle}.walk .quiet{fill:var(--quiet);font-size:11px}
.walk .life{stroke:var(--line)}.walk .box{fill:var(--paper);stroke:var(--line)}
.walk .new{font-weight:700}
.walk .request{stroke:var(--request);fill:var(--request)}.walk .reply{stroke:var(--reply);fill:var(--reply)}
.walk .arrow{stroke-width:2}.walk .missing .arrow,.walk .differs .arrow{stroke:var(--bad);fill:var(--bad)}
.walk .missing .arrow{stroke-dasharray:7 5}.walk .unknown .arrow,.walk .after .arrow{stroke-dasharray:2 5}
.walk .after{opacity:.6}.walk .seen .sign{fill:var(--good)}.walk .missing .sign,.walk .differs .sign{fill:var(--bad);font-weight:700}
.walk .head{stroke-dasharray:none}
"""

# The text next to a hop, so that the state does not depend on colour alone.
SIGNS = {
    "predicted": "",
    "seen": "\u2713 seen",
    "differs": "\u2260 differs",
    "missing": "\u2717 missing",
    "unknown": "? no capture here",
    "after": "not reached",
}


@dataclass(frozen=True)
class Drawn:
    """One hop in a picture. `state` is one of SIGNS, `milliseconds` how long the sender took."""

    hop: Hop
    packet: Packet
    state: str = "predicted"
    milliseconds: float | None = None


def walk(hops: Sequence[Drawn], title: str, name: str = "walk", *, standalone: bool = True) -> str:
    """The picture. `name` is unique among the pictures of a page; a page that has STYLE itself wants none `standalone`."""
    widths = [len(f"{number}. {one.packet}") * LETTER for number, one in enumerate(hops, 1)]
    spacing = min(max(NEAREST, *(round(width) + 24 for width in widths)), FARTHEST) if widths else NEAREST
    columns = {key: LEFT + place * spacing for place, key in enumerate(_columns(hops))}
    width = max([LEFT + max(columns.values(), default=0), *(width + 40 for width in widths)])
    height = TOP + ROW * len(hops) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="walk" role="img" aria-labelledby={quoteattr(f"{name}-title {name}-text")} '
        f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}">',
        f"<title id={quoteattr(f'{name}-title')}>{escape(title)}</title>",
        f"<desc id={quoteattr(f'{name}-text')}>{escape(' '.join(_sentences(hops)))}</desc>",
    ]
    if standalone:
        lines.append(f"<style>{STYLE}svg.walk{{background:var(--paper)}}</style>")
    for key, x in columns.items():
        lines.append(f'<line class="life" x1="{x}" x2="{x}" y1="{TOP - 24}" y2="{height - 8}"/>')
        half = max(len(key) * LETTER / 2 + 12, 44)
        lines.append(
            f'<rect class="box" x="{x - half:.0f}" y="12" width="{2 * half:.0f}" height="28" rx="5"/>'
            f'<text class="host" x="{x}" y="30">{escape(key)}</text>'
        )
    before: Packet | None = None
    for number, one in enumerate(hops):
        if number and hops[number - 1].hop.leg != one.hop.leg:
            before = None
        lines += _row(number, one, before, columns, width)
        before = one.packet
    return "\n".join([*lines, "</svg>", ""])


def _columns(hops: Sequence[Drawn]) -> list[str]:
    """The hosts from the client to the real server: in the order of the request's path, then of the reply's."""
    keys: dict[str, None] = {}
    for one in hops:
        for node in (one.hop.sender, one.hop.receiver):
            keys[_key(node)] = None
    return list(keys)


def _key(node: Node) -> str:
    """Gateways that are not in the inventory are drawn as one router."""
    return node.host or ROUTER


def _row(number: int, one: Drawn, before: Packet | None, columns: dict[str, int], width: float) -> Iterator[str]:
    hop = one.hop
    start, end = columns[_key(hop.sender)], columns[_key(hop.receiver)]
    y = TOP + number * ROW + 30
    back = -1 if end < start else 1
    length = len(f"{number + 1}. {one.packet}") * LETTER
    x = min(max(min(start, end) + 8, 8), width - length - 12)
    beneath = [f"{hop.network.name}, VLAN {hop.network.vlan}"]
    if one.packet == before:
        beneath.append(f"only the MACs are new: {_key(hop.sender)}'s > {_key(hop.receiver)}'s")
    beneath.append(SIGNS[one.state])
    beneath += [f"{_key(hop.sender)} took {one.milliseconds} ms"] if one.milliseconds is not None else []
    words = " \u00b7 ".join(word for word in beneath if word)
    under = min(max(min(start, end) + 8, 8), max(width - len(words) * LETTER * 0.93 - 12, 8))
    yield f'<g class="{hop.leg} {one.state}">'
    yield f'<line class="arrow {hop.leg}" x1="{start}" x2="{end - 9 * back}" y1="{y}" y2="{y}"/>'
    yield f'<path class="arrow head {hop.leg}" d="M{end} {y}l{-10 * back} -5v10z"/>'
    yield f'<text class="halo" x="{x:.0f}" y="{y - 8}">{number + 1}. {"".join(_packet(one.packet, before))}</text>'
    yield f'<text class="quiet halo sign" x="{under:.0f}" y="{y + 16}">{escape(words)}</text>'
    yield "</g>"


def _packet(packet: Packet, before: Packet | None) -> Iterator[str]:
    """The packet as text; the parts that differ from the packet before it are highlighted."""

    def part(text: str, changed: bool) -> str:
        return f'<tspan class="new">{escape(text)}</tspan>' if changed else escape(text)

    inner = (
        part(str(packet.source), before is not None and before.source != packet.source)
        + escape(" > ")
        + part(str(packet.destination), before is not None and before.destination != packet.destination)
    )
    if packet.option:
        inner += escape(" ") + part(f"[option {packet.option}]", before is not None and before.option != packet.option)
    if packet.outer:
        text = f"{packet.outer[0]} > {packet.outer[1]}"
        inner = part(text, before is not None and before.outer != packet.outer) + f" ({inner})"
    yield inner


def _sentences(hops: Sequence[Drawn]) -> Iterator[str]:
    for number, one in enumerate(hops, 1):
        state = f" ({SIGNS[one.state]})" if SIGNS[one.state] else ""
        yield f"{number}: {one.hop.leg}, {one.hop.sender} to {one.hop.receiver} on {one.hop.network.name}: {one.packet}{state}."
