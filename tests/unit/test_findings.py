"""The hosts' answers, compared with the model: no finding for a correct host, and each fault by its id."""

import copy
import dataclasses

import pytest
from ansible.module_utils.lvs.findings import CHECKS, findings
from ansible.module_utils.lvs.host_plan import Sysctl
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.questions import questions
from conftest import BASE

HOSTS = ["lb1", "rs1", "rs2", "rs3", "client1"]
THERE = [*HOSTS, "lb2"]  # where an environment has them


class Network:
    """The base environment's hosts, and what each of them would answer if all were as it should be."""

    def __init__(self, environment, **changes):
        self.topology = environment(changes).topology
        hosts = [name for name in THERE if name in self.topology.hosts]
        self.plans = plans(self.topology, hosts)
        self.asked = questions(self.topology, self.plans, hosts)
        self.answers = {name: self._answer(name) for name in hosts}

    def mac(self, host):
        return f"52:54:00:00:00:0{THERE.index(host)}" if host in THERE else "52:54:00:00:00:ff"

    def _answer(self, name):
        asked, host = self.asked[name], self.topology.hosts[name]
        fine = {"all": 0, "serves": True, "reachable": True, "boot": None, "boot_serves": True, "boot_all": None}
        return {
            "interfaces": {
                i.name: {
                    "mac": self.mac(name),
                    "mtu": i.network.mtu,
                    "up": True,
                    "vlan": i.network.vlan if "." in i.name else None,
                    "addresses": [str(one) for one in i.attachments],
                    "link_local": True,
                    "lro": False,
                }
                for i in host.interfaces
            },
            "settings": {key: {**fine, "own": v, "effective": v} for key, v in asked.settings.items()},
            "modules": {},
            "routes": [
                {"interface": way.interface, "gateway": str(way.gateway) if way.gateway else ""} for way in asked.ways
            ],
            "defaults": [{"interface": "eth0", "accept_ra": None}],
            "neighbours": [[] if n.owner == name else [self.mac(n.owner)] for n in asked.neighbours],
            "paths": [path.size for path in asked.paths],
            "refused": [""] * len(asked.passages),
            "drops": [],
            "orders": {},
            "versions": dict.fromkeys(asked.versions, "1.4.7"),
            "trials": [""] * len(asked.trials),
            "marks": [],
            "offloads": [],
            "counters": {},
            "config": [],
            "companions": [],
            "recorded": self._recorded(self.plans[name]),
            "departures": [],
        }

    @staticmethod
    def _recorded(plan):
        """What the host's files of record say, in the words of the role's templates."""
        return [
            *(f"address replace {a.address}/32 dev {a.device}" for a in plan.addresses),
            *(f"rule add {rule.selector} lookup {rule.lookup} priority 1 protocol 76" for rule in plan.rules),
            *(f"{setting.key} = {setting.value}" for setting in plan.sysctls),
        ]

    def wrong(self):
        return findings(self.topology, self.plans, self.asked, self.answers)

    def neighbour(self, host, **wanted):
        asked = list(self.asked[host].neighbours)
        return next(i for i, n in enumerate(asked) if all(str(getattr(n, k)) == str(v) for k, v in wanted.items()))

    def way(self, host, **wanted):
        asked = list(self.asked[host].ways)
        return next(i for i, w in enumerate(asked) if all(str(getattr(w, k)) == str(v) for k, v in wanted.items()))


@pytest.fixture
def network(environment):
    return Network(environment)


def only(network):
    (finding,) = network.wrong()
    assert finding.check in CHECKS
    return finding


def test_nothing_is_found_where_all_is_well(network):
    assert network.wrong() == []


def test_a_host_that_does_not_answer_is_named(network):
    network.answers["rs2"] = {"unreachable": True, "msg": "no route to host"}
    assert (only(network).host, only(network).check, only(network).found) == ("rs2", "HOST", "no route to host")
    del network.answers["rs2"]
    assert only(network).found == "no answer"


@pytest.mark.parametrize(
    ("changed", "check", "found"),
    [
        ({"up": False}, "INTERFACE", "down"),
        ({"addresses": ["10.20.1.99/24"]}, "INTERFACE", "10.20.1.99/24"),
        ({"addresses": ["10.20.1.11/16"]}, "INTERFACE", "10.20.1.11/16"),
        ({"vlan": 99}, "VLAN", "802.1Q id 99"),
        ({"mtu": 1400}, "MTU", "1400 bytes"),
    ],
)
def test_an_interface_that_is_not_as_the_inventory_says_is_named(network, changed, check, found):
    network.answers["rs1"]["interfaces"]["eth1"].update(changed)
    finding = only(network)
    assert (finding.host, finding.check, finding.subject, finding.found) == ("rs1", check, "eth1", found)


