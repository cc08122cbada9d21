"""Runs on a director: what lvskit, ipvsadm and keepalived take for the same table. Prints JSON.

    on_director.py FOLDER        with lvs_host/, wanted.rules and keepalived.conf in it

The IPVS table must be empty, and is empty again at the end. Each figure is a list of seconds, one for each round, but for the
memory (KiB).
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

LOADS, ROUNDS = 3, 5
SECONDS = 300  # for keepalived to load the table


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


def timed(action):
    """Seconds for it in a process of its own, which remembers nothing of the rounds before."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
    return time.monotonic() - started


def empty():
    """A table that never held anything. (The kernel looks through what was removed in the last minutes for each real server it adds.)"""
    run("ipvsadm", "--clear")
    run("modprobe", "--remove", "ip_vs_wlc", "ip_vs")
    run("modprobe", "ip_vs_wlc")


def by_keepalived(configuration, wanted):
    """Until the last service has all its real servers; it is stopped afterwards, and takes them away."""
    lines = wanted.splitlines()
    last = lines[-1].split()[2]
    number = sum(1 for line in lines if line.startswith(f"-a -t {last} "))
    daemon = subprocess.Popen(
        [
            "keepalived",
            "--dont-fork",
            "--no-syslog",
            "--check",
            "--use-file",
            configuration,
            "--pid",
            "/run/lvskit-bench.pid",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started = time.monotonic()
    look = ["ipvsadm", "--list", "--numeric", "--tcp-service", last]
    try:
        while subprocess.run(look, capture_output=True, text=True, check=False).stdout.count(" Route ") < number:
            if daemon.poll() is not None or time.monotonic() - started > SECONDS:
                sys.exit("keepalived does not load the table")
            time.sleep(0.2)
        seconds = time.monotonic() - started
        if len(run("ipvsadm", "-Sn").splitlines()) != len(lines):
            sys.exit("keepalived has loaded the last service before others")
        return seconds
    finally:
        daemon.terminate()
        daemon.wait()


def main():
    folder = Path(sys.argv[1])
    if run("ipvsadm", "-Sn"):
        sys.exit("the IPVS table of this host is not empty")
    sys.path.insert(0, str(folder))
    from lvs_host import ipvs, ipvs_netlink

    wanted = (folder / "wanted.rules").read_text()
    other = wanted.replace("-w 1\n", "-w 2\n", 1)
    number = len(wanted.splitlines())

    def output(argv, stdin):
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def changed(count, text):
        table = ipvs.IpvsTable(text, wanted, output, installed=True, netlink=ipvs_netlink.carry_out)
        table.prepare()
        lines = table.additions()
        table.batch(lines)
        table.removals()
        if len(lines) != count:
            sys.exit(f"{len(lines)} commands instead of {count}")

    result = defaultdict(list)
    for _ in range(LOADS):
        empty()
        result["keepalived"].append(by_keepalived(str(folder / "keepalived.conf"), wanted))
        empty()
        result["ipvsadm"].append(timed(lambda: run("ipvsadm", "-R", input=wanted)))
        empty()
        result["load"].append(timed(lambda: changed(number, wanted)))
    if sorted(run("ipvsadm", "-Sn").split("\n")) != sorted(wanted.split("\n")):
        sys.exit("the table that was loaded is not the wanted one")
    for _ in range(ROUNDS):
        result["save"].append(timed(lambda: run("ipvsadm", "-Sn")))
        result["nothing"].append(timed(lambda: changed(0, wanted)))
        result["one weight"].append(timed(lambda: changed(1, other)))
        timed(lambda: changed(1, wanted))
    result["memory"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    empty()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
