"""Whether a firewall lets a packet pass: rules of iptables and nf_tables, and what nobody knows of a packet beforehand."""

import json

import pytest
from ansible.module_utils.lvs_host.firewall import Packet, refused

WEB = {"hooks": ["prerouting", "input"], "family": 4, "protocol": "tcp", "destination": "203.0.113.80", "dport": 80, "iif": "eth1"}  # fmt: skip
REPLY = {"hooks": ["output", "postrouting"], "family": 4, "protocol": "tcp", "source": "203.0.113.80", "sport": 80, "states": ["established", "untracked"]}  # fmt: skip


def of_iptables(rules, policy="ACCEPT", **changes):
    text = f"*filter\n:INPUT {policy} [0:0]\n:OUTPUT {policy} [0:0]\n:own - [0:0]\n" + "".join(
        f"{rule}\n" for rule in rules
    )
    (found,) = refused([Packet.of({**WEB, **changes})], f"{text}COMMIT\n", "", "")
    return found


@pytest.mark.parametrize(
    ("rules", "by"),
    [
        ([], ""),
        (["-A INPUT -p tcp -m tcp --dport 80 -j DROP"], 0),
        (["-A INPUT -p tcp -m tcp ! --dport 443 -j DROP"], 0),
        (["-A INPUT -p tcp -m tcp --dport 79:81 -j REJECT --reject-with tcp-reset"], 0),
        (["-A INPUT -p tcp -m multiport --dports 22,8000:8100 -j ACCEPT", "-A INPUT -i eth+ -j DROP"], 1),
        (["-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT", "-A INPUT -j DROP"], ""),
        (["-A INPUT -d 203.0.113.0/24 -j DROP"], 0),
        (["-A INPUT ! -d 203.0.113.0/24 -j DROP"], ""),
        (["-A INPUT -i lo -j ACCEPT", '-A INPUT -m comment --comment "no -j ACCEPT here" -j DROP'], 1),
        (["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A INPUT -j REJECT"], 1),
        (["-A INPUT -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT", "-A INPUT -j REJECT"], ""),
        (["-A INPUT -m state --state NEW -j ACCEPT", "-A INPUT -j REJECT"], ""),  # it may be untracked, and is not for sure
        (["-A INPUT -s 198.51.100.0/24 -j ACCEPT", "-A INPUT -j DROP"], ""),  # some clients pass
        (["-A INPUT -s 198.51.100.0/24 -j DROP"], ""),
        (["-A INPUT -m set --match-set good src -j ACCEPT", "-A INPUT -j DROP"], ""),
        (["-A INPUT -m limit --limit 5/min -j LOG", "-A INPUT -j DROP"], 1),
        (["-A INPUT -j NFQUEUE --queue-num 1", "-A INPUT -j DROP"], ""),
        (["-A INPUT -p udp -j own", "-A own -j DROP"], ""),
        (["-A INPUT -p tcp -j own", "-A own -p tcp -m tcp --dport 22 -j RETURN", "-A own -j DROP"], 2),
        (["-A INPUT -p tcp -j own", "-A own -p tcp -m tcp --dport 80 -j RETURN", "-A own -j DROP"], ""),
        (["-A INPUT -g own", "-A INPUT -j ACCEPT", "-A own -p udp -j ACCEPT"], ""),
        (["-A INPUT -s 198.51.100.0/24 -j own", "-A INPUT -j DROP", "-A own -j ACCEPT"], ""),
        (["-A INPUT -j LVSKIT-INPUT", "-A LVSKIT-INPUT -j DROP"], ""),
        (["-A OUTPUT -j DROP"], ""),
        (["-A INPUT -m addrtype --dst-type LOCAL -j DROP"], 0),
    ],
)  # fmt: skip
def test_a_packet_is_refused_by_the_rule_that_it_cannot_pass(rules, by):
    assert of_iptables(rules) == (f"iptables -t filter {rules[by]}" if by != "" else "")


def test_a_policy_refuses_what_no_rule_accepts():
    assert of_iptables(["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"], "DROP") == "iptables -t filter -P INPUT DROP"
    assert of_iptables(["-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"], "DROP") == ""
    assert of_iptables(["-A INPUT -g own", "-A own -p udp -j ACCEPT"], "DROP") == "iptables -t filter -P INPUT DROP"
    states = ["-A OUTPUT -m conntrack --ctstate ESTABLISHED,UNTRACKED -j ACCEPT"]
    assert of_iptables(states, "DROP", **REPLY, destination=None, dport=None, iif="") == ""
    assert of_iptables([], "DROP", **REPLY, destination=None, dport=None, iif="") == "iptables -t filter -P OUTPUT DROP"


