"""Groups of directors of which one is elected: their plans, the order in which they change, and what is said of them."""

import os
import socket
import sys
import threading
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs import rolling
from ansible.module_utils.lvs.changes import Changes
from ansible.module_utils.lvs.plan import plans
from ansible.module_utils.lvs.rolling import Seen
from ansible.module_utils.lvs.walk import walk
from ansible.module_utils.lvs_controller import layout, status, takeover
from ansible.module_utils.lvs_host import election, files, handover, kinds, network, programs, rival
from ansible.module_utils.lvs_host.errors import HostError

TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
HOSTS = {
    "lb1": {
        "lvs_interfaces": {
            "eth1.20": {"network": "edge", "address": "203.0.113.10", "address6": "2001:db8:20::10"},
            "eth1.30": {"network": "app", "address": "10.20.1.10"},
        }
    },
    "lb2": {
        "lvs_interfaces": {
            "eth1.20": {"network": "edge", "address": "203.0.113.11", "address6": "2001:db8:20::11"},
            "eth1.30": {"network": "app", "address": "10.20.1.9"},
        }
    },
    "rs1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.11"}}},
}
NETWORKS = {
    "edge": {"cidr": "203.0.113.0/24", "cidr6": "2001:db8:20::/64", "vlan": 20, "gateway": "203.0.113.1"},
    "app": {"cidr": "10.20.1.0/24", "vlan": 30},
}
NAT = {
    "name": "nat",
    "vip": "203.0.113.80",
    "port": 80,
    "mode": "nat",
    "return_path": "policy",
    "real_servers": [{"host": "rs1"}],
}
FULLNAT = {**NAT, "name": "fullnat", "vip": "203.0.113.81", "mode": "fullnat", "local_addresses": ["10.20.1.201"]}
FULLNAT.pop("return_path")
EDGE = {"redundancy": "vrrp", "virtual_router_id": 51, "preferred": "lb2", "gateways": {"app": "10.20.1.2"}}


@pytest.fixture
def pair(environment):
    def made(services=(NAT,), group=EDGE, **groups):
        env = environment(
            {
                "networks": NETWORKS,
                "hosts": HOSTS,
                "groups": {"directors": ["lb1", "lb2"], "real_servers": ["rs1"], **groups},
                "services": list(services),
                "directors": {"directors": group} if group else None,
            }
        )
        assert [one for one in env.violations if not one.warning] == []
        return env.topology

    return made


def test_what_moves_is_in_the_election_alone(pair):
    for name, plan in plans(pair((NAT, FULLNAT)), ["lb1", "lb2"]).items():
        (router,) = plan.routers
        assert [(one.address, one.device) for one in router.addresses] == [
            ("203.0.113.80", "eth1.20"),
            ("203.0.113.81", "eth1.20"),
            ("10.20.1.201", "eth1.30"),
            ("10.20.1.2", "eth1.30"),
        ]
        assert plan.addresses == ()
        assert (router.interface, router.tracked, router.interval) == ("eth1.20", ("eth1.30",), "0.7")
        assert router.priority == (254 if name == "lb2" else 253)  # the preferred one
        assert router.token == "169.254.76.51"
    assert (router.source, router.peers) == ("203.0.113.11", ("203.0.113.10",))


def test_directors_have_the_same_table_rules_and_checks(pair):
    checked = {**NAT, "health_check": {"type": "tcp"}}
    one, other = plans(pair((checked, FULLNAT)), ["lb1", "lb2"]).values()
    assert one.services == other.services
    assert one.probes == other.probes
    assert one.netfilter.source_nats == other.netfilter.source_nats


def test_replies_go_to_the_address_that_moves(pair):
    plan = plans(pair(), ["rs1"])["rs1"]
    assert [route.gateway for route in plan.routes] == ["10.20.1.2"]


def test_adverts_are_taken_from_peers_alone(pair):
    (adverts,) = plans(pair(), ["lb1"])["lb1"].netfilter.adverts
    assert (adverts.address, adverts.peers) == ("203.0.113.10", ("203.0.113.11",))


