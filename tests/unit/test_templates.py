"""The files that each host gets, against golden ones, in every mode that can be provisioned.

After a change that is meant: `LVSKIT_WRITE_GOLDEN=1 pytest tests/unit/test_templates.py`, and read the difference.
"""

import os
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.lvs.host_plan import HostPlan
from ansible.module_utils.lvs.plan import plan
from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host import ipvs, netfilter
from ansible.module_utils.lvs_host.kinds import KINDS
from libraries import loaded

TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(path.relative_to(TEMPLATES) for path in TEMPLATES.rglob("*.j2"))
BASE = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
LB2 = {
    "lvs_interfaces": {
        "eth1.20": {"network": "edge", "address": "203.0.113.11"},
        "eth1.30": {"network": "app", "address": "10.20.1.9"},
    }
}
GATEWAY = [
    {
        "name": "n",
        "vip": "203.0.113.81",
        "port": 80,
        "mode": "nat",
        "persistence_timeout": 300,
        "real_servers": [{"group": "app"}],
    }
]
CHECKED = [
    {
        "name": "n",
        "vip": "203.0.113.81",
        "port": 80,
        "mode": "nat",
        "real_servers": [{"group": "app", "port": 8080}],
        "health_check": {"type": "tcp", "port": [80, 9000], "rise": 3},
    },
    {
        "name": "d",
        "vip": "10.20.1.80",
        "port": [443, "8000-8010"],
        "mode": "dr",
        "scheduler": "mh",
        "scheduler_flags": ["mh-fallback"],
        "real_servers": [{"group": "app", "weight": 5}],
        "health_check": {
            "type": "https",
            "path": "/healthz",
            "host": "shop.example.com",
            "status": ["200-204", 301],
            "match": "fine|well",
            "digest": "00112233445566778899AABBCCDDEEFF",
            "interval": 5,
            "timeout": 1,
            "retries": 2,
            "slow_start": 30,
        },
        "floor": "30%",
    },
    {
        "name": "p",
        "vip": "203.0.113.82",
        "port": 25,
        "mode": "fullnat",
        "local_addresses": ["203.0.113.201"],
        "real_servers": [{"group": "app"}],
        "health_check": {"type": "smtp", "helo": "lb1.example.com", "way": "rip"},
    },
]
UNKEPT = {
    "hosts": {
        **BASE["hosts"],
        **{name: {**BASE["hosts"][name], "lvs_keeper": False} for name in ("rs3", "client1")},
    }
}
NAMES = {kind.template: kind.name for kind in KINDS}
HOSTS = {
    "director": ("lb1", {}),
    "dr-and-nat-by-policy": ("rs1", {}),
    "nat-by-gateway": ("rs1", {"services": GATEWAY}),
    "director-with-persistence": ("lb1", {"services": GATEWAY}),
    "tun": ("rs3", UNKEPT),
    "none": ("client1", UNKEPT),
    "director-with-checks": ("lb1", {"services": CHECKED}),
    "director-of-a-pair": (
        "lb1",
        {
            "hosts": {**BASE["hosts"], "lb2": LB2},
            "groups": {**BASE["groups"], "directors": ["lb1", "lb2"]},
            "directors": {
                "directors": {"redundancy": "vrrp", "virtual_router_id": 51, "gateways": {"app": "10.20.1.2"}}
            },
        },
    ),
}


def rendered(environment, file, host, changes):
    texts = layout.texts(plan(environment(changes).topology, host), str(TEMPLATES), "/lib/systemd/systemd-sysctl")
    return texts[NAMES[str(file)]]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.with_suffix("").as_posix())
@pytest.mark.parametrize("case", HOSTS)
def test_the_file_is_the_golden_one(environment, case, file):
    text = rendered(environment, file, *HOSTS[case])
    golden = GOLDEN / case / file.with_suffix("")
    if os.environ.get("LVSKIT_WRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_drained_real_servers_are_recorded_as_they_are_read_again():
    drained = (("rs1", "2026-03-01T03:00:00Z"), ("rs2", "2026-03-02T03:00:00Z"))
    text = layout.texts(HostPlan("lb1", drained=drained), str(TEMPLATES), "")["drained"]
    assert loaded("lvs_recorded").drained(text) == dict(drained)


@pytest.mark.parametrize("case", HOSTS)
def test_the_ipvs_file_is_in_ipvsadms_own_format(environment, case):
    text = rendered(environment, "etc/lvskit/ipvs.rules.j2", *HOSTS[case])
    assert sorted(ipvs.render(ipvs.parse(text)).splitlines()) == sorted(text.splitlines())


def test_the_iptables_file_has_the_chains_that_the_plan_names_and_no_others(environment):
    chains = netfilter.parse(rendered(environment, "etc/lvskit/netfilter.rules.j2", *HOSTS["tun"]))
    planned = plan(environment(HOSTS["tun"][1]).topology, HOSTS["tun"][0]).netfilter.chains
    assert set(chains) == {(chain.table, f"LVSKIT-{chain.hook}") for chain in planned}
