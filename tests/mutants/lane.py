"""A copy of the project in which tests run. They can write only to the copy, and none of their processes outlives the run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import plugin

WHOLE = 1800  # seconds: the limit for a run of all tests
NAMESPACES = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
# The unit tests do not change the machine, but mutated code could. So it runs in a network namespace of its own, what it writes to
# /tmp goes to an overlay, everything else but the copy is read-only, and a process can have 4 GiB of memory.
ENCLOSED = """
set -e
copy=$0
exec 9<"$copy"
ip link set lo up
for point in $(findmnt -rno TARGET | grep -Ev '^/(proc|sys|dev)(/|$)'); do
    mount -o remount,bind,ro "$point" 2>/dev/null || [ "$point" != / ]
done
mount -t tmpfs tmpfs /mnt
mkdir /mnt/new /mnt/work
mount -t overlay -o lowerdir=/tmp,upperdir=/mnt/new,workdir=/mnt/work overlay /tmp
mount --no-canonicalize --bind /proc/self/fd/9 "$copy"
mount -o remount,bind,rw "$copy"
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
exec 9<&-
ulimit -v 4194304
cd "$copy"
echo enclosed
exec "$@"
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `code` is None where its time was over."""

    code: int | None
    output: str


class Lane:
    """One copy, in `folder`."""

    def __init__(self, project: Path, folder: Path):
        self.project, self.folder = project, folder
        shutil.rmtree(folder, ignore_errors=True)
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, cwd=project, capture_output=True, text=True, check=True).stdout.split("\0"):
            if name and (project / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, folder / name, follow_symlinks=False)
        self.own = folder / ".mutants"  # files of the mutation run
        self.own.mkdir()
        self._server: subprocess.Popen[str] | None = None

    def run(self, command: Sequence[str], seconds: float, **variables: str) -> Outcome:
        """Runs a Python command enclosed, for `seconds` at most."""
        process = self._enclosed(command, variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return Outcome(None, output)
        if "enclosed" not in output:
            raise _refused(output)
        return Outcome(process.returncode, output)

    def _enclosed(self, command: Sequence[str], variables: dict[str, str], **streams: Any) -> subprocess.Popen[str]:
        user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        # The tests are killed when this process ends.
        enclosed = ["setpriv", "--pdeathsig", "KILL", "unshare", *user, *NAMESPACES]
        place = {"HOME": str(self.own), "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [*enclosed, "sh", "-c", ENCLOSED, str(self.folder), sys.executable, *command],
            env={**os.environ, **place, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **variables},
            text=True,
            errors="replace",
            start_new_session=True,
            **streams,
        )

    def tests(self, tests: Sequence[str], seconds: float) -> Outcome:
        """Runs these tests in this order, up to the first failure."""
        chosen = self.own / "chosen.json"
        chosen.write_text(json.dumps(list(tests)))
        files = dict.fromkeys(test.split("::")[0] for test in tests)
        arguments = [*OPTIONS, "-x", *files]
        asked = {"arguments": arguments, "seconds": seconds, "variables": {plugin.CHOSEN: str(chosen)}}
        return Outcome(**self._ask(asked))

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer of the server, which is started with the first request. SystemExit if it has ended."""
        log = self.own / "server.log"
        if self._server is None:
            with log.open("w") as file:
                command = ["-m", "tests.mutants.server", str(self.own / "output")]
                self._server = self._enclosed(command, {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file)
            if self._output.readline() != "enclosed\n":
                raise _refused(log.read_text())
        assert self._server.stdin
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        answer = self._output.readline()
        if not answer:
            raise SystemExit(f"The process that runs the tests has ended:\n{log.read_text()}")
        return dict(json.loads(answer))

    @property
    def _output(self) -> IO[str]:
        assert self._server
        assert self._server.stdout
        return self._server.stdout

    def close(self) -> None:
        """Ends the server."""
        if self._server is not None:
            self._server.communicate()
            self._server = None

    def types(self) -> Outcome:
        """Runs the type checker on the copy."""
        return self.run(["-m", "mypy", "--cache-dir", str(self.own / "mypy")], WHOLE)

    def put(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)


def _refused(output: str) -> SystemExit:
    return SystemExit(f"This user cannot have namespaces for the tests (unshare, mount). Run it as root.\n{output}")


# The tests of the collection run an installed copy of the code, in which nothing is mutated.
OPTIONS = (
    "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-p", "tests.mutants.plugin",
    "--ignore=tests/unit/test_mutants.py", "--ignore=tests/unit/test_collection.py",
)  # fmt: skip
PYTEST = "-m", "pytest", *OPTIONS
