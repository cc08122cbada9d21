"""What a run of the site playbook costs on hosts that have their plan already.

Prints the tasks executed for each host, and the run's time as a multiple of `ansible all -m ping` on the same hosts, both
measured by turns in this run.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROUNDS = 3
HOSTS = "directors:real_servers"


def timed(*command: str) -> tuple[float, str]:
    """Seconds and output of a command; its output and an exit where it fails."""
    started = time.monotonic()
    run = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if run.returncode:
        sys.exit(f"{' '.join(command)} failed. Is the lab up (make lab)?\n{run.stdout}{run.stderr}")
    return time.monotonic() - started, run.stdout


def tasks(output: str) -> Counter[str]:
    """How many tasks each host executed: the lines `ok: [host]` and `changed: [host]`, loop items counted once."""
    counted: Counter[str] = Counter()
    for block in re.split(r"^TASK ", output, flags=re.M)[1:]:
        counted.update(set(re.findall(r"^(?:ok|changed): \[([^\]]+)\]", block, flags=re.M)))
    return counted


def main() -> None:
    print("bringing the hosts to their plan", flush=True)
    timed("ansible-playbook", "playbooks/site.yml")
    ratios = []
    for number in range(1, ROUNDS + 1):
        ping, _ = timed("ansible", HOSTS, "-m", "ping")
        site, output = timed("ansible-playbook", "playbooks/site.yml")
        if re.search(r"changed=[1-9]", output):
            sys.exit(f"a run with nothing to change changed something:\n{output}")
        ratios.append(site / ping)
        print(f"round {number}: ping {ping:.1f} s, site {site:.1f} s, {site / ping:.2f} pings", flush=True)
    for host, count in sorted(tasks(output).items()):
        print(f"{host:<12} {count} tasks")
    print(f"a site run with nothing to change costs {statistics.median(ratios):.2f} pings of the same hosts (median)")


if __name__ == "__main__":
    main()