def test_of_two_directors_of_fullnat_each_tells_the_other_of_translations(pair):
    found = {name: plan.conntrack_sync for name, plan in plans(pair((NAT, FULLNAT)), ["lb1", "lb2"]).items()}
    assert (found["lb1"].source, found["lb1"].peer) == ("203.0.113.10", "203.0.113.11")
    assert (found["lb2"].source, found["lb2"].peer) == ("203.0.113.11", "203.0.113.10")
    assert "203.0.113.10" in found["lb1"].ignored and "203.0.113.81" not in found["lb1"].ignored
    assert plans(pair(), ["lb1"])["lb1"].conntrack_sync is None


def test_a_director_of_fullnat_takes_connections_back_that_went_on_without_it(pair):
    def liberal(services):
        return [s.value for s in plans(pair(services), ["lb1"])["lb1"].sysctls if s.key.endswith("tcp_be_liberal")]

    assert liberal((NAT, FULLNAT)) == [1]
    assert liberal((NAT,)) == []  # nothing is tracked


def test_checks_of_fullnat_come_from_the_director_itself(pair):
    """The local address is at the master alone, and the standby checks, too."""
    checked = {**FULLNAT, "health_check": {"type": "tcp"}}
    plan = plans(pair((checked,)), ["lb1"])["lb1"]
    assert plan.netfilter.unseen  # they pass by conntrack, which would give them a local address


def test_the_gateway_of_real_servers_does_not_track_answers_to_the_other_directors_checks(pair):
    checked = {**NAT, "health_check": {"type": "tcp"}}
    for plan in plans(pair((checked, FULLNAT)), ["lb1", "lb2"]).values():
        answers = {(one.source, one.address): one.ports for one in plan.netfilter.unseen_answers}
        assert {address for _, address in answers} == {"10.20.1.10", "10.20.1.9"}
        assert {source for source, _ in answers} == {"10.20.1.11/32", "203.0.113.80/32"}
        (own,) = {str(one.address) for one in plan.routers[0:1] and plan.netfilter.taken_answers}
        assert own in plan.interfaces["eth1.30"][0], "the others' answers pass by, and are not for this host"


def test_without_state_to_tell_there_are_no_daemons(pair):
    topology = pair(({**NAT, "scheduler": "mh"},), {**EDGE, "sync": "stateless"})
    plan = plans(topology, ["lb1"])["lb1"]
    assert plan.sync is None
    assert {one.key: one.value for one in plan.sysctls}["net/ipv4/vs/sloppy_tcp"] == 1
    plan = plans(pair(), ["lb1"])["lb1"]
    assert (plan.sync.interface, plan.sync.number) == ("eth1.20", 51)


def test_a_group_of_one_elects_and_tells_nobody(pair):
    plan = plans(pair(directors=["lb2"]), ["lb2"])["lb2"]
    assert plan.routers[0].peers == ()
    text = layout.texts(plan, str(TEMPLATES), "systemd-sysctl")["vrrp"]
    assert "unicast_src_ip" not in text  # keepalived refuses the source without peers
    assert (plan.sync, plan.conntrack_sync) == (None, None)


def test_an_advert_interval_is_exact(pair):
    group = next(iter(pair(group={**EDGE, "advert_interval": "0.25"}).director_groups.values()))
    assert group.advert_interval == Decimal("0.25")


