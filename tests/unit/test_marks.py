"""Rules about firewall marks, in the words of the programs that list them."""

import pytest
from ansible.module_utils.lvs_host import marks
from ansible.module_utils.lvs_host.marks import MATCHES, ROUTES, SETS, Use

WHOLE = 0xFFFFFFFF
# As iproute2 6.1 of Debian 12 has it.
RULES = """\
0:\tfrom all lookup local
5:\tfrom all fwmark 0x10/0xf0 lookup 100
8:\tfrom all lookup 100
9:\tnot from all fwmark 0x7 lookup 100
32765:\tfrom all fwmark 0x6c000001 lookup 100
32766:\tfrom all lookup main
"""


def test_a_rule_of_ip_is_about_the_bits_of_its_mask():
    assert list(marks.of_ip(RULES)) == [
        Use("ip rule 5: from all fwmark 0x10/0xf0 lookup 100", 0x10, 0xF0, MATCHES),
        Use("ip rule 32765: from all fwmark 0x6c000001 lookup 100", 0x6C000001, WHOLE, MATCHES),
    ]


def test_a_rule_of_ip_before_the_table_local_routes_packets_to_the_hosts_own_addresses():
    moved = "4:\tfrom all fwmark 0x1 lookup 100 proto static\n7:\tfrom all lookup local proto static\n9:\tfrom all fwmark 0x2 lookup 100\n"
    assert [(use.rule, use.how) for use in marks.of_ip(moved, "ip -6 rule")] == [
        ("ip -6 rule 4: from all fwmark 0x1 lookup 100 proto static", ROUTES),
        ("ip -6 rule 9: from all fwmark 0x2 lookup 100", MATCHES),
    ]


@pytest.mark.parametrize(
    ("rule", "uses"),
    [
        ("-A INPUT -m mark --mark 0x8000/0x8000 -j DROP", [(0x8000, 0x8000, MATCHES)]),
        ("-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0xffffffff", [(1, WHOLE, SETS)]),
        ("-A X -m mark --mark 0x2 -j MARK --set-xmark 0x4000/0x0", [(2, WHOLE, MATCHES), (0x4000, WHOLE, SETS)]),
        ("-A X -p tcp -j TPROXY --on-port 1 --on-ip 127.0.0.1 --tproxy-mark 0x5/0xff", [(5, WHOLE, SETS)]),
        ("-A X -m mark ! --mark 0x4000/0x4000 -j RETURN", []),
        ("-A X -m connmark --mark 0x4 -j CONNMARK --set-xmark 0x6c000001/0xffffffff", []),
        ("-A LVSKIT-PREROUTING -p tcp -j MARK --set-xmark 0x6c000001/0xffffffff", []),
    ],
)
def test_a_rule_of_iptables_matches_or_sets_the_mark_of_a_packet(rule, uses):
    for counter in ("", "[5:400] "):
        text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n{counter}{rule}\nCOMMIT\n"
        assert list(marks.of_iptables(text)) == [Use(f"iptables -t mangle {rule}", *use) for use in uses]


@pytest.mark.parametrize(
    ("rule", "uses"),
    [
        ("meta mark 0x00000001 accept", [(1, WHOLE, MATCHES)]),
        ("meta mark & 0x000000f0 == 0x00000010 drop", [(0x10, 0xF0, MATCHES)]),
        ("meta mark & 0x000000f0 != 0x00000010 drop", []),
        ("meta mark != 0x00000001 accept", []),
        ("tcp dport 80 meta mark set 0x6c000001", [(0x6C000001, WHOLE, SETS)]),
        ("meta mark set meta mark & 0x00ffffff | 0x6c000000", [(0x6C000000, WHOLE, SETS)]),
        ("meta mark set meta mark | 0x00004000", [(0x4000, WHOLE, SETS)]),
        ("meta mark set ct mark", []),
        ("ct mark 0x00000001 ct mark set 0x6c000001", []),
    ],
)
def test_a_rule_of_nftables_matches_or_sets_the_mark_of_a_packet(rule, uses):
    text = f"table inet own {{\n\tchain pre {{\n\t\t{rule}\n\t}}\n}}\n"
    assert list(marks.of_nft(text, "", "")) == [Use(f"nft inet own pre {rule}", *use) for use in uses]


def test_a_table_of_nftables_that_iptables_shows_is_read_once():
    text = "table ip mangle {\n\tchain X {\n\t\tmeta mark 0x1 counter packets 5 bytes 400 accept\n\t}\n}\n"
    assert list(marks.of_nft(text, "*mangle\nCOMMIT\n", "")) == []
    assert [use.rule for use in marks.of_nft(text, "", "")] == ["nft ip mangle X meta mark 0x1 accept"]
