"""What a host's own files and tools say, read into answers."""

from ansible.module_utils.lvs.findings import Finding
from ansible.module_utils.lvs_controller import inspection
from ansible.module_utils.lvs_host import counters, links, sysctl_files
from ansible.module_utils.lvs_host.sysctl_files import Assignment, assignments, at_boot, files

KEY = "net/ipv4/conf/eth1/rp_filter"


def boot(*texts):
    lines = [line for number, text in enumerate(texts) for line in assignments(f"{number}.conf", text)]
    found = at_boot(lines, [KEY]).get(KEY)
    return (found.value, found.place) if found else None


def test_the_last_file_that_names_a_setting_decides():
    assert boot("net.ipv4.conf.eth1.rp_filter = 1", "# x\nnet/ipv4/conf/eth1/rp_filter=2") == ("2", "1.conf:2")


def test_a_name_goes_before_a_glob_wherever_it_stands():
    assert boot("net.ipv4.conf.eth1.rp_filter = 1", "net.ipv4.conf.*.rp_filter = 2") == ("1", "0.conf:1")
    assert boot("net.ipv4.conf.*.rp_filter = 2") == ("2", "0.conf:1")


def test_a_name_behind_a_dash_is_out_of_globs():
    assert boot("net.ipv4.conf.*.rp_filter = 2", "-net.ipv4.conf.eth1.rp_filter") is None


def test_a_dash_before_an_assignment_only_forgives_errors():
    assert boot("-net.ipv4.conf.eth1.rp_filter = 1") == ("1", "0.conf:1")


def test_a_glob_does_not_reach_over_a_slash():
    assert boot("net.ipv4.*.rp_filter = 2") is None


def test_an_interface_with_a_dot_in_its_name():
    (found,) = assignments("x", "net/ipv4/conf/eth1.20/rp_filter = 2")
    assert found == Assignment("net/ipv4/conf/eth1.20/rp_filter", "2", "x:1")
    (found,) = assignments("x", "net.ipv4.conf.eth1/20.rp_filter = 2")
    assert found.pattern == "net/ipv4/conf/eth1.20/rp_filter"


