"""Advice agrees with the rules: what is possible is what they would let pass."""

import importlib.util
from pathlib import Path

import pytest
from ansible.module_utils.lvs import advice, modes

PLUGIN = Path(__file__).parents[2] / "action_plugins/lvs_advise.py"
BASE = {"name": "new", "vip": "203.0.113.90", "port": 80}
NEAR = {**BASE, "real_servers": [{"host": "rs1"}]}


def titles(found, possible=True):
    return [option.title for option in found if option.possible == possible]


def test_in_one_vlan_everything_is_possible_and_direct_routing_is_best(environment):
    found = advice.options(NEAR, environment().topology)
    assert titles(found)[0] == "dr"
    assert titles(found, possible=False) == []
    assert len(found) == len(modes.TABLE)


def test_across_vlans_dr_and_nat_are_not_possible_and_the_rules_say_why(environment):
    raw = {**BASE, "real_servers": [{"host": "rs3"}]}
    found = advice.options(raw, environment({"services": []}).topology)
    assert titles(found)[:2] == ["tun", "enat"]
    refused = {option.mode.name: option.obstacles for option in found if not option.possible}
    assert {name: {text.split(":")[0] for text in texts} for name, texts in refused.items()} == {
        "dr": {"DR-SAME-VLAN"},
        "nat": {"NAT-SAME-VLAN"},
    }


def test_ports_and_protocol_are_needs_that_the_service_itself_says(environment):
    raw = {**BASE, "protocol": "udp", "real_servers": [{"host": "rs1", "port": 5353}]}
    found = advice.options(raw, environment().topology)
    assert {option.mode.name for option in found if option.possible} == {"nat", "fullnat"}


@pytest.mark.parametrize(
    ("needs", "best"),
    [
        ({}, "tun"),
        ({"kernel_modules": False}, "tun"),
        ({"client_address": True, "direct_replies": True}, "tun"),
    ],
)
def test_needs_of_a_far_service(environment, needs, best):
    raw = {**BASE, "needs": needs, "real_servers": [{"host": "rs3"}]}
    assert titles(advice.options(raw, environment().topology))[0] == best


def test_needs_take_modes_away(environment):
    raw = {**BASE, "real_servers": [{"host": "rs3", "port": 8080}]}
    topology = environment({"services": []}).topology

    def possible(**needs):
        found = advice.options({**raw, "needs": needs}, topology)
        return {(option.mode.name, option.mode.client_address) for option in found if option.possible}

    assert possible() == {("fullnat", "none"), ("fullnat", "toa"), ("fullnat", "restore"), ("enat", "none")}
    assert possible(client_address=True) == {("fullnat", "toa"), ("fullnat", "restore"), ("enat", "none")}
    assert possible(kernel_modules=False) == {("fullnat", "none")}
    assert possible(direct_replies=True) == {("enat", "none")}
    assert possible(client_address=True, kernel_modules=False) == set()


def test_a_free_local_address_is_proposed_and_it_is_free(environment):
    env = environment()
    option = next(o for o in advice.options(NEAR, env.topology) if o.mode.source_nat)
    assert option.settings["local_addresses"] == ["10.20.1.254"]
    taken = {**NEAR, "name": "other", "vip": "10.20.1.254", "mode": "dr"}
    option = next(o for o in advice.options(NEAR, environment({"services": [taken]}).topology) if o.mode.source_nat)
    assert option.settings["local_addresses"] == ["10.20.1.253"]


def test_what_a_possible_option_says_is_a_service_that_is_accepted(environment):
    for option in advice.options(NEAR, environment().topology):
        service = {**NEAR, "mode": option.mode.name, **option.settings}
        assert environment({"services": [service]}).messages == [], option.title


def test_the_other_services_count(environment):
    """A mode that cannot be beside what is there already is not possible."""
    there = {"name": "api", "vip": "203.0.113.81", "port": 80, "mode": "nat", "real_servers": [{"host": "rs1"}]}
    raw = {**BASE, "real_servers": [{"host": "rs1", "port": 8080}]}
    found = advice.options(raw, environment({"services": [there]}).topology)
    obstacles = {option.mode.name: " ".join(option.obstacles) for option in found}
    assert "RS-CONFLICT" in obstacles["enat"]
    assert not obstacles["nat"]


def test_the_report_names_one_server_for_each_rule(environment):
    raw = {**BASE, "real_servers": [{"group": "app", "port": 8080}]}
    text = "\n".join(advice.report(raw, advice.options(raw, environment({"services": []}).topology)))
    assert "service new (203.0.113.90:80/tcp)" in text
    assert "  best     enat\n" in text
    assert text.count("DR-PORT") == 1
    assert "(1 more like this)" in text


def test_in_short_when_nothing_is_possible(environment):
    raw = {**BASE, "needs": {"client_address": True, "kernel_modules": False}}
    raw["real_servers"] = [{"host": "rs3", "port": 8080}]
    text = advice.in_short(advice.options(raw, environment().topology))
    assert text.startswith("No mode would do. not ")


def test_a_long_run_tells_how_far_it_is_every_five_seconds():
    spec = importlib.util.spec_from_file_location("lvs_advise_action", PLUGIN)
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    clock = {"seconds": 0.0}
    shown = []
    for _ in plugin.with_progress(["a", "b", "c", "d", "e"], shown.append, lambda: clock["seconds"]):
        clock["seconds"] += 2.5
    assert shown == ["advise: 2 of 5 services", "advise: 4 of 5 services"]


def test_a_service_of_both_families_is_advised_as_one(environment):
    both = {"cidr": "10.20.1.0/24", "gateway": "10.20.1.1", "cidr6": "2001:db8:1::/64", "gateway6": "2001:db8:1::1"}
    plugged = {
        name: {
            "lvs_interfaces": {"eth1": {"network": "app", "address": f"10.20.1.{n}", "address6": f"2001:db8:1::{n}"}}
        }
        for name, n in (("lb1", 10), ("rs1", 11))
    }
    groups = {"directors": ["lb1"], "real_servers": ["rs1"], "clients": []}
    changes = {"networks": {"app": {**both, "vlan": 30}}, "hosts": plugged, "groups": groups, "services": []}
    raw = {"name": "new", "vip": ["10.20.1.80", "2001:db8:1::80"], "port": [80, 443], "real_servers": [{"host": "rs1"}]}
    found = advice.options(raw, environment(changes).topology)
    assert {option.mode.label for option in found if option.possible} == {"dr", "nat", "tun", "fullnat"}
    (fullnat,) = (option for option in found if option.mode.label == "fullnat")
    assert {":" in address for address in fullnat.settings["local_addresses"]} == {False, True}
    assert "service new (10.20.1.80 and 2001:db8:1::80, port 80 and 443/tcp)" in advice.report(raw, found)