@pytest.fixture
def dual(environment):
    """The base environment with IPv6 on one interface of rs1."""
    networks, hosts = (copy.deepcopy(BASE[key]) for key in ("networks", "hosts"))
    networks["app"]["cidr6"] = "2001:db8:30::/64"
    hosts["rs1"]["lvs_interfaces"]["eth1"]["address6"] = "2001:db8:30::11"
    return Network(environment, networks=networks, hosts=hosts)


def test_an_interface_with_ipv6_and_no_link_local_address_is_named(dual):
    for answer in dual.answers.values():
        for link in answer["interfaces"].values():
            link["link_local"] = False
    finding = only(dual)
    assert (finding.host, finding.check, finding.subject, finding.risk) == ("rs1", "LINK-LOCAL", "eth1", False)
    assert finding.found == "no link-local IPv6 address"


@pytest.mark.parametrize("changed", [{"addresses": ["10.20.1.11/24"]}, {"up": False}])
def test_an_interface_without_any_ipv6_address_is_named_once(dual, changed):
    dual.answers["rs1"]["interfaces"]["eth1"].update(changed, link_local=False)
    assert only(dual).check == "INTERFACE"


def test_an_interface_that_is_down_is_named_and_not_what_comes_of_it(network):
    network.answers["rs1"]["interfaces"]["eth1"]["up"] = False
    network.answers["rs1"]["neighbours"] = [[] for _ in network.asked["rs1"].neighbours]
    assert (only(network).check, only(network).found) == ("INTERFACE", "down")


def test_what_a_service_is_asked_for_twice_is_one_question(environment):
    services = [
        {
            "name": f"s{n}",
            "vip": "203.0.113.81",
            "port": n,
            "mode": "nat",
            "real_servers": [{"host": "rs1", "port": 8080}],
        }
        for n in range(1, 4)
    ]
    network = Network(environment, services=services)
    assert [str(way.to) for way in network.asked["rs1"].ways] == ["198.51.100.10"]
    network.answers["rs1"]["routes"] = [{"interface": "eth1", "gateway": "10.20.1.1"}]
    assert only(network).check == "ROUTE"


def test_an_interface_that_is_not_there_is_named_with_those_that_are(network):
    network.answers["rs1"]["interfaces"] = {"ens5": network.answers["rs1"]["interfaces"]["eth1"]}
    assert "ens5" in only(network).found


def test_merging_matters_on_directors(network):
    for host in ("lb1", "rs1"):
        for link in network.answers[host]["interfaces"].values():
            link["lro"] = True
    assert {(f.host, f.check) for f in network.wrong()} == {("lb1", "LRO")}


def test_a_real_server_that_answers_for_the_vip_is_named_by_the_director(network):
    network.answers["lb1"]["neighbours"][network.neighbour("lb1", address="10.20.1.80")] = [network.mac("rs1")]
    finding = only(network)
    assert (finding.host, finding.check) == ("lb1", "VIP-ARP")
    assert "(rs1)" in finding.found


def test_a_vip_for_which_two_answer_is_named(network):
    place = network.neighbour("rs1", address="10.20.1.80")
    network.answers["rs1"]["neighbours"][place] = [network.mac("lb1"), "52:54:00:00:00:99"]
    assert "52:54:00:00:00:99" in only(network).found


def test_a_vip_for_which_nobody_answers_matters_once_its_director_is_provisioned(network):
    place = network.neighbour("rs1", address="10.20.1.80")
    network.answers["rs1"]["neighbours"][place] = []
    assert (only(network).check, only(network).found) == ("VIP-ARP", "no answer")
    network.answers["lb1"]["recorded"] = []
    assert network.wrong() == []


def test_a_vip_that_somebody_has_already_is_named_before_the_first_run(network):
    network.answers["lb1"]["recorded"] = []
    network.answers["rs1"]["neighbours"][network.neighbour("rs1", address="10.20.1.80")] = ["52:54:00:00:00:99"]
    assert only(network).needed == "no answer before lb1 has it"


