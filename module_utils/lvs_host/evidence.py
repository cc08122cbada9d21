"""What lvs_inspect searches for on a host, and its effect on packets. Data only: the host uses it to search, the
controller to explain the results."""

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
        "a reload rewrites its rules, and its zones can reject packets that the director forwards",
    ),
    Companion(
        "keepalived",
        "keepalived",
        "if its configuration has virtual servers, it changes the same IPVS table and removes real servers from it",
    ),
    Companion("kube-proxy", "kube-proxy", "in its ipvs mode it removes virtual services that it did not create"),
    Companion(
        "NetworkManager",
        "NetworkManager",
        "when it reactivates a connection, it removes addresses and routes that it did not create",
    ),
    Companion("cilium-agent", "cilium", "it can process packets for a VIP before IPVS receives them"),
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

# Counters of /proc/net/snmp, snmp6 and netstat, and what it means if one has risen during a request.
COUNTERS = {
    "TcpExt.IPReversePathFilter": "reverse path filtering has dropped packets: the route to their source uses another interface",
    "Ip.InAddrErrors": "packets were dropped whose destination is not an address of the host, because it does not forward",
    "Ip.OutNoRoutes": "packets were dropped for which the host has no route",
    "Ip.FragFails": "packets were dropped that are larger than the MTU of the next link and must not be fragmented",
    "IpExt.InNoRoutes": "packets were dropped for which the host has no route",
    "Ip6InAddrErrors": "IPv6 packets were dropped whose destination is not an address of the host, because it does not forward IPv6",
    "Ip6InNoRoutes": "IPv6 packets were dropped for which the host has no route",
    "Ip6OutNoRoutes": "IPv6 packets were dropped for which the host has no route",
    "Icmp6OutPktTooBigs": "IPv6 packets were dropped that are larger than the MTU of the next link; their senders were told so",
    "TcpExt.ListenDrops": "connections were dropped because the application does not accept them fast enough",
}
