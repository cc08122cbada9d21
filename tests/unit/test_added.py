"""A service that is added: what is checked of it and around it is all that the full check would find."""

import os
from dataclasses import replace

import pytest
from ansible.module_utils.lvs import advice, inventory, modes, rules
from hypothesis import given, settings
from hypothesis import strategies as st

ADDED = rules.added
NETWORKS = ("a", "b")
SERVERS = ("rs1", "rs2", "rs3", "lb1", "lb2")
# The same examples each time; LVSKIT_EXAMPLES=10000 looks for others.
MORE = int(os.environ.get("LVSKIT_EXAMPLES", "0"))


@st.composite
def environments(draw):
    """Networks, services, hosts and groups, as `parse` takes them, whose services get in each other's way."""
    networks = {
        name: {"cidr": f"10.0.{i}.0/24", "vlan": 10 + i}
        | ({"gateway": f"10.0.{i}.{draw(st.sampled_from((1, 1, 9, 13)))}"} if draw(st.integers(0, 4)) else {})
        for i, name in enumerate(NETWORKS)
    }
    names = ["client1", *SERVERS]
    hosts = {}
    for number, name in enumerate(names, 9):
        plugged = draw(st.lists(st.sampled_from(NETWORKS), min_size=draw(st.sampled_from((0, 1, 1, 1))), unique=True))
        hosts[name] = {
            "lvs_interfaces": {
                f"eth{i}": {"network": network, "address": f"10.0.{NETWORKS.index(network)}.{number}"}
                for i, network in enumerate(plugged)
            }
        }
    groups = {"all": names, "clients": ["client1"], "real_servers": list(SERVERS), "directors": ["lb1", "lb2"]}
    groups |= {"lb1_alone": ["lb1"], "lb2_alone": ["lb2"]}
    services = [_service(draw) for _ in range(draw(st.integers(1, 5)))]
    return networks, services, hosts, groups


def _service(draw):
    mode = draw(st.sampled_from(modes.TABLE))
    entries = draw(st.lists(st.sampled_from(SERVERS), min_size=1, max_size=3, unique=True))
    service = {
        "name": draw(st.sampled_from("pqrstuvw")),
        "vip": f"10.0.{draw(st.integers(0, 1))}.{draw(st.sampled_from((80, 81)))}",
        "port": draw(st.sampled_from((80, 81))),
        "mode": mode.name,
        "directors": draw(st.sampled_from(("lb1_alone", "lb1_alone", "lb2_alone", "directors"))),
        "protocol": draw(st.sampled_from(("tcp", "tcp", "tcp", "udp"))),
        "real_servers": [{"host": name, "port": draw(st.sampled_from((80, 81)))} for name in entries],
        **mode.settings,
    }
    if draw(st.booleans()):
        last = st.sampled_from((80, 81, 200, 201))
        service["local_addresses"] = [f"10.0.0.{n}" for n in draw(st.lists(last, min_size=1, max_size=2))]
    if mode.director_is_gateway and draw(st.booleans()):
        service["return_path"] = "policy"
    if draw(st.integers(0, 3)) == 0:
        service["vip_routed"] = True
    if draw(st.integers(0, 3)) == 0:
        service["network"] = draw(st.sampled_from(NETWORKS))
    return service


def in_full(topology, service):
    """What the check of the whole environment finds with a service that it does not find without."""
    known = set(map(str, rules.check(topology)))
    whole = replace(topology, services=(*topology.services, service))
    return [violation for violation in rules.check(whole) if str(violation) not in known]


@settings(max_examples=MORE or 300, derandomize=not MORE)
@given(environments())
def test_advice_is_that_of_the_full_check(raw):
    networks, services, hosts, groups = raw
    topology, _ = inventory.parse(networks, services, hosts, groups)
    for service in services:
        found = advice.options(service, topology)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rules, "added", in_full)
            assert found == advice.options(service, replace(topology, services=topology.services))


def test_what_is_tried_breaks_rules_by_which_a_service_affects_others():
    """The property above would say little if services did not get in each other's way."""
    broken = set()

    def added(topology, service):
        found = ADDED(topology, service)
        broken.update(violation.rule for violation in found if violation.service not in ("", service.name))
        return found

    @settings(max_examples=60, derandomize=True, database=None)
    @given(environments())
    def collect(raw):
        topology, _ = inventory.parse(*raw)
        for service in raw[1]:
            advice.options(service, topology)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "added", added)
        collect()
    assert broken >= {
        "ENAT-FORGED-OPTION",
        "ENAT-REAL-SERVER",
        "ENAT-VIP",
        "FULLNAT-LOCAL-ADDRESS",
        "RS-CONFLICT",
    }


# The gateway of network a, which a client or a director has: rs1 reaches the addresses that this host has in network b by it,
# and by no other host, as nothing is known of the way to it from there.
NAT = {"name": "new", "vip": "10.0.0.80", "port": 80, "mode": "nat", "directors": "lb2_alone"}
BY_THE_GATEWAY = {
    "TUN-RETURN": ("client1", {"vip": "10.0.1.80", "mode": "tun", "directors": "lb1_alone"}),
    "FULLNAT-ROUTE": (
        "lb1",
        {"vip": "10.0.1.80", "mode": "fullnat", "directors": "lb1_alone", "local_addresses": ["10.0.1.200"]},
    ),
}


@pytest.mark.parametrize("rule", BY_THE_GATEWAY)
def test_a_new_gateway_of_a_real_server_is_checked_for_the_services_that_it_has(rule):
    owner, service = BY_THE_GATEWAY[rule]
    last = {"client1": 9, "lb1": 13, "lb2": 14, "rs1": 10}
    places = {"client1": "ab", "lb1": "ab", "lb2": "a", "rs1": "a"}
    networks = {"a": {"cidr": "10.0.0.0/24", "vlan": 10, "gateway": f"10.0.0.{last[owner]}"}}
    networks["b"] = {"cidr": "10.0.1.0/24", "vlan": 11}
    hosts = {
        name: {
            "lvs_interfaces": {
                f"eth{i}": {"network": network, "address": f"10.0.{NETWORKS.index(network)}.{last[name]}"}
                for i, network in enumerate(plugged)
            }
        }
        for name, plugged in places.items()
    }
    groups = {"all": list(hosts), "clients": ["client1"], "real_servers": ["rs1"], "directors": ["lb1", "lb2"]}
    groups |= {"lb1_alone": ["lb1"], "lb2_alone": ["lb2"]}
    there = {"name": "there", "port": 80, "real_servers": [{"host": "rs1"}], **service}
    topology, faults = inventory.parse(networks, [there], hosts, groups)
    new, more_faults = inventory.service({**NAT, "real_servers": [{"host": "rs1"}]}, topology)
    assert [*faults, *more_faults] == []
    found = rules.added(topology, new)
    assert (rule, "there") in [(violation.rule, violation.service) for violation in found]
    assert found == in_full(topology, new)