def test_of_two_files_with_one_name_the_administrators_counts(tmp_path):
    for folder, names in (("etc", ("b.conf", "c.conf")), ("usr", ("a.conf", "b.conf", "README"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    found = files([str(tmp_path / "etc"), str(tmp_path / "usr")])
    assert found == [str(tmp_path / path) for path in ("usr/a.conf", "etc/b.conf", "etc/c.conf")]
    assert sysctl_files.DIRECTORIES[0] == "/etc/sysctl.d"


IPTABLES = """\
*filter
:INPUT ACCEPT [10:400]
:FORWARD DROP [7:280]
[3:120] -A INPUT -p ipencap -j DROP
[5:200] -A INPUT -p tcp -j ACCEPT
[9:80] -A INPUT -p udp -j DROP-LOG
[2:80] -A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


def test_iptables_rules_that_drop():
    assert list(counters.iptables_drops(IPTABLES)) == [
        ("iptables -t filter -P FORWARD DROP", 7),
        ("iptables -t filter -A INPUT -p ipencap -j DROP", 3),
        ("iptables -t filter -A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable", 2),
    ]


IP6TABLES = """\
*filter
:FORWARD DROP [4:320]
[6:480] -A INPUT -p ipv6-icmp -j DROP
COMMIT
"""


def test_ip6tables_rules_that_drop():
    assert list(counters.iptables_drops(IP6TABLES, "ip6tables")) == [
        ("ip6tables -t filter -P FORWARD DROP", 4),
        ("ip6tables -t filter -A INPUT -p ipv6-icmp -j DROP", 6),
    ]


NFT = """\
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		ip protocol ipencap counter packets 3 bytes 120 drop
	}
}
table inet host {
	chain in {
		type filter hook input priority filter; policy drop;
		ip protocol 4 counter packets 5 bytes 200 drop
		udp dport 53 reject
		tcp dport 80 accept
		ip saddr 192.0.2.1 log prefix "not a drop: " accept
		ip saddr vmap @known
	}
	map known {
		type ipv4_addr : verdict
		elements = { 192.0.2.2 : drop,
				192.0.2.3 : drop }
	}
}
table ip6 filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
"""


FLOW_TABLES = """table inet filter {
	flowtable fast {
		hook ingress priority filter
		devices = { eth1 }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip protocol tcp counter packets 5 bytes 200 flow add @fast
		meta l4proto udp flow offload @fast
		tcp dport 22 log prefix "flow add @fast" accept
	}
}
"""


def test_rules_that_give_connections_to_a_flow_table():
    assert list(counters.nft_offloads(FLOW_TABLES)) == [
        "nft inet filter forward ip protocol tcp flow add @fast",
        "nft inet filter forward meta l4proto udp flow offload @fast",
    ]
    assert list(counters.nft_offloads(NFT)) == []


def test_nftables_rules_that_drop():
    own = [
        ("nft inet host in hook input policy drop", None),
        ("nft inet host in ip protocol 4 drop", 5),
        ("nft inet host in udp dport 53 reject", None),
    ]
    of_ipv6 = ("nft ip6 filter FORWARD hook forward policy drop", None)
    assert list(counters.nft_drops(NFT, IPTABLES, IP6TABLES)) == own
    assert list(counters.nft_drops(NFT, "", IP6TABLES)) == [("nft ip filter INPUT ip protocol ipencap drop", 3), *own]
    assert list(counters.nft_drops(NFT, IPTABLES)) == [*own, of_ipv6]


def test_kernel_counters():
    text = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 4 7\nIpExt: InNoRoutes\nIpExt: 2\n"
    assert counters.kernel([text]) == {"TcpExt.IPReversePathFilter": 7, "IpExt.InNoRoutes": 2}
    own = "Ip6InReceives                   \t78\nIp6InAddrErrors                 \t24\nIcmp6OutPktTooBigs              \t0\n"
    both = counters.kernel([own, text, ""])
    assert both == {
        "TcpExt.IPReversePathFilter": 7,
        "IpExt.InNoRoutes": 2,
        "Ip6InAddrErrors": 24,
        "Icmp6OutPktTooBigs": 0,
    }


LINKS = """[
 {"ifname": "eth1", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "address": "52:54:00:00:00:01",
  "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": 24, "scope": "global"},
   {"family": "inet6", "local": "2001:db8:30::1", "prefixlen": 64, "scope": "global"},
   {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}]},
 {"ifname": "eth1.20", "flags": ["UP"], "mtu": 1496, "address": "52:54:00:00:00:01",
  "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 20}}}
]"""


def test_interfaces():
    found = links.interfaces(lambda argv, stdin: (0, LINKS, ""))
    assert found["eth1"]["addresses"] == ["10.0.0.1/24", "2001:db8:30::1/64"]
    assert (found["eth1"]["up"], found["eth1"]["vlan"]) == (True, None)
    assert (found["eth1.20"]["up"], found["eth1.20"]["vlan"], found["eth1.20"]["mtu"]) == (False, 20, 1496)


def test_findings_as_a_person_reads_them():
    found = [
        Finding("lb1", "MTU", "eth1", "1400 bytes", "1500 bytes", "x"),
        Finding("rs1", "HOST", "rs1", "a", "b", "c", risk=True),
    ]
    lines = list(inspection.lines(found))
    assert [line for line in lines if not line.startswith(" ")] == ["lb1", "", "rs1", ""]
    assert (lines[1], lines[7]) == ("  fault  MTU  eth1", "  risk   HOST  rs1")
    assert lines[2:5] == ["         found 1400 bytes", "         needed 1500 bytes", "         x"]


def test_a_host_that_answered_something_else_has_not_answered(environment):
    topology = environment().topology
    asked = inspection.asked(topology, ["rs1", "rs2"])
    found = inspection.wrong(topology, asked, {"rs1": {}, "rs2": {"unreachable": True, "msg": "no route to host"}})
    assert [(one.host, one.check) for one in found] == [("rs1", "HOST"), ("rs2", "HOST")]
