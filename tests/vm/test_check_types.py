"""Each type of health check, as it is rendered, with the keepalived of the director: a right server passes, and a wrong one fails.

Servers and keepalived run in network namespaces of their own, beside what the director does.
"""

import hashlib
import time
from pathlib import Path

import pytest
from ansible.module_utils.lvs import inventory
from ansible.module_utils.lvs.plan import plan
from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host import verdicts

from tests.vm import check_servers as servers
from tests.vm.certificates import expired
from tests.vm.conftest import TEMPLATES

pytestmark = [pytest.mark.directors, pytest.mark.checked]

FOLDER = "/run/try-checks"  # no name that begins like verdicts.FOLDER, which it replaces
SERVERS, TABLE = "lvskit-try-servers", "lvskit-try"  # namespaces
RIGHT, WRONG, NOBODY = "192.0.2.11", "192.0.2.12", "192.0.2.13"
PATIENCE = 120  # seconds
CHECKS = {
    "tcp": (servers.TCP, {"type": "tcp"}),
    "http": (servers.HTTP, {"type": "http", "path": "/x", "host": "www.example.com", "match": "is (fine|well)"}),
    "https": (servers.HTTPS, {"type": "https", "host": "www.example.com", "status": [200]}),
    "digest": (servers.DIGEST, {"type": "http", "digest": hashlib.md5(servers.CONTENT).hexdigest()}),
    "smtp": (servers.SMTP, {"type": "smtp", "helo": "lb.example.com"}),
    "dns": (servers.DNS, {"type": "dns", "query": "www.example.com", "query_type": "A"}),
    "udp": (servers.UDP, {"type": "udp", "payload": "70696e67", "reply": "706f6e67"}),
    "ping": (7010, {"type": "ping"}),
    "script": (7011, {"type": "script", "command": f"/bin/sh {FOLDER}/script"}),
}
WITHOUT_PAYLOAD = "2.1."  # this keepalived's udp check takes any answer


def configuration(checks):
    """keepalived.conf(5) for a service with each check, and a right and a wrong real server."""
    services = [
        {
            "name": name,
            "vip": "192.0.2.80",
            "port": port,
            "protocol": "udp" if name in ("dns", "udp") else "tcp",
            "mode": "dr",
            "real_servers": [{"host": "right"}, {"host": "nobody" if name == "ping" else "wrong"}],
            "health_check": {"interval": 3, "timeout": 8, "retries": 1, "way": "rip", **check},
        }
        for name, (port, check) in checks.items()
    ]
    addresses = {"lb": "192.0.2.10", "right": RIGHT, "wrong": WRONG, "nobody": NOBODY}
    hosts = {
        name: {"lvs_interfaces": {"eth1": {"network": "a", "address": address}}} for name, address in addresses.items()
    }
    groups = {"all": list(hosts), "directors": ["lb"], "real_servers": ["right", "wrong", "nobody"]}
    topology, faults = inventory.parse({"a": {"cidr": "192.0.2.0/24", "vlan": 1}}, services, hosts, groups)
    assert not faults
    text = layout.texts(plan(topology, "lb"), str(TEMPLATES), "")["health"]
    return text.replace(verdicts.NAMESPACE, TABLE).replace(verdicts.FOLDER, FOLDER)


def put(host, path, text):
    host.check_output(f"cat > {path} <<'LVSKIT'\n{text}\nLVSKIT")


@pytest.fixture
def tried(host):
    """keepalived's verdicts: the weight of each real server by port and address. What it returns waits until they are right."""
    version = host.run("keepalived --version 2>&1").stdout.split()[1].lstrip("v")
    checks = {name: check for name, check in CHECKS.items() if name != "udp" or not version.startswith(WITHOUT_PAYLOAD)}
    host.check_output(f"mkdir -p {FOLDER}; ip netns add {TABLE}; ip -n {TABLE} link set lo up; ip netns add {SERVERS}")
    try:
        host.check_output(f"ip -n {SERVERS} link set lo up")
        host.check_output(f"for a in {RIGHT} {WRONG}; do ip -n {SERVERS} address add $a/32 dev lo; done")
        put(host, f"{FOLDER}/conf", configuration(checks))
        put(host, f"{FOLDER}/servers.py", Path(servers.__file__).read_text())
        put(host, f"{FOLDER}/certificate", expired())
        put(host, f"{FOLDER}/script", f'test "$RIP" = {RIGHT} && test "$PORT" = 7011')
        host.check_output(f"chmod 600 {FOLDER}/certificate; mkfifo {FOLDER}/verdicts")
        run = f"systemd-run --quiet --collect --unit lvskit-try-%s ip netns exec {SERVERS} "
        host.check_output(run % "servers" + f"python3 {FOLDER}/servers.py {RIGHT} {WRONG} {FOLDER}/certificate")
        ready = f"ip netns exec {SERVERS} sh -c 'until ss -ltn | grep -q {RIGHT}:{servers.SMTP}; do sleep 0.5; done'"
        host.check_output(f"timeout 120 {ready}")
        keepalived = f"keepalived -C -n -l -f {FOLDER}/conf -p {FOLDER}/keepalived.pid -c {FOLDER}/checkers.pid"
        host.check_output(run % "keepalived" + keepalived)

        def look():
            found = verdicts.weights(host.check_output(f"ip netns exec {TABLE} cat /proc/net/ip_vs"))
            return {
                (int(real.rpartition(":")[2]), real.rpartition(":")[0]): weight for (_, real), weight in found.items()
            }

        yield checks, look
    finally:
        host.run("systemctl stop lvskit-try-keepalived lvskit-try-servers")
        host.run(f"ip netns del {TABLE}; ip netns del {SERVERS}; rm -rf {FOLDER}")


def test_each_type_of_check_passes_a_right_server_and_fails_a_wrong_one(host, tried):
    checks, look = tried
    wanted = {(port, RIGHT): 1 for port, _ in checks.values()}
    wanted |= {(port, NOBODY if name == "ping" else WRONG): 0 for name, (port, _) in checks.items()}

    def different():
        found = look()
        return {end: found.get(end) for end in wanted if found.get(end) != wanted[end]}

    def said():
        return host.check_output("journalctl -u lvskit-try-keepalived --no-pager -o short-precise -n 60")

    until = time.monotonic() + PATIENCE
    while wrong := different():
        assert time.monotonic() < until, f"{wrong}\n{said()}"
        time.sleep(1)
    # What fails stays out: every check has run several times by then. (A right server may be late on a machine with much to do.)
    failing = {end for end, weight in wanted.items() if not weight}
    for _ in range(8):
        time.sleep(1)
        assert not (wrong := different().keys() & failing), f"{wrong}\n{said()}"
