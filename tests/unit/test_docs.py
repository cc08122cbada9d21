"""docs/rules.md and docs/checks.md are the catalogues of the code.

After a change that is meant: `LVSKIT_WRITE_GOLDEN=1 pytest tests/unit/test_docs.py`.
"""

import os
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.lvs import modes, rules
from ansible.module_utils.lvs.findings import CHECKS

DOCS = Path(__file__).parents[2] / "docs"
BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yml"))
HEAD = """\
# What is refused, and why

Generated from the code. `playbooks/validate.yml` checks all of these at once, and `playbooks/site.yml` before it touches a
host. In an id, `{mode}` stands for the service's mode and `{carrier}` for what carries the client's address. Under each rule
stands what small examples of breaking it are told, which is also how to mend them.

"""

FORM = """
## The form of an inventory

These are told of values that mean nothing; no packet comes into it.

"""


CHECKS_HEAD = """\
# What preflight and trace look at

Generated from the code. `playbooks/preflight.yml` looks at all hosts, before a first run (what lvskit itself would make is then
no fault) and after it; `playbooks/trace.yml` at those that a request passes. Both only look: ARP probes that enter no neighbour
table, ICMP echo requests, and what the kernel says of itself. A finding names the host, what was found, what is needed, and
what becomes of the packets. It is a fault, or a risk where packets still take their way.

| id | looks whether |
|---|---|
"""


def checks(environment):
    return CHECKS_HEAD + "".join(f"| {id} | {text} |\n" for id, text in CHECKS.items())


def page(environment):
    """The rules in the catalogue's order, each with the messages of the broken inventories that it refuses."""
    broken = [environment({k: v for k, v in yaml.safe_load(p.read_text()).items() if k != "expect"}) for p in BROKEN]
    lines = []
    for rule in rules.CATALOGUE:
        refuses = "Warns of" if rule.warning else "Refuses"
        lines += [f"## {rule.id}", "", f"{refuses} {rule.refuses}.", "", rule.reason, ""]
        told = (violation.message for one in broken for violation in rule.violations(one.topology))
        lines += [*(f"- {message}" for message in dict.fromkeys(told)), ""]
    form = sorted({f"- `{fault.rule}`: {fault.message}" for one in broken for fault in one.faults})
    return HEAD + "\n".join(lines) + FORM + "\n".join(form) + "\n"


@pytest.mark.parametrize(("name", "generated"), [("rules.md", page), ("checks.md", checks)])
def test_the_page_is_that_of_the_code(environment, name, generated):
    if os.environ.get("LVSKIT_WRITE_GOLDEN"):
        (DOCS / name).write_text(generated(environment))
    assert (DOCS / name).read_text() == generated(environment)


def test_the_readmes_table_tells_of_every_mode_whether_replies_pass_the_director():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for mode in modes.TABLE:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{mode.name}` |"))
        assert row.split("|")[3].strip() == ("yes" if mode.reply_through_director else "no")
