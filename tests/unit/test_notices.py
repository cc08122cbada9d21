"""Warnings about many services at once."""

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.lvs.notices import notices

BASE = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())
FARM = {"port": 80, "real_servers": [{"group": "farm"}]}
TUN = {"name": "media", "vip": "203.0.113.82", "mode": "tun", **FARM}


def replies(environment, *services, **changes):
    topology = environment({"services": list(services), **changes}).topology
    return [one for one in notices(topology) if one.rule == "REPLY-SOURCE"]


def test_replies_that_a_router_hears_from_another_network_than_the_vips_are_one_warning(environment):
    enat = {"name": "reports", "vip": "203.0.113.84", "mode": "enat", **FARM}
    (found,) = replies(environment, TUN, enat)
    assert str(found) == (
        "REPLY-SOURCE: media and reports: replies of real servers come to the router of network farm with a VIP of edge as their "
        "source, and a router that checks sources drops them. Have it accept them from farm, or use fullnat."
    )
    assert (found.at, found.warning) == ("203.0.113.82", True)


@pytest.mark.parametrize(
    "service",
    [
        {"name": "own", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"group": "app"}]},
        {**TUN, "mode": "fullnat", "local_addresses": ["10.20.1.200"]},
    ],
    ids=["a VIP of the real servers' network", "replies by the director"],
)
def test_other_replies_are_none(environment, service):
    assert replies(environment, service) == []


def test_replies_to_neighbours_pass_no_router(environment):
    near = {"client1": {"lvs_interfaces": {"eth1": {"network": "farm", "address": "10.20.2.50"}}}}
    assert replies(environment, TUN, hosts={**BASE["hosts"], **near}) == []
    nobody = {**BASE["groups"], "clients": []}
    assert len(replies(environment, TUN, groups=nobody)) == 1, "any client may be elsewhere"


def test_hundreds_of_services_are_one_line(environment):
    many = [{**TUN, "name": f"s{number}", "vip": f"203.0.113.{number}"} for number in range(30, 150)]
    (found,) = replies(environment, *many)
    assert found.message.startswith("s30, s31, s32 and 117 more: ")


def of(rule, environment, **changes):
    return [one for one in notices(environment(changes).topology) if one.rule == rule]


@pytest.mark.parametrize("serving", [["rs1"], ["lb1"], ["client1", "rs3", "lb1"]])
def test_clients_that_serve_are_told(environment, serving):
    groups = {**BASE["groups"], "clients": serving}
    (found,) = of("CLIENT-SERVES", environment, groups=groups)
    names = [name for name in serving if name != "client1"]
    assert str(found).startswith(f"CLIENT-SERVES: {' and '.join(names)}: in the group clients, and a director or real")
    assert found.warning
    assert of("CLIENT-SERVES", environment) == []


def test_a_group_of_directors_of_no_service_is_told(environment):
    group = {"redundancy": "vrrp", "virtual_router_id": 51}
    directors = {"directors": group, "farm": {**group, "virtual_router_id": 52}}
    service = {"name": "web", "vip": "10.20.1.80", "port": 80, "mode": "dr", "real_servers": [{"group": "app"}]}
    (found,) = of("DIRECTORS-UNUSED", environment, directors=directors, services=[service])
    assert str(found).startswith(
        "DIRECTORS-UNUSED: director group farm: no service has directors: farm, so it elects nobody."
    )
    assert found.warning
    faulty = {**service, "port": "http"}
    assert of("DIRECTORS-UNUSED", environment, directors=directors, services=[service, {**faulty, "name": "b"}]) == []
