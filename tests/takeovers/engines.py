"""What elects the master: lvskit, or keepalived alone with the kernel's sync daemons, as one writes it by hand for dr and nat."""

from __future__ import annotations

import time

from ansible.module_utils.lvs.host_plan import HostPlan, VirtualService
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.topology import Topology

from tests.outages.lab_hosts import Hosts

_METHODS = {"-g": "DR", "-m": "NAT"}
_PROTOCOLS = {"-t": "TCP", "-u": "UDP"}
MODES = ("dr", "nat")  # what keepalived's configuration has by itself
PATIENCE = 400  # seconds: a machine whose host has much to do needs minutes to boot


class Pair(Hosts):
    """The directors of a pair with lvskit. `master` and `standby` are fixed when a fault begins."""

    name = "lvskit"
    unit = "lvskit-vrrp"
    sign = "169.254.76."  # an address that the master has, of these
    modes: tuple[str, ...] = ()  # all
    master = standby = ""

    @property
    def directors(self) -> list[str]:
        return list(self.topology.groups["directors"])

    @property
    def services(self) -> list[tuple[str, str, str]]:
        """Address, port (that of UDP as load.py wants it) and title of each end."""
        return [
            (
                str(entry.vip),
                str(entry.port) if entry.protocol == "tcp" else f"{entry.protocol}:{entry.port}",
                f"{service.mode.title} IPv{entry.vip.version}",
            )
            for service in self.topology.services
            if not self.modes or service.mode.name in self.modes
            for entry in service.by_vip
        ]

    def begin(self) -> None:
        """lvskit runs."""

    def end(self) -> None:
        """It stays."""

    def hand_over(self) -> float:
        """As playbooks/failover.yml does."""
        write = "for file in /run/lvskit-vrrp/*.{}; do echo {} > $file; done"
        begin = " && ".join([write.format("last", -200), write.format("leave", 1)])
        return self.do(self.master, f"{begin}; sleep 1; {write.format('leave', 0)}")

    def stand_again(self) -> None:
        self.ask(self.master, "for file in /run/lvskit-vrrp/*.last; do echo 0 > $file; done")

    def masters(self) -> list[str]:
        """The directors that hold the addresses."""
        command = f"ip -4 -oneline address show | grep -qF '{self.sign}' && echo master; true"
        return [name for name in self.directors if "master" in self.ask(name, command)]

    def settle(self) -> None:
        """Waits until there is one master, and every checked server is in both tables."""
        until = time.monotonic() + PATIENCE
        while True:
            try:  # one that boots cannot be asked yet
                found = self.masters()
                if len(found) == 1 and all(self._whole(name) for name in self.directors):
                    self.master = found[0]
                    self.standby = next(name for name in self.directors if name != self.master)
                    return
            except RuntimeError:
                found = []
            if time.monotonic() > until:
                raise RuntimeError(f"the pair is not whole: masters are {found}")
            time.sleep(1)

    def _whole(self, name: str) -> bool:
        """Whether a director could be master: it takes part in the election, and its table has every real server."""
        planned = "grep -- '^-a' /etc/lvskit/ipvs.rules | grep -cv -- ' -f '"
        there = "ipvsadm --save --numeric | grep -- '^-a' | grep -cv -- ' -f '"
        electing = f"systemctl is-active --quiet {self.unit}"
        return self.ask(name, f"{electing} && test $({planned}) = $({there}) && echo whole; true").strip() == "whole"


