"""The files that are generated from the code are as `make docs` writes them."""

import sys
from pathlib import Path

import pytest
from ansible.module_utils.lvs import modes

sys.path.insert(0, str(Path(__file__).parents[2]))  # the generators are run from the repository, not installed

from tools import docs

PROJECT = Path(__file__).parents[2]
FILES = [pytest.param(path, text, id=str(path.relative_to(PROJECT))) for path, text in docs.files()]


@pytest.mark.parametrize(("path", "text"), FILES)
def test_the_file_is_that_of_the_code(path, text):
    assert path.read_text() == text


def test_the_readmes_table_tells_of_every_mode_whether_replies_pass_the_director_and_whether_it_may_be_a_real_server():
    readme = (PROJECT / "README.md").read_text()
    for mode in modes.TABLE:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{mode.name}` |"))
        assert row.split("|")[3].strip() == ("yes" if mode.reply_through_director else "no")
        assert row.split("|")[8].strip() == ("yes" if mode.local_real_server else "no")