def test_adverts_of_ipv6_where_directors_share_nothing_else(pair, environment):
    hosts = {
        name: {"lvs_interfaces": {"eth1": {"network": "edge", "address6": f"2001:db8:20::{number}"}}}
        for number, name in enumerate(("lb1", "lb2", "rs1"), 10)
    }
    service = {"name": "s", "vip": "2001:db8:20::80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]}
    env = environment(
        {
            "networks": {"edge": {"cidr6": "2001:db8:20::/64", "vlan": 20}},
            "hosts": hosts,
            "groups": {"directors": ["lb1", "lb2"], "real_servers": ["rs1"]},
            "services": [{**service, "scheduler": "mh"}],
            "directors": {"directors": {**EDGE, "gateways": {}, "sync": "stateless"}},
        }
    )
    (router,) = plans(env.topology, ["lb1"])["lb1"].routers
    assert (router.source, router.token) == ("2001:db8:20::a".replace("a", "10"), "fe80::4c:33")


MASTER, STANDBY = Seen(True, {"directors": True}), Seen(True, {"directors": False})


@pytest.mark.parametrize(
    ("seen", "order"),
    [
        ({}, ["lb2", "lb1"]),  # the preferred one becomes master
        ({"lb1": Seen(True), "lb2": Seen()}, ["lb1", "lb2"]),  # a single director becomes a pair
        ({"lb1": MASTER, "lb2": STANDBY}, ["lb2", "lb1"]),
        ({"lb1": STANDBY, "lb2": MASTER}, ["lb1", "lb2"]),
        ({"lb2": MASTER, "lb1": Seen()}, ["lb2", "lb1"]),  # a new machine in place of a dead one
    ],
)
def test_the_master_changes_last(pair, seen, order):
    assert rolling.batches(pair(), seen) == [(name,) for name in order]


def test_a_director_that_leaves_an_election_does_so_first(pair):
    one = pair(group=None, directors=["lb1"])
    assert rolling.batches(one, {"lb1": MASTER, "lb2": STANDBY}, ["lb2"]) == [("lb2",), ("lb1",)]
    assert rolling.batches(one, {"lb1": Seen(True), "lb2": Seen(True)}, ["lb2"]) == [("lb1",), ("lb2",)]


def test_where_a_pair_is_given_up_the_director_that_keeps_the_services_is_last(pair):
    topology = pair([{**NAT, "directors": "alone"}], group=None, alone=["lb1"])
    assert rolling.batches(topology, {"lb1": MASTER, "lb2": STANDBY}) == [("lb2",), ("lb1",)]


def test_a_preferred_director_may_be_removed():
    left = Changes(without_hosts=["lb2"]).directors({"directors": EDGE})
    assert "preferred" not in left["directors"]
    assert Changes(without_hosts=["lb1"]).directors({"directors": EDGE}) == {"directors": EDGE}


def test_requests_are_expected_at_the_master(pair):
    topology = pair()
    (service,) = topology.services
    assert [one.name for one in topology.answering(service)] == ["lb2"]
    seen = rolling.masters(topology, {"lb1": MASTER, "lb2": STANDBY})
    assert [one.name for one in type(topology)(**{**topology.__getstate__(), "masters": seen}).answering(service)] == [
        "lb1"
    ]


TEXT = """\
vrrp_instance directors {
    interface eth1.20
    unicast_peer {
        203.0.113.11 min_ttl 255
    }
    virtual_ipaddress {
        169.254.76.51/32 dev lo scope host
    }
    virtual_ipaddress_excluded {
        203.0.113.80/32 dev eth1.20
        2001:db8:20::80/128 dev eth1.20
    }
}
"""


def test_the_record_of_an_election_tells_what_moves():
    assert election.addresses(TEXT) == {("203.0.113.80/32", "eth1.20"), ("2001:db8:20::80/128", "eth1.20")}
    assert election.addresses("") == set()


def test_the_master_has_the_address_of_the_adverts():
    answers = {True: '[{"addr_info": [{"local": "169.254.76.51", "prefixlen": 32}]}]', False: '[{"addr_info": []}]'}
    for master, text in answers.items():
        assert election.parts(TEXT, lambda argv, stdin, text=text: (0, text, "")) == {"directors": master}
        away = {"203.0.113.80", "2001:db8:20::80", election.MARKS}
        assert election.away(TEXT, lambda argv, stdin, text=text: (0, text, "")) == (set() if master else away)
    assert election.parts("", None) == {}
    assert election.away("", None) == set()


LIVE = {
    "address": '[{"ifname": "eth1", "flags": ["UP"], "addr_info": [{"family": "inet", "local": "203.0.113.80", "prefixlen": 32, "scope": "global"}]}]',
    "route": "[]",
    "rule": "[]",
}
HELD = "address replace 203.0.113.80/32 dev eth1\n"


def answering(argv, stdin):
    return 0, next(text for word, text in LIVE.items() if word in argv), ""


def test_an_address_stays_until_keepalived_takes_it():
    """It is no longer in the file of record, and no command removes it."""
    for elected, commands in (((), ["ip address del 203.0.113.80/32 dev eth1"]), ([("203.0.113.80/32", "eth1")], [])):
        resource = network.Network("", HELD, answering, interfaces={}, elected=elected)
        resource.prepare()
        assert resource.removals() == commands


def test_an_address_that_keepalived_gives_up_is_added_again():
    kept = network.KeptAddresses(
        [HELD, ""], given_up=[("203.0.113.80/32", "eth1"), ("203.0.113.9/32", "eth1")], run=None
    )
    assert kept.closing() == ["ip address replace 203.0.113.80/32 dev eth1"]
    assert network.KeptAddresses([HELD, ""], given_up=[], run=None).closing() == []


@pytest.mark.parametrize(
    ("seen", "groups", "message"),
    [
        ({}, [], "^No group is named"),
        ({}, ["directorz"], "the name directorz .did you mean directors"),
        ({"lb1": MASTER}, ["directors"], "lb2 cannot be reached"),
        ({"lb1": MASTER, "lb2": Seen()}, ["directors"], "lb2 does not take part in its election yet"),
        ({"lb1": MASTER, "lb2": MASTER}, ["directors"], "lb1 and lb2 are master at the same time"),
        ({"lb1": STANDBY, "lb2": STANDBY}, ["directors"], "none of its directors is master"),
    ],
)
def test_a_takeover_that_is_not_possible_is_refused(pair, seen, groups, message):
    with pytest.raises(AnsibleActionFail, match=message):
        takeover.planned(pair(), seen, groups)


def test_a_group_of_one_cannot_be_taken_over(pair):
    with pytest.raises(AnsibleActionFail, match="lb2 is its only director"):
        takeover.planned(pair(directors=["lb2"]), {"lb2": MASTER}, ["directors"])


def test_a_takeover_is_confirmed_by_another_master(pair):
    topology = pair()
    chosen = takeover.planned(topology, {"lb1": MASTER, "lb2": STANDBY}, ["directors"])
    assert (chosen.masters, chosen.standbys) == (("lb1",), ("lb2",))
    assert takeover.confirmed(topology, {"lb1": STANDBY, "lb2": MASTER}, chosen) == ["directors: lb2 is master"]
    for seen in ({"lb1": MASTER, "lb2": STANDBY}, {"lb1": STANDBY, "lb2": STANDBY}, {"lb1": MASTER, "lb2": MASTER}):
        with pytest.raises(AnsibleActionFail, match="no other director has taken the addresses"):
            takeover.confirmed(topology, seen, chosen)


def test_groups_with_the_same_directors_move_one_by_one(environment):
    other = {**NAT, "name": "other", "directors": "others", "mode": "dr", "vip": "10.20.1.80"}
    other.pop("return_path")
    topology = environment(
        {
            "networks": NETWORKS,
            "hosts": HOSTS,
            "groups": {"directors": ["lb1", "lb2"], "others": ["lb1", "lb2"], "real_servers": ["rs1"]},
            "services": [NAT, other],
            "directors": {"directors": EDGE, "others": {**EDGE, "virtual_router_id": 52, "gateways": {}}},
        }
    ).topology
    one_each = {
        "lb1": Seen(True, {"directors": True, "others": False}),
        "lb2": Seen(True, {"directors": False, "others": True}),
    }
    assert takeover.planned(topology, one_each, ["others"]).masters == ("lb2",)
    both = takeover.planned(topology, one_each, ["directors", "others"])
    assert (both.masters, both.standbys) == (("lb1", "lb2"), ("lb2", "lb1"))
    half = {"lb1": one_each["lb1"], "lb2": Seen(True, {"directors": False, "others": False})}
    half["lb1"] = Seen(True, {"directors": True, "others": True})
    with pytest.raises(AnsibleActionFail, match=r"^directors: no other director has taken"):
        takeover.confirmed(topology, half, both)
    assert plans(topology, ["lb1"])["lb1"].sync.number == 51  # one daemon for both


class Heard:
    """The files that keepalived tracks, as it would see them; and another director that takes the groups `taking`."""

    def __init__(self, folder, monkeypatch, taking=("directors",)):
        self.folder, self.taking, self.seen = folder, set(taking), []
        monkeypatch.setattr(files, "place", lambda path: str(folder / path.rpartition("/")[2]))
        for group in ("directors", "others"):
            for name in ("leave", "last"):
                self.write(group, name, "0\n")

    def write(self, group, name, text):
        (self.folder / f"{group}.{name}").write_text(text)

    def state(self, group="directors"):
        return {name: int((self.folder / f"{group}.{name}").read_text()) for name in ("leave", "last")}

    def __call__(self, instances, seconds):
        self.seen.append({name: self.state(name) for name in instances})
        return self.taking & set(instances)


TWO = {name: election.Instance(f"169.254.76.{number}/32", ()) for number, name in enumerate(("directors", "others"))}


def test_a_master_gives_one_group_up_and_then_comes_last_in_its_election(tmp_path, monkeypatch):
    heard = Heard(tmp_path, monkeypatch)
    handover.give_up({"directors": TWO["directors"]}, lambda token: False, heard)
    assert heard.seen == [{"directors": {"leave": 1, "last": handover.LOWER}}]
    assert heard.state() == {"leave": 0, "last": handover.LOWER}
    assert heard.state("others") == {"leave": 0, "last": 0}
    assert handover.resigned(["directors", "others"]) == ["directors"]
    assert handover.stand_again(["directors", "others"]) == ["directors"]
    assert heard.state() == {"leave": 0, "last": 0}
    assert handover.stand_again(["directors"]) == []


@pytest.mark.parametrize(("taking", "holds"), [((), False), (("directors", "others"), True)])
def test_addresses_that_nobody_takes_come_back(tmp_path, monkeypatch, taking, holds):
    """Nobody else says that it is master; or this one does not let go."""
    heard = Heard(tmp_path, monkeypatch, taking)
    with pytest.raises(HostError, match="no other director has taken the addresses of directors, others within 3 s"):
        handover.give_up(TWO, lambda token: holds, heard)
    assert [heard.state(name) for name in TWO] == [{"leave": 0, "last": 0}] * 2


def test_the_group_that_is_taken_stays_given_up(tmp_path, monkeypatch):
    heard = Heard(tmp_path, monkeypatch, ["others"])
    with pytest.raises(HostError, match="the addresses of directors within"):
        handover.give_up(TWO, lambda token: False, heard)
    assert handover.resigned(TWO) == ["others"]


def test_a_keepalived_of_an_earlier_plan_is_not_asked_to_give_up(tmp_path, monkeypatch):
    Heard(tmp_path, monkeypatch)
    (tmp_path / "directors.last").unlink()
    with pytest.raises(HostError, match=r"/run/lvskit-vrrp/directors\.last does not exist.*Run playbooks/site\.yml"):
        handover.give_up({"directors": TWO["directors"]}, lambda token: True, lambda *_: {"directors"})
    assert not (tmp_path / "directors.last").exists()


CHECKED = {**NAT, "health_check": {"type": "tcp", "interval": 3, "timeout": 2, "retries": 1}}


def test_a_director_is_asked_for_the_services_that_worked_before(pair):
    """Verdicts count when a check has had the time to notice a fault of the change."""
    plan = plans(pair(services=[CHECKED]), ["lb2"])["lb2"]
    seen = {"lb1": Seen(passing=frozenset({"app 4", "gone 4"})), "lb2": Seen()}
    (check,) = plan.checks
    name = f"{check.service} {check.family}"
    seen["lb1"] = Seen(passing=frozenset({name, "gone 4"}))
    assert takeover.question(plan, seen, changed=True) == {"services": [name], "settle": check.detection + 1}
    assert takeover.question(plan, seen, changed=False) == {"services": [name], "settle": 0}
    assert takeover.question(plan, {"lb2": Seen()}, changed=True) == {"services": [], "settle": 1}


def test_a_director_without_a_partner_is_not_asked(pair):
    plan = plans(pair(services=[CHECKED], directors=["lb2"]), ["lb2"])["lb2"]
    assert takeover.question(plan, {}, changed=True) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ""),
        ({"electing": False}, "lb2 could not serve clients as the master: lvskit-vrrp.service does not run there"),
        (
            {"checker": "keepalived is dead"},
            "lb2 could not serve clients as the master: nothing is known of its real servers: keepalived is dead",
        ),
        (
            {"unserved": ["web 4", "api 6"]},
            "lb2 could not serve clients as the master: since its change no real server of web (IPv4) and api (IPv6) passes",
        ),
    ],
)
def test_what_a_director_lacks_is_said(found, said):
    text = takeover.unready("lb2", {"electing": True, "checker": "fine", "unserved": [], **found})
    assert text.startswith(said)
    assert bool(text) == bool(said)


