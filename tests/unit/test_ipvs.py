"""The IPVS table: reading what ipvsadm saves, and the smallest set of commands from one table to another."""

import copy
import re

import pytest
from ansible.module_utils.lvs_host import ipvs, ipvs_lines
from ansible.module_utils.lvs_host.election import MARKS
from ansible.module_utils.lvs_host.resource import HostError
from hypothesis import given
from hypothesis import strategies as st

SAVED = """\
-A -t 203.0.113.80:80 -s wlc
-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 100
-a -t 203.0.113.80:80 -r 10.20.1.12:80 -g -w 0
-A -u 203.0.113.81:53 -s rr -p 300
-a -u 203.0.113.81:53 -r 10.20.1.11:5353 -m -w 1
"""


# As ipvsadm 1.31 saved it of Debian 12's kernel.
KINDS = """\
-A -t 203.0.113.80:80 -s mh -b mh-fallback,mh-port
-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1
-a -t 203.0.113.80:80 -r [2001:db8:1::11]:80 -i -w 1 --tun-type ipip
-A -u 203.0.113.82:5060 -s mh -p 300 -M 255.255.255.0 --pe sip -o -b mh-fallback,mh-port
-A --sctp-service 203.0.113.80:80 -s sh -b sh-fallback,sh-port
-a --sctp-service 203.0.113.80:80 -r 10.20.1.11:80 -m -w 1
-A -t [2001:db8::80]:80 -s wlc -p 300 -M 64
-a -t [2001:db8::80]:80 -r 10.20.1.11:80 -i -w 1 --tun-type ipip
-a -t [2001:db8::80]:80 -r [2001:db8:1::11]:80 -g -w 100
-A -f 1811939329 -s rr
-a -f 1811939329 -r 10.20.1.11:0 -g -w 1
-A -f 1811939329 -6 -s rr -p 300 -M 64
-a -f 1811939329 -6 -r [2001:db8:1::11]:0 -g -w 5
"""


def commands(live, wanted, recorded="", foreign=False):
    tables = [ipvs.parse(text) for text in (live, wanted, recorded)]
    removals = ipvs.removals(*tables, foreign=foreign)
    return [*ipvs.additions(*tables[:2]), *ipvs.quieting(tables[0], ipvs.going(removals)), *removals]


def test_what_ipvsadm_saved_is_rendered_as_it_was():
    assert ipvs.render(ipvs.parse(SAVED)) == SAVED


def test_services_of_all_kinds_are_rendered_as_ipvsadm_saved_them():
    assert sorted(ipvs.render(ipvs.parse(KINDS)).splitlines()) == sorted(
        KINDS.replace(" --tun-type ipip", "").splitlines()
    )


def test_a_mark_is_another_service_in_each_family():
    lines = [line for line in KINDS.splitlines(True) if " -f " in line]
    assert commands("", "".join(lines)) == [line.strip() for line in lines]
    assert commands("".join(lines), "".join(lines[:2]), "".join(lines)) == [
        "-e -f 1811939329 -6 -r [2001:db8:1::11]:0 -g -w 0",
        "-D -f 1811939329 -6",
    ]
    assert commands("".join(lines), "".join(lines[2:]), "".join(lines)) == [
        "-e -f 1811939329 -r 10.20.1.11:0 -g -w 0",
        "-D -f 1811939329",
    ]
    assert commands("".join(lines), "".join(lines[:3]), "".join(lines)) == [
        "-e -f 1811939329 -6 -r [2001:db8:1::11]:0 -g -w 0",
        "-d -f 1811939329 -6 -r [2001:db8:1::11]:0",
    ]


def test_a_large_mark_is_the_one_that_ipvsadm_writes_as_a_negative_number():
    assert commands("-A -f -1 -s wlc\n", "-A -f 4294967295 -s wlc\n") == []


def test_the_lines_of_a_mark_are_told_apart_by_family():
    lines = [line for line in KINDS.splitlines() if " -f " in line]
    kept = "-a -f 1811939329 -6 -r [2001:db8:1::12]:0 -g -w 5"  # no longer planned, at the end of the file
    assert ipvs.by_service([*lines[2:], *lines[:2], kept]) == {
        "-f 1811939329": lines[:2],
        "-f 1811939329 -6": [*lines[2:], kept],
    }


