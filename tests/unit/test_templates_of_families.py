"""The files of hosts with IPv6, firewall marks and all that IPVS can do, by plans made by hand. The rules are as iptables-save and
ip6tables-save of Debian 12 printed them after they were restored.
"""

from pathlib import Path

import pytest
import units
from ansible.module_utils.lvs.host_plan import (
    AddressRange,
    Answers,
    Chain,
    DefaultRoute,
    Destination,
    Guard,
    HostPlan,
    Mark,
    MssClamp,
    Netfilter,
    PolicyRule,
    Ports,
    Replies,
    SourceNat,
    Untracked,
    VirtualAddress,
    VirtualService,
)
from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host.resource import statements

TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
MARK = 0x6C000001
UNREACHABLE = {4: ("icmp", "203.0.113.80/32", ("3",)), 6: ("ipv6-icmp", "2001:db8::80/128", ("1",))}
VIPS = {4: ("203.0.113.80", "10.20.1.201"), 6: ("2001:db8::80", "2001:db8:a::201")}


def rendered(plan):
    return layout.texts(plan, str(TEMPLATES), "/lib/systemd/systemd-sysctl")


def rules(family):
    vip, local = VIPS[family]
    prefix = f"{vip}/{32 if family == 4 else 128}"
    return Netfilter(
        chains=(Chain("mangle", "PREROUTING"), Chain("nat", "POSTROUTING")),
        marks=(Mark("tcp", vip, ("80", "443", "8000:8100"), MARK), Mark("sctp", vip, ("80",), MARK)),
        mss_clamps=(MssClamp(vip, 1220),),
        source_nats=(
            SourceNat("tcp", vip, 80, (AddressRange(local, "0.50000000000"), AddressRange(f"{local}-{local}", None))),
            SourceNat("udp", vip, 0, (AddressRange(local, None),), f"{MARK:#x}"),
            SourceNat("tcp", vip, 22, (AddressRange(local, None),), "0x6cc00000/0xffc00000"),
        ),
        returning_vips=(vip,),
        untracked=(
            Untracked("udp", prefix, ("514", "600:700")),
            Untracked("tcp", prefix, ("80",), ending=True),
            Untracked("tcp", prefix, ("80", "443"), ending=True),
        ),
        admitted=(Ports("tcp", prefix, ("80",)),),
        guards=(Guard(local, ("80",), (vip,), 254), Guard(vip, ("81", "82"), (), 253)),
        replies=(
            Replies("tcp", prefix, ("80",), "eth1"),
            Replies("tcp", prefix, ("80", "443"), "eth1"),
            Replies("tcp", prefix, ("20",), "eth1", opening=True),
            Replies("udp", prefix, ("53", "1000:2000"), "eth1"),
            Replies("sctp", prefix, ("80",), "eth1"),
            Replies(*UNREACHABLE[family], "eth1"),
        ),
        taken_answers=(Answers("INPUT", "tcp", prefix, local, ("80",)),),
    )