class KeepalivedAlone(Pair):
    """Its defaults: multicast adverts each second, and the sync daemon of the one that is master."""

    name = "keepalived alone"
    unit = "peer"
    modes = MODES
    lvskit = "lvskit-vrrp-watch lvskit-vrrp lvskit-health lvskit-governor lvskit-sync lvskit-conntrackd"
    run = (
        "systemctl reset-failed peer 2>/dev/null; systemd-run --quiet --unit peer --property KillMode=mixed --property Restart=always "
        "--property RestartSec=1 keepalived -n -l -f /etc/peer.conf -p /run/peer-k.pid -r /run/peer-v.pid -c /run/peer-c.pid"
    )

    def __init__(self, inventories: list[str]) -> None:
        super().__init__(inventories)
        self.sign = next(str(s.vips[0]) for s in self.topology.services if s.mode.name in MODES) + "/"

    def begin(self) -> None:
        """In place of lvskit's engines; the rules and kernel settings of the plan stay."""
        for place, (name, plan) in enumerate(plans(self.topology, self.directors).items()):
            stopped = [unit for unit in self.lvskit.split() if unit != "lvskit-conntrackd" or plan.conntrack_sync]
            self.ask(
                name,
                f"systemctl stop {' '.join(stopped)}; ipvsadm -C; cat > /etc/peer.conf",
                configuration(plan, self.topology, 100 - place),
            )
            self.ask(name, f"keepalived -t -f /etc/peer.conf && {self.run}")
            if not place:
                time.sleep(6)  # the first one is master

    def end(self) -> None:
        for name, plan in plans(self.topology, self.directors).items():
            started = [unit for unit in self.lvskit.split() if unit != "lvskit-conntrackd" or plan.conntrack_sync]
            self.ask(name, "systemctl stop peer; ipvsadm -C; ipvsadm -R < /etc/lvskit/ipvs.rules")
            self.ask(name, f"systemctl start {' '.join(reversed(started))}")

    def hand_over(self) -> float:
        return self.do(self.master, "systemctl restart peer")

    def stand_again(self) -> None:
        """It does by itself."""

    def _whole(self, name: str) -> bool:
        plan = plans(self.topology, [name])[name]
        wanted = sum(len(service.destinations) for service in own(plan, self.topology))
        return int(self.ask(name, "ipvsadm --save --numeric | grep -c -- '^-a'; true")) == wanted


def own(plan: HostPlan, topology: Topology) -> list[VirtualService]:
    """The virtual services of dr and nat."""
    names = {service.name for service in topology.services if service.mode.name in MODES}
    return [one for one in plan.services if one.service in names]


def configuration(plan: HostPlan, topology: Topology, priority: int) -> str:
    """keepalived.conf(5) for the same services."""
    (router,), sync = plan.routers, plan.sync
    assert sync
    gateways = topology.director_groups[router.group].gateways.values()
    moving = {one.endpoint.rpartition(":")[0].strip("[]") for one in own(plan, topology)}
    moving |= {str(gateway) for found in gateways for gateway in found}
    addresses = {
        version: [
            f"        {one.address}/{one.length} dev {one.device}"
            for one in router.addresses
            if one.address in moving and (":" in one.address) == (version == 6)
        ]
        for version in (4, 6)
    }
    lines = [
        "global_defs {",
        f"    lvs_sync_daemon {sync.interface} pair",
        "}",
        "vrrp_instance pair {",
        "    state BACKUP",
        "    nopreempt",
        f"    interface {router.interface}",
        f"    virtual_router_id {router.number}",
        f"    priority {priority}",
        "    virtual_ipaddress {",
        *addresses[4],
        "    }",
        "    virtual_ipaddress_excluded {",
        *addresses[6],
        "    }",
        "}",
    ]
    for one in own(plan, topology):
        address, _, port = one.endpoint.rpartition(":")
        protocol = _PROTOCOLS[one.protocol]
        lines += [
            f"virtual_server {address.strip('[]')} {port} {{",
            f"    lvs_sched {one.scheduler}",
            f"    lvs_method {_METHODS[one.destinations[0].method]}",
            f"    protocol {protocol}",
        ]
        for server in one.destinations:
            lines += [
                f"    real_server {server.address} {server.endpoint.rpartition(':')[2]} {{",
                f"        weight {server.weight}",
                *(["        TCP_CHECK {", "        }"] if protocol == "TCP" else []),
                "    }",
            ]
        lines.append("}")
    return "\n".join(lines) + "\n"
