"""What a person sees of the health of services, and the weights that an operator sets."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs.plan import plan
from ansible.module_utils.lvs_controller import status, weights
from ansible.module_utils.lvs_host import governing
from ansible.module_utils.lvs_host.governing import Standing, State
from libraries import loaded

LISTED = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A140150:0050 wlc
  -> 0A14010C:0050      Route   5      0          0
"""
# As Debian 12's keepalived 2.2.7 writes it to the journal.
JOURNAL = """\
Fri Nov 27 03:44:52 2026: TCP connection to [10.20.1.11]:tcp:80 success.
Fri Nov 27 03:44:52 2026: Enabling service [10.20.1.11]:tcp:80 of VS [10.20.1.80]:tcp:80
Fri Nov 27 03:50:35 2026: TCP_CHECK on service [10.20.1.11]:tcp:80 failed after 1 retries.
Fri Nov 27 03:50:35 2026: Disabling service [10.20.1.11]:tcp:80 of VS [10.20.1.80]:tcp:80
"""


@pytest.fixture
def shown(environment):
    """The lines for a service of rs1 and rs2, whose standings and other answers of the director are given."""

    def show(one, two, state=governing.FINE, hosts=None, drained=None, **answers):
        service = {
            "name": "web",
            "vip": "10.20.1.80",
            "port": 80,
            "mode": "dr",
            "real_servers": [{"host": "rs1", "weight": 5}, {"host": "rs2", "weight": 5}],
            "health_check": {"type": "tcp"},
        }
        made = environment({"services": [service], **({"hosts": hosts} if hosts else {})})
        decided = State(state, 1000.0, servers={"10.20.1.11:80": one, "10.20.1.12:80": two})
        answer = {
            "governed": True,
            "silent": 1.0,
            "checker": "fine",
            "services": {"web 4": decided.as_dict()},
            "overrides": {},
            "weights": loaded("lvs_health").weights(LISTED),
            "answers": loaded("lvs_health").answers(JOURNAL),
            "kept": {},
            "now": 1500.0,
            **answers,
        }
        services, found = made.topology.services, {"lb1": answer}
        rows = status.rows(services, {"lb1": plan(made.topology, "lb1")}, found, drained or {})
        return status.lines(rows, status.troubles(services, found))

    return show


PASSED = Standing("rs2", "passed", 1400.0, 1.0, 5, 5, "check passed", known=True)
FAILED = Standing("rs1", "failed", 1400.0, None, None, 5, "check failed", known=True)


def test_each_real_server_has_its_weights_the_reason_and_the_checks_last_answer(shown):
    assert shown(FAILED, PASSED) == [
        "web (10.20.1.80:80, dr), IPv4",
        "  rs1  weight out of 5: check failed since 1970-01-01 00:23:20 UTC (tcp by VIP: TCP_CHECK on service [10.20.1.11]:tcp:80 failed "
        "after 1 retries.)",
        "  rs2  weight 5 of 5: check passed since 1970-01-01 00:23:20 UTC (tcp by VIP)",
    ]


def test_the_state_of_a_service_is_said(shown):
    assert shown(FAILED, PASSED, governing.FLOOR)[0].endswith(": the floor keeps failed real servers in use")
    assert shown(FAILED, PASSED, governing.DOWN)[0].endswith(": no real server passes")


def test_a_weight_of_somebody_else_is_named(shown):
    other = dataclasses.replace(PASSED, weight=3)
    assert "weight 5 of 5: set by somebody else, in place of 3 (check passed)" in shown(FAILED, other)[2]


def test_an_operators_weight_is_shown_with_its_end_and_reason_until_it_ends(shown):
    override = {"weight": 5, "until": 1600.0, "services": [], "reason": "a new disk", "since": 1.0}
    line = shown(FAILED, PASSED, overrides={"rs2": override})[2]
    assert "check passed; an operator set weight 5 until 1970-01-01 00:26:40 UTC, a new disk" in line
    assert "operator" not in shown(FAILED, PASSED, overrides={"rs2": override}, now=1601.0)[2]
    others = {"rs2": {**override, "services": ["shop"]}}
    assert "operator" not in shown(FAILED, PASSED, overrides=others)[2]