@pytest.mark.parametrize(("family", "option", "length"), [(4, "netfilter", 32), (6, "netfilter6", 128)])
def test_both_families_have_the_same_rules(family, option, length):
    vip, local = VIPS[family]
    texts = rendered(HostPlan("lb1", **{option: rules(family)}))
    passed, begun = f"-A LVSKIT-FORWARD -s {vip}/{length} -i eth1", "! --tcp-flags FIN,SYN,RST,ACK SYN"
    error = "-p icmp -m icmp --icmp-type 3" if family == 4 else "-p ipv6-icmp -m icmp6 --icmpv6-type 1"
    assert statements(texts[option]) == [
        "*raw",
        ":LVSKIT-PREROUTING - [0:0]",
        f"-A LVSKIT-PREROUTING -s {vip}/{length} -d {local}/{length} -p tcp -m tcp --dport 80 -j RETURN",
        f"-A LVSKIT-PREROUTING -d {local}/{length} ! -i lo -p tcp -m tcp --dport 80 ! --tcp-option 254 -j DROP",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} ! -i lo -p tcp -m tcp ! --tcp-option 253 -m multiport --dports 81,82 -j DROP",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} -p udp -m multiport --dports 514,600:700 -j CT --notrack",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} -p tcp -m tcp --dport 80 ! --tcp-flags FIN,RST NONE -j CT --notrack",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} -p tcp -m tcp ! --tcp-flags FIN,RST NONE -m multiport --dports 80,443 -j CT --notrack",
        "COMMIT",
        "*mangle",
        ":LVSKIT-OUTPUT - [0:0]",
        ":LVSKIT-POSTROUTING - [0:0]",
        ":LVSKIT-PREROUTING - [0:0]",
        f"-A LVSKIT-OUTPUT -s {vip}/{length} -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1220",
        "-A LVSKIT-POSTROUTING -o lo -j RETURN",
        f"-A LVSKIT-POSTROUTING -s {local}/{length} -d {vip}/{length} -p tcp -m tcp --sport 80 -j RETURN",
        f"-A LVSKIT-POSTROUTING -s {local}/{length} -p tcp -m tcp --sport 80 -j DROP",
        f"-A LVSKIT-POSTROUTING -s {vip}/{length} -p tcp -m multiport --sports 81,82 -j DROP",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} -p tcp -m multiport --dports 80,443,8000:8100 "
        "-j MARK --set-xmark 0x6c000001/0xffffffff",
        f"-A LVSKIT-PREROUTING -d {vip}/{length} -p sctp -m sctp --dport 80 -j MARK --set-xmark 0x6c000001/0xffffffff",
        "COMMIT",
        "*nat",
        ":LVSKIT-POSTROUTING - [0:0]",
        f"-A LVSKIT-POSTROUTING -p tcp -m ipvs --vaddr {vip} --vport 80 --vmethod MASQ "
        f"-m statistic --mode random --probability 0.50000000000 -j SNAT --to-source {local} --random-fully",
        f"-A LVSKIT-POSTROUTING -p tcp -m ipvs --vaddr {vip} --vport 80 --vmethod MASQ "
        f"-j SNAT --to-source {local}-{local} --random-fully",
        "-A LVSKIT-POSTROUTING -p udp -m mark --mark 0x6c000001 -m ipvs --vmethod MASQ "
        f"-j SNAT --to-source {local} --random-fully",
        f"-A LVSKIT-POSTROUTING -p tcp -m mark --mark 0x6cc00000/0xffc00000 -m ipvs --vaddr {vip} --vport 22 --vmethod MASQ "
        f"-j SNAT --to-source {local} --random-fully",
        "COMMIT",
        "*filter",
        ":LVSKIT-FORWARD - [0:0]",
        ":LVSKIT-INPUT - [0:0]",
        f"-A LVSKIT-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED --ctorigdst {vip} -j ACCEPT",
        f"{passed} -p tcp -m tcp --sport 80 {begun} -j ACCEPT",
        f"{passed} -p tcp -m tcp {begun} -m multiport --sports 80,443 -j ACCEPT",
        f"{passed} -p tcp -m tcp --sport 20 -j ACCEPT",
        f"{passed} -p udp -m multiport --sports 53,1000:2000 -j ACCEPT",
        f"{passed} -p sctp -m sctp --sport 80 -j ACCEPT",
        f"{passed} {error} -j ACCEPT",
        f"-A LVSKIT-INPUT -d {vip}/{length} -p tcp -m tcp --dport 80 ! --tcp-flags FIN,RST NONE -j ACCEPT",
        f"-A LVSKIT-INPUT -s {vip}/{length} -d {local}/{length} -p tcp -m tcp --sport 80 {begun} -j ACCEPT",
        "COMMIT",
    ]
    (other,) = {"netfilter", "netfilter6"} - {option}
    assert statements(texts[other]) == []


def test_a_rule_names_at_most_fifteen_ports_and_a_range_counts_twice():
    singles = tuple(str(port) for port in range(1, 15))
    assert Mark("tcp", "203.0.113.80", (*singles, "100:200", "300"), MARK).groups == (singles, ("100:200", "300"))
    assert Mark("tcp", "203.0.113.80", (*singles, "300", "400"), MARK).groups == ((*singles, "300"), ("400",))
    assert Mark("tcp", "203.0.113.80", (*singles[1:], "100:200"), MARK).groups == ((*singles[1:], "100:200"),)


