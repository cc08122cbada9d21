"""What the model takes for a large environment: parsed, checked and planned, once a run, on the controller."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

from ansible.module_utils.lvs import inventory, plan, rules
from ansible.module_utils.lvs.host_plan import HostPlan

HOSTS, SERVICES, SERVERS = 1000, 10_000, 10


def environment(hosts_behind: int, services_in_all: int, servers_each: int) -> dict[str, Any]:
    """A director, real servers and services, as `parse` takes them."""
    networks = {"app": {"cidr": "10.0.0.0/8", "vlan": 10, "gateway": "10.255.255.254"}}
    names = [f"rs{number}" for number in range(hosts_behind)]
    hosts = {name: _plugged(f"10.1.{i // 200}.{i % 200 + 1}") for i, name in enumerate(names)}
    hosts["lb1"] = _plugged("10.0.0.10")
    groups = {"all": list(hosts), "directors": ["lb1"], "real_servers": names}
    services = [
        {
            "name": f"service{number}",
            "vip": f"10.2.{number // 200}.{number % 200 + 1}",
            "port": 80,
            "mode": "dr",
            "scheduler": "wlc",
            "real_servers": [{"host": names[(number * 7 + i) % len(names)]} for i in range(servers_each)],
        }
        for number in range(services_in_all)
    ]
    return {"networks": networks, "services": services, "hosts": hosts, "groups": groups}


def _plugged(address: str) -> dict[str, Any]:
    return {"lvs_interfaces": {"eth1": {"network": "app", "address": address}}}


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


def main() -> None:
    plans, seconds = compiled(environment(HOSTS, SERVICES, SERVERS))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(plans)} hosts, {SERVICES} services, {SERVICES * SERVERS} real servers: {described(seconds)}; {memory:.0f} MiB"
    )


if __name__ == "__main__":
    main()
