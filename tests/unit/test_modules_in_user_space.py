"""What the kernel modules' headers do, compiled for user space with the compiler's own checks of memory and arithmetic."""

import re
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "modules"
HEADERS = Path(__file__).parents[2] / "roles/toa/files/lvskit-toa"
FLAGS = (
    "-std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Werror -fsanitize=address,undefined -fno-sanitize-recover"
)


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """Compiles a program of tests/modules and runs it: what it prints."""
    folder = tmp_path_factory.mktemp("modules")

    def run(name, *words):
        program = folder / name
        if not program.exists():
            command = ["gcc", *FLAGS.split(), f"-I{HEADERS}", "-o", str(program), str(TESTS / f"{name}.c")]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stderr
        said = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout

    return run


def test_headers_are_read_and_written_within_their_length_and_stay_right(ran):
    said = ran("fuzz_header", 300_000)
    assert said.startswith("300000 headers, ")


def test_cases_of_the_table_of_connections(ran):
    assert ran("flows_cases") == "all right\n"


# Connections that the table may have, whether it is forgetful, and one allocation of how many fails.
@pytest.mark.parametrize(
    ("most", "forgetful", "failing"),
    [(512, 1, 0), (64, 1, 0), (64, 0, 0), (16, 1, 0), (16, 0, 0), (128, 1, 10)],
)
def test_a_forger_changes_nothing_for_those_who_are_connected(ran, most, forgetful, failing):
    said = ran("flows_model", most + forgetful, 10_000, most, forgetful, failing)
    opened, forged = (int(re.search(rf"{word} (\d+)", said)[1]) for word in ("opened", "forged"))
    assert opened > 300
    assert forged > 30_000


def test_sets_change_as_a_whole_or_not_at_all(ran):
    assert ran("sets_cases") == "all right\n"