def test_replies_that_a_director_forwards_need_a_rule_where_docker_drops_the_rest():
    reply = {
        "hooks": ["prerouting", "forward", "postrouting"],
        "family": 4,
        "protocol": "tcp",
        "source": "10.20.1.11",
        "sport": 8080,
    }
    reply |= {"iif": "eth1.30", "oif": "eth1.20", "states": ["new", "established", "invalid", "untracked"]}
    rules = [
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    ]
    saved = "\n".join(["*filter", ":FORWARD DROP [0:0]", *rules, "{}", "COMMIT", ""])
    assert refused([Packet.of(reply)], saved.format(""), "", "") == ["iptables -t filter -P FORWARD DROP"]
    mended = "-A FORWARD -s 10.20.1.11/32 -p tcp -m tcp --sport 8080 -j ACCEPT"
    assert refused([Packet.of(reply)], saved.format(mended), "", "") == [""]
    for protocol, tracking, state in (
        ("tcp", False, "invalid"),
        ("sctp", False, "invalid"),
        ("udp", False, "new"),
        ("tcp", True, "established"),
    ):
        assert Packet.of({**reply, "protocol": protocol, "states": ["ipvs"]}, tracking).states == {state}
    ours = [Packet.of({**reply, "accepted": True})]
    assert refused(ours, saved.format(""), "", "") == [""], "lvskit's own chain comes first"
    assert refused(ours, saved.replace("filter", "mangle").format(""), "", "") == ["iptables -t mangle -P FORWARD DROP"]


def test_what_conntrack_leaves_out_is_untracked_in_later_chains():
    """A packet of a connection of which conntrack sees one direction is INVALID, else."""
    half = Packet.of({**WEB, "states": ["invalid"]})
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 203.0.113.80/32 {}-j CT --notrack\nCOMMIT\n"
    drop = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    by = "iptables -t filter -A INPUT -m conntrack --ctstate INVALID -j DROP"
    assert refused([half], drop, "", "") == [by]
    assert refused([half], drop + raw.format(""), "", "") == [""]
    assert refused([half], drop + raw.format("-p udp "), "", "") == [by]
    assert refused([half], drop + raw.format("-s 198.51.100.0/24 "), "", "") == [by]  # not for sure
    chains = {"raw": [[match(payload("tcp", "dport"), 80), {"notrack": None}]]}
    for rules in ([{"jump": {"target": "raw"}}], [{"notrack": None}]):
        objects = {"family": "inet", "table": "own", "type": "filter", "hook": "prerouting", "prio": -300}
        early = {"chain": {**objects, "name": "early", "policy": "accept"}}
        rule = {"rule": {"family": "inet", "table": "own", "chain": "early", "handle": 80, "expr": rules}}
        invalid = [match(CT("state"), "invalid", "in"), DROP]
        assert of_nft([invalid], chains=chains, sets=[early, rule], states=["invalid"]) == ""
        assert of_nft([invalid], chains=chains, sets=[early], states=["invalid"]) == "rule 0 drop"


def test_rules_of_nat_and_of_the_other_family_refuse_nothing():
    drop = "*{}\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n"
    assert refused([Packet.of(WEB)], drop.format("nat"), drop.format("raw"), "") == [""]
    assert refused([Packet.of(WEB)], drop.format("raw"), "", "") == ["iptables -t raw -A PREROUTING -j DROP"]
    six = {**WEB, "family": 6, "destination": "2001:db8::80"}
    assert refused([Packet.of(six)], drop.format("raw"), drop.format("mangle"), "") == [
        "ip6tables -t mangle -A PREROUTING -j DROP"
    ]


def test_protocols_have_names_and_numbers():
    tunnel = {**WEB, "protocol": "ipencap", "dport": None}
    for name in ("4", "ipencap", "IPENCAP"):
        assert of_iptables([f"-A INPUT -p {name} -j DROP"], **tunnel)
    assert not of_iptables(["-A INPUT -p ipv6 -j DROP"], **tunnel)
    assert not of_iptables(["-A INPUT -p strange -j DROP"], **tunnel)


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


