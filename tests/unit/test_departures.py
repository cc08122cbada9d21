"""What is said of a host that differs from its files of record: what is there, what is needed, and what it does to packets."""

import pytest
from ansible.module_utils.lvs import departures, plan

NETWORK, IPVS, RULES, PARAMETERS = "addresses and routes", "IPVS table", "iptables rules", "module parameters"
ENTRY = "-t 203.0.113.80:80 -r 10.20.1.11:80 -g -w"


@pytest.fixture
def described(environment):
    """The differences of the kind, as (subject, found, needed, consequence, risk)."""
    made = plan.plans(environment().topology)["rs1"]

    def make(kind, *commands, before=(), obstacle=""):
        one = {"kind": kind, "commands": list(commands), "before": list(before), "obstacle": obstacle}
        return list(departures.described(made, [one]))

    return make


@pytest.mark.parametrize(
    ("kind", "command", "subject", "found", "consequence"),
    [
        (NETWORK, "ip address replace 203.0.113.80/32 dev lo", "address 203.0.113.80 on lo", "missing",
         "The host does not accept packets for this address."),
        (NETWORK, "ip address del 203.0.113.80/32 dev lo", "address 203.0.113.80 on lo", "present",
         "The host accepts packets for an address that it should no longer have."),
        (NETWORK, "ip link set dev tunl0 up", NETWORK, "missing", "Packets for this device are dropped."),
        (NETWORK, "ip route replace default via 10.20.1.10 dev eth1", NETWORK, "missing",
         "Replies do not pass the director."),
        (NETWORK, "ip route del default via 10.20.1.10 dev eth1", NETWORK, "present",
         "Packets take a route that is not planned."),
        (NETWORK, "ip rule add from 10.20.1.11 lookup 7600", NETWORK, "missing", "Replies do not pass the director."),
        (NETWORK, "ip rule del from 10.20.1.11 lookup 7600", NETWORK, "present",
         "Packets take a route that is not planned."),
        (IPVS, "ipvsadm -A -t 203.0.113.80:80 -s wlc", "IPVS service -t 203.0.113.80:80", "missing",
         "The director does not forward requests for it."),
        (IPVS, "ipvsadm -E -t 203.0.113.80:80 -s wlc", "IPVS service -t 203.0.113.80:80", "-A -t 203.0.113.80:80 -s rr",
         "The director distributes requests differently than planned."),
        (IPVS, "ipvsadm -D -t 203.0.113.80:80", "IPVS service -t 203.0.113.80:80", "present",
         "The director forwards a service that is not planned."),
        (IPVS, f"ipvsadm -a {ENTRY} 1", "IPVS service -t 203.0.113.80:80, real server 10.20.1.11:80", "missing",
         "This real server gets no requests."),
        (IPVS, f"ipvsadm -e {ENTRY} 1", "IPVS service -t 203.0.113.80:80, real server 10.20.1.11:80", f"-a {ENTRY} 7",
         "This real server gets a different share of the requests than planned, none with weight 0."),
        (IPVS, "ipvsadm -d -t 203.0.113.80:80 -r 10.20.1.11:80",
         "IPVS service -t 203.0.113.80:80, real server 10.20.1.11:80", "present",
         "A host that is not a real server of the service gets requests."),
        (RULES, "iptables -t nat -A LVSKIT-POSTROUTING -j SNAT --to-source 10.20.1.200", RULES, "missing",
         "Requests leave from the client's address instead of a local one, and replies bypass the director."),
        (RULES, "iptables -t mangle -A LVSKIT-OUTPUT -j TCPMSS", RULES, "missing",
         "Packets are not translated or filtered as planned."),
        (PARAMETERS, "lvskit_toa/parameters/lips = 10.20.1.200", PARAMETERS, "lvskit_toa/parameters/lips = 0",
         "The module processes other addresses than planned."),
        ("kernel settings", "net/ipv4/ip_forward = 1", "kernel settings", "nothing",
         "The host differs from the last applied plan."),
    ],
)  # fmt: skip
def test_each_difference_is_told_with_its_effect_on_packets(described, kind, command, subject, found, consequence):
    before = [
        "-A -t 203.0.113.79:80 -s sh",
        f"-a {ENTRY.replace('.11', '.10')} 9",
        "-A -t 203.0.113.80:80 -s rr",
        f"-a {ENTRY} 7",
        "lvskit_toa/parameters/lipsum = 7",
        "lvskit_toa/parameters/lips = 0",
    ]
    assert described(kind, command, before=before) == [(subject, found, command, consequence, False)]


