"""The declared keys: what a schema for editors accepts, what old names become, what the reader makes of nested mappings."""

import re
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible.module_utils.lvs.contract import variable_checks, variables
from ansible.module_utils.lvs.contract.checks import HealthCheck, Percent, SorryServer
from ansible.module_utils.lvs.contract.key import Nested, keys_of
from ansible.module_utils.lvs.contract.schema import schema
from ansible.module_utils.lvs.topology import Host, Interface, Needs, Network, RealServer, Receiver, Service

sys.path.insert(0, str(Path(__file__).parents[2]))  # the generators are run from the repository, not installed

from tools import docs

PROJECT = Path(__file__).parents[2]
FILES = sorted(path for path in (PROJECT / "inventory").rglob("*_vars/**/*.yml"))
SCHEMA = jsonschema.Draft7Validator(schema())
SERVICE = {"name": "web", "vip": "192.0.2.80", "port": 80, "mode": "dr", "real_servers": [{"group": "web"}]}


def places(document):
    """Where the schema refuses a document."""
    return [".".join(map(str, error.absolute_path)) for error in SCHEMA.iter_errors(document)]


def test_the_schema_is_one():
    jsonschema.Draft7Validator.check_schema(schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT / "inventory")))
def test_the_schema_accepts_every_file_of_the_inventories_that_come_along(path):
    assert places(yaml.safe_load(path.read_text())) == []


def test_the_inventories_that_come_along_are_more_than_a_few_files():
    assert {path.relative_to(PROJECT / "inventory").parts[0] for path in FILES} == {"lab", "example-production"}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"lvs_servcies": []}, ""),  # misspelt, the variable
        ({"lvs_networks": {"app": {"cidr": "10.0.0.0/24", "vlan": 7, "gatway": "10.0.0.1"}}}, "lvs_networks.app"),
        ({"lvs_services": [{**SERVICE, "wight": 1}]}, "lvs_services.0"),
        ({"lvs_services": [{**SERVICE, "needs": {"direct_reply": True}}]}, "lvs_services.0.needs"),
        ({"lvs_services": [{**SERVICE, "real_servers": [{"hosts": "rs1"}]}]}, "lvs_services.0.real_servers.0"),
        ({"lvs_services": {"web": SERVICE}}, "lvs_services"),  # of another type
        ({"lvs_services": [{**SERVICE, "port": "http"}]}, "lvs_services.0.port"),
        ({"lvs_services": [{**SERVICE, "port": True}]}, "lvs_services.0.port"),
        ({"lvs_services": [{**SERVICE, "vip_routed": "perhaps"}]}, "lvs_services.0.vip_routed"),
        ({"lvs_drained": "perhaps"}, "lvs_drained"),
        ({"lvs_interfaces": {"eth1": "10.0.0.1"}}, "lvs_interfaces.eth1"),
        ({"lvs_services": [{**SERVICE, "port": 70000}]}, "lvs_services.0.port"),  # out of range
        ({"lvs_services": [{**SERVICE, "scheduler": "wlcc"}]}, "lvs_services.0.scheduler"),
        ({"lvs_networks": {"app": {"cidr": "10.0.0.0/24", "vlan": 4095}}}, "lvs_networks.app.vlan"),
        ({"lvs_option_kind": 8}, "lvs_option_kind"),
        ({"lvs_services": [{**SERVICE, "vip": "192.0.2.80/24"}]}, "lvs_services.0.vip"),
        ({"lvs_services": [{**SERVICE, "real_servers": []}]}, "lvs_services.0.real_servers"),
        ({"lvs_services": [{key: SERVICE[key] for key in ("name", "vip")}]}, "lvs_services.0"),  # keys missing
        ({"lvs_services": [{**SERVICE, "real_servers": [{"port": 80}]}]}, "lvs_services.0.real_servers.0"),
        (
            {"lvs_services": [{**SERVICE, "real_servers": [{"host": "a", "group": "b"}]}]},
            "lvs_services.0.real_servers.0",
        ),
    ],
)
def test_the_schema_refuses(document, where):
    assert set(places(document)) == {where}


