"""Every host has its plan, as the kernel sees it."""

import json

from ansible.module_utils.lvs_host import ipvs, sysctls


def test_the_host_answers_by_its_name(host, name):
    assert host.check_output("hostname") == name


def test_vips_are_on_their_devices_and_nowhere_else(host, host_plan):
    links = json.loads(host.check_output("ip -json -4 address show"))
    held = {(a["local"], link["ifname"]) for link in links for a in link["addr_info"] if a["prefixlen"] == 32}
    assert held == {(vip.address, vip.device) for vip in host_plan.addresses}


def test_settings_have_the_effect_that_the_plan_wants(host, host_plan):
    for setting in host_plan.sysctls:
        own = int(host.check_output(f"cat /proc/sys/{setting.key}"))
        other = sysctls.sibling(setting.key)
        combined = int(host.check_output(f"cat /proc/sys/{other}")) if other else None
        assert sysctls.effective(setting.key, own, combined) in sysctls.acceptable(setting.key, setting.value), setting


def test_modules_are_loaded(host, host_plan):
    for module in host_plan.modules:
        assert host.file(f"/sys/module/{module}").is_directory, module


def test_replies_leave_by_the_planned_way(host, host_plan):
    for route in host_plan.routes:
        for rule in (rule for rule in host_plan.rules if rule.lookup == str(route.table)):
            selector = "" if rule.selector == "from all" else rule.selector
            way = host.check_output(f"ip route get 198.51.100.10 {selector}")
            assert f"via {route.gateway} dev {route.device}" in way


def test_segments_are_announced_small_enough_for_a_tunnel(host, host_plan):
    rules = host.check_output("iptables-save -t mangle") if host_plan.mss_clamps else ""
    for clamp in host_plan.mss_clamps:
        assert (
            rules.count(f"-s {clamp.vip}/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {clamp.mss}") == 1
        )
    assert rules.count("-A OUTPUT -j LVSKIT-OUTPUT") == bool(host_plan.mss_clamps)


def test_the_table_is_the_planned_one(host, host_plan):
    live = ipvs.parse(host.check_output("ipvsadm --save --numeric")) if host_plan.services else {}
    planned = {
        (service.protocol, f"{service.address}:{service.port}"): {
            f"{d.address}:{d.port}": f"{d.method} -w {d.weight}" for d in service.destinations
        }
        for service in host_plan.services
    }
    assert {key: service.destinations for key, service in live.items()} == planned


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