def test_an_interface_on_which_nobody_answers_is_named(network):
    for place, asked in enumerate(network.asked["rs3"].neighbours):
        if not asked.vip:
            network.answers["rs3"]["neighbours"][place] = []
    assert (only(network).host, only(network).check, only(network).subject) == ("rs3", "SEGMENT", "eth1")


def test_a_silent_gateway_alone_is_nothing(network):
    network.answers["rs1"]["neighbours"][network.neighbour("rs1", address="10.20.1.1")] = []
    assert network.wrong() == []


def test_an_address_that_another_host_answers_for_is_named(network):
    place = network.neighbour("rs1", address="10.20.1.10", vip=False)
    network.answers["rs1"]["neighbours"][place] = [network.mac("rs2")]
    finding = only(network)
    assert (finding.check, finding.subject) == ("ADDRESS-OWNER", "10.20.1.10 on eth1")
    assert (finding.found, finding.needed) == (f"{network.mac('rs2')} (rs2)", f"{network.mac('lb1')} alone")


def test_an_address_for_which_two_answer_is_named_whoever_should_have_it(network):
    place = network.neighbour("rs1", address="10.20.1.1")
    network.answers["rs1"]["neighbours"][place] = ["52:54:00:00:00:98", "52:54:00:00:00:99"]
    assert (only(network).check, only(network).needed) == ("ADDRESS-OWNER", "one MAC alone")


def test_who_answers_for_a_director_that_cannot_be_asked_is_not_judged(network):
    """Its MAC is not known; one answer may well be its own, two cannot be."""
    del network.answers["lb1"]
    assert {f.check for f in network.wrong()} == {"HOST"}
    place = network.neighbour("rs1", address="10.20.1.80")
    network.answers["rs1"]["neighbours"][place] = ["52:54:00:00:00:98", "52:54:00:00:00:99"]
    assert [(f.check, f.needed) for f in network.wrong()][1:] == [("VIP-ARP", "no answer before lb1 has it")]


def test_a_nat_real_server_whose_replies_take_another_gateway_is_named(network):
    place = network.way("rs1", gateway="10.20.1.10")
    network.answers["rs1"]["routes"][place]["gateway"] = "10.20.1.1"
    finding = only(network)
    assert (finding.check, finding.found, finding.needed) == (
        "ROUTE",
        "via 10.20.1.1 dev eth1",
        "via 10.20.1.10 dev eth1",
    )
    assert "resets the connection" in finding.consequence
    network.answers["rs1"]["recorded"] = []  # it is lvskit that would make it so
    assert network.wrong() == []


@pytest.fixture
def forwarding(network):
    """The director is to forward IPv6, and does not yet."""
    plan = network.plans["lb1"]
    setting = Sysctl("net/ipv6/conf/all/forwarding", 1, "x")
    network.plans = {**network.plans, "lb1": dataclasses.replace(plan, sysctls=(*plan.sysctls, setting))}
    fine = network.answers["lb1"]["settings"]["net/ipv4/ip_forward"]
    network.answers["lb1"]["settings"][setting.key] = {**fine, "own": 0}
    return network


def test_a_default_route_that_forwarding_would_remove_is_named_before_the_run(forwarding):
    forwarding.answers["lb1"]["defaults"] = [{"interface": "eth0", "accept_ra": 1}] * 2
    finding = only(forwarding)
    assert (finding.host, finding.check, finding.subject) == ("lb1", "ADVERTISED-ROUTE", "eth0")
    assert (finding.needed, finding.risk) == ("accept_ra 2, or a static default route", False)
    assert "the kernel then removes this route" in finding.consequence


@pytest.mark.parametrize("other", [0, 2, None])
def test_a_default_route_that_forwarding_leaves_is_enough(forwarding, other):
    """None is a static route. Where accept_ra is 0, other software than the kernel takes advertisements."""
    left = {"interface": "eth1.20", "accept_ra": other}
    for routes in ([left], [{"interface": "eth0", "accept_ra": 1}, left], []):
        forwarding.answers["lb1"]["defaults"] = routes
        assert forwarding.wrong() == []


def test_an_advertised_route_stays_where_the_run_does_not_turn_forwarding_on(forwarding):
    for host in ("lb1", "rs1"):
        forwarding.answers[host]["defaults"] = [{"interface": "eth0", "accept_ra": 1}]
    forwarding.answers["lb1"]["settings"]["net/ipv6/conf/all/forwarding"]["own"] = 1
    assert forwarding.wrong() == []


