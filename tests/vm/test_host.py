"""Every host has its plan, as the kernel sees it."""

import json

from ansible.module_utils.lvs_host import ipvs, netfilter, network, sysctls
from ansible.module_utils.lvs_host.resource import statements


def values(host, paths):
    """The first lines of files, by path; read at once, as each command is a login."""
    said = host.run(f"grep -H '' {' '.join(paths)}").stdout if paths else ""
    return {path: value for path, _, value in (line.partition(":") for line in reversed(said.splitlines()))}


def test_the_host_answers_by_its_name(host, name):
    assert host.check_output("hostname") == name


def test_vips_are_on_their_devices_and_nowhere_else(host, host_plan):
    links = json.loads(host.check_output("ip -json -4 address show"))
    held = {(a["local"], link["ifname"]) for link in links for a in link["addr_info"] if a["prefixlen"] == 32}
    assert held == {(vip.address, vip.device) for vip in host_plan.addresses}


def test_settings_have_the_effect_that_the_plan_wants(host, host_plan):
    keys = [setting.key for setting in host_plan.sysctls]
    others = [other for other in map(sysctls.sibling, keys) if other]
    live = values(host, [f"/proc/sys/{key}" for key in [*keys, *others]])
    for setting in host_plan.sysctls:
        own = int(live[f"/proc/sys/{setting.key}"])
        other = sysctls.sibling(setting.key)
        combined = int(live[f"/proc/sys/{other}"]) if other else None
        assert sysctls.serves(setting.key, setting.value, sysctls.effective(setting.key, own, combined)), setting


def test_modules_are_loaded(host, host_plan):
    loaded = host.check_output("ls /sys/module").split()
    assert set(host_plan.modules) <= set(loaded)


def test_replies_leave_by_the_planned_way(host, host_plan):
    for route in host_plan.routes:
        for rule in (rule for rule in host_plan.rules if rule.lookup == str(route.table)):
            selector = "" if rule.selector == "from all" else rule.selector
            way = host.check_output(f"ip route get 198.51.100.10 {selector}")
            assert f"via {route.gateway} dev {route.device}" in way


def test_iptables_has_the_rules_of_record_each_called_once(host, host_plan):
    """The kernel's own words for the rules are those of the file, so that a second run finds nothing to change."""
    recorded = netfilter.parse(host.file("/etc/lvskit/netfilter.rules").content_string) if host_plan.chains else {}
    live = {}
    for table in sorted({chain.table for chain in host_plan.chains}):
        live.update(netfilter.parse(host.check_output(f"iptables-save -t {table}")))
    assert live == netfilter.called(recorded)
    assert set(recorded) == {(chain.table, f"LVSKIT-{chain.hook}") for chain in host_plan.chains}
    assert all(recorded.values())


def test_built_modules_have_their_parameters(host, host_plan):
    wanted = {
        f"/sys/module/{module.name}/parameters/{parameter}": value
        for module in host_plan.built_modules
        for parameter, value in module.parameters.items()
    }
    assert values(host, list(wanted)) == wanted


def test_the_table_is_the_planned_one(host, host_plan):
    live = ipvs.parse(host.check_output("ipvsadm --save --numeric")) if host_plan.services else {}
    planned = {
        (service.protocol, f"{service.address}:{service.port}"): {
            f"{d.address}:{d.port}": f"{d.method} -w {d.weight}" for d in service.destinations
        }
        for service in host_plan.services
    }
    assert {key: service.destinations for key, service in live.items()} == planned


def test_nothing_of_a_former_plan_is_left(host, host_plan):
    """Settings, routes, rules and parameters of modules that the present plan does not have."""
    originals = host.file(sysctls.Sysctls.originals_path)
    changed = json.loads(originals.content_string) if originals.exists else {}
    assert set(changed) <= {setting.key for setting in host_plan.sysctls}
    routes = host.check_output(f"ip -json route show table all protocol {network.PROTOCOL}")
    record = host.file(network.Network.path)
    recorded = statements(record.content_string) if record.exists else []
    assert network.live_statements("[]", routes, host.check_output("ip -json rule show")) <= set(recorded)
    acting = host.run("grep -l . /sys/module/lvskit_*/parameters/*ips").stdout.split()
    planned = {f"/sys/module/{m.name}/parameters/{name}" for m in host_plan.built_modules for name in m.parameters}
    assert set(acting) <= planned


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