def test_servers_are_added_in_the_order_of_the_plan():
    """Their order decides to which server the scheduler mh gives a client."""
    lines = [f"-a -t 203.0.113.80:80 -r 10.20.1.{n}:80 -g -w 1" for n in (12, 11, 13)]
    assert commands("", "\n".join(["-A -t 203.0.113.80:80 -s mh", *lines]))[1:] == lines


THRESHOLDS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  203.0.113.80:80 mh (mh-fallback,mh-port)
  -> 10.20.1.11:80                2000       1500       0          0         
  -> [2001:db8:1::11]:80          30         0          0          0         
UDP  203.0.113.82:5060 mh (mh-fallback,mh-port) persistent 300 mask 255.255.255.0 pe sip ops
SCTP 203.0.113.80:80 sh (sh-fallback,sh-port)
  -> 10.20.1.11:80                7          5          0          0         
TCP  [2001:db8::80]:80 wlc persistent 300 mask 64
  -> 10.20.1.11:80                0          0          0          0         
  -> [2001:db8:1::11]:80          9          8          0          0         
FWM  1811939329 rr
  -> 10.20.1.11:0                 1          0          0          0         
FWM  1811939329 IPv6 rr persistent 300 mask 64
  -> [2001:db8:1::11]:0           2          0          0          0         
"""  # noqa: W291
LIMITED = {
    "-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1": " -x 2000 -y 1500",
    "-a -t 203.0.113.80:80 -r [2001:db8:1::11]:80 -i -w 1 --tun-type ipip": " -x 30",
    "-a --sctp-service 203.0.113.80:80 -r 10.20.1.11:80 -m -w 1": " -x 7 -y 5",
    "-a -t [2001:db8::80]:80 -r [2001:db8:1::11]:80 -g -w 100": " -x 9 -y 8",
    "-a -f 1811939329 -r 10.20.1.11:0 -g -w 1": " -x 1",
    "-a -f 1811939329 -6 -r [2001:db8:1::11]:0 -g -w 5": " -x 2",
}


def test_thresholds_are_read_beside_what_ipvsadm_saves():
    expected = [line + LIMITED.get(line, "") for line in KINDS.splitlines()]
    assert ipvs.with_thresholds(KINDS.splitlines(), THRESHOLDS) == expected


@pytest.mark.parametrize(
    ("wanted", "recorded", "expected"),
    [
        (" -x 30 -y 20", "", []),
        (" -x 30", " -x 30 -y 20", ["ipvsadm -e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1 -x 30"]),
        ("", " -x 30 -y 20", ["ipvsadm -e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1"]),
        ("", "", []),
    ],
)
def test_thresholds_are_compared_where_the_plan_or_the_record_has_some(monkeypatch, wanted, recorded, expected):
    saved = "-A -t 203.0.113.80:80 -s rr\n-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1"
    listed = "TCP  203.0.113.80:80 rr\n  -> 10.20.1.11:80                30         20         0          0\n"
    asked = []

    def run(argv, stdin):
        asked.append(argv)
        return 0, saved if "--save" in argv else listed, ""

    monkeypatch.setattr(ipvs, "TABLE", __file__)
    table = ipvs.IpvsTable(f"{saved}{wanted}\n", f"{saved}{recorded}\n", run, installed=True)
    table.prepare()
    assert table.additions() == expected
    listing = [["ipvsadm", "--list", "--numeric", "--thresholds"]] if wanted or recorded else []
    assert asked == [["ipvsadm", "--save", "--numeric"], *listing]


def test_the_diff_of_the_table_shows_services_that_differ_and_no_others(monkeypatch):
    same = "-A -t 203.0.113.80:80 -s rr\n-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1\n"
    other = same.replace("113.80", "113.81")
    monkeypatch.setattr(ipvs, "TABLE", __file__)
    table = ipvs.IpvsTable(
        same + other.replace("-w 1", "-w 2"), "", lambda argv, stdin: (0, same + other, ""), installed=True
    )
    table.prepare()
    assert table.before() == other.splitlines()
    assert table.after() == other.replace("-w 1", "-w 2").splitlines()


def test_a_server_with_thresholds_keeps_them_while_it_is_drained():
    limited = SAVED.replace("-w 100\n", "-w 100 -x 30\n").replace("-w 0\n", "-w 0 -x 30\n")
    assert commands(limited, "", limited)[:2] == [
        "-e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 0 -x 30",
        "-e -u 203.0.113.81:53 -r 10.20.1.11:5353 -m -w 0",
    ]


def test_equal_tables_need_no_command():
    assert commands(SAVED, SAVED, SAVED) == []


def test_defaults_that_newer_ipvsadm_writes_out_make_no_difference():
    newer = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.2:80 -i -w 1 --tun-type ipip\n"
    assert commands(newer, newer.replace(" --tun-type ipip", "")) == []


def test_a_weight_of_zero_is_a_weight():
    assert commands(SAVED, SAVED.replace("-w 100", "-w 0")) == ["-e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 0"]


def test_a_changed_scheduler_touches_no_destination():
    assert commands(SAVED, SAVED.replace("-s wlc", "-s wrr")) == ["-E -t 203.0.113.80:80 -s wrr"]


def test_persistence_can_be_taken_away():
    assert commands(SAVED, SAVED.replace(" -p 300", "")) == ["-E -u 203.0.113.81:53 -s rr"]


def test_a_new_service_comes_before_its_destinations():
    assert commands("", SAVED) == SAVED.splitlines()


def test_a_destination_that_is_no_longer_planned_is_removed():
    shorter = SAVED.replace("-a -t 203.0.113.80:80 -r 10.20.1.12:80 -g -w 0\n", "")
    assert commands(SAVED, shorter, SAVED) == ["-d -t 203.0.113.80:80 -r 10.20.1.12:80"]


def test_a_destination_gets_no_new_connections_before_it_is_removed():
    shorter = SAVED.replace("-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 100\n", "")
    assert commands(SAVED, shorter, SAVED) == [
        "-e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 0",
        "-d -t 203.0.113.80:80 -r 10.20.1.11:80",
    ]


LIVE = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  CB007150:0050 wlc
  -> 0A14010C:0050      Route   0      0          0
  -> 0A14010B:0050      Route   100    {}          5
UDP  CB007151:0035 rr
  -> 0A14010B:14E9      Masq    1      0          3
"""


