"""docs/rules.md is the catalogue of the code.

After a change that is meant: `LVSKIT_WRITE_GOLDEN=1 pytest tests/unit/test_docs.py`.
"""

import os
from pathlib import Path

from ansible.module_utils.lvs import modes, rules

PAGE = Path(__file__).parents[2] / "docs/rules.md"
HEAD = """\
# What is refused, and why

Generated from the code. `playbooks/validate.yml` checks all of these at once, and `playbooks/site.yml` before it touches a
host. In an id, `{mode}` stands for the service's mode and `{carrier}` for what carries the client's address.

"""


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


def test_the_page_of_rules_is_that_of_the_code():
    if os.environ.get("LVSKIT_WRITE_GOLDEN"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_the_readmes_table_tells_of_every_mode_whether_replies_pass_the_director():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for mode in modes.TABLE:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{mode.name}` |"))
        assert row.split("|")[3].strip() == ("yes" if mode.reply_through_director else "no")
