"""Each broken inventory of `broken/` gives the message beside it, at its place, and nothing else that stops a run."""

from itertools import product
from pathlib import Path

import pytest
import refusals
import yaml
from ansible.module_utils.lvs import modes
from ansible.parsing.dataloader import DataLoader

BASE = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yml"))


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_inventory_is_refused_with_its_message(environment, path):
    case = DataLoader().load_from_file(str(path))
    expected = case["expect"]
    found = environment(case).violations
    matching = [violation for violation in found if str(violation).startswith(expected)]
    assert matching, "\n".join(map(str, found)) or "accepted"
    assert place(case, matching[0].at) == case.get("at")


def place(inventory, value):
    """Where in an inventory a value or key is, as the keys and numbers that lead there; None if it is nowhere, or cannot have a place."""
    if value is None or isinstance(value, bool):
        return None
    parts = (
        inventory.items()
        if isinstance(inventory, dict)
        else enumerate(inventory)
        if isinstance(inventory, list)
        else ()
    )
    for name, part in parts:
        if value is name or value is part:
            return str(name)
        below = place(part, value)
        if below:
            return f"{name}.{below}"
    return None


def test_a_variable_of_all_hosts_acts_on_some_of_them(environment):
    hosts = {name: {**host, "lvs_timeouts": {"tcp": 60}} for name, host in BASE["hosts"].items()}
    assert environment({"hosts": hosts}).violations == environment({}).violations
    hosts["rs1"] = {**hosts["rs1"], "lvs_timeouts": {"tcp": 61}}
    (more,) = [one for one in environment({"hosts": hosts}).violations if one.rule == "KEY-HOST"]
    assert more.host == "rs1" and more.warning


def test_only_the_rule_in_question_is_violated(environment):
    """One mistake gives one message, save where one mistake really breaks two rules."""
    several = {}
    for path in BROKEN:
        case = yaml.safe_load(path.read_text())
        case.pop("expect")
        ids = {violation.rule for violation in environment(case).violations}
        if len(ids) > 1:
            several[path.stem] = ids
    assert several == {
        "enat-without-route-to-clients": {"ENAT-ROUTE", "ENAT-RETURN"},
        "tun-without-route": {"TUN-ROUTE", "TUN-RETURN"},
    }


def test_every_message_has_a_broken_inventory(environment):
    """Of rules: one that is told nothing else. Of values: one in which it is told."""
    alone, told = set(), set()
    for path in BROKEN:
        case = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "expect"}
        here = set()
        with refusals.reached(here):
            environment(case)
        of_rules = {place for place in here if place[0] in map(str, refusals.RULES)}
        told |= here - of_rules
        if path.stem.startswith("sorry-"):  # what is wrong with a sorry server is said by the rules of real servers
            of_rules = {place for place in of_rules if place[0].endswith("health.py")}
        alone |= of_rules if len(of_rules) == 1 else set()
    places = {(file, line) for file, lines in refusals.statements().items() for line in lines}
    assert len(places) > 70
    assert sorted(places - alone - told) == []


SETTINGS = list(product(modes.NAMES, modes.CLIENT_ADDRESSES, (False, True)))


@pytest.mark.parametrize(("mode", "client_address", "cip_src"), SETTINGS)
def test_a_mode_with_its_settings_is_a_row_of_the_table_or_refused(environment, mode, client_address, cip_src):
    service = {"name": "s", "vip": "203.0.113.80", "port": 80, "mode": mode, "real_servers": [{"host": "rs1"}]}
    env = environment({"services": [{**service, "client_address": client_address, "cip_src": cip_src}]})
    if any((row.name, row.client_address, row.cip_src) == (mode, client_address, cip_src) for row in modes.TABLE):
        assert env.service("s").mode is modes.row(mode, client_address, cip_src)
    else:
        assert {fault.rule for fault in env.faults} == {"KEY-MODE"}


def test_routers_between_director_and_real_server_are_warned_of_and_do_not_stop_a_run(environment):
    service = {"name": "e", "vip": "203.0.113.84", "port": 80, "mode": "enat", "cip_src": True}
    found = environment({"services": [{**service, "real_servers": [{"group": "real_servers", "port": 8081}]}]})
    assert [(v.rule, v.warning) for v in found.violations] == [("ENAT-FOREIGN-SOURCE", True)]


