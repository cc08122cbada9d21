"""What takes dead real servers out: lvskit's governor, or keepalived alone on the kernel's table, with the same checks of RIPs."""

from __future__ import annotations

import json
import time

from ansible.module_utils.lvs.host_plan import CheckedServer, CheckedService, HostPlan

from .lab_hosts import DIRECTOR, Hosts

_METHODS = {"-g": "DR", "-m": "NAT", "-i": "TUN"}
_RUN = (
    "systemctl reset-failed peer 2>/dev/null; systemd-run --quiet --unit peer --property KillMode=mixed "
    "keepalived -C -n -l -G -f /tmp/peer.conf -p /run/peer/k.pid -c /run/peer/c.pid"
)
PATIENCE = 120  # seconds until all real servers are in use again


class Governed:
    name = "lvskit"

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def begin(self) -> None:
        self.hosts.stop_checks = "systemctl stop lvskit-health"
        self.hosts.start_checks = "systemctl start lvskit-health"

    def end(self) -> None:
        """It stays."""

    def whole(self) -> bool:
        """Whether every real server is in use, and every verdict counts."""
        decided = json.loads(self.hosts.ask(DIRECTOR, "cat /var/lib/lvskit/governor.json"))
        servers = [own for state in decided["services"].values() for own in state["servers"].values()]
        return decided["checker"] == "fine" and all(
            one["weight"] == one["planned"] and one["verdict"] == "passed" for one in servers
        )

    def wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while not self.whole():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name}: not all real servers are in use after {PATIENCE} s")
            time.sleep(0.5)


class KeepalivedAlone(Governed):
    name = "keepalived"

    def begin(self) -> None:
        self.hosts.ask(
            DIRECTOR,
            "systemctl stop lvskit-health lvskit-governor; cat > /tmp/peer.conf",
            configuration(self.hosts.plan),
        )
        self.hosts.ask(DIRECTOR, "mkdir -p /run/peer; keepalived -t -C -f /tmp/peer.conf; ipvsadm -C")
        self.hosts.stop_checks = "systemctl stop peer"
        self.hosts.start_checks = f"systemctl is-active --quiet peer || {_RUN}"
        self.hosts.ask(DIRECTOR, _RUN)

    def end(self) -> None:
        self.hosts.ask(
            DIRECTOR,
            "systemctl stop peer; ipvsadm -C; systemctl start lvskit-ipvs; ipvsadm -R < /etc/lvskit/ipvs.rules",
        )
        self.hosts.ask(DIRECTOR, "systemctl start lvskit-governor lvskit-health")

    def whole(self) -> bool:
        said = self.hosts.ask(DIRECTOR, "ipvsadm -Sn")
        real = [line for line in said.splitlines() if line.startswith("-a ")]
        return len(real) == sum(len(service.destinations) for service in self.hosts.plan.services)


def configuration(plan: HostPlan) -> str:
    """keepalived.conf(5) for the same services and checks, as one writes it by hand: checks of RIPs."""
    checks = {(one.service, one.family): one for one in plan.checks}
    parts = ["global_defs {\n}\n"]
    for service in plan.services:
        six = service.endpoint.startswith("[")
        checked = checks[service.service, 6 if six else 4]
        address, _, port = service.endpoint.rpartition(":")
        protocol = {"-t": "TCP", "-u": "UDP"}[service.protocol]
        flags = [option[3:] for option in service.options if option.startswith("-b ")]
        parts.append(
            f"virtual_server {address.strip('[]')} {port} {{\n protocol {protocol}\n lvs_sched {service.scheduler}\n"
            + "".join(f" {flag}\n" for flag in (flags[0].split(",") if flags else ()))
            + f" lvs_method {_METHODS[service.destinations[0].method]}\n"
            f" delay_loop {checked.interval}\n retry {checked.retries}\n delay_before_retry {checked.retry_delay}\n"
        )
        if checked.apologies:
            sorry = checked.apologies[0]
            parts.append(f" sorry_server {sorry.address} {sorry.endpoint.rpartition(':')[2]}\n")
        servers = {server.address: server for server in checked.servers}
        for one in service.destinations:
            parts.append(
                _server(one.address, one.endpoint.rpartition(":")[2], one.weight, checked, servers[one.address])
            )
        parts.append("}\n")
    return "".join(parts)


def _server(address: str, port: str, weight: int, checked: CheckedService, server: CheckedServer) -> str:
    probe = server.probes[0]
    url = "".join(f"   {name} {value}\n" for name, value in probe.url if name != "virtualhost")
    inner = f"  url {{\n{url}  }}\n" if url else ""
    return (
        f" real_server {address} {port} {{\n  weight {weight}\n  {probe.block} {{\n  connect_timeout {probe.timeout}\n"
        f"  connect_port {port}\n{inner}  }}\n }}\n"
    )
