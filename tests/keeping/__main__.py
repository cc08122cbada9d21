"""What takes lvskit's state away on a lab that runs and has been provisioned with keepers, and how long it is away.

    python -m tests.keeping [--only NAME] INVENTORY…

For each fault: the seconds until the host has all of its state again, first with the keeper stopped: the state must be away then, else the
fault is none. At the end, what a keeper costs. Ends with 1 if something stays away, or a keeper is larger than promised.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass

from tests.outages.lab_hosts import ROOT, Hosts

from .cost import ONE_PASS, UNIT, cost

STATE = (ROOT / "molecule/shared/state.sh").read_text()
PARTS = "network netfilter settings modules"
PROMISED = {"told": 2.0, "looked at": 30.0}  # seconds: of what netlink tells, and of anything else
PATIENT = 20.0  # more seconds, on emulated machines
MOST = {"directors": 45, "real_servers": 25}  # MiB


@dataclass(frozen=True)
class Fault:
    """`command` takes state away on a host, `undo` ends what would go on doing so. `other`: the interface gets a configuration of other
    software, and only lvskit's state comes back. `harmless`: it adds state of its own, and takes nothing away.
    """

    name: str
    host: str
    command: str
    how: str = "told"
    undo: str = "true"
    other: bool = False
    harmless: bool = False


_OWN = re.compile(r"proto 76\b|: address (lo|tunl0) |/(32|128)$|LVSKIT|lvskit|/proc/sys/")
_HELD = "ip -{0} -oneline address show dev eth1 scope global | awk '{{print $4; exit}}'"
_SAME_ADDRESSES = f"four=$({_HELD.format(4)}); six=$({_HELD.format(6)}); "

# A second file that says something else is what packages and people install.
# A container with a published port; its image has one program, and what that needs.
CONTAINER = (
    "iptables-save > /tmp/rules; systemctl start docker; "
    "tar -chf - /bin/sleep $(ldd /bin/sleep | grep -o '/lib[^ ]*') 2>/dev/null | docker import - sleeper >/dev/null; "
    "docker run --detach --rm --name sleeper --publish 8090:80 sleeper /bin/sleep 3600"
)
NO_CONTAINER = (
    "docker stop --time 1 sleeper; systemctl stop docker.socket docker containerd; "
    "iptables-restore < /tmp/rules; ip link delete docker0; sysctl -q -w net.bridge.bridge-nf-call-iptables=0"
)
CONFLICT = "printf '{}\\n' > /etc/sysctl.d/zzz-other.conf && sysctl --system >/dev/null"
FAULTS = (
    Fault("VIP taken from lo", "rs1", "ip address del 10.20.1.80/32 dev lo"),
    Fault("IPv6 VIP taken from lo", "rs1", "ip address del 2001:db8:30::80/128 dev lo"),
    Fault("lo cleaned up", "rs1", "ip address flush dev lo scope global; ip -6 address flush dev lo scope global"),
    Fault("tunl0 stripped by an agent", "rs3", "ip address flush dev tunl0; ip link set tunl0 down"),
    # As netplan writes its files anew.
    Fault("networkctl reload", "rs1", "echo '# new' >> /etc/systemd/network/20-eth1.network; networkctl reload"),
    Fault("networkctl reconfigure", "rs1", "networkctl reconfigure eth1"),
    Fault("rules of routing flushed", "rs1", "ip rule flush protocol 76; ip -6 rule flush protocol 76"),
    Fault("routes flushed", "rs1", "ip route flush table all protocol 76; ip -6 route flush table all protocol 76"),
    Fault("link flaps", "rs1", "ip link set eth1 down; sleep 1; ip link set eth1 up"),
    Fault(
        "NetworkManager takes the interface over",
        "rs1",
        _SAME_ADDRESSES + "printf '[keyfile]\\nunmanaged-devices=except:interface-name:eth1\\n' > /etc/NetworkManager/conf.d/one.conf; "
        "systemctl start NetworkManager; nmcli connection add type ethernet con-name other ifname eth1 ipv4.method manual "
        "ipv4.addresses $four ipv6.method manual ipv6.addresses $six; nmcli --wait 30 connection up other",
        undo="nmcli connection delete other; systemctl stop NetworkManager; echo 0 > /proc/sys/net/ipv6/conf/eth1/addr_gen_mode; "
        "ip link set eth1 down; ip link set eth1 up; networkctl reconfigure eth1; systemctl start lvskit-network",  # it is part of both
        other=True,
    ),
    Fault(
        "ifdown and ifup",
        "rs1",
        _SAME_ADDRESSES + "printf 'iface eth1 inet static\\n address %s\\niface eth1 inet6 static\\n address %s\\n' $four $six > /tmp/interfaces; "
        "ifdown --force -i /tmp/interfaces eth1; ifup --force -i /tmp/interfaces eth1",
        undo="networkctl reconfigure eth1",
        other=True,
    ),
    Fault("nft flush ruleset", "lb1", "nft flush ruleset"),
    Fault("nft flush ruleset on a real server", "rs3", "nft flush ruleset"),
    Fault("nftables.conf loaded", "lb1", "systemctl restart nftables", undo="systemctl stop nftables"),
    Fault("firewalld reloaded", "lb1", "systemctl start firewalld; firewall-cmd --reload", undo="systemctl stop firewalld"),
    # As software does that writes all rules from its own view: kube-proxy's helpers, netfilter-persistent.
    Fault("iptables restored from an older save", "lb1", "iptables-save | grep -v LVSKIT | iptables-restore"),
    Fault("a table of iptables flushed", "lb1", "iptables -t raw -F; ip6tables -t raw -F; iptables -t nat -F"),
    Fault("Docker starts a container", "lb1", CONTAINER, undo=NO_CONTAINER, harmless=True),
    Fault(
        "sysctl --system with another file",
        "rs1",
        CONFLICT.format("net.ipv4.conf.all.arp_ignore = 0"),
        "looked at",
        "rm /etc/sysctl.d/zzz-other.conf",
    ),
    Fault(
        "forwarding switched off",
        "lb1",
        "sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
        "looked at",
    ),
    Fault("module unloaded", "rs3", "rmmod lvskit_ctk", "looked at"),
    Fault("module unloaded on the director", "lb1", "rmmod lvskit_toa", "looked at"),
    Fault(
        "addresses taken from a module",
        "rs3",
        "echo > /sys/module/lvskit_ctk/parameters/rips; echo > /sys/module/lvskit_ctk/parameters/services",
        "looked at",
    ),
    Fault("keeper killed, then the VIP taken", "rs1", f"systemctl kill --signal=KILL {UNIT}; ip address del 10.20.1.80/32 dev lo"),
)  # fmt: skip
DIFFERENT = "its state has not come back"


def state(hosts: Hosts, name: str) -> str:
    # The parameters of lvskit's modules, of which state.sh knows none, and what they have made of them; but no counters.
    sets = "grep -sH '' /proc/net/lvskit_* /sys/module/lvskit_*/parameters/* | grep -Ev ':[a-z_]+ [0-9]+$' | sort"
    return hosts.ask(name, f"bash -s {PARTS}; {sets}; true", STATE)


def back(hosts: Hosts, name: str, wanted: str, patience: float, own: bool = False) -> float | None:
    """Seconds until a host's state is the wanted one, `own`: lvskit's part of it; None if it is not within `patience`."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < patience:
        found = state(hosts, name)
        if found == wanted or (own and part(found) == part(wanted)):
            return spent
    return None