def test_drained_real_servers_are_shown_with_their_way_back(shown):
    hosts = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())["hosts"]
    hosts["rs2"]["lvs_drained"] = True
    lines = shown(FAILED, PASSED, hosts=hosts, drained={"rs2": "2026-03-01T03:00:00Z"})
    assert lines[2] == (
        "  rs2  weight out of 5: drained since 2026-03-01 03:00:00 UTC; playbooks/undrain.yml puts it back"
    )
    assert shown(FAILED, PASSED, hosts=hosts)[2].endswith("drained by the inventory (lvs_drained)")


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        (
            {"silent": 31.0},
            "lb1: the governor has been silent for 31 s, and weights stay as they are. See: journalctl -u lvskit-governor",
        ),
        (
            {"silent": None},
            "lb1: the governor has not run yet, and weights stay as they are. See: journalctl -u lvskit-governor",
        ),
        (
            {"checker": "keepalived does not run"},
            "lb1: keepalived does not run, and weights stay as they are. See: journalctl -u lvskit-health",
        ),
        (
            {"kept": {"kernel settings": {"given_up": True, "failing": ""}}},
            "lb1: something takes kernel settings away again and again, and the keeper leaves them alone. See: journalctl -u lvskit-keeper",
        ),
        (
            {"kept": {"iptables rules": {"given_up": False, "failing": "iptables rules: no such table"}}},
            "lb1: the keeper cannot put iptables rules back: iptables rules: no such table",
        ),
    ],
)
def test_a_director_whose_decisions_are_not_up_to_date_is_named(shown, answers, trouble):
    assert shown(FAILED, PASSED, **answers)[-1] == trouble
    assert len(shown(FAILED, PASSED)) == 3


def test_a_director_that_does_not_answer_is_named(environment):
    topology = environment().topology
    assert status.troubles(topology.services, {}) == ["lb1 cannot be reached: nothing is known of its services."]


SERVICE = {
    "name": "web",
    "vip": "10.20.1.80",
    "port": 80,
    "mode": "dr",
    "real_servers": [{"group": "app"}],
    "health_check": {"type": "tcp"},
}
UNCHECKED = {"name": "old", "vip": "10.20.1.81", "port": 80, "mode": "dr", "real_servers": [{"host": "rs2"}]}


def test_groups_and_hosts_mean_the_real_servers_of_the_directors_services(environment):
    topology = environment({"services": [SERVICE]}).topology
    assert weights.servers(topology, "lb1", ["app", "rs3"], []) == ["rs1", "rs2"]
    assert weights.servers(topology, "lb1", ["rs2"], ["web"]) == ["rs2"]
    assert weights.servers(topology, "lb9", ["rs2"], []) == []


@pytest.mark.parametrize(
    ("names", "only", "message"),
    [
        (["rs9"], [], "rs9 is neither a host nor a group: did you mean rs"),
        (["rs1"], ["wep"], "there is no service wep: did you mean web?"),
        (["rs2"], [], "old of lb1: without health_check only a run changes weights."),
    ],
)
def test_names_that_mean_nobody_are_refused(environment, names, only, message):
    topology = environment({"services": [SERVICE, UNCHECKED]}).topology
    with pytest.raises(AnsibleActionFail, match=message.replace("?", r"\?").replace(".", r"\.")):
        weights.servers(topology, "lb1", names, only)


def test_weights_and_durations():
    assert (weights.weight("planned"), weights.weight("0"), weights.weight("65535")) == (None, 0, 65535)
    assert [weights.seconds(text) for text in (None, "", "45s", "30m", "2h", "1d")] == [
        None,
        None,
        45,
        1800,
        7200,
        86400,
    ]
    for refused in ("65536", "-1", "half"):
        with pytest.raises(AnsibleActionFail):
            weights.weight(refused)
    for refused in ("30", "1w", "m"):
        with pytest.raises(AnsibleActionFail):
            weights.seconds(refused)


def test_connections_are_counted_once_for_each_real_server():
    """Open and closing ones."""
    health = loaded("lvs_health")
    table = (
        LISTED
        + "  -> 0A14010B:0050      Route   5      3          4\nFWM  00000007 rr\n  -> 0A14010D:0000      Route   1      5          1\n"
    )
    assert health.connections(table) == 7 + 6
    assert health.connections("") == 0


def test_the_sync_daemons_that_run_are_told():
    health = loaded("lvs_health")
    said = "master sync daemon (mcast=eth1, syncid=51, maxlen=1472)\nbackup sync daemon (mcast=eth1, syncid=51)\n"
    assert health.daemons(lambda argv, stdin: (0, said, "")) == ["master", "backup"]
    assert health.daemons(lambda argv, stdin: (1, "", "no module")) == []
