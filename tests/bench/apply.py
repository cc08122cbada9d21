"""What 1,000 services with 20 real servers each cost: on the controller, and on a director.

On the director, the same table is loaded by lvskit, by `ipvsadm -R` and by keepalived beside it, and read by `ipvsadm -Sn`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.lvs_controller import layout

from .machines import PROJECT, Machines
from .model import compiled, described, environment

HERE = Path(__file__).parent
TEMPLATES = PROJECT / "roles/lvs_host/templates"
DIRECTOR = "lb1"
FOLDER = "/tmp/lvskit-bench"
SERVICES, SERVERS = 1000, 20


def on_controller(raw: dict[str, Any]) -> str:
    """Prints what each step takes; the director's file of rules."""
    plans, seconds = compiled(raw)
    planned = time.process_time()
    texts = {name: layout.texts(plans[name], str(TEMPLATES), "") for name in ("lb1", *raw["groups"]["real_servers"])}
    seconds["render"] = time.process_time() - planned
    print(f"controller, {len(plans)} hosts: {described(seconds)}")
    return texts["lb1"]["ipvs"]


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


def on_director(raw: dict[str, Any], wanted: str) -> dict[str, Any]:
    machines = Machines(HERE / "apply")

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


def main() -> None:
    raw = environment(400, SERVICES, SERVERS)
    wanted = on_controller(raw)
    print(f"loading {SERVICES} services with {SERVERS} real servers each on {DIRECTOR}", flush=True)
    found = on_director(raw, wanted)
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


if __name__ == "__main__":
    main()
