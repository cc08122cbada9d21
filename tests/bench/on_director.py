"""Runs on a director: what lvskit, ipvsadm and keepalived take for the same table. Prints JSON.

    on_director.py FOLDER        with lvs_host/, wanted.rules and keepalived.conf in it

The IPVS table must be empty, and is empty again at the end. All figures are seconds, but for the memory (KiB).
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 5
SECONDS = 300  # for keepalived to load the table


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


def timed(action):
    started = time.monotonic()
    action()
    return time.monotonic() - started


def entries():
    with open("/proc/net/ip_vs", encoding="ascii") as table:
        return sum(1 for _ in table) - 3


def by_keepalived(configuration, number):
    """Until all entries are there; it is stopped afterwards, and takes them away."""
    started = time.monotonic()
    daemon = subprocess.Popen(
        ["keepalived", "--dont-fork", "--check", "--use-file", configuration, "--pid", "/run/lvskit-bench.pid"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while entries() < number:
            if daemon.poll() is not None or time.monotonic() - started > SECONDS:
                sys.exit("keepalived does not load the table")
            time.sleep(0.1)
        return time.monotonic() - started
    finally:
        daemon.terminate()
        daemon.wait()
        run("ipvsadm", "--clear")


def main():
    folder = Path(sys.argv[1])
    if entries() > 0:
        sys.exit("the IPVS table of this host is not empty")
    sys.path.insert(0, str(folder))
    from lvs_host import ipvs, ipvs_netlink

    wanted = (folder / "wanted.rules").read_text()
    number = len(wanted.splitlines())

    def output(argv, stdin):
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def apply(text, recorded):
        table = ipvs.IpvsTable(text, recorded, output, installed=True, netlink=ipvs_netlink.carry_out)
        table.prepare()
        if lines := table.additions():
            table.batch(lines)
        table.removals()
        return len(lines)

    def changed(count, text):
        if apply(text, wanted) != count:
            sys.exit(f"{count} commands were expected")

    def clear():
        run("ipvsadm", "--clear")

    result = {}
    result["load"] = timed(lambda: changed(number, wanted))
    if sorted(run("ipvsadm", "-Sn").split("\n")) != sorted(wanted.split("\n")):
        sys.exit("the table that was loaded is not the wanted one")
    result["save"] = statistics.median(timed(lambda: run("ipvsadm", "-Sn")) for _ in range(ROUNDS))
    result["nothing"] = statistics.median(timed(lambda: changed(0, wanted)) for _ in range(ROUNDS))
    other = wanted.replace("-w 1\n", "-w 2\n", 1)
    texts = [other, wanted] * 3
    result["one weight"] = statistics.median(timed(lambda text=text: changed(1, text)) for text in texts)
    result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clear()
    result["ipvsadm"] = timed(lambda: run("ipvsadm", "-R", input=wanted))
    clear()
    result["keepalived"] = by_keepalived(str(folder / "keepalived.conf"), number)
    result["load again"] = timed(lambda: changed(number, wanted))
    clear()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
