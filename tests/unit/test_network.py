"""Addresses, routes and rules: the difference between a file of record and what ip(8) reports."""

import json

import pytest
from ansible.module_utils.lvs_host.network import Network
from ansible.module_utils.lvs_host.resource import HostError

VIP = "address replace 203.0.113.80/32 dev lo"
GATEWAY_ROUTE = "route replace default via 10.20.1.10 dev eth1 table 7690 protocol 76"
GATEWAY_RULES = [
    "rule add from all lookup main suppress_prefixlength 0 priority 7689 protocol 76",
    "rule add from all lookup 7690 priority 7690 protocol 76",
]
TABLE_ROUTE = "route replace default via 10.20.1.10 dev eth1 table 7600 protocol 76"
RULE = "rule add from 10.20.1.11 ipproto tcp sport 8080 lookup 7600 priority 7600 protocol 76"
LINK = "link set dev tunl0 up"


class Host:
    """What ip(8) answers on a host; keeps what it is told to do."""

    def __init__(self, addresses=(), routes=(), rules=(), up=("lo", "eth1")):
        devices = {"lo": [], "eth1": [("10.20.1.11", 24, "global")], "tunl0": []}
        for address, device in addresses:
            devices[device].append((address, 32, "global"))
        self.answers = {
            "address": [
                {
                    "ifname": name,
                    "flags": ["UP"] if name in up else [],
                    "addr_info": [{"family": "inet", "local": a, "prefixlen": p, "scope": s} for a, p, s in held],
                }
                for name, held in devices.items()
            ],
            "route": [{"dst": "default", "gateway": "10.20.1.10", "dev": "eth1", **r} for r in routes],
            "rule": list(rules),
        }
        self.told = []

    def __call__(self, argv, stdin=None):
        if argv[:2] == ["ip", "-json"]:
            return 0, json.dumps(self.answers[argv[2]]), ""
        self.told.append((argv, stdin))
        return 0, "", ""


def resource(host, wanted, recorded="", interfaces=None):
    network = Network("\n".join(wanted), "\n".join(recorded), host, interfaces=interfaces or {})
    network.prepare()
    return network


def test_what_is_missing_is_added_in_the_order_of_the_file():
    network = resource(Host(), [LINK, VIP, TABLE_ROUTE, RULE])
    assert network.additions() == [f"ip {line}" for line in (LINK, VIP, TABLE_ROUTE, RULE)]


def test_what_is_there_is_left_alone():
    rule = {"priority": 7600, "src": "10.20.1.11", "ipproto": "tcp", "sport": 8080, "table": "7600", "protocol": "76"}
    rules = [
        {"priority": 7689, "src": "all", "table": "main", "suppress_prefixlen": 0, "protocol": "76"},
        {"priority": 7690, "src": "all", "table": "7690", "protocol": "76"},
    ]
    host = Host(
        [("203.0.113.80", "lo")], [{"table": "7600"}, {"table": "7690"}], [rule, *rules], up=("lo", "eth1", "tunl0")
    )
    wanted = [LINK, VIP, GATEWAY_ROUTE, TABLE_ROUTE, RULE, *GATEWAY_RULES]
    network = resource(host, wanted, wanted)
    assert (network.additions(), network.removals()) == ([], [])


def test_what_is_recorded_and_no_longer_wanted_goes_in_reverse_order():
    rule = {"priority": 7600, "src": "10.20.1.11", "ipproto": "tcp", "sport": 8080, "table": "7600", "protocol": "76"}
    host = Host([("203.0.113.80", "lo")], [{"table": "7600"}], [rule])
    assert resource(host, [], [VIP, TABLE_ROUTE, RULE]).removals() == [
        "ip rule del from 10.20.1.11 ipproto tcp sport 8080 lookup 7600 priority 7600 protocol 76",
        "ip route del default via 10.20.1.10 dev eth1 table 7600 protocol 76",
        "ip address del 203.0.113.80/32 dev lo",
    ]


def test_somebody_elses_address_and_route_stay():
    host = Host([("192.0.2.7", "lo")], [{"protocol": "static"}])
    assert resource(host, [VIP]).removals() == []


def test_a_route_of_lvskits_own_number_goes_even_when_it_is_not_recorded():
    """A run that was killed before it wrote its record is finished by the next."""
    assert resource(Host(routes=[{"table": "7600"}]), []).removals() == [
        "ip route del default via 10.20.1.10 dev eth1 table 7600 protocol 76"
    ]


def test_what_stays_for_now_stays_in_the_file_of_record():
    network = resource(Host([("203.0.113.80", "lo")]), [], [VIP])
    assert VIP in network.record(keep_stale=True)
    assert network.record(keep_stale=False) == ""


def test_commands_go_to_ip_in_one_batch():
    host = Host()
    resource(host, [VIP, TABLE_ROUTE]).add()
    assert host.told == [(["ip", "-batch", "-"], f"{VIP}\n{TABLE_ROUTE}\n")]


@pytest.mark.parametrize(
    ("interfaces", "words"),
    [({"eth9": ["10.20.1.11/24"]}, "there is no eth9 here"), ({"eth1": ["10.20.1.99/24"]}, "but it has 10.20.1.11/24")],
)
def test_a_host_that_is_not_plugged_in_as_described_is_refused(interfaces, words):
    with pytest.raises(HostError, match=words):
        resource(Host(), [VIP], interfaces=interfaces)
