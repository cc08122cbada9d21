"""What a keeper costs on a machine."""

from __future__ import annotations

from typing import Protocol

from ansible.module_utils.lvs_host import lock
from ansible.module_utils.lvs_host.keeper import LOOK

UNIT = "lvskit-keeper"
PASSES = 5
ONE_PASS = "iptables-save; ip6tables-save; ip rule; ip address"


class Asked(Protocol):
    """Machines of a lab."""

    def ask(self, host: str, command: str) -> str:
        """Standard output of a command on a machine."""


def cost(hosts: Asked, name: str) -> tuple[float, float]:
    """A keeper's memory in MiB, and its processor time for a look at everything, as after a run, as a multiple of ONE_PASS on the same host."""
    pid = hosts.ask(name, f"systemctl show --property=MainPID --value {UNIT}").strip()
    resident = int(hosts.ask(name, f"awk '/^VmRSS/ {{print $2}}' /proc/{pid}/status")) / 1024
    spent = f"systemctl show --property=CPUUsageNSec --value {UNIT}"
    before = int(hosts.ask(name, spent))
    for _ in range(PASSES):
        hosts.ask(name, f"touch {lock.PATH}; sleep {LOOK + 3}")
    own = (int(hosts.ask(name, spent)) - before) / PASSES
    repeated = f"for i in $(seq {PASSES}); do {ONE_PASS}; done >/dev/null 2>&1"
    other = sum(map(float, hosts.ask(name, f"bash -c 'TIMEFORMAT=\"%U %S\"; time {{ {repeated}; }}' 2>&1").split()))
    return resident, own / 1e9 / (other / PASSES)
