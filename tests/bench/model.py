"""What the model takes for a large environment: parsed, checked and planned, once a run, on the controller; in each mode."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.lvs import inventory, modes, plan, rules
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.modes import Mode

HOSTS, SERVICES, SERVERS = 1000, 10_000, 10
POOL = 4  # local addresses of a director


_DR = modes.row("dr")


def environment(hosts_behind: int, services_in_all: int, servers_each: int, mode: Mode = _DR) -> dict[str, Any]:
    """Directors, real servers, clients and services of a mode, as `parse` takes them.

    There is one director.
    """
    networks = {
        "app": {"cidr": "10.0.0.0/8", "vlan": 10, "gateway": "10.255.255.254"},
        "outside": {"cidr": "192.0.2.0/24", "vlan": 20, "gateway": "192.0.2.1"},
    }
    names = [f"rs{number}" for number in range(hosts_behind)]
    hosts = {name: _plugged(f"10.1.{i // 200}.{i % 200 + 1}") for i, name in enumerate(names)}
    directors = ["lb1"]
    hosts |= {name: _plugged(f"10.0.0.{10 + i}") for i, name in enumerate(directors)}
    clients = {f"client{i}": _plugged(f"192.0.2.{10 + i}", "outside") for i in (1, 2)}
    hosts |= clients
    groups = {"all": list(hosts), "directors": directors, "real_servers": names, "clients": list(clients)}
    groups |= {f"{name}_alone": [name] for name in directors}
    services = [
        {
            "name": f"service{number}",
            "vip": f"10.2.{number // 200}.{number % 200 + 1}",
            "port": 80,
            "mode": mode.name,
            **mode.settings,
            "scheduler": "wlc",
            "directors": f"{directors[number % len(directors)]}_alone",
            "real_servers": [{"host": names[(number * 7 + i) % len(names)]} for i in range(servers_each)],
        }
        for number in range(services_in_all)
    ]
    if mode.source_nat:
        for number, service in enumerate(services):
            service["local_addresses"] = [f"10.3.{number % len(directors)}.{i + 1}" for i in range(POOL)]
    return {"networks": networks, "services": services, "hosts": hosts, "groups": groups}


def _plugged(address: str, network: str = "app") -> dict[str, Any]:
    return {"lvs_interfaces": {"eth1": {"network": network, "address": address}}}


def compiled(raw: dict[str, Any]) -> tuple[dict[str, HostPlan], dict[str, float]]:
    """The plans of an environment, and the seconds of processor time that each step has taken."""
    times = [time.process_time()]
    topology, faults = inventory.parse(raw["networks"], raw["services"], raw["hosts"], raw["groups"])
    times.append(time.process_time())
    found = [*faults, *(violation for violation in rules.check(topology) if not violation.warning)]
    if found:
        sys.exit(f"the environment of this benchmark is refused: {found[0]}")
    times.append(time.process_time())
    plans = plan.plans(topology)
    times.append(time.process_time())
    names = ("parse", "check", "plan")
    return plans, {name: after - before for name, before, after in zip(names, times, times[1:])}


def described(seconds: dict[str, float]) -> str:
    steps = ", ".join(f"{name} {taken:.2f} s" for name, taken in seconds.items())
    return f"{steps}; together {sum(seconds.values()):.2f} s"


def measure(mode: Mode) -> str:
    plans, seconds = compiled(environment(HOSTS, SERVICES, SERVERS, mode))
    return f"{len(plans)} hosts: {described(seconds)}"


def in_each_mode(measured: Callable[[Mode], str]) -> None:
    """Prints a line for each row of the table of modes: what a process for it alone says and what memory it took."""
    for mode in modes.TABLE:
        said = " ".join([mode.name, *(f"{key}={value}" for key, value in mode.settings.items())])
        print(f"{said:<31}", end="", flush=True)
        process = multiprocessing.get_context("spawn").Process(target=_say, args=(measured, mode))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


def _say(measured: Callable[[Mode], str], mode: Mode) -> None:
    text = measured(mode)
    print(f"{text}; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", flush=True)


def main() -> None:
    print(f"{SERVICES} services, {SERVICES * SERVERS} real servers; seconds of processor time, memory at its highest")
    in_each_mode(measure)


if __name__ == "__main__":
    main()
