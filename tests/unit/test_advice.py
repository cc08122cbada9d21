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


FAR = {**BASE, "real_servers": [{"host": "rs3"}]}
LOCAL = "local_addresses: [10.20.1.254]"
FULLNAT = [
    f"fullnat ({LOCAL})",
    f"fullnat (client_address: toa, {LOCAL})",
    f"fullnat (client_address: restore, {LOCAL})",
]


@pytest.mark.parametrize(
    ("raw", "order"),
    [
        (NEAR, ["dr", "tun", "enat", "enat (cip_src: true)", "nat", *FULLNAT]),
        (FAR, ["tun", "enat", "enat (cip_src: true)", *FULLNAT, "dr", "nat"]),
    ],
)
def test_direct_replies_come_first_then_plain_kernels_then_known_clients_and_at_last_what_is_not_possible(
    environment, raw, order
):
    found = advice.options(raw, environment({"services": []}).topology)
    assert [option.title for option in found] == order


def test_an_option_as_data_has_all_that_the_report_says(environment):
    found = advice.options({**FAR, "needs": {"client_address": True}}, environment({"services": []}).topology)
    by_title = {option.title: option.as_dict() for option in found}
    assert by_title["tun"] == {
        "mode": "tun",
        "settings": {},
        "possible": True,
        "obstacles": [],
        "warnings": [],
        "effects": [
            "replies go directly to the client",
            "20 bytes are added to each packet of a request",
            "the director may be a real server, too",
        ],
    }
    enat, fullnat = by_title["enat (cip_src: true)"], by_title[FULLNAT[0]]
    assert [text.split(":")[0] for text in enat["warnings"]] == ["ENAT-FOREIGN-SOURCE"]
    assert (fullnat["possible"], fullnat["settings"]["local_addresses"]) == (False, ["10.20.1.254"])
    assert [text.split(":")[0] for text in fullnat["obstacles"]] == ["NEEDS-MODE"]


def local_addresses(topology, **more):
    """Those that are proposed for a service near the director."""
    found = advice.options({**NEAR, **more}, topology)
    return {tuple(option.settings["local_addresses"]) for option in found if option.mode.source_nat}


def test_given_local_addresses_are_kept(environment):
    given = ["10.20.1.201", "10.20.1.202"]
    assert local_addresses(environment().topology, local_addresses=given) == {tuple(given)}


def with_app_network(environment, cidr, gateway, **changes):
    """The base with another network of the application."""
    networks = {**environment().topology.networks}
    raw = {
        n.name: {"cidr": str(n.prefixes[0]), "vlan": n.vlan, "gateway": str(n.routers[0])} for n in networks.values()
    }
    return environment({"networks": {**raw, "app": {"cidr": cidr, "vlan": 30, "gateway": gateway}}, **changes}).topology


@pytest.mark.parametrize(
    ("there", "proposed"),
    [
        ({"vip": "203.0.113.91", "mode": "fullnat", "local_addresses": ["10.20.1.254"]}, "10.20.1.253"),
        ({"vip": "10.20.1.254", "mode": "dr"}, "10.20.1.253"),
        ({"vip": "203.0.113.91", "mode": "nat", "return_path": "policy"}, "10.20.1.254"),
    ],
)
def test_an_address_of_another_service_is_not_proposed(environment, there, proposed):
    services = [{"name": "other", "port": 80, "real_servers": [{"host": "rs1"}], **there}]
    assert local_addresses(environment({"services": services}).topology) == {(proposed,)}


def test_an_address_of_a_router_or_a_host_is_not_proposed_and_none_outside_of_the_network(environment):
    def taken(*vips):
        services = [
            {"name": vip, "vip": vip, "port": 80, "mode": "dr", "real_servers": [{"host": "rs1"}]} for vip in vips
        ]
        return with_app_network(environment, "10.20.1.8/29", "10.20.1.14", services=services)

    assert local_addresses(taken()) == {("10.20.1.13",)}
    assert local_addresses(taken("10.20.1.13")) == {("10.20.1.9",)}
    assert local_addresses(taken("10.20.1.13", "10.20.1.9")) == {()}


def lines(environment, raw):
    return advice.report(raw, advice.options(raw, environment({"services": []}).topology))


def test_the_report_begins_with_the_service_as_it_is_and_what_it_needs(environment):
    raw = {**FAR, "mode": "dr", "protocol": ["tcp", "udp"], "needs": {"direct_replies": True, "kernel_modules": False}}
    assert lines(environment, raw)[:2] == [
        "service new (203.0.113.90:80/tcp,udp, now dr)",
        "  needs    direct_replies: true, kernel_modules: false",
    ]


def test_the_report_has_the_effects_and_warnings_of_what_is_possible_and_the_obstacles_of_what_is_not(environment):
    found = [line.split(": ")[0] for line in lines(environment, {**FAR, "needs": {"direct_replies": True}})[2:]]
    direct = "           replies go directly to the client"
    modules = "directors and real servers need lvskit's kernel modules"
    assert found[:8] == [
        "  best     tun",
        f"{direct}; 20 bytes are added to each packet of a request; the director may be a real server, too",
        "  possible enat",
        f"{direct}; 8 bytes are added to each packet of a request; {modules}",
        "  possible enat (cip_src",
        f"{direct}; 8 bytes are added to each packet of a request; {modules}; the network must forward packets with foreign "
        "source addresses",
        "           ENAT-FOREIGN-SOURCE",
        "  no       dr",
    ]
    assert found[8:] == ["           DR-SAME-VLAN"] + [
        line for title in ("nat", "fullnat (local_addresses", "fullnat (client_address", "fullnat (client_address")
        for line in (f"  no       {title}", "           NEEDS-MODE", *["           NAT-SAME-VLAN"][: title == "nat"])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"needs": {"direct_replies": True}},
            "Choose tun, enat or enat (cip_src: true), of which the first is best. not dr: DR-SAME-VLAN; not nat: NEEDS-MODE and "
            f"NAT-SAME-VLAN; {'; '.join(f'not {title}: NEEDS-MODE' for title in FULLNAT)}. playbooks/advise.yml says why.",
        ),
        (
            {"needs": {"client_address": True, "kernel_modules": False}},
            "Choose tun. not dr: DR-SAME-VLAN; not enat: NEEDS-MODE; not enat (cip_src: true): NEEDS-MODE; not nat: NAT-SAME-VLAN; "
            f"{'; '.join(f'not {title}: NEEDS-MODE' for title in FULLNAT)}. playbooks/advise.yml says why.",
        ),
    ],
)
def test_in_short_the_possible_modes_are_named_and_the_rules_against_the_others(environment, changes, text):
    assert advice.in_short(advice.options({**FAR, **changes}, environment({"services": []}).topology)) == text


def test_in_short_when_everything_is_possible(environment):
    text = advice.in_short(advice.options(NEAR, environment({"services": []}).topology))
    assert text.startswith("Choose dr, tun, enat, ")
    assert text.endswith(f" or {FULLNAT[-1]}, of which the first is best. playbooks/advise.yml says why.")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"name": "a"}, {"name": "a", "needs": {"direct_replies": True}}),
        (
            {"name": "a", "needs": {"kernel_modules": False, "direct_replies": False}},
            {"name": "a", "needs": {"kernel_modules": False, "direct_replies": True}},
        ),
        ({"needs": ["direct_replies"]}, {"needs": ["direct_replies"]}),
        ("a", "a"),
    ],
)
def test_needs_of_the_run_are_added_to_those_of_a_service_that_can_be_read(raw, expected):
    assert advice.needing(raw, {"direct_replies": True}) == expected