def test_a_path_that_carries_less_than_the_networks_is_named(network):
    network.answers["lb1"]["paths"][0] = 1400
    assert (only(network).check, only(network).found) == ("PATH-MTU", "1400 bytes")


def test_a_path_on_which_no_echo_is_answered_says_nothing(network):
    network.answers["lb1"]["paths"][0] = 0
    assert network.wrong() == []


def test_a_setting_without_effect_is_named_with_its_reason(network):
    key = "net/ipv4/conf/all/arp_ignore"
    network.answers["rs1"]["settings"][key].update(own=0, effective=0, serves=False)
    finding = only(network)
    assert (finding.check, finding.subject, finding.found, finding.needed) == ("SETTING", key, "0 in effect", "1")
    network.answers["rs1"]["recorded"] = []
    assert network.wrong() == []


def test_what_all_interfaces_have_and_no_run_could_overcome_is_named_before_the_first_run(network):
    network.answers["rs1"]["recorded"] = []
    setting = network.answers["lb1"]["settings"]["net/ipv4/conf/eth1.30/rp_filter"]
    setting.update(reachable=False, all=8, boot_all={"value": "8", "place": "/etc/sysctl.d/90-x.conf:3"})
    assert only(network).check == "SETTING-ALL"
    assert only(network).found == "8 by /etc/sysctl.d/90-x.conf:3"


def test_a_file_that_sets_something_else_at_boot_is_a_risk(network):
    boot = {"value": "0", "place": "/etc/sysctl.d/zzz.conf:1"}
    network.answers["rs1"]["settings"]["net/ipv4/conf/all/arp_ignore"].update(boot=boot, boot_serves=False)
    assert (only(network).check, only(network).risk) == ("SETTING-BOOT", True)


def test_a_rule_that_refuses_packets_of_services_is_named_once_with_these(network):
    rule = "nft inet firewalld filter_IN_public reject with icmpx admin-prohibited"
    network.answers["lb1"]["refused"] = [
        rule if one.hooks[-1] == "input" else "" for one in network.asked["lb1"].passages
    ]
    (found,) = network.wrong()
    assert (found.host, found.check, found.found, found.risk) == ("lb1", "FIREWALL", rule, False)
    assert found.needed.startswith("rules before it that accept tcp to 10.20.1.80 dport 80")
    assert found.consequence.startswith(
        "Requests of dr, nat, tun and 3 more do not come to IPVS. firewall-cmd --permanent"
    )
    asked = {str(one): one.states for one in network.asked["lb1"].passages if "forward" in one.hooks}
    answered = [one for one in network.asked["lb1"].passages if one.source and one.destination]
    assert answered == [], "no service has health checks"
    ends = [one for one in network.asked["lb1"].passages if one.accepted and one.destination]
    assert ends == [], "beside fullnat the ends of connections are nothing of their own"
    nat = {f"tcp from 10.20.1.{number} sport 8080": ("established",) for number in (11, 12)}
    assert asked == {**nat, **{f"tcp from 10.20.2.{number} sport 8080": ("established",) for number in (13,)}}
    network.answers["lb1"]["refused"] = ["iptables -t filter -P OUTPUT DROP"] * len(network.asked["lb1"].passages)
    assert "firewall-cmd" not in only(network).consequence


