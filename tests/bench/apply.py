"""What 1,000 services with 20 real servers each cost: on the controller, and on a director.

On the director, the same table is loaded by lvskit, by `ipvsadm -R` and by keepalived beside it, and read by `ipvsadm -Sn`. In the end a
keeper there puts all addresses and rules back, and looks at everything.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host import kinds

from tests.keeping.cost import ONE_PASS, UNIT, cost

from .machines import PROJECT, Machines
from .model import compiled, described, environment

HERE = Path(__file__).parent
TEMPLATES = PROJECT / "roles/lvs_host/templates"
DIRECTOR = "lb1"
FOLDER = "/tmp/lvskit-bench"
SERVICES, SERVERS = 1000, 20


def on_controller(raw: dict[str, Any]) -> dict[str, str]:
    """Prints what each step takes; the director's files of record, by their kinds."""
    plans, seconds = compiled(raw)
    planned = time.process_time()
    texts = {name: layout.texts(plans[name], str(TEMPLATES), "") for name in ("lb1", *raw["groups"]["real_servers"])}
    seconds["render"] = time.process_time() - planned
    print(f"controller, {len(plans)} hosts: {described(seconds)}")
    return texts["lb1"]


def keepalived(raw: dict[str, Any]) -> str:
    """The same services in keepalived's words, without checks: their real servers are up at once."""
    address = {name: host["lvs_interfaces"]["eth1"]["address"] for name, host in raw["hosts"].items()}
    blocks = ["global_defs {\n    router_id bench\n}\n"]
    for service in raw["services"]:
        servers = "".join(
            f"    real_server {address[server['host']]} {service['port']} {{\n        weight 1\n    }}\n"
            for server in service["real_servers"]
        )
        head = f"virtual_server {service['vip']} {service['port']} {{\n    lvs_sched wlc\n    lvs_method DR\n    protocol TCP\n"
        blocks.append(f"{head}{servers}}}\n")
    return "".join(blocks)


def on_director(machines: Machines, raw: dict[str, Any], wanted: str) -> dict[str, Any]:
    def ask(command: str, given: bytes = b"") -> str:
        return machines.ask(DIRECTOR, command, given)

    sources = subprocess.run(
        ["tar", "-C", str(PROJECT / "module_utils"), "-cz", "lvs_host"], capture_output=True, check=True
    ).stdout
    ask(f"mkdir {FOLDER}; modprobe ip_vs; tar -C {FOLDER} -xz", sources)
    for name, text in (
        ("wanted.rules", wanted),
        ("keepalived.conf", keepalived(raw)),
        ("on_director.py", (HERE / "on_director.py").read_text()),
    ):
        ask(f"cat > {FOLDER}/{name}", text.encode())
    result: dict[str, Any] = json.loads(ask(f"python3 {FOLDER}/on_director.py {FOLDER}"))
    return result


def kept(machines: Machines, texts: dict[str, str]) -> tuple[float, float]:
    """What a keeper costs (tests/keeping/cost.py) that has put back the director's addresses and rules."""
    for kind in (kinds.NETWORK, kinds.NETFILTER, kinds.SYSCTLS):
        machines.ask(DIRECTOR, f"mkdir -p $(dirname {kind.path}); cat > {kind.path}", texts[kind.name].encode())
    code = f"import sys; sys.path.insert(0, '{FOLDER}'); from lvs_host import keeper; keeper.keep()"
    machines.ask(DIRECTOR, f'systemd-run --quiet --unit {UNIT} python3 -c "{code}"')
    machines.ask(DIRECTOR, f"until [ $(ip -o address show dev eth1 | grep -c /32) -ge {SERVICES} ]; do sleep 1; done")
    return cost(machines, DIRECTOR)


def main() -> None:
    raw = environment(400, SERVICES, SERVERS)
    texts = on_controller(raw)
    machines = Machines(HERE / "apply")
    print(f"loading {SERVICES} services with {SERVERS} real servers each on {DIRECTOR}", flush=True)
    found = on_director(machines, raw, texts["ipvs"])
    rows = (
        ("full load", "load", "keepalived", "keepalived's"),
        ("full load", "load", "ipvsadm", "ipvsadm -R"),
        ("nothing to change", "nothing", "save", "ipvsadm -Sn"),
        ("one weight changed", "one weight", "save", "ipvsadm -Sn"),
    )
    for title, own, other, name in rows:
        seconds, beside = (statistics.median(found[key]) for key in (own, other))
        ratio = statistics.median(a / b for a, b in zip(found[own], found[other], strict=True))
        print(
            f"{title:<20} {seconds:6.2f} s, {ratio:.2f} x {name} ({beside:.2f} s), medians of {len(found[own])} rounds"
        )
    print(f"memory               {found['memory'] / 1024:6.0f} MiB")
    resident, times = kept(machines, texts)
    print(f"keeper               {resident:6.0f} MiB; a look at everything takes {times:.1f} x `{ONE_PASS}`")


if __name__ == "__main__":
    main()
