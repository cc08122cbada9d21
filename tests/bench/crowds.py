"""Many clients' connections on a real server of a benchmark: crowd.c, by a pair of interfaces of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .machines import Machines

SOURCE = Path(__file__).parent / "crowd.c"
CLIENTS = "10.64.0.0/10"  # somebody else's addresses: nobody in the lab has them
FIRST_CLIENT, FIRST_LOCAL = "10.80.0.1", "10.90.0.1"
PORTS = 64000  # connections of one client
LOCALS = 32  # addresses from FIRST_LOCAL on that modules take for a director's
SILENT = 9999  # a port at which this host does not answer by itself
READY = f"""set -e
gcc -O2 -o /tmp/crowd /tmp/crowd.c
ip link show crowd0 2>/dev/null || ip link add crowd0 type veth peer name crowd1
ip link set crowd0 up; ip link set crowd1 up
sysctl -qw net.ipv4.conf.crowd0.rp_filter=2 net.ipv4.tcp_max_syn_backlog=1024
ip address replace 10.127.255.1/30 dev crowd0
ip neighbour replace 10.127.255.2 lladdr $(cat /sys/class/net/crowd1/address) dev crowd0 nud permanent
ip route replace {CLIENTS} via 10.127.255.2 dev crowd0
if tc qdisc add dev crowd1 clsact 2>/dev/null; then tc filter add dev crowd1 ingress matchall action drop; fi
iptables -w -t mangle -C INPUT -p tcp --dport {SILENT} -j DROP 2>/dev/null || iptables -w -t mangle -A INPUT -p tcp --dport {SILENT} -j DROP
"""


@dataclass(frozen=True)
class Crowd:
    """Connections to `rip` as the director's form of them says: see crowd.c."""

    machines: Machines
    host: str
    module: str
    form: str
    rip: str
    other: str = FIRST_LOCAL
    other_port: int = 0

    def prepare(self) -> None:
        """The module takes them for those of a service."""
        self.machines.ask(self.host, "cat > /tmp/crowd.c", SOURCE.read_bytes())
        self.machines.ask(self.host, READY)
        parameters = f"/sys/module/{self.module}/parameters"
        service = f"[ ! -e {parameters}/services ] || echo +{self.rip}:{SILENT} > {parameters}/services"
        start, numbers = self.other.rpartition(".")[0], range(1, LOCALS + 1)
        locals_ = f"echo +{','.join(f'{start}.{number}' for number in numbers)} > {parameters}/lips"
        self.machines.ask(self.host, locals_ if self.form == "lip" else service)

    def command(self, kind: str, number: int, port: int, clients: int, rate: int = 0) -> str:
        """Prints how many packets it has sent, and the seconds that it took."""
        to = "crowd1 $(cat /sys/class/net/crowd0/address)"
        ends = f"{FIRST_CLIENT} {clients} {self.other} {self.other_port} {self.rip} {port}"
        return f"/tmp/crowd {to} {kind} {self.form} {rate} 0 {number} {ends}"

    def open(self, number: int) -> tuple[float, float]:
        """So many established connections: packets, and seconds that they took."""
        clients = number // PORTS + 1
        packets, seconds = map(
            float, self.machines.ask(self.host, self.command("open", number, SILENT, clients)).split()
        )
        return packets, seconds

    def count(self, name: str) -> int:
        """A counter of the module."""
        lines = self.machines.ask(self.host, f"cat /proc/net/{self.module}").splitlines()
        return {word: int(count) for word, count in map(str.split, lines)}[name]

    def limit(self, number: int) -> None:
        """As many connections as the module may remember."""
        self.machines.ask(self.host, f"echo {number} > /sys/module/{self.module}/parameters/connections")