def test_a_rule_that_refuses_a_service_and_its_checks_is_told_of_both_and_of_each_packet_once(environment):
    checked = {"name": "web", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
    network = Network(environment, services=[{**checked, "health_check": {"type": "tcp"}}])
    passages = network.asked["lb1"].passages
    network.answers["lb1"]["refused"] = ["rule" if one.hooks[-1] == "input" else "" for one in passages]
    found = only(network)
    assert found.needed == (
        "rules before it that accept tcp from 10.20.1.80 to 10.20.1.10 sport 80 and tcp to 10.20.1.80 dport 80"
    )
    assert found.consequence == (
        "Answers to health checks of web do not come to the director, and all of its real servers are down. "
        "Requests of web do not come to IPVS. lvskit leaves packets out of conntrack where that sees one direction alone, and "
        "would call them invalid: a rule that accepts them asks for no state, or for UNTRACKED beside NEW."
    )


@pytest.mark.parametrize("kept", [False, True])
def test_a_rule_that_refuses_nats_replies_has_a_second_remedy(environment, kept):
    """It is a rule of nft, as lvskit accepts them in iptables. Where conntrack keeps the connections, the rule is about what is established."""
    nat = {"name": "web", "vip": "203.0.113.81", "port": 80, "mode": "nat", "real_servers": [{"host": "rs1"}]}
    hosts = {**BASE["hosts"], "lb1": {**BASE["hosts"]["lb1"], "lvs_conntrack": kept}}
    network = Network(environment, hosts=hosts, services=[{**nat, "health_check": {"type": "tcp"}}])
    refused = ["rule" if "forward" in one.hooks else "" for one in network.asked["lb1"].passages]
    network.answers["lb1"]["refused"] = refused
    remedy = (
        " Or say lvs_conntrack: true for lb1: nat's replies, and answers to its health checks, are established then."
    )
    assert only(network).consequence == f"Replies of web do not pass lb1.{'' if kept else remedy}"
    checks = [one for one in network.asked["lb1"].passages if one.source and one.destination]
    assert [one.remedy for one in checks] == ([] if kept else [remedy.strip()])


def test_a_policy_that_drops_matters_where_something_is_forwarded(network):
    policy = "nft inet x y hook forward policy drop"
    for host in ("lb1", "rs1"):
        network.answers[host]["drops"] = [[policy, 3], ["nft inet x y hook input policy drop", None]]
    assert {(f.host, f.check, f.risk) for f in network.wrong()} == {("lb1", "FORWARD", True)}
    network.answers["lb1"]["drops"] = [["iptables -t filter -P FORWARD DROP", 3]]
    assert network.wrong() == [], "lvskit's own rules accept replies before"


def test_a_policy_that_drops_ipv6_matters_where_ipv6_is_forwarded(network):
    policy = "nft ip6 x y hook forward policy drop"
    network.answers["lb1"]["drops"] = [[policy, 3]]
    assert network.wrong() == [], "this director forwards IPv4 alone"
    plan = network.plans["lb1"]
    why = Sysctl("net/ipv6/conf/all/forwarding", 1, "x")
    network.plans = {**network.plans, "lb1": dataclasses.replace(plan, sysctls=(*plan.sysctls, why))}
    network.answers["lb1"]["settings"][why.key] = {**network.answers["lb1"]["settings"]["net/ipv4/ip_forward"]}
    assert [(f.host, f.check, f.found) for f in network.wrong()] == [("lb1", "FORWARD", policy)]


@pytest.fixture
def marked(environment):
    """The director has a service by a mark, of which the second value is the number."""
    service = {"name": "range", "vip": "203.0.113.90", "port": "8000-8100", "mode": "nat", "return_path": "policy"}
    network = Network(environment, services=[{**service, "real_servers": [{"group": "app"}]}])
    (mark,) = network.plans["lb1"].netfilter.marks
    assert network.wrong() == []
    return network, mark.mark


def use(rule, value, mask=0xFFFFFFFF, how="matches"):
    return {"rule": rule, "value": value, "mask": mask, "how": how}


def test_a_rule_that_routes_requests_by_their_mark_before_they_are_local_is_a_fault(marked):
    network, number = marked
    network.answers["lb1"]["marks"] = [use("ip rule 5: from all fwmark ...", number, how="routes")]
    finding = only(network)
    assert (finding.host, finding.check, finding.risk) == ("lb1", "MARK", False)
    assert (finding.subject, finding.found) == (
        "firewall marks 0x6c000000/0xff000000",
        "ip rule 5: from all fwmark ...",
    )


@pytest.mark.parametrize("how", ["routes", "matches", "sets"])
def test_a_rule_about_another_mark_of_the_range_is_a_risk(marked, how):
    network, number = marked
    network.answers["lb1"]["marks"] = [use("x", number ^ 1, how=how)]
    assert (only(network).check, only(network).risk) == ("MARK", True)


def test_a_rule_that_compares_bits_that_a_mark_of_the_plan_has_is_named(marked):
    """As kube-proxy's rule that drops packets with 0x8000: half of all numbers have that bit."""
    network, number = marked
    lowest = number & -number
    assert lowest & 0xFF000000 == 0
    network.answers["lb1"]["marks"] = [use("x", lowest, lowest)]
    assert (only(network).check, only(network).risk) == ("MARK", True)
    network.answers["lb1"]["marks"] = [use("x", lowest, lowest, "sets"), use("x", 0, lowest << 24), use("x", 0, 0)]
    assert network.wrong() == [], "it marks other packets, or is about those without a mark"


def test_many_rules_about_marks_are_one_finding(marked):
    network, number = marked
    network.answers["lb1"]["marks"] = [use(f"rule{n}", number) for n in range(5)]
    assert only(network).found == "rule0; rule1; rule2; and 2 more"
    network.answers["lb1"]["marks"] = network.answers["lb1"]["marks"][:3]
    assert only(network).found == "rule0; rule1; rule2"


def test_other_users_of_marks_matter_on_a_director_that_has_some(network, marked):
    network.answers["lb1"]["marks"] = [use("x", 0x6C000001, how=how) for how in ("routes", "matches", "sets")]
    assert network.wrong() == []
    other, number = marked
    other.answers["rs1"]["marks"] = [use("x", number)]
    assert other.wrong() == []


@pytest.fixture
def shared(environment):
    """A service of lb1 and lb2 with three real servers, by its scheduler; and one of lb1 alone."""

    def make(scheduler):
        hosts, groups = copy.deepcopy(BASE["hosts"]), copy.deepcopy(BASE["groups"])
        hosts["lb2"] = {"lvs_interfaces": {"eth1.20": {"network": "edge", "address": "203.0.113.11"}}}
        hosts["lb2"]["lvs_interfaces"]["eth1.30"] = {"network": "app", "address": "10.20.1.9"}
        hosts["rs3"] = {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.13"}}}
        groups.update(directors=["lb1", "lb2"], both=["lb1", "lb2"], one=["lb1"])
        service = {"mode": "dr", "port": 80, "scheduler": scheduler, "real_servers": [{"group": "real_servers"}]}
        both = {**service, "name": "both", "vip": "192.0.2.80", "vip_routed": True, "directors": "both"}
        own = {**service, "name": "own", "vip": "10.20.1.81", "directors": "one"}
        return Network(environment, hosts=hosts, groups=groups, services=[both, own])

    return make


SERVERS = ["10.20.1.11:80", "10.20.1.12:80", "10.20.1.13:80"]
NAME = "-t 192.0.2.80:80"


@pytest.mark.parametrize(("scheduler", "asked"), [("mh", [NAME]), ("sh", [NAME]), ("dh", [NAME]), ("wlc", [])])
def test_the_order_of_real_servers_is_asked_where_another_director_has_the_same_table(shared, scheduler, asked):
    assert shared(scheduler).asked["lb1"].as_arguments()["orders"] == asked


def test_another_order_than_planned_is_a_risk(shared):
    network = shared("mh")
    network.answers["lb1"]["orders"] = {NAME: [SERVERS[0], SERVERS[2], SERVERS[1]]}
    finding = only(network)
    assert (finding.host, finding.check, finding.subject, finding.risk) == (
        "lb1",
        "ORDER",
        f"IPVS service {NAME}",
        True,
    )
    assert (finding.found, finding.needed) == ("10.20.1.13:80 as number 2", "10.20.1.12:80 as number 2")


@pytest.mark.parametrize("there", [SERVERS, SERVERS[1:], ["10.20.1.99:80", *SERVERS], SERVERS[:1], []])
def test_real_servers_that_are_missing_or_too_many_are_no_other_order(shared, there):
    network = shared("mh")
    network.answers["lb1"]["orders"] = {NAME: there}
    assert network.wrong() == []


@pytest.fixture
def pair(environment):
    """Two directors, one of which is elected, with fullnat and without."""

    def make(mode):
        hosts, groups = copy.deepcopy(BASE["hosts"]), {**copy.deepcopy(BASE["groups"]), "directors": ["lb1", "lb2"]}
        hosts["lb2"] = {"lvs_interfaces": {"eth1.20": {"network": "edge", "address": "203.0.113.11"}}}
        hosts["lb2"]["lvs_interfaces"]["eth1.30"] = {"network": "app", "address": "10.20.1.9"}
        service = {"name": "web", "vip": "10.20.1.81", "port": 80, "mode": mode, "real_servers": [{"host": "rs1"}]}
        if mode == "fullnat":
            service["local_addresses"] = ["10.20.1.201"]
        group = {"redundancy": "vrrp", "virtual_router_id": 51, "network": "edge"}
        return Network(environment, hosts=hosts, groups=groups, services=[service], directors={"directors": group})

    return make


def test_the_version_of_conntrackd_is_asked_where_two_of_them_talk(pair):
    assert [pair("fullnat").asked[name].as_arguments()["versions"] for name in ("lb1", "lb2")] == [["conntrackd"]] * 2
    assert pair("dr").asked["lb1"].as_arguments()["versions"] == []


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("1.4.6", "1.4.7", ["lb1"]),
        ("1.4.10", "1.4.5", ["lb2"]),
        ("1.4.6", "1.4.6", []),
        ("1.4.7", "1.4.9", []),
        ("1.4.6", "", []),
    ],
)
def test_a_pair_whose_conntrackd_do_not_understand_each_other_is_named(pair, one, other, named):
    network = pair("fullnat")
    network.answers["lb1"]["versions"]["conntrackd"] = one
    network.answers["lb2"]["versions"]["conntrackd"] = other
    found = network.wrong()
    assert [(f.host, f.check, f.risk) for f in found] == [(name, "PEER", False) for name in named]
    assert all(f.found == min(one, other, key=lambda v: [int(n) for n in v.split(".")]) for f in found)


