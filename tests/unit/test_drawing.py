"""Where the parts of a picture stand: arrows between the columns of their hosts, in order, and no text outside."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from ansible.module_utils.lvs.walk import walk
from ansible.module_utils.lvs_controller import drawing
from ansible.module_utils.lvs_controller.drawing import SIGNS, Drawn

SVG = "{http://www.w3.org/2000/svg}"
MODES = ("dr", "nat", "tun", "fullnat", "enat")


class Picture:
    """The parts of an SVG document, by their classes."""

    def __init__(self, text):
        self.tree = ElementTree.fromstring(text)

    def all(self, name):
        """The elements of a class. There is none without one in a walk that has hops."""
        found = [part for part in self.tree.iter() if name in part.get("class", "").split()]
        assert found, name
        return found

    @property
    def columns(self):
        """The place of each host from the left, by its name."""
        return {host.text: float(host.get("x")) for host in self.tree.iter(f"{SVG}text") if host.get("class") == "host"}


@pytest.fixture(params=MODES)
def hops(request, environment):
    env = environment()
    service = env.service(request.param)
    found = walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1"))
    return [Drawn(hop, hop.packet) for hop in found.hops]


@pytest.fixture
def picture(hops):
    return Picture(drawing.walk(hops, "A walk"))


def ends(arrow):
    return float(arrow.get("x1")), float(arrow.get("x2"))


def name(node):
    return node.host or "router"


def test_an_arrow_leads_from_its_sender_to_its_receiver(hops, picture):
    columns = picture.columns
    lines = [part for part in picture.all("arrow") if part.tag == f"{SVG}line"]
    heads = picture.all("head")
    assert len(lines) == len(heads) == len(hops)
    for one, line, head in zip(hops, lines, heads):
        start, end = columns[name(one.hop.sender)], columns[name(one.hop.receiver)]
        left, right = ends(line)
        forward = 1 if end > start else -1
        assert left == start
        tip, y, back = (float(number) for number in re.match(r"M(\S+) (\S+)l(\S+) ", head.get("d")).groups())
        assert (tip, y) == (end, float(line.get("y1")))
        assert back == -10 * forward  # the head is open towards the sender
        assert right == end - 9 * forward  # the line ends inside of the head


def test_hops_stand_below_each_other_with_their_text(hops, picture):
    rows = [float(line.get("y1")) for line in picture.all("arrow") if line.tag == f"{SVG}line"]
    assert [y - rows[0] for y in rows] == [number * drawing.ROW for number in range(len(hops))]
    texts = [float(text.get("y")) for text in picture.all("halo")]
    assert texts == [y for row in rows for y in (row - 8, row + 16)]
    assert max(texts) < float(picture.tree.get("height"))


def test_the_columns_are_as_far_apart_as_the_texts_need(hops, picture):
    places = list(picture.columns.values())
    apart = {right - left for left, right in zip(places, places[1:])}
    longest = max(len(f"{number}. {one.packet}") for number, one in enumerate(hops, 1))
    assert apart == {min(max(drawing.NEAREST, round(longest * drawing.LETTER) + 24), drawing.FARTHEST)}
    assert places[0] == drawing.LEFT


def test_each_host_has_its_name_in_a_box_above_its_line(picture):
    height = float(picture.tree.get("height"))
    for box, line, host in zip(picture.all("box"), picture.all("life"), picture.all("host")):
        x, width = float(box.get("x")), float(box.get("width"))
        assert x + width / 2 == pytest.approx(float(host.get("x")), abs=1)
        assert width >= max(len(host.text) * drawing.LETTER, 88)
        assert float(line.get("x1")) == float(line.get("x2")) == float(host.get("x"))
        top, bottom = float(line.get("y1")), float(line.get("y2"))
        assert float(box.get("y")) + float(box.get("height")) == top
        assert bottom < height


@pytest.mark.parametrize("milliseconds", [None, 1234567.25])
def test_no_text_stands_outside(hops, milliseconds):
    drawn = [replace(one, state="unknown", milliseconds=milliseconds) for one in hops]
    picture = Picture(drawing.walk(drawn, "A walk"))
    width, height = float(picture.tree.get("width")), float(picture.tree.get("height"))
    assert picture.tree.get("viewBox") == f"0 0 {width:.0f} {height:.0f}"
    assert all(x + drawing.LEFT <= width for x in picture.columns.values())
    for text in picture.all("halo"):
        letter = drawing.LETTER * (0.93 if "quiet" in text.get("class") else 1)
        x = float(text.get("x"))
        assert x >= 8
        assert x + len("".join(text.itertext())) * letter <= width or x == 8


def test_the_text_of_a_hop_begins_at_the_left_end_of_its_arrow_where_it_fits(hops, picture):
    width = float(picture.tree.get("width"))
    columns = picture.columns
    for one, text, under in zip(hops, picture.all("halo")[::2], picture.all("sign")):
        left = min(columns[name(one.hop.sender)], columns[name(one.hop.receiver)]) + 8
        written = len("".join(text.itertext())) * drawing.LETTER
        assert float(text.get("x")) == pytest.approx(min(left, width - written - 12), abs=1)
        beneath = len(under.text) * drawing.LETTER * 0.93
        assert float(under.get("x")) == pytest.approx(min(left, max(width - beneath - 12, 8)), abs=1)


def test_nothing_stands_between_the_parts(picture):
    """Text outside of the elements of text would be shown on the page."""
    shown = {"title", "desc", "style", "text", "tspan"}
    for part in picture.tree.iter():
        if part.tag.removeprefix(SVG) not in shown:
            assert not (part.text or "").strip()
        assert part.tag.endswith("tspan") or not (part.tail or "").strip()


def test_below_a_hop_stand_its_network_its_state_and_how_long_the_sender_took(hops):
    first = replace(hops[0], state="seen", milliseconds=1.5)
    network = first.hop.network
    texts = [t.text for t in Picture(drawing.walk([first, *hops[1:]], "A walk")).all("sign")]
    assert texts[0] == f"{network.name}, VLAN {network.vlan} · ✓ seen · client1 took 1.5 ms"
    assert texts[1].startswith(f"{hops[1].hop.network.name}, VLAN {hops[1].hop.network.vlan}")


def test_macs_are_named_where_nothing_else_changes(hops):
    texts = [t.text for t in Picture(drawing.walk(hops, "A walk")).all("sign")]
    for before, one, text in zip([None, *hops], hops, texts):
        same = before is not None and before.packet == one.packet
        named = f" \u00b7 only the MACs are new: {name(one.hop.sender)}'s > {name(one.hop.receiver)}'s"
        assert text == f"{one.hop.network.name}, VLAN {one.hop.network.vlan}" + (named if same else "")
    director = next(n for n, one in enumerate(hops) if one.hop.leg == "request" and one.hop.sender.host == "lb1")
    assert ("only the MACs" in texts[director]) == (hops[0].packet == hops[director].packet)


def test_the_description_has_a_sentence_for_each_hop(hops):
    picture = Picture(drawing.walk([replace(hops[0], state="missing"), *hops[1:]], "A walk", "one"))
    text = picture.tree.find(f"{SVG}desc").text
    hop = hops[0].hop
    assert text.startswith(
        f"1: {hop.leg}, {hop.sender} to {hop.receiver} on {hop.network.name}: {hops[0].packet} (✗ missing). 2: "
    )
    assert text.count(" to ") == len(hops)
    ids = [picture.tree.find(f"{SVG}{tag}").get("id") for tag in ("title", "desc")]
    assert picture.tree.get("aria-labelledby").split() == ids == ["one-title", "one-text"]


def test_the_first_reply_is_compared_with_no_request(hops, picture):
    """What a reply changes of the request is no change of the reply on its way."""
    legs = [one.hop.leg for one in hops]
    first = legs.index("reply")
    rows = picture.all("halo")[::2]
    assert not rows[first].findall(f"{SVG}tspan")
    assert not rows[0].findall(f"{SVG}tspan")


def test_a_page_that_has_the_style_wants_no_second_one(hops):
    assert Picture(drawing.walk(hops, "A walk", standalone=False)).tree.find(f"{SVG}style") is None


def test_a_walk_without_hops_is_an_empty_picture():
    picture = Picture(drawing.walk([], "Nothing"))
    assert picture.columns == {}
    assert picture.tree.find(f"{SVG}title").text == "Nothing"
    assert picture.tree.get("aria-labelledby") == "walk-title walk-text"


@pytest.mark.parametrize(
    ("mode", "changed"),
    [
        ("dr", []),
        ("nat", ["10.20.1.11:8080"]),
        ("tun", ["203.0.113.10 > 10.20.2.13"]),
        ("fullnat", ["10.20.1.200:lport", "10.20.2.13:8080"]),
        ("enat", ["203.0.113.84:80", "10.20.2.13:8081", "[option 198.51.100.10:cport]"]),
    ],
)
def test_what_the_director_changes_of_a_request_stands_out(environment, mode, changed):
    env = environment()
    service = env.service(mode)
    hops = walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1")).hops
    rows = Picture(drawing.walk([Drawn(hop, hop.packet) for hop in hops], "A walk")).all("halo")[::2]
    sent = next(number for number, hop in enumerate(hops) if hop.leg == "request" and hop.sender.host == "lb1")
    assert [part.text for part in rows[sent].findall(f"{SVG}tspan")] == changed


@pytest.fixture
def fullnat(environment):
    env = environment()
    service = env.service("fullnat")
    found = walk(env.topology, service.entries[0], env.host("lb1"), service.real_servers[0], env.host("client1"))
    return [Drawn(hop, hop.packet) for hop in found.hops]


def test_a_picture_is_a_file_of_its_own(fullnat):
    tree = ElementTree.fromstring(drawing.walk(fullnat, "A walk"))
    assert tree.find("{*}title").text == "A walk"
    assert tree.find("{*}style") is not None
    texts = ["".join(text.itertext()) for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    for number, one in enumerate(fullnat, 1):
        assert f"{number}. {one.packet}" in texts


def test_gateways_without_a_name_are_one_router(fullnat):
    picture = drawing.walk(fullnat, "A walk")
    assert picture.count('class="host"') == 4
    assert ">router<" in picture


def test_what_a_hop_changes_stands_out(fullnat):
    picture = drawing.walk(fullnat, "A walk")
    changed = re.findall(r'<tspan class="new">(.*?)</tspan>', picture)
    assert changed[:2] == ["10.20.1.200:lport", "10.20.2.13:8080"]
    assert len(changed) == 4  # and both back again


@pytest.mark.parametrize("state", [state for state in SIGNS if SIGNS[state]])
def test_a_state_is_told_in_words_and_not_by_colour_alone(fullnat, state):
    picture = drawing.walk([replace(fullnat[0], state=state, milliseconds=1.5), *fullnat[1:]], "A walk")
    assert SIGNS[state] in picture
    assert "client1 took 1.5 ms" in picture