def answer(master, connections=3, daemons=("master", "backup")):
    return {"elections": {"directors": master}, "resigned": [], "connections": connections, "daemons": list(daemons)}


def test_status_tells_who_is_master(pair):
    groups = pair().director_groups
    parts = status.elections(groups, {"lb1": answer(True), "lb2": answer(False, 2)})
    assert status.lines_of_elections(parts) == [
        "directors: lb1 is master (3 connections), lb2 stands by (2 connections)"
    ]
    handed = status.elections(groups, {"lb1": answer(True), "lb2": {**answer(False, 2), "resigned": ["directors"]}})
    assert "lb2 stands by (2 connections, has handed over)" in status.lines_of_elections(handed)[0]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"lb1": answer(True), "lb2": answer(False)}, []),
        ({"lb1": answer(False), "lb2": answer(False)}, ["directors has no master"]),
        ({"lb1": answer(True), "lb2": answer(True)}, ["lb1 and lb2 are master of directors at the same time"]),
        ({"lb1": answer(True)}, ["lb2 cannot take over directors"]),
        (
            {"lb1": answer(True, daemons=["master"]), "lb2": answer(False)},
            ["lb1 does not synchronize connections (backup daemon)"],
        ),
    ],
)
def test_status_names_what_is_wrong_with_a_group(pair, answers, said):
    found = status.troubles_of_elections(pair().director_groups, answers)
    assert len(found) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(found, said))