@pytest.mark.parametrize(
    ("kind", "command", "found"),
    [
        ("unit lvskit-network.service", "systemctl enable --no-reload lvskit-network.service", "not done"),
        ("systemd", "systemctl daemon-reload", "not done"),
    ],
)
def test_what_only_a_reboot_would_lose_is_a_risk(described, kind, command, found):
    assert described(kind, command) == [(kind, found, command, "A reboot does not restore this state.", True)]


@pytest.mark.parametrize("verb", ["-E -t 203.0.113.80:80 -s wlc", f"-e {ENTRY} 1"])
def test_an_entry_that_was_replaced_meanwhile_is_told_as_something_else(described, verb):
    assert described(IPVS, f"ipvsadm {verb}", before=["-A -t 203.0.113.8:80 -s rr"])[0][1] == "something else"


def test_a_kernel_module_is_named_with_what_needs_it(described):
    ((subject, found, needed, consequence, risk),) = described("kernel modules", "modprobe ipip")
    assert (subject, found, needed, risk) == ("kernel module ipip", "missing", "modprobe ipip", False)
    assert consequence == departures.sentence(departures.modules.without("ipip"))


def test_a_kind_that_cannot_be_restored_is_told_before_what_else_differs(described):
    found = described(NETWORK, "ip link set dev tunl0 up", obstacle="there is no tunl0")
    assert found[0] == (NETWORK, "it cannot be restored", "the state of the file of record", "there is no tunl0", False)
    assert len(found) == 2


def test_settings_of_the_plan_are_left_to_the_check_of_their_effective_values(described):
    """conf/all can serve as well as the interface's own value."""
    own = "net/ipv4/conf/all/arp_ignore = 1"
    found = described("kernel settings", own, "net/ipv4/tcp_syncookies = 1")
    assert [line[2] for line in found] == ["net/ipv4/tcp_syncookies = 1"]
    assert len(described("another kind", own)) == 1


CHAIN = [
    "iptables -t nat -N LVSKIT-POSTROUTING",
    "iptables -t nat -A LVSKIT-POSTROUTING -s 10.20.1.11 -j SNAT --to-source 10.20.1.200",
    "iptables -t nat -A LVSKIT-POSTROUTING -s 10.20.1.12 -j SNAT --to-source 10.20.1.200",
]


def test_of_a_chain_that_is_rewritten_only_the_missing_rule_is_told(described):
    there = [f"-t nat {CHAIN[1].partition('nat ')[2]}"]
    assert [line[2] for line in described(RULES, *CHAIN, before=there)] == [CHAIN[2]]


def test_a_chain_that_is_missing_is_told_with_all_its_rules(described):
    other = ["-t nat -A LVSKIT-OUTPUT -j ACCEPT"]
    assert [line[2] for line in described(RULES, *CHAIN, before=other)] == CHAIN


def test_a_chain_with_a_rule_too_many_is_told_once(described):
    rules = [f"-t nat {command.partition('nat ')[2]}" for command in CHAIN[1:]]
    found = described(RULES, *CHAIN, before=[*rules, "-t nat -A LVSKIT-POSTROUTING -j ACCEPT"])
    assert [line[2] for line in found] == [CHAIN[0]]


def test_a_sentence_has_one_full_stop():
    assert departures.sentence("the host drops it") == departures.sentence("The host drops it.") == "The host drops it."