@pytest.mark.parametrize(
    ("gateway6", "protocol", "return_path", "warned"),
    [
        ("2001:db8:30::1", "udp", "gateway", ["NAT-UNBOUND"]),
        ("2001:db8:30::1", "udp", "policy", ["NAT-UNBOUND"]),
        ("2001:db8:30::1", ["tcp", "udp"], "gateway", ["NAT-UNBOUND"]),
        ("2001:db8:30::1", "tcp", "gateway", []),
        ("2001:db8:30::10", "udp", "gateway", []),
        (None, "udp", "gateway", []),
    ],
)
def test_udp_whose_reply_has_no_source_when_its_route_is_chosen_is_warned_of(
    environment, gateway6, protocol, return_path, warned
):
    """A socket that is bound to no address: routing rules apply to it in IPv4 alone."""
    app = {**BASE["networks"]["app"], "cidr6": "2001:db8:30::/64", **({"gateway6": gateway6} if gateway6 else {})}
    edge = {**BASE["networks"]["edge"], "cidr6": "2001:db8:20::/64", "gateway6": "2001:db8:20::1"}
    hosts = {
        "lb1": {
            "lvs_interfaces": {
                "eth1": {"network": "edge", "address": "203.0.113.10", "address6": "2001:db8:20::10"},
                "eth2": {"network": "app", "address": "10.20.1.10", "address6": "2001:db8:30::10"},
            }
        },
        "rs1": {"lvs_interfaces": {"eth1": {"network": "app", "address": "10.20.1.11", "address6": "2001:db8:30::11"}}},
    }
    service = {"name": "s", "vip": ["203.0.113.80", "2001:db8:20::80"], "port": 53, "mode": "nat"}
    service |= {"protocol": protocol, "return_path": return_path, "real_servers": [{"host": "rs1"}]}
    found = environment(
        {
            "networks": {"edge": edge, "app": app},
            "hosts": hosts,
            "groups": {"directors": ["lb1"], "real_servers": ["rs1"]},
            "services": [service],
        }
    ).violations
    assert [v.rule for v in found] == warned
    assert all(v.warning and "Bind it to 2001:db8:30::11" in v.message for v in found)


def test_a_fullnat_service_whose_director_takes_forged_options_out_may_be_beside_cip_src(environment):
    services = [
        {"name": "e", "vip": "203.0.113.84", "port": 80, "mode": "enat", "cip_src": True},
        {"name": "f", "vip": "203.0.113.85", "port": 80, "mode": "fullnat", "client_address": "toa"},
    ]
    services[1]["local_addresses"] = ["10.20.1.200"]
    servers = [[{"host": "rs1", "port": port}] for port in (8081, 8080)]
    changes = [{**service, "real_servers": server} for service, server in zip(services, servers)]
    assert environment({"services": changes}).messages == []


def test_a_service_that_differs_from_the_first_user_of_a_local_address_is_named_and_no_other(environment):
    ways = {"a": {}, "b": {"client_address": "toa"}, "c": {}, "d": {"client_address": "restore"}}
    usual = {"port": 80, "mode": "fullnat", "local_addresses": ["10.20.1.200"], "real_servers": [{"group": "farm"}]}
    services = [
        {"name": name, "vip": f"203.0.113.{90 + i}", **usual, **way} for i, (name, way) in enumerate(ways.items())
    ]
    found = environment({"services": services}).violations
    assert {(v.rule, v.service) for v in found} == {
        ("FULLNAT-LOCAL-ADDRESS-SHARED", "b"),
        ("FULLNAT-LOCAL-ADDRESS-SHARED", "d"),
    }
    assert all("is also used by service a, whose client_address is none." in v.message for v in found)


