"""iptables rules: lvskit's own chains, and nothing of anybody else's."""

import pytest
from ansible.module_utils.lvs_host import netfilter
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.netfilter import Netfilter, Netfilter6, called, parse, parse_record

CLAMP = "-A LVSKIT-OUTPUT -s 203.0.113.82/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440"
WANTED = f"# lvskit\n*mangle\n:LVSKIT-OUTPUT - [0:0]\n{CLAMP}\nCOMMIT\n"
THEIRS = "-A OUTPUT -d 192.0.2.1/32 -j ACCEPT"


class Host:
    """What iptables-save answers; keeps what iptables-restore is given."""

    def __init__(self, *lines):
        self.saved = "\n".join(["*mangle", ":OUTPUT ACCEPT [7:420]", *lines, "COMMIT", ""])
        self.restored = []

    def __call__(self, argv, stdin=None):
        if argv[0] == "iptables-save":
            return 0, self.saved, ""
        self.restored.append((argv, stdin))
        return 0, "", ""


def resource(host, wanted, recorded=""):
    rules = Netfilter(wanted, recorded, host, installed=True)
    rules.prepare()
    return rules


def test_a_chain_and_the_jump_to_it_are_added_in_one_restore_that_leaves_other_rules():
    host = Host(THEIRS)
    resource(host, WANTED).add()
    assert host.restored == [
        (
            ["iptables-restore", "--wait", "--noflush"],
            f"*mangle\n:LVSKIT-OUTPUT - [0:0]\n{CLAMP}\n-I OUTPUT -j LVSKIT-OUTPUT\nCOMMIT\n",
        )
    ]


def test_rules_that_are_there_are_left_alone():
    host = Host(":LVSKIT-OUTPUT - [0:0]", THEIRS, "-A OUTPUT -j LVSKIT-OUTPUT", CLAMP)
    rules = resource(host, WANTED, WANTED)
    assert (rules.additions(), rules.removals()) == ([], [])


def test_ip6tables_has_programs_of_its_own():
    told = []

    def run(argv, stdin=None):
        told.append(argv)
        return 0, "", ""

    rules = Netfilter6(WANTED.replace("203.0.113.82/32", "2001:db8::82/128"), "", run, installed=True)
    rules.prepare()
    rules.add()
    assert told == [["ip6tables-save"], ["ip6tables-restore", "--wait", "--noflush"]]
    assert {command.split()[0] for command in rules.additions()} == {"ip6tables"}


IN_FULL = "ipv6     10 tcp      6 431999 ESTABLISHED src=2001:0db8:000c:0000:0000:0000:0000:0010 dst=2001:0db8:0000:0000:0000:0000:0000:0080 sport=1 dport=80 src=2001:0db8:000a:0000:0000:0000:0000:0011 dst=2001:0db8:000a:0000:0000:0000:0000:0201 sport=80 dport=1025\n"
IN_SHORT = "tcp      6 431999 ESTABLISHED src=2001:db8:c::10 dst=2001:db8::80 sport=1 dport=80 src=2001:db8:a::11 dst=2001:db8:a::201 sport=80 dport=1025\n"


@pytest.mark.parametrize("listed", [IN_FULL, IN_SHORT])
def test_a_local_address_of_ipv6_is_found_in_either_form(listed):
    rules = "-A LVSKIT-POSTROUTING -j SNAT --to-source 2001:db8:a::200-2001:db8:a::{} --random-fully"
    assert list(netfilter.sources(rules.format("202"))) == [f"2001:db8:a::20{n}" for n in range(3)]
    assert netfilter.in_use(set(netfilter.sources(rules.format("201"))), listed)
    assert not netfilter.in_use(set(netfilter.sources(rules.format("200"))), listed)


def test_conntrack_is_asked_for_ipv6(unlisted, monkeypatch):
    monkeypatch.setattr(netfilter, "find", lambda program: program)
    asked = []

    def run(argv, stdin=None):
        asked.append(argv)
        return 0, "" if len(asked) > 1 else IN_SHORT, ""

    recorded = "-A LVSKIT-POSTROUTING -j SNAT --to-source 2001:db8:a::201 --random-fully"
    Netfilter6("", recorded, run, installed=True, drain_timeout=60).settle()
    assert asked == [["conntrack", "-L", "-f", "ipv6"]] * 2
    assert len(unlisted) == 1


