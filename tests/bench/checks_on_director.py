"""Runs on a director whose real servers have health checks. Prints JSON: what keepalived and the governor take for them.

    checks_on_director.py SECONDS       for how long the cost is measured

All real servers must be able to pass. Times are seconds, `checker` and `governor` their seconds of processor time.
"""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, "/usr/lib/lvskit/lvskit.pyz")
from lvs_host import decisions, verdicts

PATIENCE = 600  # seconds
HEALTH, GOVERNOR = "lvskit-health.service", "lvskit-governor.service"


def passed():
    """How many real servers have passed their check; without the canary."""
    found = verdicts.weights(verdicts.table())
    return sum(weight for (service, _), weight in found.items() if service != "-t 127.0.0.1:1")


def in_use():
    return sum(
        own.weight == own.planned for state in decisions.read().states.values() for own in state.servers.values()
    )


def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True)


def until(condition, what):
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > PATIENCE:
            sys.exit(f"not {what} after {PATIENCE} s: {passed()} passed, {in_use()} in use")
        time.sleep(0.5)
    return time.monotonic() - started


def of_processor(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """MiB that a process has in memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def main_pid(unit):
    words = ["systemctl", "show", "--property=MainPID", "--value", unit]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def signs_of_life(seconds):
    """The longest time without a sign of life of the checker, and the smallest number of passed checks, in so many seconds."""
    ages, least = [], passed()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ages.append(verdicts.canary_age(time.time()) or 0.0)
        least = min(least, passed())
        time.sleep(0.5)
    return max(ages), least


def main():
    seconds = float(sys.argv[1])
    with open("/etc/lvskit/health.json", encoding="utf-8") as file:
        total = sum(len(service.servers) for service in decisions.services(file.read()))
    result = {"servers": total}
    systemctl("stop", HEALTH)
    systemctl("start", HEALTH)
    result["first"] = until(lambda: passed() > 0, "begun")
    result["all"] = result["first"] + until(lambda: passed() == total, "passed")
    result["used"] = until(lambda: in_use() == total, "in use")
    systemctl("reload", HEALTH)
    result["pause"], result["least"] = signs_of_life(60)
    checker, governor = verdicts.checker(), main_pid(GOVERNOR)
    before = of_processor(checker), of_processor(governor)
    time.sleep(seconds)
    result["checker"], result["governor"] = of_processor(checker) - before[0], of_processor(governor) - before[1]
    result["memory"] = {"checker": memory(checker), "governor": memory(governor)}
    result["left"] = passed()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