RIVAL = "vrrp_instance {name} {{\n    virtual_router_id {number}\n    advert_int 0.7\n    unicast_src_ip 203.0.113.10\n    unicast_peer {{\n        203.0.113.11 min_ttl 255\n    }}\n    virtual_ipaddress {{\n        169.254.76.{number}/32 dev lo scope host\n    }}\n    virtual_ipaddress_excluded {{\n        203.0.113.80/32 dev eth1\n    }}\n}}\n"


def heard(adverts, *, holds=lambda token: True):
    """The groups that are ended, each with the time, when adverts (time, number, priority, source) come."""
    ended = []
    clock = []
    text = RIVAL.format(name="edge", number=51) + RIVAL.format(name="other", number=52)
    rivals = rival.Rivals(election.instances(text), holds, lambda name, source: ended.append((name, clock[-1])))
    for now, *advert in adverts:
        clock.append(now)
        rivals.hear(*advert, now)
    return ended


def steady(number=51, priority=253, source="203.0.113.11", count=6):
    return [(n * 0.7, number, priority, source) for n in range(count)]


def test_a_keepalived_that_does_not_yield_to_its_peer_is_ended():
    assert heard(steady()) == [("edge", pytest.approx(2.8))]  # after three intervals and a half second
    assert heard(steady(count=4)) == []