def test_two_services_that_share_several_ports_of_real_servers_have_one_message_with_their_number(environment):
    enat = {"name": "e", "vip": "203.0.113.84", "port": 80, "mode": "enat", "real_servers": [{"group": "app"}]}
    fullnat = {**enat, "name": "f", "vip": "203.0.113.85", "mode": "fullnat", "local_addresses": ["10.20.1.200"]}
    app = environment().topology.groups["app"]
    assert len(app) == 2
    found = environment({"services": [enat, fullnat]}).violations
    assert [v.message.partition(": ")[2] for v in found if v.rule == "ENAT-REAL-SERVER"] == [
        f"port 80 of {app[0]} is also in service f (fullnat), as is 1 more of its ports. Listen on another port for one of them."
    ]


def test_the_base_environment_is_in_order(environment):
    assert environment().messages == []


def test_all_violations_are_found_at_once(environment):
    found = environment(
        {
            "services": [
                {
                    "name": "a",
                    "vip": "10.20.1.11",
                    "port": 80,
                    "mode": "dr",
                    "real_servers": [{"host": "rs3"}],
                    "wight": 1,
                },
                {"name": "b", "vip": "10.20.1.80", "port": 0, "mode": "dr", "real_servers": [{"host": "rs1"}]},
            ]
        }
    )
    assert {v.rule for v in found.violations} == {"KEY-UNKNOWN", "VIP-COLLISION", "DR-SAME-VLAN", "PORT-RANGE"}


def test_a_violation_points_at_the_inventorys_own_value(environment):
    vip = "".join(["10.20.1.", "11"])
    service = {"name": "a", "vip": vip, "port": 80, "mode": "dr", "real_servers": [{"host": "rs2"}]}
    found = environment({"services": [service]})
    assert [v.at is vip for v in found.violations] == [True]


def test_a_violation_is_data_with_the_service_or_host_that_it_concerns(environment):
    service = {"name": "a", "vip": "10.20.1.11", "port": "http", "mode": "dr", "real_servers": [{"host": "rs2"}]}
    other = {**service, "name": "b", "vip": "10.20.1.12", "port": 80}
    hosts = {**BASE["hosts"], "rs3": {"lvs_interfaces": {"eth1": {"network": "farm", "address": "10.20.2.0"}}}}
    networks = {**BASE["networks"], "app": {**BASE["networks"]["app"], "vlan": 20}}
    changes = {"services": [service, other, other], "hosts": hosts, "networks": networks}
    told = [violation.as_dict(file="services.yml") for violation in environment(changes).violations]
    about = {(one["rule"], one.get("service"), one.get("host")) for one in told}
    assert about == {
        ("VALUE-TYPE", "a", None),
        ("VIP-COLLISION", "b", None),
        ("NAME-UNIQUE", "b", None),
        ("VIP-UNIQUE", "b", None),
        ("ADDRESS-NETWORK", None, "rs3"),
        ("VLAN-ID", None, None),
        ("INTERFACE-VLAN", None, "lb1"),
    }
    assert told[0] == {
        "rule": "VALUE-TYPE",
        "message": "service a: port: http is neither a port nor a range of ports (write it like 8000-8100)",
        "warning": False,
        "service": "a",
        "file": "services.yml",
    }


def test_a_warning_says_so_as_data(environment):
    service = {"name": "a", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"host": "rs2"}]}
    checked = {**service, "scheduler": "mh", "health_check": {"type": "tcp"}}
    told = [violation.as_dict() for violation in environment({"services": [checked]}).violations]
    assert [(one["rule"], one["warning"], one["service"]) for one in told] == [("CHECK-REMOVAL", True, "a")]


def test_a_host_beside_its_group_overrides_what_the_group_says(environment):
    servers = [{"group": "app", "port": 8080, "weight": 5}, {"host": "rs2", "weight": 20}]
    service = {"name": "s", "vip": "203.0.113.80", "port": 80, "mode": "nat", "return_path": "policy"}
    env = environment({"services": [{**service, "real_servers": servers}]})
    assert env.messages == []
    found = [(server.host.name, server.port, server.weight) for server in env.service("s").real_servers]
    assert found == [("rs1", 8080, 5), ("rs2", 8080, 20)]  # in the group's order; the port is the group's


