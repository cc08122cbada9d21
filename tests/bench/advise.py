"""What advice on all services of an environment takes, on the controller: each mode tried for each of 1,000 services on 400 hosts."""

from __future__ import annotations

import sys
import time

from ansible.module_utils.lvs import advice, inventory, rules
from ansible.module_utils.lvs.modes import Mode

from .model import environment, in_each_mode

HOSTS, SERVICES, SERVERS = 400, 1000, 10
GOAL = 30  # seconds of processor time, at most


def measure(mode: Mode) -> str:
    raw = environment(HOSTS, SERVICES, SERVERS, mode)
    topology, faults = inventory.parse(raw["networks"], raw["services"], raw["hosts"], raw["groups"])
    if faults:
        sys.exit(f"the environment of this benchmark is refused: {faults[0]}")
    started = time.process_time()
    rules.check(topology)
    before = time.process_time()
    lines = tried = possible = 0
    for service in raw["services"]:
        found = advice.options(service, topology)
        lines += len(advice.report(service, found))
        tried += len(found)
        possible += sum(option.possible for option in found)
    taken = time.process_time() - before
    return (
        f"{taken:.1f} s: {taken / GOAL:.2f} of the goal, {taken / (before - started):.0f} checks of the environment; "
        f"{possible} of {tried} options are possible, {lines} lines"
    )


def main() -> None:
    print(
        f"advice on {SERVICES} services with {SERVERS} real servers each on {HOSTS} hosts, all of one mode; processor time, "
        f"goal {GOAL} s"
    )
    in_each_mode(measure)


if __name__ == "__main__":
    main()
