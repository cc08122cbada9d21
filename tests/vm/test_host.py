"""Every host has its plan and nothing else of lvskit's, as the kernel sees it.

Each test compares sets of both sides on every host, also where the plan has nothing of the kind.
"""

import json
import re
from ipaddress import ip_address, ip_network

import pytest
from ansible.module_utils.lvs.walk import walk
from ansible.module_utils.lvs_host import ipvs, module_options, netfilter, network, sysctls
from ansible.module_utils.lvs_host.kinds import TEXTS
from ansible.module_utils.lvs_host.resource import statements

FAR = "198.18.0.1"  # in none of the lab's networks
PRESENT = "/proc/sys/kernel/hostname"  # a file that every host has: shows that reading works


def address_of(endpoint):
    return endpoint.rpartition(":")[0].strip("[]")


def lines_of(host, patterns):
    """The lines of files, by path; one login for all of them. Files that do not exist are left out."""
    said = host.run(f"printf '%s\\n' {PRESENT} {' '.join(patterns)} | sort -u | xargs grep -sH ''").stdout.splitlines()
    found = {}
    for path, _, line in (line.partition(":") for line in said):
        found.setdefault(path, []).append(line)
    assert found.pop(PRESENT)
    return found


def test_the_host_answers_by_its_name(host, name):
    assert host.check_output("hostname") == name


def test_the_files_of_record_are_those_of_the_plan(host, texts):
    planned = {TEXTS[name]: statements(text) for name, text in texts.items()}
    found = lines_of(host, planned)
    recorded = {path: statements("\n".join(found.get(path, []))) for path in planned}
    assert recorded == planned


def test_vips_are_on_their_devices_and_nowhere_else(host, host_plan, foreign):
    links = json.loads(host.check_output("ip -json address show"))
    whole = {("inet", 32), ("inet6", 128)}
    held = {
        (address["local"], link["ifname"], bool(address.get("deprecated")))
        for link in links
        for address in link["addr_info"]
        if (address["family"], address["prefixlen"]) in whole and address["local"] != "::1"
    }
    planned = {(vip.address, vip.device, ":" in vip.address) for vip in host_plan.addresses}
    for router in host_plan.routers:  # all that moves is at the master
        if any(address == router.token for address, _, _ in held):
            moving = {(one.address, one.device, ":" in one.address) for one in router.addresses}
            planned |= {(router.token, "lo", False), *moving}
    assert {end for end in held if not foreign(end[0])} == planned


def test_settings_have_the_effect_that_the_plan_wants(host, host_plan):
    keys = [setting.key for setting in host_plan.sysctls]
    others = [other for other in map(sysctls.sibling, keys) if other]
    live = {path: int(value) for path, (value,) in lines_of(host, [f"/proc/sys/{k}" for k in keys + others]).items()}
    for setting in host_plan.sysctls:
        other = sysctls.sibling(setting.key)
        combined = live[f"/proc/sys/{other}"] if other else None
        used = sysctls.effective(setting.key, live[f"/proc/sys/{setting.key}"], combined)
        assert sysctls.serves(setting.key, setting.value, used), setting


def test_settings_that_the_plan_does_not_have_are_as_they_were(host, host_plan):
    """lvskit keeps a setting's former value for as long as its own is in force."""
    originals = host.file(sysctls.Sysctls.originals_path)
    changed = json.loads(originals.content_string) if originals.exists else {}
    assert set(changed) <= {setting.key for setting in host_plan.sysctls}


def test_modules_are_loaded(host, host_plan):
    loaded = host.check_output("ls /sys/module").split()
    assert set(host_plan.modules) <= set(loaded)


def test_parameters_of_modules_are_the_planned_ones(host, host_plan):
    """A module that the plan does not have may stay loaded, but has no address to act on."""
    planned = {
        f"/sys/module/{module.name}/parameters/{parameter}": value
        for module in host_plan.built_modules
        for parameter, value in module.parameters.items()
    }
    acting = [f"/sys/module/lvskit_*/parameters/{name}" for name in module_options.MEMBERS]
    live = {path: value for path, (value,) in lines_of(host, [*planned, *acting]).items()}
    assert {path: value for path, value in live.items() if value or path in planned} == planned


@pytest.mark.real_servers
def test_replies_leave_by_the_planned_way(host, topology, name):
    """The kernel's own choice of device and gateway, for each service that the host serves, beside the predicted one."""
    asked, planned = [], []
    for entry in (entry for service in topology.services for entry in service.entries if entry.protocol != "sctp"):
        service = entry.service
        for server in (server for server in service.real_servers if server.host.name == name):
            hops = walk(topology, entry, service.directors[0], server, topology.clients[0]).hops
            hop = next(hop for hop in hops if hop.leg == "reply" and hop.sender.host == name)
            real = topology.real_interface(entry, service.directors[0], server.host).address
            source = entry.vip if service.mode.holds_vip else real
            target = hop.packet.destination.address
            port = server.at_port(entry.port)
            asked.append(f"ip -json route get {target} from {source} ipproto {entry.protocol} sport {port}")
            gateway = None if target in hop.network else str(hop.receiver.address)
            planned.append((hop.sender.interface, gateway))
    said = host.check_output("; ".join(["set -e", *asked])).splitlines()
    routes = [json.loads(line)[0] for line in said if line]
    assert [(route["dev"], route.get("gateway")) for route in routes] == planned, asked


