"""The changes of one run to the inventory: drained real servers, removed hosts and services."""

import copy

import pytest
from ansible.module_utils.lvs import inventory, plan
from ansible.module_utils.lvs.changes import Changes
from conftest import BASE


def plans(changes):
    raw = copy.deepcopy(BASE)
    groups = {"all": list(raw["hosts"]), **raw["groups"]}
    assert changes.check(raw["services"], raw["hosts"], groups["real_servers"]) == []
    topology, faults = inventory.parse(
        raw["networks"], changes.services(raw["services"]), changes.hosts(raw["hosts"]), changes.groups(groups)
    )
    assert faults == []
    return plan.plans(topology)


def destinations(plans):
    return {d.address for host in plans.values() for service in host.services for d in service.destinations}


def test_a_group_stands_for_its_real_servers():
    groups = {"web": ["rs1", "rs2", "mon1"], "others": ["mon1"]}
    found = Changes(drained=("web", "rs3", "rs1", "others")).with_members(groups, ["rs1", "rs2", "rs3"])
    assert found.drained == ("rs1", "rs2", "rs3", "others")


def test_no_change_changes_nothing():
    assert plans(Changes()) == plans(Changes(drained=[], without_hosts=[], without_services=[]))
    assert {"10.20.1.11", "10.20.1.12"} <= destinations(plans(Changes()))


def test_a_drained_host_is_in_no_table_and_keeps_its_plan():
    before, after = plans(Changes()), plans(Changes(drained=["rs1"]))
    assert destinations(before) - destinations(after) == {"10.20.1.11"}
    assert after["rs1"] == before["rs1"]


def test_a_host_that_leaves_has_a_plan_with_nothing_in_it():
    after = plans(Changes(without_hosts=["rs1"]))
    assert "10.20.1.11" not in destinations(after)
    assert after["rs1"] == plan.HostPlan("rs1", after["rs1"].interfaces)


def test_a_host_that_a_service_names_can_leave_too():
    services = [{"name": "a", "real_servers": [{"host": "rs1"}, {"group": "web"}, {"host": "rs2"}]}]
    kept = Changes(without_hosts=["rs1"]).services(services)
    assert kept == [{"name": "a", "real_servers": [{"group": "web"}, {"host": "rs2"}]}]


def test_a_service_that_leaves_is_in_no_plan():
    name = BASE["services"][0]["name"]
    after = plans(Changes(without_services=[name]))
    assert name in {service.service for service in plans(Changes())["lb1"].services}
    assert name not in {service.service for service in after["lb1"].services}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (Changes(drained=["rs11"]), "there is no real server rs11: "),
        (
            Changes(drained=["lb1"]),
            "there is no real server lb1: the host is not in the group real_servers. What a director of a group in lvs_directors holds "
            "is moved by playbooks/failover.yml.",
        ),
        (Changes(without_hosts=["rs11"]), "there is no host rs11: "),
        (Changes(without_services=["nothing"]), "there is no service nothing: "),
    ],
)
def test_unknown_names_are_refused(changes, said):
    (message,) = changes.check(BASE["services"], BASE["hosts"], BASE["groups"]["real_servers"])
    assert message.startswith(said)


def test_all_stands_for_every_service():
    assert Changes(without_services=["all"]).services(BASE["services"]) == []