META, CT = (lambda key, kind=kind: {kind: {"key": key}} for kind in ("meta", "ct"))


def payload(protocol, name):
    return {"payload": {"protocol": protocol, "field": name}}


def of_nft(rules, policy="accept", sets=(), chains=None, hook="input", **changes):
    table = {"family": "inet", "table": "own"}
    objects = [{"metainfo": {}}, {"table": {"family": "inet", "name": "own"}}, *sets]
    objects.append({"chain": {**table, "name": "in", "type": "filter", "hook": hook, "prio": 0, "policy": policy}})
    for name, inner in (chains or {}).items():
        objects.append({"chain": {**table, "name": name}})
        objects += [{"rule": {**table, "chain": name, "handle": 90 + n, "expr": one}} for n, one in enumerate(inner)]
    objects += [{"rule": {**table, "chain": "in", "handle": 10 + n, "expr": one}} for n, one in enumerate(rules)]
    listing = "table inet own { # handle 1\n\tchain in { # handle 2\n" + "".join(
        f"\t\trule {n} counter packets 3 bytes 5 drop # handle {10 + n}\n" for n in range(len(rules))
    )
    (found,) = refused([Packet.of({**WEB, **changes})], "", "", json.dumps({"nftables": objects}), listing)
    return found.replace("nft inet own in ", "")


DROP, ACCEPT = {"drop": None}, {"accept": None}


@pytest.mark.parametrize(
    ("conditions", "refuses"),
    [
        ([], True),
        ([match(payload("tcp", "dport"), 80)], True),
        ([match(payload("tcp", "dport"), 80, "!=")], False),
        ([match(payload("tcp", "dport"), {"set": [22, {"range": [79, 81]}]})], True),
        ([match(payload("th", "dport"), {"range": [81, 90]})], False),
        ([match(payload("udp", "dport"), 80)], False),
        ([match(payload("tcp", "flags"), "syn")], False),  # not for sure
        ([match(payload("tcp", "dport"), 80, "<")], False),
        ([match(payload("ip", "daddr"), {"prefix": {"addr": "203.0.113.0", "len": 24}})], True),
        ([match(payload("ip", "daddr"), {"range": ["203.0.113.81", "203.0.113.90"]})], False),
        ([match(payload("ip", "saddr"), "198.51.100.10")], False),  # not for sure
        ([match(payload("ip6", "daddr"), "2001:db8::80", "!=")], True),
        ([match(payload("ip", "protocol"), "tcp")], True),
        ([match(payload("icmpv6", "type"), "nd-redirect")], False),
        ([match(META("iifname"), "eth*")], True),
        ([match(META("iifname"), "lo")], False),
        ([match(META("oifname"), "eth1")], False),  # not for sure
        ([match(META("l4proto"), {"set": ["tcp", "udp"]})], True),
        ([match(META("nfproto"), "ipv6")], False),
        ([match(META("mark"), 5)], False),
        ([match(CT("state"), {"set": ["new", "untracked"]})], True),
        ([match(CT("state"), "invalid", "in")], False),
        ([match(CT("status"), "dnat", "in")], False),
        ([match(payload("ip", "daddr"), "@vips")], True),
        ([match(payload("ip", "daddr"), "@missing")], False),
        ([{"limit": {"rate": 5}}], False),
        ([{"xt": {"type": "match", "name": "set"}}], False),
        ([{"counter": {}}, {"log": None}], True),
    ],
)  # fmt: skip
def test_a_rule_of_nftables_refuses_what_it_matches_for_sure(conditions, refuses):
    sets = [{"set": {"family": "inet", "table": "own", "name": "vips", "elem": ["192.0.2.1", "203.0.113.80"]}}]
    assert of_nft([[*conditions, DROP]], sets=sets) == ("rule 0 drop" if refuses else "")
    # What it accepts only perhaps is not refused behind it.
    behind = of_nft([[*conditions, ACCEPT], [DROP]], sets=sets)
    assert behind in (("",) if refuses else ("", "rule 1 drop"))


