"""What lvs_inspect looks for on a host, and what it means for packets there. Data only: the host is searched by it, and the
controller explains what was found by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Companion:
    """Other software that works on the same kernel state: its program, its name, and what it does to a director or real server."""

    program: str
    name: str
    effect: str


COMPANIONS = (
    Companion("dockerd", "docker", "it sets the policy of the filter table's FORWARD chain to DROP"),
    Companion(
        "firewalld",
        "firewalld",
        "a reload writes its rules anew, and its zones can refuse what the director forwards",
    ),
    Companion(
        "keepalived",
        "keepalived",
        "where its configuration has virtual servers it works on the same IPVS table and takes real servers out of it",
    ),
    Companion("kube-proxy", "kube-proxy", "in its ipvs mode it removes virtual services that it does not know"),
    Companion(
        "NetworkManager",
        "NetworkManager",
        "when it brings a connection up again it takes away addresses and routes that it does not know",
    ),
    Companion("cilium-agent", "cilium", "it can take packets for a VIP before IPVS sees them"),
)

# Features of the kernel's configuration (CONFIG_…), and the kernel module of a plan that needs each.
FEATURES = {
    "IP_VS": "ip_vs",
    "IP_VS_PROTO_TCP": "ip_vs",
    "IP_VS_PROTO_UDP": "ip_vs",
    "IP_VS_NFCT": "xt_ipvs",
    "NETFILTER_XT_MATCH_IPVS": "xt_ipvs",
    "NET_IPIP": "ipip",
}

# Counters of /proc/net/snmp and /proc/net/netstat, and what it means that one has risen while a request was on its way.
COUNTERS = {
    "TcpExt.IPReversePathFilter": "reverse path filtering has dropped packets: the way back to their source is another interface",
    "Ip.InAddrErrors": "packets were dropped whose destination is no address of the host, and which it does not forward",
    "Ip.OutNoRoutes": "packets were dropped for which the host has no route",
    "Ip.FragFails": "packets were dropped that are larger than the next link carries and must not be cut",
    "IpExt.InNoRoutes": "packets were dropped for which the host has no route",
    "TcpExt.ListenDrops": "connections were dropped because the application does not accept them fast enough",
}
