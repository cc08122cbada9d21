"""The faults, and what they concern."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .lab_hosts import CLIENT, DIRECTOR, ROOT, Hosts

Act = Callable[[Hosts], float]
KEEPER = "lvskit-keeper"


@dataclass(frozen=True)
class Fault:
    """`begin` and `end` return their times on the client's clock. `services` are those that it concerns; none: all of them. It hits `others`,
    too, of which nothing is promised.

    `fatal`: no real server is left, so that all requests are lost meanwhile. `harmless`: nothing may be lost at all. `long`: not in the short form.
    """

    name: str
    begin: Act
    end: Act
    services: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    fatal: bool = False
    harmless: bool = False
    lasts: float = 0.0  # seconds beyond the detection time
    long: bool = False
    peer: bool = True  # keepalived alone has this fault, too


def on(host: str, command: str) -> Act:
    return lambda hosts: hosts.do(host, command)


def away(host: str, command: str) -> Act:
    """Takes state away, which the host's keeper would put back before anybody noticed."""
    return on(host, f"systemctl stop {KEEPER}; {command}")


def back(host: str, command: str) -> Act:
    return on(host, f"{command}; systemctl start {KEEPER}")


def both(*acts: Act) -> Act:
    """All of them at once; the time is the last one's."""

    def act(hosts: Hosts) -> float:
        with ThreadPoolExecutor(len(acts)) as pool:
            return max(pool.map(lambda one: one(hosts), acts))

    return act


APP = "systemctl kill --signal=KILL lvskit-lab-app; systemctl stop lvskit-lab-app"
START = "systemctl start lvskit-lab-app"
FAULT = "/run/lvskit-lab-fault"


# The port refuses connections and answers in turn; it answers for shorter than `rise` asks for.
REFUSE = "INPUT -p tcp --dport 8084 -j REJECT --reject-with tcp-reset"
FLAP = f"iptables -I {REFUSE}; for i in 1 2 3; do sleep 6; iptables -D {REFUSE}; sleep 1.5; iptables -I {REFUSE}; done"


def _reboot(hosts: Hosts) -> float:
    """The director restarts, and one real server is dead meanwhile; the time when a service answers again."""
    hosts.do("rs3", APP)
    time.sleep(10)
    options = [f"--inventory={one}" for one in hosts.inventories]
    asking = hosts.words(CLIENT, "until curl -s -m 0.5 -o /dev/null http://203.0.113.81/; do :; done; date +%s.%N")
    subprocess.run(
        [sys.executable, "-m", "lab", "reboot", DIRECTOR, *options], cwd=ROOT, check=True, capture_output=True
    )
    return float(subprocess.run(asking, check=True, capture_output=True, text=True, timeout=120).stdout)


PARENT = "cat /run/lvskit/keepalived.pid /run/peer/k.pid 2>/dev/null"
CHILD = "cat /run/lvskit/checkers.pid /run/peer/c.pid 2>/dev/null"

FAULTS = (
    Fault("application killed", on("rs1", APP), on("rs1", START), ("web", "api", "mail"), long=True),
    Fault("host powered off", lambda hosts: hosts.freeze("rs2"), lambda hosts: hosts.thaw("rs2"), ("web", "api", "mail"), long=True),
    Fault("link cut", on("rs3", "ip link set eth1 down"), on("rs3", "ip link set eth1 up; systemctl restart lvskit-network"), ("files", "orders", "shop", "media", "games"), long=True),
    Fault("VIP off lo (dr)", away("rs1", "ip addr del 10.20.1.80/32 dev lo; ip -6 addr del 2001:db8:30::80/128 dev lo"), back("rs1", "ip addr add 10.20.1.80/32 dev lo; ip -6 addr add 2001:db8:30::80/128 dev lo preferred_lft 0"), ("web",)),
    Fault("VIP off tunl0 (tun)", away("rs3", "ip addr del 203.0.113.82/32 dev tunl0"), back("rs3", "ip addr add 203.0.113.82/32 dev tunl0"), ("files",), long=True),
    Fault("module unloaded (enat)", away("rs4", "rmmod lvskit_ctk"), back("rs4", "modprobe lvskit_ctk"), ("games",), long=True),
    Fault("status 500", on("rs1", f"echo 500 > {FAULT}"), on("rs1", f"rm {FAULT}"), ("web",), ("api", "mail"), long=True),
    Fault("slow answers", on("rs2", f"echo 200 5 > {FAULT}"), on("rs2", f"rm {FAULT}"), ("web",), ("api", "mail"), long=True),
    Fault("flapping", on("rs4", FLAP), on("rs4", f"iptables -D {REFUSE}"), ("games",), long=True),
    Fault("all real servers", both(on("rs3", APP), on("rs4", APP)), both(on("rs3", START), on("rs4", START)), ("orders", "shop", "media", "games"), ("files",), fatal=True, long=True),
    Fault("all real servers, sorry server", both(on("rs3", APP), on("rs4", APP)), both(on("rs3", START), on("rs4", START)), ("files",), ("orders", "shop", "media", "games")),
    Fault("keepalived stopped", lambda hosts: hosts.do(DIRECTOR, hosts.stop_checks), lambda hosts: hosts.do(DIRECTOR, hosts.start_checks), harmless=True, lasts=5, long=True),
    Fault("keepalived killed", on(DIRECTOR, f"kill -9 $({PARENT})"), lambda hosts: hosts.do(DIRECTOR, hosts.start_checks), harmless=True, lasts=8, long=True),
    Fault("checker frozen", on(DIRECTOR, f"kill -STOP $({CHILD})"), on(DIRECTOR, f"kill -CONT $({CHILD})"), harmless=True, lasts=35, long=True),
    Fault("governor killed", on(DIRECTOR, "systemctl kill --signal=KILL lvskit-governor"), on(DIRECTOR, "true"), harmless=True, peer=False, long=True),
    Fault("director restarted, one dead", _reboot, on("rs3", START), harmless=True, long=True, peer=False),
)  # fmt: skip