@pytest.mark.parametrize(
    "adverts",
    [
        steady(number=53),  # of another group
        steady(priority=0),  # the peer gives up
        steady(priority=1),  # it has given up
        steady(source="203.0.113.99"),  # of no peer
    ],
)
def test_other_adverts_do_not_count(adverts):
    assert heard(adverts) == []


def test_a_standby_hears_its_master_for_ever():
    assert heard(steady(count=50), holds=lambda token: False) == []
    held = iter([True, False, True, True, True, True, True])  # it has settled in between
    assert heard(steady(count=6), holds=lambda token: next(held)) == []


def test_a_peer_that_was_heard_long_ago_begins_anew():
    """Otherwise one advert after a split would end a keepalived that settles with its peer at once."""
    late = [(n * 0.7 + 60, 51, 253, "203.0.113.11") for n in range(6)]
    assert heard([*steady(count=2), *late]) == [("edge", pytest.approx(62.8))]
    assert heard([*steady(count=2), late[0]]) == []
    lost = [steady(count=6)[n] for n in (0, 1, 3, 4, 5)]  # one advert alone may get lost
    assert heard(lost) == [("edge", pytest.approx(2.8))]


def test_an_advert_is_read_from_its_packet():
    four = bytes([0x45]) + bytes(19) + bytes([0x31, 51, 254, 1, 0, 70, 0, 0])
    assert rival.advert(four, socket.AF_INET) == (51, 254)
    assert rival.advert(bytes([0x31, 52, 100, 1, 0, 70, 0, 0]), socket.AF_INET6) == (52, 100)
    assert (
        rival.advert(bytes([0x45]) + bytes(19) + bytes([0x21, 51, 254, 1, 0, 70, 0, 0]), socket.AF_INET) is None
    )  # version 2
    assert rival.advert(b"", socket.AF_INET) is None
    assert rival.advert(four[:24], socket.AF_INET) is None