def part(text: str) -> list[str]:
    return [line for line in text.splitlines() if _OWN.search(line)]


def harmless(hosts: Hosts, fault: Fault) -> str:
    """What is wrong with a fault that takes nothing away; empty if nothing is."""
    wanted = state(hosts, fault.host)
    hosts.ask(fault.host, fault.command)
    time.sleep(3)
    found = state(hosts, fault.host)
    hosts.ask(fault.host, fault.undo, check=False)
    if found == wanted:
        return "it has changed nothing"
    if part(found) != part(wanted):
        return f"lvskit's state is another one:\n{difference(wanted, found)}"
    if back(hosts, fault.host, wanted, 60.0) is None:
        return f"after its end {DIFFERENT}:\n{difference(wanted, state(hosts, fault.host))}"
    print(f"{fault.name:<44}{fault.host:<8}nothing taken", flush=True)
    return ""


def tried(hosts: Hosts, fault: Fault) -> str:
    """What is wrong with the keeping of it; empty if nothing is."""
    wanted = state(hosts, fault.host)
    hosts.ask(fault.host, f"systemctl stop {UNIT}")
    hosts.ask(fault.host, fault.command, check=False)
    time.sleep(3)
    away = state(hosts, fault.host)
    hosts.ask(fault.host, f"{fault.undo}; systemctl start {UNIT}")
    healed = back(hosts, fault.host, wanted, 60.0)
    if away == wanted or (fault.other and part(away) == part(wanted)):
        return "nothing was away while the keeper was stopped"
    if healed is None:
        return f"after a start of the keeper {DIFFERENT}:\n{difference(wanted, state(hosts, fault.host))}"
    hosts.ask(fault.host, fault.command, check=False)
    spent = back(hosts, fault.host, wanted, PROMISED[fault.how] + PATIENT, own=fault.other)
    hosts.ask(
        fault.host, f"{fault.undo}; systemctl reset-failed {UNIT}; systemctl restart {UNIT}"
    )  # it forgets how often
    if back(hosts, fault.host, wanted, 60.0) is None:
        return f"after its end {DIFFERENT}:\n{difference(wanted, state(hosts, fault.host))}"
    if spent is None:
        return f"{DIFFERENT}:\n{difference(wanted, state(hosts, fault.host))}"
    print(f"{fault.name:<44}{fault.host:<8}{fault.how:<12}{spent:5.1f} s", flush=True)
    return ""