CHECKED = {
    "name": "web",
    "vip": "10.20.1.80",
    "port": 80,
    "mode": "dr",
    "real_servers": [{"group": "app"}],
    "health_check": {"type": "http"},
}


def test_a_real_server_that_its_health_check_would_take_out_at_once_is_a_risk(environment):
    network = Network(environment, services=[CHECKED])
    trials = network.asked["lb1"].as_arguments()["trials"]
    assert [(one["address"], one["port"], one["block"]) for one in trials] == [
        ("10.20.1.11", 80, "HTTP_GET"),
        ("10.20.1.12", 80, "HTTP_GET"),
    ]
    assert trials[0]["url"] == {"path": '"/"', "virtualhost": '"10.20.1.80"', "status_code": "200-299"}
    assert network.wrong() == []
    network.answers["lb1"]["trials"][1] = "connection refused"
    assert [(f.host, f.check, f.subject, f.found, f.risk) for f in network.wrong()] == [
        ("lb1", "CHECK", "rs2, 10.20.1.12:80", "connection refused", True)
    ]


@pytest.mark.parametrize("check", [{"type": "ping"}, {"type": "script", "command": "/bin/true"}])
def test_checks_that_a_module_cannot_ask_are_not_tried(environment, check):
    assert Network(environment, services=[{**CHECKED, "health_check": check}]).asked["lb1"].trials == ()