@pytest.mark.parametrize("shorter", [SAVED.replace("-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 100\n", ""), ""])
def test_open_connections_come_to_their_end_before_a_destination_or_service_is_removed(monkeypatch, tmp_path, shorter):
    file = tmp_path / "ip_vs"
    file.write_text(LIVE.format(2))
    restored, pauses = [], []

    def end_one(seconds):
        pauses.append(seconds)
        file.write_text(LIVE.format(2 - len(pauses)))

    def run(argv, stdin):
        if argv[-1] == "--restore":
            restored.append((len(pauses), stdin.splitlines()))
        return 0, SAVED, ""

    monkeypatch.setattr(ipvs, "TABLE", str(file))
    monkeypatch.setattr(ipvs.time, "sleep", end_one)
    table = ipvs.IpvsTable(shorter, SAVED, run, installed=True, drain_timeout=60)
    table.prepare()
    table.quiet()
    table.settle()
    table.remove()
    (before, quiet), (after, removed) = restored
    assert (before, after) == (0, 2)
    assert "-e -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 0" in quiet
    assert all(line.startswith(("-d", "-D")) for line in removed)


def test_connections_that_do_not_end_are_waited_for_no_longer_than_said(monkeypatch, tmp_path):
    file = tmp_path / "ip_vs"
    file.write_text(LIVE.format(2))
    monkeypatch.setattr(ipvs, "TABLE", str(file))
    clock = iter(range(100))
    monkeypatch.setattr(ipvs.time, "monotonic", lambda: next(clock))
    pauses = []
    monkeypatch.setattr(ipvs.time, "sleep", pauses.append)
    table = ipvs.IpvsTable("", SAVED, lambda argv, stdin: (0, SAVED, ""), installed=True, drain_timeout=10)
    table.prepare()
    table.settle()
    assert len(pauses) == 9


@pytest.mark.parametrize(
    ("away", "mark", "waits"),
    [
        ((), False, 9),
        (("203.0.113.80", "203.0.113.81"), False, 0),
        (("203.0.113.81",), False, 9),
        ((MARKS,), True, 0),
        (("2001:db8::80",), True, 9),
    ],
)
def test_connections_to_vips_that_another_director_carries_are_not_waited_for(monkeypatch, tmp_path, away, mark, waits):
    (tmp_path / "ip_vs").write_text(OF_ALL_KINDS if mark else LIVE.format(2))
    saved = KINDS if mark else SAVED
    left = "".join(line for line in KINDS.splitlines(True) if "1811939329 " not in f"{line.rstrip()} ") if mark else ""
    monkeypatch.setattr(ipvs, "TABLE", str(tmp_path / "ip_vs"))
    clock = iter(range(100))
    monkeypatch.setattr(ipvs.time, "monotonic", lambda: next(clock))
    pauses = []
    monkeypatch.setattr(ipvs.time, "sleep", pauses.append)
    table = ipvs.IpvsTable(
        left, saved, lambda argv, stdin: (0, saved, ""), installed=True, drain_timeout=10, away=lambda: away
    )
    table.prepare()
    table.settle()
    assert len(pauses) == waits