@pytest.mark.parametrize(("reverse", "refuses"), [(None, False), (True, False), (False, True)])
def test_a_packet_that_comes_by_another_interface_than_its_answers_leave_by_fails_reverse_path_filters(
    reverse, refuses
):
    """firewalld's IPv6_rpfilter, which is on from the start."""
    missing = match({"fib": {"result": "oif", "flags": ["saddr", "mark", "iif"]}}, False)
    assert (of_nft([[missing, DROP]], reverse=reverse) == "rule 0 drop") is refuses
    exists = match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, True)
    assert of_nft([[exists, ACCEPT], [DROP]], reverse=True) == ""
    assert of_nft([[exists, ACCEPT], [DROP]], reverse=False) == "rule 1 drop"
    other = match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
    assert of_nft([[other, DROP]], reverse=False) == ""


def test_verdict_maps_have_a_rule_for_each_element():
    states = {"vmap": {"key": CT("state"), "data": {"set": [["established", ACCEPT], ["invalid", DROP]]}}}
    ports = {
        "vmap": {"key": payload("tcp", "dport"), "data": {"set": [[22, ACCEPT], [80, {"jump": {"target": "web"}}]]}}
    }
    assert of_nft([[states], [DROP]]) == "rule 1 drop"
    assert of_nft([[states], [ports], [DROP]], chains={"web": [[ACCEPT]]}) == ""
    assert (
        of_nft([[states], [ports], [DROP]], chains={"web": [[match(META("iifname"), "eth2"), ACCEPT]]}) == "rule 2 drop"
    )
    named = {"vmap": {"key": META("iifname"), "data": "@zones"}}
    zones = [
        {"map": {"family": "inet", "table": "own", "name": "zones", "elem": [["eth1", {"goto": {"target": "web"}}]]}}
    ]
    assert of_nft([[named], [ACCEPT]], sets=zones, chains={"web": [[{"reject": {}}]]}).endswith(
        "web rule with handle 90"
    )
    assert of_nft([[named], [DROP]], chains={"web": []}) == ""  # an unknown map: perhaps it accepts


def test_a_policy_of_nftables_refuses_what_no_rule_accepts():
    assert of_nft([], policy="drop") == "policy drop"
    assert of_nft([[match(payload("tcp", "dport"), 80), ACCEPT]], policy="drop") == ""
    assert of_nft([[{"goto": {"target": "empty"}}]], policy="drop", chains={"empty": []}) == "policy drop"
    assert of_nft([], policy="drop", hook="forward") == ""


def test_tables_that_iptables_shows_and_those_without_ip_packets_are_left_out():
    def objects(family, table):
        own = {"family": family, "table": table}
        return [{"chain": {**own, "name": "in", "type": "filter", "hook": "input", "policy": "drop"}}]

    said = json.dumps({"nftables": [*objects("ip", "filter"), *objects("bridge", "own")]})
    assert refused([Packet.of(WEB)], "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "", said) == [""]
    assert refused([Packet.of(WEB)], "", "", said) == ["nft ip filter in policy drop"]
    assert refused([Packet.of(WEB)], "", "", "not JSON") == [""]


def test_chains_that_call_each_other_end():
    assert of_nft([[{"jump": {"target": "a"}}]], chains={"a": [[{"jump": {"target": "a"}}]]}) == ""


# As firewalld 1.3 of Debian 12 sets them: the zone public, without what is about other protocols.
ZONE = {
    "filter_INPUT_ZONES": [[{"goto": {"target": "filter_IN_public"}}]],
    "filter_IN_public": [
        [{"jump": {"target": "filter_IN_public_allow"}}],
        [match(META("l4proto"), {"set": ["icmp", "ipv6-icmp"]}), ACCEPT],
        [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}],
    ],
}
FIREWALLD = [
    [match(CT("state"), {"set": ["established", "related"]}), ACCEPT],
    [match(CT("status"), "dnat", "in"), ACCEPT],
    [match(META("iifname"), "lo"), ACCEPT],
    [match(CT("state"), "invalid", "in"), DROP],
    [{"jump": {"target": "filter_INPUT_ZONES"}}],
    [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}],
]


@pytest.mark.parametrize(("port", "passes"), [(22, True), (80, False)])
def test_firewalld_refuses_what_its_zone_does_not_open(port, passes):
    allow = {"filter_IN_public_allow": [[match(payload("tcp", "dport"), 22), ACCEPT]]}
    assert (of_nft(FIREWALLD, chains={**ZONE, **allow}, dport=port) == "") is passes