def test_a_check_of_several_vips_is_tried_once_at_the_real_server(environment):
    several = {**CHECKED, "vip": ["10.20.1.80", "10.20.1.81"], "health_check": {"type": "tcp", "port": 8000}}
    trials = Network(environment, services=[several]).asked["lb1"].trials
    assert [str(trial) for trial in trials] == ["10.20.1.11:8000", "10.20.1.12:8000"]


def test_software_that_works_on_the_same_things_is_a_risk_where_lvskit_keeps_something(network):
    for host in ("lb1", "client1"):
        network.answers[host]["companions"] = ["docker"]
    assert [(f.host, f.check, f.risk) for f in network.wrong()] == [("lb1", "COMPANION", True)]


def test_a_rule_that_has_replies_forwarded_past_the_modules_is_a_risk_where_those_translate(network):
    rule = "nft inet filter forward tcp dport 80 flow add @fast"
    for host in ("lb1", "rs1", "client1"):
        network.answers[host]["offloads"] = [rule]
    translating = [
        name
        for name, plan in network.plans.items()
        if {module.name for module in plan.built_modules} & {"lvskit_ctk", "lvskit_restore"}
    ]
    for host in translating:
        network.answers[host]["offloads"] = [rule]
    assert translating
    assert "lb1" not in translating
    assert [(f.host, f.check, f.found, f.risk) for f in network.wrong()] == [
        (host, "FLOW-TABLE", rule, True) for host in network.asked if host in translating
    ]


def test_what_the_kernel_lacks_is_named(network):
    network.answers["rs3"]["modules"] = {"ipip": "modprobe: FATAL: Module ipip not found"}
    network.answers["rs3"]["config"] = ["NET_IPIP", "IP_VS_NFCT"]
    assert [(f.check, f.subject) for f in network.wrong()] == [("KERNEL", "module ipip"), ("KERNEL", "CONFIG_NET_IPIP")]


