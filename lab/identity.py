"""What makes a machine the host of that name: its files, and shell scripts that its guest agent runs.

Pure: texts in, texts out. Everything the scripts set is in files too, so it survives a reboot of the guest.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING

from ansible.module_utils.lvs import families
from ansible.module_utils.lvs.families import IPV4, IPV6

from lab.spec import PORTS, Host, Lab, Ports, tagged

if TYPE_CHECKING:
    from lvs.topology import Interface

NETWORKD = "/etc/systemd/network"
APP = "/etc/lvskit-lab/app.json"
APP_PROCESSES = "/sys/fs/cgroup/system.slice/lvskit-lab-app.service/cgroup.procs"
SYSCTL = "/etc/sysctl.d/90-lvskit-lab-router.conf"
ICMP_HEADER = 8  # octets, of an echo request in either family
READY_SECONDS = 60  # for addresses, neighbours and the application to come up

QUIET = "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\n"  # keeps captures to what a test sends
# IPv6 needs link-local addresses: a router asks for the MAC of a neighbour from its own. No address waits to be found unique.
QUIET_6 = "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\nLLDP=no\n"

# A router between segments, some of whose replies come back another way than the request went (dr, tun, triangle).
ROUTER = """net.ipv4.ip_forward = 1
net.ipv4.conf.all.rp_filter = 0
net.ipv4.conf.default.rp_filter = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.send_redirects = 0
"""
ROUTER_6 = """net.ipv6.conf.all.forwarding = 1
net.ipv6.conf.default.forwarding = 1
"""


def files(lab: Lab, host: Host) -> dict[str, str]:
    """The files that make a machine this host: their texts, by path."""
    found = {
        "/etc/hostname": f"{host.name}\n",
        "/etc/hosts": hosts_file(lab, host),
        "/etc/machine-id": f"{_derived(host, 'machine-id')}\n",
        **network_files(host),
    }
    if host.forwards:
        found[SYSCTL] = ROUTER + (ROUTER_6 if any(_has_ipv6(interface) for interface in host.interfaces) else "")
    if any(host.serves.values()):
        found[APP] = application_file(host.serves)
    return found


def application_file(ports: Mapping[str, Iterable[int]]) -> str:
    """The configuration of the demo application."""
    return json.dumps({protocol: sorted(ports[protocol]) for protocol in sorted(ports)}) + "\n"


def with_ports(present: Mapping[str, str], ports: Ports, keep: bool) -> dict[str, str]:
    """A host's files with the demo application on these ports; with `keep` also on those that it serves."""
    served = application_ports(present) if keep else {}
    both = {protocol: {*ports.get(protocol, ()), *served.get(protocol, ())} for protocol in {*ports, *served}}
    others = {path: text for path, text in present.items() if path != APP}
    return {**others, APP: application_file(both)} if any(both.values()) else others


def application_ports(present: Mapping[str, str]) -> Ports:
    """The ports that the demo application of a host with these files serves."""
    return {protocol: tuple(ports) for protocol, ports in json.loads(present.get(APP) or "{}").items()}


def hosts_file(lab: Lab, host: Host) -> str:
    """/etc/hosts: every machine by the addresses of its first interface."""
    lines = [f"127.0.0.1 localhost\n127.0.1.1 {host.name}"]
    others = (other for other in lab.hosts if other is not host)
    lines += [f"{address} {other.name}" for other in others for address in other.interfaces[0].addresses]
    return "\n".join(lines) + "\n"


def network_files(host: Host) -> dict[str, str]:
    """systemd-networkd's files for the host's ports, VLANs and addresses."""
    found = {}
    for port in PORTS:
        interfaces = host.on(port)
        if not interfaces:
            continue
        plain = next((interface for interface in interfaces if not tagged(interface)), None)
        vlans = [interface for interface in interfaces if tagged(interface)]
        mtu = max(interface.network.mtu for interface in interfaces)
        found[f"{NETWORKD}/20-{port}.network"] = (
            f"[Match]\nName={port}\n\n[Link]\nMTUBytes={mtu}\n\n[Network]\n{_quiet(plain)}"
            + "".join(f"VLAN={vlan.name}\n" for vlan in vlans)
            + (_addressing(host, plain) if plain else "")
        )
        for vlan in vlans:
            found[f"{NETWORKD}/21-{vlan.name}.netdev"] = (
                f"[NetDev]\nName={vlan.name}\nKind=vlan\nMTUBytes={vlan.network.mtu}\n\n[VLAN]\nId={vlan.network.vlan}\n"
            )
            found[f"{NETWORKD}/22-{vlan.name}.network"] = (
                f"[Match]\nName={vlan.name}\n\n[Network]\n{_quiet(vlan)}{_addressing(host, vlan)}"
            )
    return found


def _has_ipv6(interface: Interface | None) -> bool:
    return interface is not None and interface.of(IPV6) is not None


def _quiet(interface: Interface | None) -> str:
    return QUIET_6 if _has_ipv6(interface) else QUIET


def _addressing(host: Host, interface: Interface) -> str:
    """Addresses and default routes, in the section [Network] and, for IPv6, in one behind it."""
    plain, other = interface.of(IPV4), interface.of(IPV6)
    lines = [f"Address={plain}\n"] if plain else []
    lines += [f"Gateway={gateway}\n" for gateway in host.gateways if gateway in interface.network]
    lines += [f"\n[Address]\nAddress={other}\nDuplicateAddressDetection=none\n"] if other else []
    return "".join(lines)