@pytest.mark.real_servers
@pytest.mark.by_gateway
def test_packets_from_other_addresses_do_not_take_the_way_of_the_replies(host, topology, name, entries):
    """The network that a host is managed by is not in the inventory, and the controller may be behind that network's router."""
    own = [
        topology.real_interface(entry, entry.service.directors[0], server.host)
        for entry in entries
        for server in entry.service.real_servers
        if server.host.name == name and entry.family.version == 4
    ]
    managed = json.loads(host.check_output("ip -json -4 address show dev eth0"))[0]["addr_info"][0]["local"]
    assert own
    assert managed not in {one.text for one in topology.hosts[name].interfaces[0].attachments}
    (usual,) = json.loads(host.check_output("ip -json -4 route show default table main"))
    asked = f"ip -json route get {FAR} from"
    (other,), (reply,) = (json.loads(host.check_output(f"{asked} {source}")) for source in (managed, own[0].text))
    assert (other["dev"], other.get("gateway")) == (usual["dev"], usual.get("gateway"))
    assert reply["gateway"] in {str(address) for entry in entries for address in entry.service.directors[0].addresses}
    assert reply["gateway"] != other["gateway"]


@pytest.mark.parametrize(("option", "family", "file"), [("-4", "inet", "network"), ("-6", "inet6", "network6")])
def test_routes_and_rules_are_the_planned_ones(host, texts, option, family, file):
    routes = host.check_output(f"ip -json {option} route show table all protocol {network.PROTOCOL}")
    rules = host.check_output(f"ip -json {option} rule show")
    live = network.live_statements("[]", routes, rules, family)
    planned = statements(texts[file])
    assert live == {line for line in planned if line.startswith(("route ", "rule "))}
    own = [rule for rule in json.loads(rules) if str(rule.get("protocol")) == network.PROTOCOL]
    assert len(live) == len(json.loads(routes or "[]")) + len(own)


@pytest.mark.parametrize(("program", "file"), [("iptables", "netfilter"), ("ip6tables", "netfilter6")])
def test_iptables_has_the_planned_rules_each_called_once(host, texts, program, file):
    """The kernel's own words for the rules are those of the file, so that a second run finds nothing to change."""
    planned = netfilter.parse(texts[file])
    saved = host.check_output(f"{program}-save")
    assert netfilter.parse(saved) == netfilter.called(planned)
    assert saved.count(f":{netfilter.PREFIX}") == len(planned)
    assert all(planned.values())


def test_the_ipvs_table_is_the_planned_one(host, texts, foreign):
    """Scheduler, persistence, destinations, methods, weights and thresholds. ipvsadm would load the module only to look."""

    def said(options):
        return host.check_output(f"if [ -e {ipvs.TABLE} ]; then ipvsadm {options}; fi")

    saved = ipvs.with_thresholds(said("--save --numeric").splitlines(), said("--list --thresholds --numeric"))
    ours = [line for line in saved if line.split()[1] == "-f" or not foreign(address_of(line.split()[2]))]
    live = ipvs.parse("\n".join(ours))
    assert live == ipvs.parse(texts["ipvs"])


@pytest.mark.directors
@pytest.mark.checked
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_health_checks_are_no_connections_of_conntrack(host, host_plan, family):
    """Neither as they are sent nor as they are answered; those of fullnat on a single director are."""
    rules = host_plan.netfilter if family == "ipv4" else host_plan.netfilter6
    answers = [(one.protocol, ip_network(one.source), one.address) for one in rules.unseen_answers]
    host.check_output(f"conntrack -F -f {family}; sleep 8")  # without a module, ends of checks came back untranslated
    entries = host.check_output(f"conntrack -L -f {family}").splitlines()
    found = {(line, line.split()[0], *ends) for line in entries for ends in re.findall(r"src=(\S+) dst=(\S+)", line)}
    seen = [
        line
        for line, protocol, source, to in found
        for of, sources, address in answers
        if (protocol, to) == (of, address) and ip_address(source) in sources
    ]
    assert seen == []


@pytest.mark.directors
@pytest.mark.checked
def test_scripts_of_checks_run_after_a_reload(host):
    """The canary is one: the governor ends a checker whose canary is silent."""
    run = "[ $(stat -c %Y /run/lvskit/canary) -gt $began ]"
    host.check_output(
        f"systemctl reload lvskit-health; sleep 2; began=$(date +%s); for i in $(seq 20); do {run} && exit; sleep 1; done; exit 1"
    )


@pytest.mark.directors
@pytest.mark.translated_checks
def test_health_checks_of_fullnat_come_from_a_local_address(host, topology, name, entries):
    """As requests do, whatever port they ask."""
    director = topology.hosts[name]
    own = {str(address) for address in director.addresses}
    checked = [entry for entry in entries if director in entry.service.directors]
    assert checked
    for entry in {(entry.vip, entry.service.name): entry for entry in checked}.values():
        locals_ = {str(one) for one in entry.service.locals_of(entry.family, director)}
        found = host.check_output(f"conntrack -L -f ipv{entry.family.version} -p tcp --orig-dst {entry.vip}")
        ends = [re.findall(r"src=(\S+) dst=(\S+)", line) for line in found.splitlines()]
        answered = {answer[1] for asked, answer in ends if asked[0] in own}
        assert answered and answered <= locals_, entry


def test_no_unit_has_failed(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