# As Debian 12's kernel lists it.
OF_ALL_KINDS = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  [2001:0db8:0000:0000:0000:0000:0000:0080]:0050 wlc persistent 75000 40000000
  -> 0A14010B:0050      Tunnel  1      1          0
  -> [2001:0db8:0001:0000:0000:0000:0000:0011]:0050      Route   100    2          0
UDP  CB007153:13C4 rr ops  persistent 75000 FFFFFF00
SCTP  CB007150:0050 sh
  -> 0A14010B:0050      Masq    1      3          0
FWM  6C000001 rr persistent 75000 40000000
  -> [2001:0db8:0001:0000:0000:0000:0000:0011]:0000      Route   5      4          0
FWM  6C000001 rr
  -> 0A14010B:0000      Route   1      5          0
"""


def test_connections_are_counted_for_services_of_all_kinds():
    """The kernel does not tell the family of a mark there: its servers are listed under both."""
    six, four = "[2001:db8:1::11]", "10.20.1.11"
    assert ipvs.active_connections(OF_ALL_KINDS) == {
        ("-t", "[2001:db8::80]:80", f"{four}:80"): 1,
        ("-t", "[2001:db8::80]:80", f"{six}:80"): 2,
        ("--sctp-service", "203.0.113.80:80", f"{four}:80"): 3,
        **{("-f", mark, f"{six}:0"): 4 for mark in ("1811939329", "1811939329 -6")},
        **{("-f", mark, f"{four}:0"): 5 for mark in ("1811939329", "1811939329 -6")},
    }


def test_real_servers_are_told_in_the_order_in_which_they_were_added():
    """The kernel lists the last one first."""
    six, four = "[2001:db8:1::11]", "10.20.1.11"
    marked = [f"{four}:0", f"{six}:0"]
    assert ipvs.in_order(OF_ALL_KINDS) == {
        "-t [2001:db8::80]:80": [f"{six}:80", f"{four}:80"],
        "--sctp-service 203.0.113.80:80": [f"{four}:80"],
        "-f 1811939329": marked,
        "-f 1811939329 -6": marked,
    }


@pytest.mark.parametrize(("number", "waits"), [(0, 0), (4, 9)])
def test_of_a_mark_only_the_connections_of_the_removed_family_are_waited_for(monkeypatch, tmp_path, number, waits):
    (tmp_path / "ip_vs").write_text(OF_ALL_KINDS.replace("Route   5      4", f"Route   5      {number}"))
    monkeypatch.setattr(ipvs, "TABLE", str(tmp_path / "ip_vs"))
    clock = iter(range(100))
    monkeypatch.setattr(ipvs.time, "monotonic", lambda: next(clock))
    pauses = []
    monkeypatch.setattr(ipvs.time, "sleep", pauses.append)
    shorter = "".join(line for line in KINDS.splitlines(True) if "-6" not in line)
    table = ipvs.IpvsTable(shorter, KINDS, lambda argv, stdin: (0, KINDS, ""), installed=True, drain_timeout=10)
    table.prepare()
    table.settle()
    assert len(pauses) == waits


def test_a_service_that_lvskit_recorded_is_removed_when_it_is_no_longer_planned():
    shorter = "".join(line for line in SAVED.splitlines(True) if " -u " not in line)
    assert commands(SAVED, shorter, SAVED) == [
        "-e -u 203.0.113.81:53 -r 10.20.1.11:5353 -m -w 0",
        "-D -u 203.0.113.81:53",
    ]


def test_somebody_elses_service_stays_unless_consent_is_given():
    theirs = "-A -t 198.51.100.7:443 -s rr\n-a -t 198.51.100.7:443 -r 198.51.100.8:443 -m -w 1\n"
    assert commands(SAVED + theirs, SAVED, SAVED) == []
    assert commands(SAVED + theirs, SAVED, SAVED, foreign=True) == [
        "-e -t 198.51.100.7:443 -r 198.51.100.8:443 -m -w 0",
        "-D -t 198.51.100.7:443",
    ]


@pytest.mark.parametrize("line", ["-A -t", "rubbish", "-a -t 192.0.2.1:80 -r 192.0.2.2:80 -g", "-X -t 192.0.2.1:80"])
def test_a_line_that_is_not_ipvsadms_is_refused_with_its_text(line):
    with pytest.raises(HostError, match="cannot read the line"):
        ipvs.parse(line)


def test_what_stays_for_now_stays_in_the_file_of_record():
    """A real server that is also a director keeps its old destinations until removals are allowed."""
    shorter = SAVED.replace("-a -t 203.0.113.80:80 -r 10.20.1.12:80 -g -w 0\n", "")
    table = ipvs.IpvsTable(shorter, SAVED, lambda argv, stdin: (0, "", ""), installed=True)
    table.found = SAVED
    assert ipvs.parse(table.record(keep_stale=True)) == ipvs.parse(SAVED)
    assert ipvs.parse(table.record(keep_stale=False)) == ipvs.parse(shorter)


NAMED = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80", "[2001:db8::1]:80"]
ADDRESSES = st.sampled_from(NAMED)
DESTINATIONS = st.dictionaries(
    ADDRESSES, st.tuples(st.sampled_from(["-g", "-m", "-i"]), st.integers(0, 9)).map(lambda o: f"{o[0]} -w {o[1]}")
)
SERVICES = st.builds(ipvs.VirtualService, st.sampled_from(["-s rr", "-s wlc", "-s rr -p 300"]), DESTINATIONS)
KEYS = [
    *((flag, name) for flag in ("-t", "-u") for name in NAMED),
    ("--sctp-service", NAMED[3]),
    ("-f", "7"),
    ("-f", "7 -6"),
]
TABLES = st.dictionaries(st.sampled_from(KEYS), SERVICES)


def carried_out(table, lines):
    """What the kernel would hold after `lines`; a command on something that is not there fails, as it does there."""
    table = copy.deepcopy(table)
    for line in lines:
        command, key, options = ipvs_lines.split(line)
        rest = options.split()
        if command == "-A":
            assert key not in table
            table[key] = ipvs.VirtualService(" ".join(rest))
        elif command == "-E":
            table[key].options = " ".join(rest)
        elif command == "-D":
            del table[key]
        else:
            rip, options = rest[1], " ".join(rest[2:])
            assert (rip in table[key].destinations) == (command != "-a")
            if command == "-d":
                del table[key].destinations[rip]
            else:
                table[key].destinations[rip] = options
    return table


@given(TABLES, TABLES)
def test_the_commands_lead_from_any_table_to_any_other(live, wanted):
    lines = [*ipvs.additions(live, wanted), *ipvs.removals(live, wanted, live, foreign=False)]
    assert carried_out(live, lines) == wanted


@given(TABLES, TABLES)
def test_no_command_concerns_a_destination_that_stays_as_it_is(live, wanted):
    lines = [*ipvs.additions(live, wanted), *ipvs.removals(live, wanted, live, foreign=False)]
    for key in set(live) & set(wanted):
        for rip, options in wanted[key].destinations.items():
            if live[key].destinations.get(rip) == options:
                assert not any(f"{key[1]} -r {rip}" in line and f" {key[0]} " in line for line in lines)


@given(TABLES, TABLES, TABLES)
def test_what_is_the_same_in_kernel_and_plan_can_be_left_out_of_the_comparison(live, wanted, recorded):
    texts = [ipvs.render(table) for table in ({**live, **dict(list(wanted.items())[:2])}, wanted, recorded)]
    kernels_order = "".join(reversed(re.split("^(?=-A)", texts[0], flags=re.M)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ipvs, "TABLE", __file__)
        made = ipvs.IpvsTable(texts[1], texts[2], lambda argv, stdin: (0, kernels_order, ""), installed=True)
        made.prepare()
    tables = [ipvs.parse(text) for text in texts]
    assert set(made.additions()) == {f"ipvsadm {line}" for line in ipvs.additions(*tables[:2])}
    assert set(made.removals()) == {f"ipvsadm {line}" for line in ipvs.removals(*tables, foreign=False)}
    assert set(made.foreign) == {" ".join(key) for key in tables[0] if key not in tables[1] and key not in tables[2]}


@given(TABLES)
def test_a_rendered_table_is_read_as_the_same_table(table):
    assert ipvs.parse(ipvs.render(table)) == table