def difference(wanted: str, found: str) -> str:
    before, after = wanted.splitlines(), found.splitlines()
    return "\n".join(
        [f"  missing: {line}" for line in before if line not in after]
        + [f"  more: {line}" for line in after if line not in before]
    )


def gives_way(hosts: Hosts) -> str:
    """Something takes the VIP away each second, for good."""
    hosts.ask("rs1", f"systemctl restart {UNIT}")
    fight = "systemd-run --quiet --collect --unit fight sh -c 'while sleep 0.5; do ip address del 10.20.1.80/32 dev lo 2>/dev/null; done'"
    hosts.ask("rs1", fight)
    try:
        told = "journalctl -u lvskit-keeper -b --output cat | grep 'event=given-up kind=\"addresses and routes\"'"
        for _ in range(60):
            if hosts.ask("rs1", f"{told}; true"):
                break
            time.sleep(1)
        else:
            return "the keeper goes on fighting"
    finally:
        hosts.ask("rs1", "systemctl stop fight")
    time.sleep(5)
    if "10.20.1.80/32" in hosts.ask("rs1", "ip -oneline address show dev lo"):
        return "the keeper has put the VIP back after it had given up"
    hosts.playbook("site", "--limit=all:!absent")
    if "10.20.1.80/32" not in hosts.ask("rs1", "ip -oneline address show dev lo"):
        return "a run does not put back what the keeper has given up"
    hosts.ask("rs1", "ip address del 10.20.1.80/32 dev lo")
    time.sleep(PROMISED["told"] + PATIENT)
    if "10.20.1.80/32" not in hosts.ask("rs1", "ip -oneline address show dev lo"):
        return "after a run the keeper does not keep what it had given up"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="What takes lvskit's state away, and how long it is away.")
    parser.add_argument("--only", action="append", default=[], help="only this fault")
    parser.add_argument("inventories", nargs="+", metavar="INVENTORY")
    options = parser.parse_args()
    hosts = Hosts(options.inventories)
    wrong: list[str] = []
    for fault in (one for one in FAULTS if not options.only or one.name in options.only):
        if trouble := (harmless if fault.harmless else tried)(hosts, fault):
            wrong.append(f"{fault.name}: {trouble}")
            print(wrong[-1], flush=True)
    if not options.only:
        if trouble := gives_way(hosts):
            wrong.append(trouble)
        for group, most in MOST.items():
            name = next(one for one in hosts.topology.groups[group] if one not in hosts.topology.members("absent"))
            resident, times = cost(hosts, name)
            print(f"{name}: {resident:.0f} MiB; a look at everything takes {times:.1f} x `{ONE_PASS}`")
            if resident > most:
                wrong.append(f"{name}: the keeper takes {resident:.0f} MiB")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