def test_two_instances_on_one_host_are_two_real_servers(environment):
    servers = [{"host": "rs1", "port": 8080}, {"host": "rs1", "port": 8081}]
    service = {"name": "s", "vip": "203.0.113.80", "port": 80, "mode": "nat", "return_path": "policy"}
    env = environment({"services": [{**service, "real_servers": servers}]})
    assert env.messages == []
    assert [server.port for server in env.service("s").real_servers] == [8080, 8081]


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("80", "80", True),
        ("80", "70-90", True),
        ("70-90", "85", True),
        ("70-90", "90-95", True),
        ("70-90", "91", False),
    ],
)
def test_ports_of_two_services_on_one_vip_must_not_meet(environment, first, second, refused):
    services = [
        {"name": name, "vip": "10.20.1.80", "port": port, "mode": "dr", "real_servers": [{"host": "rs1"}]}
        for name, port in (("a", first), ("b", second))
    ]
    rules = [violation.rule for violation in environment({"services": services}).violations]
    assert rules == (["VIP-UNIQUE"] if refused else [])


def test_every_real_server_that_is_not_in_the_shared_network_is_told(environment):
    service = {"name": "web", "vip": "10.20.1.80", "port": 80, "mode": "dr", "network": "edge"}
    found = environment({"services": [{**service, "real_servers": [{"group": "app"}]}]}).violations
    assert [(v.rule, v.message.partition("shared, but ")[2].partition(" has no")[0]) for v in found] == [
        ("DR-SAME-VLAN", "rs1"),
        ("DR-SAME-VLAN", "rs2"),
    ]


WEB = {"name": "web", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"group": "app"}]}
NAT = {**WEB, "vip": "203.0.113.81", "mode": "nat", "return_path": "policy"}
OF_MANY = {"type": "tcp", "interval": 1, "timeout": 1}


@pytest.mark.parametrize(
    ("service", "rules"),
    [
        ({**WEB, "health_check": {"type": "tcp"}, "floor": "50%"}, []),
        ({**WEB, "health_check": {"type": "tcp"}, "floor": "51%"}, ["CHECK-FLOOR"]),
        ({**WEB, "health_check": {"type": "tcp"}, "floor": "51%", "real_servers": [{"host": "rs1"}]}, []),
        ({**WEB, "real_servers": [{"host": "rs1"}], "floor": "10%", "sorry_server": {"host": "rs2"}}, ["CHECK-MISSING", "CHECK-MISSING"]),
        ({**WEB, "health_check": {"type": "tcp", "path": "/x", "query": "x"}}, ["CHECK-KEY", "CHECK-KEY"]),
        ({**WEB, "health_check": {"type": "script", "port": 81, "command": "/bin/true"}}, []),
        ({**WEB, "health_check": {"type": "ping", "port": 81}}, ["CHECK-KEY"]),
        ({**WEB, "health_check": {"type": "dns", "port": 53}}, []),
        ({**WEB, "health_check": {"type": "dns"}}, ["CHECK-PROVES-NOTHING"]),
        ({**WEB, "protocol": ["tcp", "udp"], "health_check": {"type": "dns"}}, []),
        ({**WEB, "health_check": {"type": "tcp"}, "scheduler": "mh"}, ["CHECK-REMOVAL"]),
        ({**WEB, "health_check": {"type": "tcp"}, "scheduler": "mh", "scheduler_flags": ["mh-fallback"]}, []),
        ({**WEB, "scheduler": "mh"}, []),
        *(
            (
                {**NAT, "real_servers": [{"host": "rs1", "port": 8000 + n} for n in range(count)], "health_check": check},
                rules,
            )
            for count, check, rules in (
                (230, OF_MANY, []),
                (231, OF_MANY, ["CHECK-RATE"]),
                (231, {**OF_MANY, "interval": 2}, []),
                (231, {**OF_MANY, "way": "rip"}, []),
            )
        ),
    ],
)  # fmt: skip
def test_checks_floors_and_sorry_servers_are_refused_from_there_on_where_they_cannot_work(environment, service, rules):
    assert [violation.rule for violation in environment({"services": [service]}).violations] == rules
