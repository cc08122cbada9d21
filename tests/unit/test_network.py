"""Addresses, routes and rules: the difference between a file of record and what ip(8) reports."""

import json

import pytest
from ansible.module_utils.lvs_host import network as module
from ansible.module_utils.lvs_host.network import Network, Network6
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


# What is asked of ip(8): of routes, those of lvskit's own protocol number in all tables.
SHOWN = {"address show": "address", "route show table all protocol 76": "route", "rule show": "rule"}


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
        if argv[1] == "-json":
            return 0, json.dumps(self.answers[SHOWN[" ".join(argv[2:])]]), ""
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


VIP6 = "address replace 2001:db8::80/128 dev lo preferred_lft 0"
NIC6 = "address replace 2001:db8:1::80/128 dev eth1 preferred_lft 0 nodad"
ROUTE6 = "route replace default via 2001:db8:1::1 dev eth1 table 7601 protocol 76"
RULES6 = [
    "rule add from all lookup main suppress_prefixlength 0 priority 7689 protocol 76",
    "rule add from 2001:db8:1::2 ipproto tcp sport 80 lookup 7601 priority 7601 protocol 76",
]
TUNNEL6 = "tunnel change ip6tnl0 mode any"
# As iproute2 6.1 of Debian 12 has it of these.
LINKS6 = [
    {
        "ifname": "lo",
        "flags": ["LOOPBACK", "UP", "LOWER_UP"],
        "addr_info": [
            {
                "family": "inet6", "local": "2001:db8::80", "prefixlen": 128, "scope": "global", "deprecated": True,
                "valid_life_time": 4294967295, "preferred_life_time": 0,
            },
            {
                "family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host",
                "valid_life_time": 4294967295, "preferred_life_time": 4294967295,
            },
        ],
    },
    {
        "ifname": "eth1",
        "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
        "addr_info": [
            {
                "family": "inet6", "local": "2001:db8:1::80", "prefixlen": 128, "scope": "global", "nodad": True,
                "deprecated": True, "valid_life_time": 4294967295, "preferred_life_time": 0,
            },
            {
                "family": "inet6", "local": "2001:db8:1::2", "prefixlen": 64, "scope": "global",
                "valid_life_time": 4294967295, "preferred_life_time": 4294967295,
            },
            {
                "family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link",
                "valid_life_time": 4294967295, "preferred_life_time": 4294967295,
            },
        ],
    },
]  # fmt: skip
ROUTES6 = [
    {"dst": "default", "gateway": "2001:db8:1::1", "dev": "eth1", "table": "7601", "metric": 1024, "pref": "medium"},
]
LISTED6 = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 7601, "src": "2001:db8:1::2", "ipproto": "tcp", "sport": 80, "table": "7601", "protocol": "76"},
    {"priority": 7689, "src": "all", "table": "main", "suppress_prefixlen": 0, "protocol": "76"},
    {"priority": 32766, "src": "all", "table": "main"},
]


@pytest.fixture
def six(monkeypatch, tmp_path):
    """Makes the IPv6 resource of a host; `host.told` is what ip(8) is told. `mode` is that of ip6tnl0."""
    monkeypatch.setattr(module, "IPV6", str(tmp_path / "if_inet6"))
    (tmp_path / "if_inet6").write_text("")

    def make(wanted, recorded=(), links=LINKS6, mode="any"):
        host, asked = Host(), []
        tunnel = [{"ifname": "ip6tnl0", "linkinfo": {"info_kind": "ip6tnl", "info_data": {"proto": mode}}}]

        def run(argv, stdin=None):
            if argv[:3] == ["ip", "-6", "-json"]:
                return (
                    0,
                    json.dumps({"address": links, "route": ROUTES6, "rule": LISTED6}[SHOWN[" ".join(argv[3:])]]),
                    "",
                )
            if argv == ["ip", "-json", "-details", "link", "show", "type", "ip6tnl"]:
                asked.append(argv)
                return 0, json.dumps(tunnel), ""
            return host(argv, stdin)

        made = Network6("\n".join(wanted), "\n".join(recorded), run)
        made.prepare()
        made.told, made.asked = host.told, asked
        return made

    return make


