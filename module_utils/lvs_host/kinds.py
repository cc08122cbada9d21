"""The kinds of state that lvskit keeps on a host. Data only: the controller reads it too, and renders the content of each file of record.

The order of the table is the order in which state is added; it is removed in the reverse order. A real server's ARP settings are
in force before it has the VIP, and the director's table exists before the VIP attracts traffic. A new kind needs a row here, a
template of that path, a class in this folder, and its construction in host.py.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUTE_PROTOCOL = 76  # marks lvskit's own routes and rules in the kernel (`ip route show table all proto 76`)
UNITS = "/etc/systemd/system"


@dataclass(frozen=True)
class Kind:
    """`name` is the option of lvs_state with the wanted content, `path` the file of record on the host, `title` is for a person."""

    name: str
    path: str
    title: str

    @property
    def template(self) -> str:
        """The template of the file, below roles/lvs_host/templates."""
        return f"{self.path.lstrip('/')}.j2"


MODULES = Kind("modules", "/etc/modules-load.d/lvskit.conf", "kernel modules")
MODULE_OPTIONS = Kind("module_options", "/etc/modprobe.d/lvskit.conf", "module parameters")
SYSCTLS = Kind("sysctls", "/etc/sysctl.d/zz-lvskit.conf", "kernel settings")
NETFILTER = Kind("netfilter", "/etc/lvskit/netfilter.rules", "iptables rules")
NETFILTER6 = Kind("netfilter6", "/etc/lvskit/netfilter6.rules", "ip6tables rules")
IPVS_TIMEOUTS = Kind("ipvs_timeouts", "/etc/lvskit/ipvs.timeouts", "IPVS timeouts")
IPVS = Kind("ipvs", "/etc/lvskit/ipvs.rules", "IPVS table")
NETWORK = Kind("network", "/etc/lvskit/network.batch", "addresses and routes")
NETWORK6 = Kind("network6", "/etc/lvskit/network6.batch", "IPv6 addresses and routes")
HEALTH = Kind("health", "/etc/lvskit/health.conf", "health checks")
HEALTH_PLAN = Kind("health_plan", "/etc/lvskit/health.json", "governed services")
VRRP = Kind("vrrp", "/etc/lvskit/vrrp.conf", "election of a director")
CONNTRACKD = Kind("conntrackd", "/etc/lvskit/conntrackd.conf", "synchronization of translated connections")
DRAINED = Kind("drained", "/etc/lvskit/drained", "drained real servers")
NETFILTER_UNIT = Kind("netfilter_unit", f"{UNITS}/lvskit-netfilter.service", "unit lvskit-netfilter.service")
IPVS_UNIT = Kind("ipvs_unit", f"{UNITS}/lvskit-ipvs.service", "unit lvskit-ipvs.service")
NETWORK_UNIT = Kind("network_unit", f"{UNITS}/lvskit-network.service", "unit lvskit-network.service")
VERDICT_UNIT = Kind("verdict_unit", f"{UNITS}/lvskit-verdict.service", "unit lvskit-verdict.service")
HEALTH_UNIT = Kind("health_unit", f"{UNITS}/lvskit-health.service", "unit lvskit-health.service")
GOVERNOR_UNIT = Kind("governor_unit", f"{UNITS}/lvskit-governor.service", "unit lvskit-governor.service")
SYNC_UNIT = Kind("sync_unit", f"{UNITS}/lvskit-sync.service", "unit lvskit-sync.service")
CONNTRACKD_UNIT = Kind("conntrackd_unit", f"{UNITS}/lvskit-conntrackd.service", "unit lvskit-conntrackd.service")
VRRP_UNIT = Kind("vrrp_unit", f"{UNITS}/lvskit-vrrp.service", "unit lvskit-vrrp.service")
VRRP_WATCH_UNIT = Kind("vrrp_watch_unit", f"{UNITS}/lvskit-vrrp-watch.service", "unit lvskit-vrrp-watch.service")
KEEPER_UNIT = Kind("keeper_unit", f"{UNITS}/lvskit-keeper.service", "unit lvskit-keeper.service")

KINDS = (
    MODULES,
    MODULE_OPTIONS,
    SYSCTLS,
    NETFILTER,
    NETFILTER6,
    IPVS_TIMEOUTS,
    IPVS,
    NETWORK,
    NETWORK6,
    HEALTH,
    HEALTH_PLAN,
    VRRP,
    CONNTRACKD,
    DRAINED,
    NETFILTER_UNIT,
    IPVS_UNIT,
    NETWORK_UNIT,
    VERDICT_UNIT,
    GOVERNOR_UNIT,
    HEALTH_UNIT,
    SYNC_UNIT,
    CONNTRACKD_UNIT,
    VRRP_UNIT,
    VRRP_WATCH_UNIT,
    KEEPER_UNIT,
)
TEXTS = {kind.name: kind.path for kind in KINDS}