def test_an_address_is_held_if_a_socket_can_be_bound_to_it():
    assert rival.held("127.0.0.1/32")
    assert not rival.held("192.0.2.77/32")


def test_all_that_a_killed_keepalived_held_is_removed():
    ran = []
    rival.give_up(
        election.instances(TEXT),
        lambda argv, stdin: ran.append(" ".join(argv)),
        lambda instance: ran.append(f"advert of {instance.token}"),
    )
    assert ran == [
        "systemctl kill --signal=KILL lvskit-vrrp.service",
        "ip address del 169.254.76.51/32 dev lo",
        "ip address del 203.0.113.80/32 dev eth1.20",
        "ip -6 address del 2001:db8:20::80/128 dev eth1.20",
        "advert of 169.254.76.51/32",  # the last: the other one announces what this one has let go
    ]


@pytest.mark.parametrize(
    ("source", "peer", "token"),
    [("203.0.113.10", "203.0.113.11", "169.254.76.51/32"), ("2001:db8::10", "2001:db8::11", "fe80::4c:33/128")],
)
def test_the_advert_of_a_director_that_yields_is_a_right_one_with_the_lowest_priority(source, peer, token):
    """RFC 5798, 5.2.8: the checksum is that of a pseudo-header and the message."""
    instance = election.Instance(token, (), 51, 0.7, source, (peer,))
    packet = rival.lowest(instance, peer)
    six = ":" in peer
    assert rival.advert(
        packet if six else bytes([0x45]) + bytes(19) + packet, socket.AF_INET6 if six else socket.AF_INET
    ) == (51, 1)
    assert packet[3] == 1  # address
    assert int.from_bytes(packet[4:6], "big") == 70  # hundredths of a second
    assert packet[8:] == ip_address(token.partition("/")[0]).packed
    ends = ip_address(source).packed + ip_address(peer).packed
    size = len(packet).to_bytes(4, "big")
    pseudo = ends + (size + bytes([0, 0, 0, 112]) if six else bytes([0, 112]) + size[2:])
    octets = pseudo + packet
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    assert total % 0xFFFF == 0


RAW = pytest.mark.skipif(os.geteuid() != 0, reason="a socket for VRRP takes root")


