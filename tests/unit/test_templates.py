"""The files that each host gets, against golden ones, in every mode that can be provisioned.

After a change that is meant: `LVSKIT_WRITE_GOLDEN=1 pytest tests/unit/test_templates.py`, and read the difference.
"""

import os
from pathlib import Path

import pytest
from ansible.module_utils.lvs.plan import plan
from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host import ipvs, netfilter
from ansible.module_utils.lvs_host.kinds import KINDS

TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(path.relative_to(TEMPLATES) for path in TEMPLATES.rglob("*.j2"))
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
NAMES = {kind.template: kind.name for kind in KINDS}
HOSTS = {
    "director": ("lb1", {}),
    "dr-and-nat-by-policy": ("rs1", {}),
    "nat-by-gateway": ("rs1", {"services": GATEWAY}),
    "director-with-persistence": ("lb1", {"services": GATEWAY}),
    "tun": ("rs3", {}),
    "none": ("client1", {}),
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


@pytest.mark.parametrize("case", HOSTS)
def test_the_ipvs_file_is_in_ipvsadms_own_format(environment, case):
    text = rendered(environment, "etc/lvskit/ipvs.rules.j2", *HOSTS[case])
    assert sorted(ipvs.render(ipvs.parse(text)).splitlines()) == sorted(text.splitlines())


def test_the_iptables_file_has_the_chains_that_the_plan_names_and_no_others(environment):
    chains = netfilter.parse(rendered(environment, "etc/lvskit/netfilter.rules.j2", *HOSTS["tun"]))
    planned = plan(environment(HOSTS["tun"][1]).topology, HOSTS["tun"][0]).netfilter.chains
    assert set(chains) == {(chain.table, f"LVSKIT-{chain.hook}") for chain in planned}