def test_the_schema_lets_pass_what_ansible_has_yet_to_fill_in_and_variables_of_others():
    networks = {"app": {"cidr": "{{ lab_prefix }}.0/24", "vlan": "{{ vlan }}", "gateway": "{{ gateway }}"}}
    assert places({"lvs_networks": networks, "ansible_user": "root", "lvs_drained": "{{ broken }}"}) == []


# The schema of single values and the reader agree on every broken inventory whose fault is one of single values.
BEYOND_ONE_VALUE = {
    "ADDRESS-NETWORK", "DEFAULT-ROUTE", "DIRECTOR-UNKNOWN", "GROUP-MEMBER", "GROUP-MISSING", "GROUP-NAME", "INTERFACE-NAME", "IPV6-UNSUPPORTED", "KEY-MODE",
    "NETWORK-UNKNOWN", "RS-EMPTY", "RS-UNKNOWN",
}  # fmt: skip


def test_the_schema_refuses_the_broken_inventories_whose_fault_is_one_value():
    refused = {}
    for name, raw in docs.broken().items():
        rule = raw["expect"].split(":")[0]
        _, faults = docs.parsed(raw)
        if {fault.rule for fault in faults} == {rule} and rule not in BEYOND_ONE_VALUE:
            common = {"lvs_networks": raw["networks"], "lvs_services": raw["services"]}
            common |= {"lvs_directors": raw["directors"]} if "directors" in raw else {}
            documents = [common, *raw["hosts"].values()]
            refused[name] = any(places(document) for document in documents)
    assert len(refused) > 15
    assert [name for name, found in refused.items() if not found] == [
        "check-command-of-a-shell",
        "check-command-open-quote",
        "check-command-with-a-variable",
        "check-expression",
        "check-status",
        "gateway-link-local",
        "host-bits",
        "mark-few",
        "mark-overlap",
        "network-is-multicast",
        "port-map-not-one-to-one",
        "port-range-backwards",
        "vip-is-loopback",
        "vip-is-reserved",
        "vip-leading-zero",
        "vip-mapped",
    ]  # arithmetic, and what addresses and expressions mean, which no schema knows


def test_a_key_of_one_mode_names_the_modes_that_it_is_for():
    named = {key.name: key.mode_names for key in keys_of(Service).values() if key.modes}
    assert named == {
        "helper": ("nat",),
        "return_path": ("nat",),
        "outer_family": ("tun",),
        "local_addresses": ("fullnat",),
        "client_address": ("fullnat",),
        "cip_src": ("enat",),
    }


@pytest.mark.parametrize(
    "cls", [Network, Interface, Host, Receiver, RealServer, Needs, Service, HealthCheck, SorryServer]
)
def test_every_default_is_a_value_of_its_kind_or_stands_for_none(cls):
    for key in keys_of(cls).values():
        raw = list(key.default) if isinstance(key.default, tuple) else key.default
        if not key.required and raw not in (None, []) and not isinstance(key.kind, Nested):
            assert key.kind.read(f"{raw}%" if isinstance(key.kind, Percent) else raw) == key.default, key.name


def test_variables_that_playbooks_and_roles_use_are_declared():
    modules = {
        path.stem
        for folder in ("library", "filter_plugins", "lookup_plugins", "action_plugins")
        for path in (PROJECT / folder).glob("*.py")
    }
    others = modules | {path.name for path in (PROJECT / "module_utils").iterdir()}
    files = [path for folder in ("playbooks", "roles") for path in (PROJECT / folder).rglob("*.yml")]
    text = "\n".join(path.read_text() for path in files)
    used = set(re.findall(r"(?<![\w/.])lvs_\w+", text)) - others
    declared = set(variables.IN_INVENTORIES) | {one.name for role in variables.ROLES for one in role.variables}
    assert len(used) > 15
    assert used - declared == set()


def test_a_variable_has_one_declaration():
    roles = [one for role in variables.ROLES for one in role.variables]
    names = [one.name for one in (*variables.ENVIRONMENT, *keys_of(Host).values(), *variables.PLAYBOOKS, *roles)]
    assert sorted(set(names)) == sorted(names)


def test_an_old_name_in_an_inventory_is_warned_of_once_with_its_first_place():
    path = "".join(["/index", ".html"])
    hosts = {"lb1": {"ansible_user": "root"}, "rs1": {"verify_path": path}, "rs2": {"verify_path": "/", "drain": "rs1"}}
    found = variable_checks.old_names(hosts)
    assert [(v.rule, v.warning) for v in found] == [("OLD-NAME", True)] * 2
    assert found[0].at is path
    assert found[0].message == "verify_path has no effect: lvskit's variable is lvs_verify_path now. Rename it."
    assert "lvs_drain" in found[1].message