def script(lab: Lab, host: Host, now: float, seed: bytes) -> str:
    """The shell script that turns a clone into this host. `now` is in seconds since the epoch; `seed` seeds its random
    numbers.
    """
    lines = ["set -e", "ip -batch - <<END"]
    # All clones start with the same MAC address: no packet may be sent before each has its own.
    lines += [f"link set {port} address {host.mac(port)}" for port in ("eth0", *PORTS)]
    lines += [
        "END",
        # QEMU's user network came back with the template's address in its ARP table, and takes ours from what we send.
        "ping -n -q -c 1 -W 2 10.0.2.2 >/dev/null || true",
        f"date --utc --set=@{now:.3f} >/dev/null",
        f"printf %s {seed.hex()} >/dev/urandom",
        f"printf %s {shlex.quote(host.name)} >/proc/sys/kernel/hostname",
        f"rm -f {APP}",  # the template's
    ]
    own = files(lab, host)
    return "\n".join([*lines, *_write(own), *_read(set(own) | {APP}, own)]) + "\n"


def update_script(present: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """The shell script that turns a running machine's files into the wanted ones.

    Only what reads a changed file reads it again. systemd-networkd, when it does, removes routes and policy rules that others
    have added.
    """
    changed = changes(present, wanted)
    remove = [f"rm -f {shlex.quote(path)}" for path in sorted(changed - set(wanted))]
    new = {path: wanted[path] for path in changed & set(wanted)}
    return "\n".join(["set -e", *remove, *_write(new), *_read(changed, wanted)]) + "\n"


def changes(present: Mapping[str, str], wanted: Mapping[str, str]) -> Set[str]:
    """The paths whose files differ, or are on one side alone."""
    return {path for path in {*present, *wanted} if present.get(path) != wanted.get(path)}


def _write(texts: Mapping[str, str]) -> list[str]:
    return [f"printf %s {shlex.quote(text)} >{shlex.quote(path)}" for path, text in sorted(texts.items())]


def _read(changed: Set[str], wanted: Mapping[str, str]) -> list[str]:
    """Make the programs that use these files read them again."""
    lines = []
    if SYSCTL in changed & set(wanted):
        lines.append(f"sysctl --quiet --load={SYSCTL}")
    if changes_network(changed):
        lines.append("networkctl reload")
    if APP in changed:
        lines.append(_application(APP in wanted))
    return lines


def changes_network(changed: Iterable[str]) -> bool:
    """Whether systemd-networkd has to read its files again when these change."""
    return any(path.startswith(NETWORKD) for path in changed)


def _application(serves: bool) -> str:
    """Make the demo application read its ports, or end it; systemctl would take longer than all other steps."""
    find = f"read -r pid <{APP_PROCESSES}"
    if serves:
        return f"{{ {find} && kill -HUP $pid; }} 2>/dev/null || systemctl --no-block restart lvskit-lab-app.service"
    return f"{{ {find} && kill -TERM $pid; }} 2>/dev/null || true"


WAIT = """set -u
left={tries}
# until_done FAULT COMMAND...: tries the command once a second, and says the fault when no try is left.
until_done() {{
    fault=$1; shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || {{ echo "$fault" >&2; ip -brief address >&2; ip route >&2; ip -6 route >&2; exit 1; }}
        sleep 1
    done
}}
holds() {{ case "$(ip -oneline address show)" in *" $1 "*) ;; *) false ;; esac; }}
"""


def check_script(lab: Lab, host: Host) -> str:
    """A shell script that waits until the host has its addresses, reaches its gateways with full frames, and serves."""
    lines = []
    for gateway in lab.gateways_to_try(host):
        mtu = next(interface.network.mtu for interface in host.interfaces if gateway in interface.network)
        # Without the headers of IP and ICMP; more than one segment's worth would be fragmented, and says so with -M do.
        data = mtu - families.of(gateway).header - ICMP_HEADER
        ping = f"ping -n -q -c 1 -W 1 -M do -s {data} {gateway}"
        lines.append(f"until_done 'packets of {mtu} bytes do not reach the gateway {gateway}' {ping}")
    held = (one for interface in host.interfaces for one in interface.attachments)
    lines += [f"until_done 'the address {one} is missing' holds {one}" for one in held]
    return WAIT.format(tries=READY_SECONDS) + "\n".join([*lines, *_serving(host)]) + "\n"


def application_check(host: Host) -> str:
    """A shell script that waits until the host serves."""
    return WAIT.format(tries=READY_SECONDS) + "\n".join(_serving(host)) + "\n"


def _serving(host: Host) -> list[str]:
    # A listening socket in the kernel's table: port in hexadecimal, no peer, state LISTEN or, for UDP, unconnected.
    held = families.present(address for interface in host.interfaces for address in interface.addresses)
    sockets = [
        (
            protocol,
            port,
            f"grep -q ':{port:04X} {'0' * (family.bits // 4)}:0000 {state}' /proc/net/{protocol}{family.suffix}",
        )
        for protocol, state in (("tcp", "0A"), ("udp", "07"))
        for port in host.serves.get(protocol, ())
        for family in held
    ]
    # An endpoint of SCTP: the sixth column is its port. It listens in both families or in none.
    sockets += [
        ("sctp", port, f"awk '$6 == {port} {{ found = 1 }} END {{ exit !found }}' /proc/net/sctp/eps")
        for port in host.serves.get("sctp", ())
    ]
    return [
        f"until_done 'the demo application does not listen on {protocol} port {port}' {command}"
        for protocol, port, command in sockets
    ]


def _derived(host: Host, purpose: str) -> str:
    return hashlib.sha256(f"lvskit {purpose} {host.name}".encode()).hexdigest()[:32]
