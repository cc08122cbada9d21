"""What makes a clone be the host of that name: one shell script, run in the guest by its agent.

Pure: texts in, texts out. Everything it sets is in files too, so it survives a reboot of the guest. It can run again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.spec import PORTS, Host, Lab, tagged

if TYPE_CHECKING:
    from lvs.topology import Interface

NETWORKD = "/etc/systemd/network"
APP = "/etc/lvskit-lab/app.json"
APP_PROCESSES = "/sys/fs/cgroup/system.slice/lvskit-lab-app.service/cgroup.procs"
SYSCTL = "/etc/sysctl.d/90-lvskit-lab-router.conf"
READY_SECONDS = 60  # for addresses, neighbours and the application to come up

QUIET = "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\n"  # keeps captures to what a test sends

# A router between segments, some of whose replies come back another way than the request went (dr, tun, triangle).
ROUTER = """net.ipv4.ip_forward = 1
net.ipv4.conf.all.rp_filter = 0
net.ipv4.conf.default.rp_filter = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.send_redirects = 0
"""


@dataclass(frozen=True)
class Identity:
    """A host's files, and whether the demo application runs."""

    files: Mapping[str, str]
    serves: bool


def identity(lab: Lab, host: Host) -> Identity:
    """The files that make a clone this host, by path."""
    files = {
        "/etc/hostname": f"{host.name}\n",
        "/etc/hosts": hosts_file(lab, host),
        "/etc/machine-id": f"{_derived(host, 'machine-id')}\n",
        **network_files(host),
    }
    if host.forwards:
        files[SYSCTL] = ROUTER
    if host.tcp or host.udp:
        files[APP] = json.dumps({"tcp": host.tcp, "udp": host.udp}) + "\n"
    return Identity(files, bool(host.tcp or host.udp))


def hosts_file(lab: Lab, host: Host) -> str:
    """/etc/hosts: every machine by the address of its first interface."""
    lines = [f"127.0.0.1 localhost\n127.0.1.1 {host.name}"]
    lines += [f"{other.interfaces[0].address} {other.name}" for other in lab.hosts if other is not host]
    return "\n".join(lines) + "\n"


def network_files(host: Host) -> dict[str, str]:
    """systemd-networkd's files for the host's ports, VLANs and addresses."""
    files = {}
    for port in PORTS:
        interfaces = host.on(port)
        if not interfaces:
            continue
        plain = next((interface for interface in interfaces if not tagged(interface)), None)
        vlans = [interface for interface in interfaces if tagged(interface)]
        mtu = max(interface.network.mtu for interface in interfaces)
        files[f"{NETWORKD}/20-{port}.network"] = (
            f"[Match]\nName={port}\n\n[Link]\nMTUBytes={mtu}\n\n[Network]\n{QUIET}"
            + "".join(f"VLAN={vlan.name}\n" for vlan in vlans)
            + (_addressing(host, plain) if plain else "")
        )
        for vlan in vlans:
            files[f"{NETWORKD}/21-{vlan.name}.netdev"] = (
                f"[NetDev]\nName={vlan.name}\nKind=vlan\nMTUBytes={vlan.network.mtu}\n\n[VLAN]\nId={vlan.network.vlan}\n"
            )
            files[f"{NETWORKD}/22-{vlan.name}.network"] = (
                f"[Match]\nName={vlan.name}\n\n[Network]\n{QUIET}{_addressing(host, vlan)}"
            )
    return files


def _addressing(host: Host, interface: Interface) -> str:
    gateway = f"Gateway={host.gateway}\n" if host.gateway and host.gateway in interface.network.cidr else ""
    return f"Address={interface}\n{gateway}"


def script(lab: Lab, host: Host, now: float, seed: bytes) -> str:
    """The shell script that makes a clone this host. `now` is in seconds since the epoch; `seed` is what makes its random
    numbers its own.
    """
    own = identity(lab, host)
    # The clones woke up with one MAC address between them: nothing may be sent before each has its own.
    lines = ["set -e", "ip -batch - <<END"]
    lines += [f"link set {port} address {host.mac(port)}" for port in ("eth0", *PORTS)]
    lines += [
        "END",
        # QEMU's user network came back with the template's address in its ARP table, and takes ours from what we send.
        "ping -n -q -c 1 -W 2 10.0.2.2 >/dev/null || true",
        f"date --utc --set=@{now:.3f} >/dev/null",
        f"printf %s {seed.hex()} >/dev/urandom",
        f"printf %s {shlex.quote(host.name)} >/proc/sys/kernel/hostname",
        f"rm -f {NETWORKD}/2?-*.network {NETWORKD}/2?-*.netdev {SYSCTL} {APP}",
    ]
    lines += [f"printf %s {shlex.quote(text)} >{shlex.quote(path)}" for path, text in sorted(own.files.items())]
    if host.forwards:
        lines.append(f"sysctl --quiet --load={SYSCTL}")
    lines += ["networkctl reload", _application(own.serves)]
    return "\n".join(lines) + "\n"


def _application(serves: bool) -> str:
    """Have the demo application read its ports, or end it; systemctl would cost more than all of the rest."""
    find = f"read -r pid <{APP_PROCESSES}"
    if serves:
        return f"{{ {find} && kill -HUP $pid; }} 2>/dev/null || systemctl --no-block restart lvskit-lab-app.service"
    return f"{{ {find} && kill -TERM $pid; }} 2>/dev/null || true"


def check_script(lab: Lab, host: Host) -> str:
    """A shell script that waits until the host has its addresses, reaches its gateways with full frames, and serves."""
    tries = READY_SECONDS
    wait = (
        "set -u\n"
        f"left={tries}\n"
        'until_done() { until "$@" >/dev/null 2>&1; do '
        'left=$((left - 1)); [ "$left" -gt 0 ] || { echo "still fails: $*" >&2; '
        "ip -brief address >&2; ip route >&2; exit 1; }; sleep 1; done; }\n"
        'holds() { case "$(ip -4 -oneline address show)" in *" $1 "*) ;; *) false ;; esac; }\n'
    )
    lines = []
    for gateway in lab.gateways_to_try(host):
        mtu = next(interface.network.mtu for interface in host.interfaces if gateway in interface.network.cidr)
        # 28 octets of IP and ICMP headers; more than one segment's worth would be fragmented, and says so with -M do.
        lines.append(f"until_done ping -n -q -c 1 -W 1 -M do -s {mtu - 28} {gateway}")
    lines += [f"until_done holds {interface}" for interface in host.interfaces]
    # A listening socket in the kernel's table: port in hexadecimal, no peer, state LISTEN or, for UDP, unconnected.
    lines += [f"until_done grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp" for port in host.tcp]
    lines += [f"until_done grep -q ':{port:04X} 00000000:0000 07' /proc/net/udp" for port in host.udp]
    return wait + "\n".join(lines) + "\n"


def _derived(host: Host, purpose: str) -> str:
    return hashlib.sha256(f"lvskit {purpose} {host.name}".encode()).hexdigest()[:32]