def test_extra_vars_by_an_old_or_a_misspelt_name_are_refused_and_others_are_not():
    given = {
        "batches": [1],
        "to": "2026",
        "lvs_verfy_path": "/",
        "lvs_drain": "rs1",
        "lvs_host_remove": False,
        "mine": 1,
        "LVS_Batches": 1,
        "lvs-undrain": "rs1",
        "site_rollback": False,
        "weight": 3,
        "services": [],
    }
    assert variable_checks.refused_extra_vars(given) == [
        "-e batches: the variable is lvs_batches now. Say -e lvs_batches=…",
        "-e to: the variable is lvs_rollback_to now. Say -e lvs_rollback_to=…",
        "-e lvs_verfy_path: lvskit has no such variable: did you mean lvs_verify_path?",
        "-e LVS_Batches: lvskit's variable is lvs_batches. Say -e lvs_batches=…",
        "-e lvs-undrain: lvskit's variable is lvs_undrain. Say -e lvs_undrain=…",
        "-e site_rollback: lvskit's variable is lvs_site_rollback. Say -e lvs_site_rollback=…",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lvs_batches": "1,100%"}, None),
        ({"lvs_batches": [1, "100%"], "lvs_host_drain_timeout": "5", "lvs_unprepared": "true", "lvs_weight": 0}, None),
        ({"lvs_weight": "{{ planned }}", "lvs_drain": ["rs1"], "lvs_advise_needs": {"x": 1}, "lvs_director_batches": None}, None),
        ({"lvs_batches": "abc"}, "-e lvs_batches: abc is no list of numbers of hosts, or of percentages (write it like 1,100%)"),
        ({"lvs_batches": 0}, "-e lvs_batches: 0 is no list of numbers of hosts, or of percentages (write it like 1,100%)"),
        ({"lvs_batches": ""}, "-e lvs_batches:  is no list of numbers of hosts, or of percentages (write it like 1,100%)"),
        ({"lvs_host_drain_timeout": "5m"}, "-e lvs_host_drain_timeout: 5m is not a whole number. Write the seconds: 300"),
        ({"lvs_unprepared": "maybe"}, "-e lvs_unprepared: maybe is neither true nor false"),
        ({"lvs_director_batches": "two"}, "-e lvs_director_batches: two is not a whole number"),
        ({"lvs_weight": "50%"}, "-e lvs_weight: 50% is neither a weight from 0 to 65535 nor `planned`"),
        ({"lvs_weight_for": "half"}, "-e lvs_weight_for: half is no duration (write it like 30m: s, m, h or d)"),
        ({"lvs_drain": "rs1,", "_raw_params": "rs2"}, "-e: rs2 stands behind a blank, and is no part of any variable. Write lists without blanks, "
         "and put texts with blanks into quotes."),
    ],
)  # fmt: skip
def test_values_of_the_command_line_are_refused_before_anything_else(given, said):
    assert variable_checks.refused_extra_vars(given) == ([said] if said else [])


def test_every_old_name_of_version_0_1_0_has_a_new_one():
    assert variables.OLD_NAMES == {
        "verify_services": "lvs_verify_services",
        "verify_path": "lvs_verify_path",
        "explain_to": "lvs_explain_to",
        "explain_services": "lvs_explain_services",
        "preflight_services": "lvs_preflight_services",
        "service": "lvs_trace_service",
        "trace_to": "lvs_trace_to",
        "batches": "lvs_batches",
        "drain": "lvs_drain",
        "host_drain_timeout": "lvs_host_drain_timeout",
        "teardown_services": "lvs_teardown_services",
        "teardown_hosts": "lvs_teardown_hosts",
        "advise_services": "lvs_advise_services",
        "needs": "lvs_advise_needs",
        "to": "lvs_rollback_to",
        "host_purge_foreign": "lvs_host_purge_foreign",
        "host_packages": "lvs_host_packages",
        "host_systemd_sysctl": "lvs_host_systemd_sysctl",
    }
