"""docs/rules.md and docs/checks.md are the catalogues of the code.

After a change that is meant: `LVSKIT_WRITE_GOLDEN=1 pytest tests/unit/test_docs.py`.
"""

import os
from pathlib import Path

import pytest
from ansible.module_utils.lvs import modes, rules
from ansible.module_utils.lvs.findings import CHECKS

DOCS = Path(__file__).parents[2] / "docs"
HEAD = """\
# What is refused, and why

Generated from the code. `playbooks/validate.yml` checks all of these at once, and `playbooks/site.yml` before it touches a
host. In an id, `{mode}` stands for the service's mode and `{carrier}` for what carries the client's address.

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


def checks():
    return CHECKS_HEAD + "".join(f"| {id} | {text} |\n" for id, text in CHECKS.items())


def page():
    lines = []
    for rule in rules.CATALOGUE:
        lines += [
            f"## {rule.id}",
            "",
            f"Refuses {rule.refuses}." if not rule.warning else f"Warns of {rule.refuses}.",
            "",
        ]
        lines += [rule.reason, ""]
    return HEAD + "\n".join(lines)


@pytest.mark.parametrize(("name", "generated"), [("rules.md", page), ("checks.md", checks)])
def test_the_page_is_that_of_the_code(name, generated):
    if os.environ.get("LVSKIT_WRITE_GOLDEN"):
        (DOCS / name).write_text(generated())
    assert (DOCS / name).read_text() == generated()


def test_the_readmes_table_tells_of_every_mode_whether_replies_pass_the_director():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for mode in modes.TABLE:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{mode.name}` |"))
        assert row.split("|")[3].strip() == ("yes" if mode.reply_through_director else "no")