def test_a_changed_rule_rewrites_the_chain_but_not_the_jump():
    host = Host(":LVSKIT-OUTPUT - [0:0]", "-A OUTPUT -j LVSKIT-OUTPUT", CLAMP.replace("1440", "1380"))
    resource(host, WANTED, WANTED).add()
    assert host.restored[0][1] == f"*mangle\n:LVSKIT-OUTPUT - [0:0]\n{CLAMP}\nCOMMIT\n"


PASSED = (
    "-A LVSKIT-FORWARD -s 10.20.1.{}/32 -i eth1 -p tcp -m tcp --sport 80 ! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT"
)
OLD, NEW = PASSED.format(11), PASSED.format(12)
FORWARD = "*filter\n:LVSKIT-FORWARD - [0:0]\n{}\nCOMMIT\n"


def test_replies_of_a_real_server_that_leaves_pass_until_its_connections_have_ended():
    host = Host("COMMIT", "*filter", ":LVSKIT-FORWARD - [0:0]", "-A FORWARD -j LVSKIT-FORWARD", OLD)
    change = resource(host, FORWARD.format(NEW), FORWARD.format(OLD))
    change.add()
    assert host.restored[0][1] == FORWARD.format(f"{NEW}\n{OLD}")
    change.remove()
    assert host.restored[1][1] == f"*filter\n-D {OLD[3:]}\nCOMMIT\n"


def test_a_rule_of_others_among_lvskits_goes_at_once():
    host = Host("COMMIT", "*filter", ":LVSKIT-FORWARD - [0:0]", "-A FORWARD -j LVSKIT-FORWARD", OLD, NEW)
    change = resource(host, FORWARD.format(NEW), FORWARD.format(NEW))
    change.add()
    assert host.restored[0][1] == FORWARD.format(NEW)
    assert change.removals() == []


def test_what_is_no_longer_wanted_goes_with_its_chain_and_jump():
    host = Host(":LVSKIT-OUTPUT - [0:0]", THEIRS, "-A OUTPUT -j LVSKIT-OUTPUT", CLAMP)
    resource(host, "", WANTED).remove()
    assert host.restored[0][1] == "*mangle\n-D OUTPUT -j LVSKIT-OUTPUT\n-F LVSKIT-OUTPUT\n-X LVSKIT-OUTPUT\nCOMMIT\n"


MARK = "-A LVSKIT-PREROUTING -d 203.0.113.80/32 -p tcp -j MARK --set-xmark 0x6c000001/0xffffffff"
MARKED = f"*mangle\n:LVSKIT-PREROUTING - [0:0]\n{MARK}\nCOMMIT\n"
THERE = (":LVSKIT-OUTPUT - [0:0]", "-A OUTPUT -j LVSKIT-OUTPUT", CLAMP)


def test_the_file_of_record_has_the_chains_that_stay_until_they_are_removed():
    rules = resource(Host(*THERE), MARKED, WANTED)
    stale = WANTED.replace("# lvskit", "# No longer planned, still in use.")
    assert rules.record(keep_stale=True) == MARKED + stale
    assert rules.record(keep_stale=False) == MARKED
    again = resource(
        Host(*THERE, ":LVSKIT-PREROUTING - [0:0]", "-A PREROUTING -j LVSKIT-PREROUTING", MARK), MARKED, MARKED + stale
    )
    assert again.record(keep_stale=True) == MARKED + stale
    assert resource(Host(*THERE), "", WANTED).record(keep_stale=True) == stale


def test_a_chain_that_others_have_removed_already_is_not_recorded():
    assert resource(Host(THEIRS), MARKED, WANTED).record(keep_stale=True) == MARKED


def test_each_chain_is_called_from_the_built_in_chain_that_it_is_named_after():
    assert called(parse(WANTED)) == {
        ("mangle", "LVSKIT-OUTPUT"): [CLAMP],
        ("mangle", "OUTPUT"): ["-A OUTPUT -j LVSKIT-OUTPUT"],
    }


SOURCES = "-A LVSKIT-POSTROUTING -p tcp -j SNAT --to-source 10.20.1.210-10.20.1.212\n-A LVSKIT-POSTROUTING -j SNAT --to-source {} --random-fully\n"
OPEN = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=198.51.100.10 dst=10.20.1.80 sport=40000 dport=80 src=10.20.1.11 "
    "dst=10.20.1.220 sport=80 dport=1025 [ASSURED] mark=0 use=1\n"
)