@pytest.mark.parametrize("families", [(), (4,), (6,), (4, 6)])
def test_the_unit_of_rules_is_the_same_for_all_hosts_that_have_some(families):
    """What it restores follows from the files: between two stages of a run they have chains that the plan no longer has."""
    parts = {name: rules(family) for name, family in (("netfilter", 4), ("netfilter6", 6)) if family in families}
    unit = rendered(HostPlan("lb1", **parts))["netfilter_unit"]
    assert unit == (rendered(HostPlan("lb1", netfilter=rules(4)))["netfilter_unit"] if families else "")
    files = ["|/etc/lvskit/netfilter.rules", "|/etc/lvskit/netfilter6.rules"]
    assert units.conditions(unit) == (files if families else [])


CALLS = ["mangle PREROUTING", "nat POSTROUTING"]
PROGRAMS = {4: ("iptables", "netfilter"), 6: ("ip6tables", "netfilter6")}
CALLED_BY_NOBODY = 'case " $* " in *" -C "*) exit 1; esac'


@pytest.mark.parametrize("called", [[], CALLS[:1], CALLS])
@pytest.mark.parametrize("there", [(4,), (6,), (4, 6)])
def test_the_unit_restores_the_file_of_each_family_and_calls_each_chain_once(tmp_path, there, called):
    (tmp_path / "etc/lvskit").mkdir(parents=True)
    asked = "|".join(f'*"-t {words.replace(" ", " -C ")} "*' for words in ["no-table no-chain", *called])
    for family, (program, file) in PROGRAMS.items():
        units.program(tmp_path, program, f'case "$*" in {asked}) exit 0; esac\n{CALLED_BY_NOBODY}')
        units.program(tmp_path, f"{program}-restore", "")
        if family in there:
            tables = [f"*{words.replace(' ', chr(10) + ':LVSKIT-')} - [0:0]\nCOMMIT\n" for words in CALLS]
            (tmp_path / f"etc/lvskit/{file}.rules").write_text("# No longer planned, still in use.\n".join(tables))
    assert units.start(rendered(HostPlan("lb1", netfilter=rules(4)))["netfilter_unit"], tmp_path) == 0
    expected = []
    for program, file in (PROGRAMS[family] for family in there):
        expected.append(f"{program}-restore --wait --noflush /etc/lvskit/{file}.rules")
        for table, hook in (words.split() for words in CALLS if words not in called):
            expected.append(f"{program} -w -t {table} -I {hook} -j LVSKIT-{hook}")
    assert units.told(tmp_path) == expected


@pytest.mark.parametrize("failing", ["iptables-restore", "iptables", "ip6tables-restore", "ip6tables"])
def test_the_unit_fails_if_rules_are_not_restored_or_a_chain_is_not_called(tmp_path, failing):
    (tmp_path / "etc/lvskit").mkdir(parents=True)
    text = rendered(HostPlan("lb1", netfilter=rules(4), netfilter6=rules(6)))
    for program, file in PROGRAMS.values():
        (tmp_path / f"etc/lvskit/{file}.rules").write_text(text[file])
        for name in (program, f"{program}-restore"):
            units.program(tmp_path, name, f"{CALLED_BY_NOBODY}\n{'exit 2' if name == failing else ''}")
    assert units.start(text["netfilter_unit"], tmp_path) == 2


FOUR = HostPlan(
    "rs1",
    devices_up=("tunl0",),
    addresses=(VirtualAddress("203.0.113.80", "tunl0"),),
    routes=(DefaultRoute("10.20.1.10", "eth1", 7690),),
    rules=(PolicyRule("from all", "7690", 7690),),
)
SIX = HostPlan(
    "rs1",
    tunnels_for_both=("ip6tnl0",),
    addresses=(
        VirtualAddress("2001:db8::80", "lo", 128, ("preferred_lft 0",)),
        VirtualAddress("2001:db8:a::80", "eth1", 128, ("preferred_lft 0", "nodad")),
    ),
    routes=(DefaultRoute("2001:db8:a::1", "eth1", 7690),),
    rules=(PolicyRule("from all", "main", 7689, True, 6), PolicyRule("from all", "7690", 7690, family=6)),
)
BATCH4 = [
    "link set dev tunl0 up",
    "address replace 203.0.113.80/32 dev tunl0",
    "route replace default via 10.20.1.10 dev eth1 table 7690 protocol 76",
    "rule add from all lookup 7690 priority 7690 protocol 76",
]
BATCH6 = [
    "tunnel change ip6tnl0 mode any",
    "address replace 2001:db8::80/128 dev lo preferred_lft 0",
    "address replace 2001:db8:a::80/128 dev eth1 preferred_lft 0 nodad",
    "route replace default via 2001:db8:a::1 dev eth1 table 7690 protocol 76",
    "rule add from all lookup main suppress_prefixlength 0 priority 7689 protocol 76",
    "rule add from all lookup 7690 priority 7690 protocol 76",
]
FLUSHES = [
    "ip rule flush protocol 76",
    "ip route flush table all protocol 76",
    "ip -6 rule flush protocol 76",
    "ip -6 route flush table all protocol 76",
]
BATCHES = {4: "-batch /etc/lvskit/network.batch", 6: "-6 -batch /etc/lvskit/network6.batch"}