@RAW
@pytest.mark.parametrize(
    ("source", "silent", "peer", "token"),
    [("127.0.0.2", "192.0.2.7", "127.0.0.1", "169.254.76.51/32"), ("::1", "2001:db8::7", "::1", "fe80::4c:33/128")],
)
def test_that_advert_reaches_the_peers_from_the_own_address(source, silent, peer, token):
    """Also where one of them cannot be reached. Of other senders than neighbours keepalived takes none: the hop limit is 255."""
    instance = election.Instance(token, (), 51, 0.7, source, (silent, peer))
    six = ":" in peer
    (listening,) = rival.sockets([peer, peer])
    with listening:
        listening.settimeout(5)
        if six:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        rival.yield_to_peers(instance)
        packet, told, _, sender = listening.recvmsg(100, 100)
    hops = int.from_bytes(told[0][2], sys.byteorder) if six else packet[8]
    assert (sender[0], hops) == (source, 255)
    assert packet[0 if six else 20 :] == rival.lowest(instance, peer)


@RAW
def test_an_address_that_the_host_lacks_is_named():
    with pytest.raises(HostError, match=r"cannot listen to VRRP at 192\.0\.2\.7: "):
        rival.sockets(["192.0.2.7"])


@RAW
def test_the_watcher_ends_a_keepalived_whose_peer_is_heard_all_the_while(tmp_path, monkeypatch):
    """Adverts on the loopback interface. The host holds the token; of the group whose token it does not hold nothing comes."""
    text = "".join(
        RIVAL.format(name=name, number=number)
        .replace("203.0.113.10", "127.0.0.1")
        .replace("203.0.113.11", "127.0.0.2")
        .replace("advert_int 0.7", "advert_int 0.01")
        .replace(f"169.254.76.{number}/32", token)
        for name, number, token in (("other", 52, "192.0.2.7/32"), ("edge", 51, "127.0.0.1/32"))
    )
    monkeypatch.setattr(files, "ROOT", str(tmp_path))
    file = tmp_path / kinds.VRRP.path.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    told, ended = [], threading.Event()

    def give_up(instances, run):
        told.append((list(instances), run))
        raise InterruptedError

    monkeypatch.setattr(rival, "give_up", give_up)
    monkeypatch.setattr(rival, "say", lambda level, event, **words: told.append((event, words["group"], words["peer"])))
    peers = [election.Instance("127.0.0.1/32", (), number, 0.01, "127.0.0.2", ("127.0.0.1",)) for number in (51, 52)]
    adverts = [bytes([*packet[:2], 253, *packet[3:]]) for packet in (rival.lowest(one, "127.0.0.1") for one in peers)]

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, rival.VRRP) as own:
            own.bind(("127.0.0.2", 0))
            while not ended.wait(0.01):
                for packet in (b"no advert", *adverts):
                    own.sendto(packet, ("127.0.0.1", 0))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(InterruptedError):
            rival.watch()
    finally:
        ended.set()
        sender.join()
    assert told == [("two-masters", "edge", "127.0.0.2"), (["other", "edge"], programs.run)]


def test_the_next_hop_of_a_predicted_reply_is_the_address_that_moves(pair, environment):
    client = {"lvs_interfaces": {"eth1": {"network": "clients", "address": "198.51.100.10"}}}
    env = environment(
        {
            "networks": {**NETWORKS, "clients": {"cidr": "198.51.100.0/24", "vlan": 10, "gateway": "198.51.100.1"}},
            "hosts": {**HOSTS, "client1": client},
            "groups": {"directors": ["lb1", "lb2"], "real_servers": ["rs1"], "clients": ["client1"]},
            "services": [NAT],
            "directors": {"directors": EDGE},
        }
    )
    (entry,) = env.service("nat").entries
    hops = walk(env.topology, entry, env.host("lb1"), entry.service.real_servers[0], env.host("client1")).hops
    (first,) = (hop for hop in hops if hop.leg == "reply" and hop.sender.host == "rs1")
    assert (first.receiver.host, str(first.receiver.address)) == ("lb1", "10.20.1.2")