ALL6 = [TUNNEL6, VIP6, NIC6, ROUTE6, *RULES6]


def test_ipv6_state_that_is_there_is_left_alone(six):
    made = six(ALL6, ALL6)
    assert (made.additions(), made.removals()) == ([], [])


def test_ipv6_state_goes_with_the_options_of_its_family(six):
    """A rule has the family that ip(8) was started with."""
    made = six([], ALL6)
    assert made.removals() == [
        "ip -6 rule del from all lookup main suppress_prefixlength 0 priority 7689 protocol 76",
        "ip -6 rule del from 2001:db8:1::2 ipproto tcp sport 80 lookup 7601 priority 7601 protocol 76",
        "ip -6 route del default via 2001:db8:1::1 dev eth1 table 7601 protocol 76",
        "ip -6 address del 2001:db8:1::80/128 dev eth1",
        "ip -6 address del 2001:db8::80/128 dev lo",
        "ip -6 tunnel change ip6tnl0 mode ip6ip6",
    ]
    made.remove()
    ((argv, text),) = made.told
    assert argv == ["ip", "-6", "-batch", "-"]
    assert text.splitlines()[-2:] == ["address del 2001:db8::80/128 dev lo", "tunnel change ip6tnl0 mode ip6ip6"]


@pytest.mark.parametrize("options", ["", " preferred_lft 0", " nodad"])
def test_an_address_whose_options_differ_is_replaced_and_not_removed(six, options):
    other = f"address replace 2001:db8:1::80/128 dev eth1{options}"
    made = six([other, ROUTE6, *RULES6], [NIC6])
    assert made.additions() == [f"ip -6 {other}"]
    assert made.removals() == []


def test_an_address_goes_although_somebody_has_changed_its_options(six):
    links = json.loads(json.dumps(LINKS6))
    links[0]["addr_info"][0].update(preferred_life_time=4294967295)
    made = six([ROUTE6, *RULES6], [VIP6], links)
    assert made.removals() == ["ip -6 address del 2001:db8::80/128 dev lo"]
    assert six([VIP6, ROUTE6, *RULES6], [VIP6], links).additions() == [f"ip -6 {VIP6}"]


def test_a_tunnel_takes_both_families_when_it_is_told_so(six):
    assert six([TUNNEL6, ROUTE6, *RULES6], mode="ip6ip6").additions() == [f"ip -6 {TUNNEL6}"]


def test_ipv4_has_no_part_in_routes_of_ipv6():
    """Without a family, ip(8) answers with the routes of both."""
    routes = [{"table": "7601", "gateway": "2001:db8:1::1"}]
    assert resource(Host(routes=routes), []).removals() == []


def test_a_host_without_ipv6_is_refused_ipv6_addresses_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "IPV6", str(tmp_path / "if_inet6"))
    Network6("# nothing\n", "", None).prepare()
    with pytest.raises(HostError, match="this host has no IPv6"):
        Network6(VIP6, "", None).prepare()
    with pytest.raises(HostError, match=r"network6.batch is damaged"):
        Network6("", "address replace 20", None).prepare()


def test_an_interface_has_addresses_of_both_families():
    host = Host()
    host.answers["address"][1]["addr_info"] += LINKS6[1]["addr_info"]
    resource(host, [], interfaces={"eth1": ["10.20.1.11/24", "2001:db8:1::2/64"]})
    with pytest.raises(HostError, match=r"2001:db8:1::3/64, but it has 10.20.1.11/24, 2001:db8:1::2/64, [^,]*80/128\."):
        resource(host, [], interfaces={"eth1": ["10.20.1.11/24", "2001:db8:1::3/64"]})


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