@pytest.mark.parametrize("families", [(4,), (6,), (4, 6)])
def test_each_family_has_a_batch_of_its_own(families):
    plans = [{4: FOUR, 6: SIX}[family] for family in families]
    fields = ("devices_up", "tunnels_for_both", "addresses", "routes", "rules")
    plan = HostPlan("rs1", **{name: sum((getattr(one, name) for one in plans), ()) for name in fields})
    texts = rendered(plan)
    assert statements(texts["network"]) == (BATCH4 if 4 in families else [])
    assert statements(texts["network6"]) == (BATCH6 if 6 in families else [])


@pytest.mark.parametrize("there", [(4,), (6,), (4, 6)])
@pytest.mark.parametrize("planned", [FOUR, SIX])
def test_the_unit_restores_the_families_of_which_there_are_files(planned, there, tmp_path):
    """Between two stages of a run, a host has the file of a family that its plan no longer has."""
    unit = rendered(planned)["network_unit"]
    flushed = [line for line in unit.splitlines() if line.startswith("ExecStartPre=-/usr/bin/env ")]
    assert flushed == [f"ExecStartPre=-/usr/bin/env {words}" for words in FLUSHES]  # all before the first batch
    assert units.conditions(unit) == [f"|/etc/lvskit/{name}.batch" for name in ("network", "network6")]
    units.program(tmp_path, "ip", "")
    (tmp_path / "etc/lvskit").mkdir(parents=True)
    for family in there:
        (tmp_path / BATCHES[family].rpartition(" /")[2]).touch()
    assert units.start(unit, tmp_path) == 0
    assert units.told(tmp_path) == [f"ip {BATCHES[family]}" for family in there]


def test_ipvs_gets_thresholds_marks_and_timeouts():
    servers = (
        Destination("10.20.1.12", "10.20.1.12:0", "-g", 1, 2000, 1500),
        Destination("10.20.1.11", "10.20.1.11:0", "-g", 2, 30),
        Destination("10.20.1.13", "10.20.1.13:0", "-g", 3),
    )
    six = (Destination("2001:db8:a::11", "[2001:db8:a::11]:0", "-i", 1),)
    options = ("-p 300", "-M 64")
    plan = HostPlan(
        "lb1",
        services=(
            VirtualService("web", "-f", str(MARK), "mh", ("-b mh-fallback",), servers),
            VirtualService("web", "-f", f"{MARK} -6", "rr", options, six),
        ),
        timeouts=(900, 120, 300),
    )
    texts = rendered(plan)
    assert texts["ipvs"].splitlines() == [
        "-A -f 1811939329 -s mh -b mh-fallback",
        "-a -f 1811939329 -r 10.20.1.12:0 -g -w 1 -x 2000 -y 1500",
        "-a -f 1811939329 -r 10.20.1.11:0 -g -w 2 -x 30",
        "-a -f 1811939329 -r 10.20.1.13:0 -g -w 3",
        "-A -f 1811939329 -6 -s rr -p 300 -M 64",
        "-a -f 1811939329 -6 -r [2001:db8:a::11]:0 -i -w 1",
    ]
    assert statements(texts["ipvs_timeouts"]) == ["--set 900 120 300"]
    starts = [line for line in texts["ipvs_unit"].splitlines() if line.startswith("ExecStart=")]
    assert starts == ["ExecStart=/usr/sbin/ipvsadm --set 900 120 300", "ExecStart=/usr/sbin/ipvsadm --restore"]