@pytest.mark.parametrize(
    ("kind", "command", "before", "subject", "found", "consequence"),
    [
        ("addresses and routes", "ip address replace 10.20.1.80/32 dev lo scope host", [], "address 10.20.1.80 on lo",
         "missing", "does not accept packets"),
        ("IPVS table", "ipvsadm -e -t 10.20.1.80:80 -r 10.20.1.11:80 -g -w 1",
         ["-A -t 10.20.1.80:80 -s wlc", "-a -t 10.20.1.80:80 -r 10.20.1.11:80 -g -w 0"],
         "IPVS service -t 10.20.1.80:80, real server 10.20.1.11:80", "-a -t 10.20.1.80:80 -r 10.20.1.11:80 -g -w 0",
         "none with weight 0"),
        ("kernel modules", "modprobe lvskit_toa_peer lips=10.20.1.200", [], "kernel module lvskit_toa_peer",
         "missing", "Applications see the director's local address"),
        ("iptables rules", "iptables -t nat -A LVSKIT-POSTROUTING -j SNAT --to-source 10.20.1.200", [], "iptables rules",
         "missing", "leave from the client's address"),
    ],
)  # fmt: skip
def test_what_a_host_has_left_is_told_by_its_consequence(network, kind, command, before, subject, found, consequence):
    departed = {"kind": kind, "commands": [command], "before": before, "obstacle": ""}
    network.answers["rs1"]["departures"] = [departed]
    finding = only(network)
    assert (finding.check, finding.subject, finding.found, finding.needed) == ("DEPARTURE", subject, found, command)
    assert consequence in finding.consequence


def test_of_a_chain_that_is_written_anew_only_the_rule_that_is_missing_is_told(network):
    rules = [f"-t nat -A LVSKIT-POSTROUTING -d 10.20.1.{n}/32 -j SNAT --to-source 10.20.1.200" for n in range(3)]
    commands = ["iptables -t nat -N LVSKIT-POSTROUTING", *(f"iptables {rule}" for rule in rules)]
    departed = {"kind": "iptables rules", "commands": commands, "before": rules[:1] + rules[2:], "obstacle": ""}
    network.answers["rs1"]["departures"] = [departed]
    assert only(network).needed == commands[2]


def test_what_systemd_has_still_to_be_told_stops_no_packet(network):
    departed = {"kind": "systemd", "commands": ["systemctl daemon-reload"], "before": [], "obstacle": ""}
    network.answers["rs1"]["departures"] = [departed]
    assert (only(network).risk, only(network).found) == (True, "not done")


def test_a_setting_of_the_plan_is_told_once(network):
    key = "net/ipv4/conf/all/arp_ignore"
    network.answers["rs1"]["departures"] = [
        {"kind": "kernel settings", "commands": [f"{key} = 1"], "before": [f"{key} = 0"], "obstacle": ""}
    ]
    network.answers["rs1"]["settings"][key].update(own=0, effective=0, serves=False)
    assert only(network).check == "SETTING"


def test_a_named_service_alone_is_asked_for(environment, network):
    service = next(s for s in network.topology.services if s.name == "tun")
    asked = questions(network.topology, network.plans, HOSTS, [service])
    assert not [n for n in asked["lb1"].neighbours if n.vip and n.address != service.entries[0].vip]
    assert not asked["rs1"].paths
    assert {str(path.address) for path in asked["lb1"].paths} == {"10.20.2.13"}


def test_every_mode_asks_the_real_servers_for_their_way_back(network):
    client = "198.51.100.10"
    ways = {name: [(str(w.to), str(w.source), str(w.gateway)) for w in network.asked[name].ways] for name in HOSTS}
    assert (client, "10.20.1.80", "10.20.1.1") in ways["rs1"]  # dr: from the VIP, not by the director
    assert (client, "10.20.1.11", "10.20.1.10") in ways["rs1"]  # nat: by the director
    assert (client, "203.0.113.82", "10.20.2.1") in ways["rs3"]  # tun
    assert (client, "10.20.2.13", "10.20.2.1") in ways["rs3"]  # enat
    assert ("10.20.1.200", "10.20.2.13", "10.20.2.1") in ways["rs3"]  # fullnat: to the local address


def test_questions_do_not_change_what_is_known(network):
    before = copy.deepcopy(network.answers)
    network.wrong()
    assert network.answers == before