def test_a_local_address_that_leaves_is_waited_for(monkeypatch, tmp_path):
    file = tmp_path / "nf_conntrack"
    file.write_text(OPEN)
    monkeypatch.setattr(netfilter, "CONNECTIONS", str(file))
    pauses = []

    def end(seconds):
        pauses.append(seconds)
        file.write_text(OPEN.replace("ESTABLISHED", "TIME_WAIT"))

    monkeypatch.setattr(netfilter.time, "sleep", end)

    def waits(wanted, recorded):
        pauses.clear()
        file.write_text(OPEN)
        Netfilter(wanted, recorded, None, installed=True, drain_timeout=60).settle()
        return len(pauses)

    assert waits(SOURCES.format("10.20.1.221"), SOURCES.format("10.20.1.220")) == 1
    assert waits(SOURCES.format("10.20.1.220"), SOURCES.format("10.20.1.220")) == 0
    assert waits("", SOURCES.format("10.20.1.219-10.20.1.221")) == 1
    assert waits("", SOURCES.format("10.20.1.230")) == 0


@pytest.fixture
def unlisted(monkeypatch, tmp_path):
    """A kernel that tracks connections and does not list them."""
    monkeypatch.setattr(netfilter, "CONNECTIONS", str(tmp_path / "nf_conntrack"))
    monkeypatch.setattr(netfilter, "TRACKED", str(tmp_path / "nf_conntrack_count"))
    (tmp_path / "nf_conntrack_count").write_text("1\n")
    pauses = []
    monkeypatch.setattr(netfilter.time, "sleep", pauses.append)
    return pauses


LEAVES = SOURCES.format("10.20.1.220")


def test_where_the_kernel_lists_no_connections_conntrack_does(unlisted, monkeypatch):
    monkeypatch.setattr(netfilter, "find", lambda program: program)

    def run(argv, stdin=None):
        assert argv == ["conntrack", "-L"]
        state = "ESTABLISHED" if len(unlisted) < 2 else "TIME_WAIT"
        return (
            0,
            OPEN.partition("2 ")[2].replace("ESTABLISHED", state),
            "conntrack v1.4.7 (conntrack-tools): 1 flow entries\n",
        )

    rules = Netfilter("", LEAVES, run, installed=True, drain_timeout=60)
    rules.settle()
    assert (len(unlisted), rules.notes) == (2, [])


def test_where_nothing_lists_connections_it_is_said_that_none_were_waited_for(unlisted, monkeypatch):
    monkeypatch.setattr(netfilter, "find", lambda program: None)
    rules = Netfilter("", LEAVES, None, installed=True, drain_timeout=60)
    rules.settle()
    (note,) = rules.notes
    assert "10.20.1.210, 10.20.1.211, 10.20.1.212, 10.20.1.220 were not waited for" in note
    assert note.endswith("Install the package conntrack to have them waited for.")
    assert unlisted == []


def test_where_nothing_is_tracked_nothing_is_waited_for(unlisted, monkeypatch, tmp_path):
    (tmp_path / "nf_conntrack_count").unlink()
    monkeypatch.setattr(netfilter, "find", lambda program: None)
    rules = Netfilter("", LEAVES, None, installed=True, drain_timeout=60)
    rules.settle()
    assert (unlisted, rules.notes) == ([], [])


@pytest.mark.parametrize("open_for", [3, 1000])
def test_open_connections_are_waited_for_no_longer_than_said(unlisted, monkeypatch, open_for):
    clock = iter(range(10000))
    monkeypatch.setattr(netfilter.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(netfilter, "find", lambda program: program)
    rules = Netfilter(
        "",
        LEAVES,
        lambda argv, stdin: (0, OPEN if len(unlisted) < open_for else "", ""),
        installed=True,
        drain_timeout=60,
    )
    rules.settle()
    assert unlisted == [1] * (3 if open_for == 3 else 59), "they are listed once a second"


def test_connections_of_an_address_that_another_director_has_are_not_waited_for(unlisted, monkeypatch):
    monkeypatch.setattr(netfilter, "find", lambda program: program)
    away = set(netfilter.sources(LEAVES))
    for missing, times in ((set(), 0), ({"10.20.1.220"}, 2)):
        del unlisted[:]
        rules = Netfilter(
            "",
            LEAVES,
            lambda argv, stdin: (0, OPEN if len(unlisted) < 2 else "", ""),
            installed=True,
            drain_timeout=60,
            away=lambda here=away - missing: here,
        )
        rules.settle()
        assert len(unlisted) == times


def test_nothing_is_waited_for_unless_a_time_is_given(unlisted, monkeypatch):
    monkeypatch.setattr(netfilter, "find", lambda program: program)
    Netfilter("", LEAVES, lambda argv, stdin: (0, OPEN, ""), installed=True).settle()
    assert unlisted == []


def test_an_address_to_which_no_replies_go_is_not_in_use():
    assert netfilter.in_use({"10.20.1.220"}, OPEN)
    assert not netfilter.in_use({"10.20.1.11"}, OPEN), "replies come from it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("*mangle\n-N LVSKIT-OUTPUT\nCOMMIT\n", "cannot read the line `-N LVSKIT-OUTPUT`"),
        ("*mangle\n:LVSKIT-OUTPUT - [0:0]\nCOMMIT now\n", "cannot read the line `COMMIT now`"),
        ("*nat\nCOMMIT\n*mangle\n:LVSKIT-OUTPUT - [0:0]\n", "a table has no COMMIT at its end"),
    ],
)
def test_a_file_of_record_that_iptables_restore_would_not_read_is_refused(text, message):
    with pytest.raises(HostError, match=message):
        parse_record(text)
    with pytest.raises(HostError, match=rf"netfilter.rules is damaged: .*{message}"):
        Netfilter(WANTED, text, None, installed=False).prepare()


