"""The page of playbooks/explain.yml in a real browser, as a person meets it: on a screen, a phone, paper, by keyboard, in the dark."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).parents[2]
SECTIONS = ["Networks", "Services", "When something dies", "Constraints", "Hosts"]

# The least contrast of any text on the page with what is painted behind it (WCAG 2.2, 1.4.3), and that text.
LEAST_CONTRAST = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = numbers(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
  };
  let least = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    if (!text.data.trim() || element.closest('title, desc, style')) continue;
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(numbers(ink)), light(behind(element))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < least[0]) least = [contrast, text.data.trim()];
  }
  return least;
}"""

# Texts of pictures that reach out of their picture, or touch another one of it.
MISPLACED = """() => [...document.querySelectorAll('svg.walk')].flatMap(svg => {
  const edge = svg.viewBox.baseVal;
  const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBBox()]);
  const out = texts.filter(([, b]) => b.x < 0 || b.y < 0 || b.x + b.width > edge.width || b.y + b.height > edge.height);
  const touching = texts.filter(([, a], i) => texts.some(([, b], j) => i < j &&
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height));
  return [...out, ...touching].map(([text]) => text);
})"""


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "no chromium here: make test-browser installs it"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


def explained(file, inventories):
    """Writes the page of some inventories to a file."""
    command = [
        Path(sys.executable).parent / "ansible-playbook",
        "playbooks/explain.yml",
        "-e",
        f"lvs_explain_to={file}",
    ]
    command += [f"--inventory={name}" for name in inventories]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    run = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    return file


@pytest.fixture(scope="module", params=["inventory/example-production", "molecule/changes/inventory"])
def page_file(request, tmp_path_factory):
    """The page that the playbook writes."""
    file = tmp_path_factory.mktemp("explain") / "page.html"
    return explained(
        file, [request.param] if request.param.startswith("inventory") else ["inventory/lab", request.param]
    )


def plugged(network, address):
    return {"lvs_interfaces": {network: {"network": network, "address": address}}}


@pytest.fixture(scope="module")
def crowded_file(tmp_path_factory):
    """The page of 200 services in three modes, each with three of 60 real servers."""
    folder = tmp_path_factory.mktemp("crowded")
    director = {
        "lvs_interfaces": plugged("front", "10.1.0.10")["lvs_interfaces"]
        | plugged("app", "10.2.0.10")["lvs_interfaces"]
    }
    groups = {
        "directors": {"lb1": director},
        "real_servers": {f"rs{n}": plugged("app", f"10.2.1.{n}") for n in range(1, 61)},
        "clients": {"client1": plugged("users", "192.0.2.10")},
    }
    networks = {
        "front": {"cidr": "10.1.0.0/16", "vlan": 10, "gateway": "10.1.255.254"},
        "app": {"cidr": "10.2.0.0/16", "vlan": 20, "gateway": "10.2.255.254"},
        "users": {"cidr": "192.0.2.0/24", "vlan": 30, "gateway": "192.0.2.1"},
    }
    services = [
        {
            "name": f"shop{n}",
            "vip": f"10.2.100.{n + 20}" if n % 3 == 0 else f"10.1.1.{n + 20}",
            "port": 80 + n % 3,
            "mode": ("dr", "tun", "fullnat")[n % 3],
            "real_servers": [{"host": f"rs{(n * 3 + other) % 60 + 1}"} for other in range(3)],
            **({"local_addresses": [f"10.2.200.{n + 1}"]} if n % 3 == 2 else {}),
        }
        for n in range(200)
    ]
    (folder / "group_vars").mkdir()
    described = {"lvs_networks": networks, "lvs_services": services}
    (folder / "group_vars/all.yml").write_text(yaml.safe_dump(described))
    children = {"children": {name: {"hosts": hosts} for name, hosts in groups.items()}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": children}))
    return explained(folder / "page.html", [folder])


@pytest.fixture
def page(browser, page_file):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url) if request.url != page_file.as_uri() else None)
    page.goto(page_file.as_uri())
    yield page
    context.close()


def test_it_needs_nothing_but_itself_and_nothing_fails(page):
    assert page.said == []


def test_every_section_is_there_under_its_heading(page):
    assert page.locator("h2").all_text_contents() == SECTIONS
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:])), levels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    contrast, text = page.evaluate(LEAST_CONTRAST)
    assert contrast >= 4.5, text


def test_dark_is_dark_and_light_is_light(page):
    painted = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        painted.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert painted == ["rgb(255, 255, 255)", "rgb(18, 23, 29)"]


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_but_tables_and_pictures_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_texts_of_pictures_lie_inside_and_touch_no_others(page):
    assert page.locator("svg.walk").count() > 0
    assert page.evaluate(MISPLACED) == []


def test_every_picture_has_a_name_and_a_text(page):
    for picture in page.locator("svg.walk").all():
        ids = picture.get_attribute("aria-labelledby").split()
        assert all(page.locator(f"[id='{id}']").text_content().strip() for id in ids)


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))")
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_all_that_can_be_used_is_reached_by_keyboard_and_shows_it(page):
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], input, summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length"
    )
    outlines = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        outlines.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
    assert set(outlines) == {"solid"}
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body || document.activeElement.className === 'skip'")


def test_a_search_leaves_what_it_finds(page):
    rows = page.locator("#services ~ .scroll td:first-child li")
    names = [row.locator("b").text_content() for row in rows.all()]
    page.locator("#find input").fill(names[-1])
    shown = [row.locator("b").text_content() for row in rows.all() if row.is_visible()]
    assert names[-1] in shown
    assert len(shown) < len(names)
    assert page.locator("#find span").text_content().endswith(" found")
    page.locator("#find input").fill("no such thing anywhere")
    assert page.locator("#find span").text_content() == "nothing found"
    assert not any(row.is_visible() for row in rows.all())
    page.locator("#find input").fill("")
    assert all(row.is_visible() for row in rows.all())


def test_a_host_opens_by_keyboard(page):
    page.locator("#hosts ~ details summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#hosts ~ details").first.get_attribute("open") is not None


def test_on_paper_everything_is_open_and_within_the_sheet(page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins, at 96 dpi
    hidden = page.evaluate(
        "[...document.querySelectorAll('details:not(.screen)')].filter(d => d.lastElementChild.getBoundingClientRect().height === 0).length"
    )
    assert page.locator("details").count() > 0
    assert hidden == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert len(page.pdf(format="A4")) > 20_000


def test_two_hundred_services_are_twelve_sheets(browser, crowded_file):
    page = browser.new_page()
    page.goto(crowded_file.as_uri())
    sheets = re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))
    assert 4 < len(sheets) <= 12
    page.close()


def test_a_search_finds_one_service_of_many(browser, crowded_file):
    page = browser.new_page()
    page.goto(crowded_file.as_uri())
    page.locator("#find input").fill("shop101 10.1.1.121")
    shown = page.locator("#services ~ .scroll td:first-child li")
    assert [one.text_content().split()[0] for one in shown.all() if one.is_visible()] == ["shop101"]
    page.locator("#find input").fill("rs17")
    assert {
        one.locator("xpath=ancestor::tr").text_content().count("rs17 ") for one in shown.all() if one.is_visible()
    } == {1}
    page.close()