@pytest.mark.parametrize(
    ("interfaces", "message"),
    [
        (
            {"eth9": ["10.20.1.11/24", "2001:db8:1::2/64"]},
            "the inventory says that interface eth9 has 10.20.1.11/24 and 2001:db8:1::2/64, but there is no eth9 here (found: "
            "eth1, lo, tunl0). Correct lvs_interfaces, or create the interface.",
        ),
        (
            {"tunl0": ["10.20.1.11/24"]},
            "the inventory says that interface tunl0 has 10.20.1.11/24, but it has no address. Correct lvs_interfaces, or the "
            "host's network.",
        ),
    ],
)
def test_a_refusal_names_what_the_host_has_instead(interfaces, message):
    with pytest.raises(HostError) as refused:
        resource(Host(), [VIP], interfaces=interfaces)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "line", ["link set dev eth1", "address replace 20", "route replace", "flush all of the tables"]
)
def test_a_line_that_is_no_statement_is_refused(line):
    with pytest.raises(
        HostError, match=f"network.batch is damaged: addresses and routes: cannot read the line `{line}`"
    ):
        resource(Host(), [], [VIP, line]).removals()


def test_statements_may_be_as_short_as_ip_allows():
    lines = ["route del 192.0.2.0/24", "rule add blackhole", LINK, VIP, TUNNEL6]
    assert module.parse("# lvskit\n" + "\n".join(lines)) == lines


def test_a_link_that_lvskit_has_set_up_goes_down_with_the_plan():
    assert resource(Host(up=("lo", "eth1", "tunl0")), [], [LINK]).removals() == ["ip link set dev tunl0 down"]


def test_the_state_of_others_is_read_and_left(six):
    """Routes without a gateway and rules that let more through are none of lvskit's, whatever their protocol."""
    rule = {"priority": 9, "src": "all", "table": "main", "suppress_prefixlen": 8, "protocol": "76"}
    host = Host(routes=[{}], rules=[rule, {"priority": 0, "src": "all", "table": "local"}])
    host.answers["route"].append({"dst": "192.0.2.0/24", "dev": "eth1"})
    assert resource(host, []).removals() == [
        "ip rule del from all lookup main priority 9 protocol 76",
        "ip route del default via 10.20.1.10 dev eth1 table main protocol 76",
    ]


def test_an_address_that_is_valid_on_its_own_host_only_is_told_from_one_for_all():
    wanted = "address replace 127.0.0.9/32 dev lo"
    host = Host()
    host.answers["address"][0]["addr_info"] = [
        {"family": "inet", "local": "127.0.0.9", "prefixlen": 32, "scope": "host"}
    ]
    assert resource(host, [f"{wanted} scope host"]).additions() == []
    assert resource(host, [wanted]).additions() == [f"ip {wanted}"]


def test_the_diff_shows_what_stays_and_what_goes():
    host = Host([("203.0.113.80", "lo"), ("203.0.113.81", "lo")], [{"table": "7600"}])
    other = VIP.replace(".80", ".81")
    network = resource(host, [LINK, VIP], [VIP, other])
    assert network.before() == [VIP, other, TABLE_ROUTE]
    assert (network.after(), network.stale()) == ([LINK, VIP], [other, TABLE_ROUTE])


def test_a_plan_that_changes_nothing_starts_no_program():
    host = Host([("203.0.113.80", "lo")])
    network = resource(host, [VIP], [VIP])
    network.add()
    network.remove()
    assert host.told == []


def test_tunnels_are_asked_for_only_where_there_are_some_in_the_plan_or_the_record(six):
    """A host without the kernel module would answer with an error."""
    state = [ROUTE6, *RULES6]
    asked = [bool(six(*given).asked) for given in ((state, []), ([TUNNEL6, *state], []), (state, [TUNNEL6]))]
    assert asked == [False, True, True]