def test_a_record_has_the_rules_of_every_table():
    nat = "*nat\n:LVSKIT-POSTROUTING - [0:0]\n-A LVSKIT-POSTROUTING -j MASQUERADE\nCOMMIT\n"
    assert parse_record(WANTED + nat) == {
        ("mangle", "LVSKIT-OUTPUT"): [CLAMP],
        ("nat", "LVSKIT-POSTROUTING"): ["-A LVSKIT-POSTROUTING -j MASQUERADE"],
    }


ADDED = [
    "iptables -t mangle -N LVSKIT-OUTPUT",
    f"iptables -t mangle {CLAMP}",
    "iptables -t mangle -I OUTPUT -j LVSKIT-OUTPUT",
]


def test_a_host_that_will_get_iptables_only_now_has_no_rules_yet():
    rules = Netfilter(WANTED, "", None, installed=False)
    rules.prepare()
    assert (rules.additions(), rules.before(), rules.removals()) == (ADDED, [], [])


def test_the_diff_shows_rules_and_calls_with_their_table():
    host = Host(":LVSKIT-OUTPUT - [0:0]", THEIRS, "-A OUTPUT -j LVSKIT-OUTPUT", CLAMP.replace("1440", "1380"))
    rules = resource(host, WANTED, WANTED)
    call = "-t mangle -A OUTPUT -j LVSKIT-OUTPUT"
    assert sorted(rules.before()) == [f"-t mangle {CLAMP.replace('1440', '1380')}", call]
    assert rules.after() == [f"-t mangle {CLAMP}", call]


def test_all_tables_are_read_at_once_and_those_that_are_not_lvskits_are_left_alone():
    asked = []

    def run(argv, stdin=None):
        asked.append(argv)
        return 0, "".join(f"*{table}\n:LVSKIT-OUTPUT - [0:0]\nCOMMIT\n" for table in ("raw", "nat", "security")), ""

    def rules(*tables):
        return "".join(f"*{table}\n:LVSKIT-OUTPUT - [0:0]\nCOMMIT\n" for table in tables)

    found = Netfilter(rules("raw", "mangle"), rules("raw", "nat"), run, installed=True)
    found.prepare()
    assert asked == [["iptables-save"]]
    assert found.removals() == ["iptables -t nat -F LVSKIT-OUTPUT", "iptables -t nat -X LVSKIT-OUTPUT"]
    Netfilter("", "", run, installed=True).prepare()
    assert len(asked) == 1


def test_a_chain_that_somebody_has_emptied_is_filled_or_goes():
    host = Host(":LVSKIT-OUTPUT - [0:0]", "-A OUTPUT -j LVSKIT-OUTPUT")
    assert resource(host, WANTED, WANTED).additions() == ADDED[:2]
    assert resource(host, "", WANTED).removals() == [
        "iptables -t mangle -D OUTPUT -j LVSKIT-OUTPUT",
        "iptables -t mangle -F LVSKIT-OUTPUT",
        "iptables -t mangle -X LVSKIT-OUTPUT",
    ]


def test_rules_that_the_kernel_refuses_are_named():
    def run(argv, stdin=None):
        return (0, "", "") if argv[0] == "iptables-save" else (2, "", "iptables-restore: line 3 failed")

    with pytest.raises(HostError) as refused:
        resource(run, WANTED).add()
    assert str(refused.value) == (
        "iptables rules: `iptables-restore --wait --noflush` failed: iptables-restore: line 3 failed. The rules were: "
        f":LVSKIT-OUTPUT - [0:0]; {CLAMP}; -I OUTPUT -j LVSKIT-OUTPUT"
    )
