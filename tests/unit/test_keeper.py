"""The keeper's passes on a host: what it puts back, when it stands aside or gives way, and what it tells."""

import json
import socket
import struct

import pytest
from ansible.module_utils.lvs_host import keeper, kinds, lock, netlink_events
from ansible.module_utils.lvs_host.keeper import AGAIN, APART, FIGHTS, KEPT, LOOK, SETTLE, WITHIN
from fake_host import FakeHost

VIP = "10.20.1.80/32"
NETWORK = f"""\
address replace {VIP} dev lo
rule add from 10.20.1.80 lookup 7600 priority 7600 protocol 76
"""
RULES = """\
*raw
:LVSKIT-PREROUTING - [0:0]
-A LVSKIT-PREROUTING -d 10.20.1.80/32 -p tcp -m tcp --dport 80 -j CT --notrack
COMMIT
"""
KEY = "net/ipv4/conf/all/arp_ignore"
OPTIONS = "lvskit_ctk/parameters/rips"


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = FakeHost(tmp_path, monkeypatch, {"eth1": "10.20.1.11/24"})
    made.write(kinds.MODULES.path, "lvskit_ctk\n")
    made.write(kinds.MODULE_OPTIONS.path, "options lvskit_ctk rips=10.20.1.11\n")
    made.write(kinds.SYSCTLS.path, f"{KEY} = 1\n")
    made.write(kinds.NETFILTER.path, RULES)
    made.write(kinds.NETWORK.path, NETWORK)
    made.write(kinds.IPVS.path, "-A -t 10.20.1.80:80 -s rr\n")
    made.write(f"/sys/module/{OPTIONS}", "10.20.1.11\n")
    made.boot()
    return made


class Kept:
    """A keeper whose clock a test moves."""

    def __init__(self, host):
        self.host, self.now, self.keeper = host, 1000.0, keeper.Keeper(host)
        self.keeper.concern(KEPT, self.now)
        self.after(LOOK)
        host.log.clear()

    def after(self, seconds):
        """Goes on in the keeper's own steps."""
        until = self.now + seconds
        while (at := self.now + self.keeper.patience(self.now)) <= until:
            self.now = at
            self.keeper.step(self.now)
        self.now = until

    def hears(self, *concerned):
        self.keeper.concern(concerned, self.now)
        self.after(SETTLE + APART)

    @property
    def report(self):
        return json.loads(self.host.text(keeper.REPORT))


@pytest.fixture
def kept(host):
    return Kept(host)


def events(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "event=started" not in line]


def test_a_host_that_is_as_it_should_be_is_left_alone(kept, host, capsys):
    before = host.tree()
    kept.hears(*KEPT)
    kept.after(2 * AGAIN)
    assert not [line for line in host.log if "batch" in line or "restore" in line or line.startswith("modprobe lv")]
    assert host.tree() == before
    assert events(capsys) == []
    assert kept.report == {}


def test_what_is_taken_away_comes_back_and_is_told(kept, host, capsys):
    host.addresses["lo"].remove(VIP)
    host.rules["4"].clear()
    kept.hears(kinds.NETWORK)
    assert VIP in host.addresses["lo"]
    assert len(host.rules["4"]) == 1
    (event,) = events(capsys)
    assert event == (
        f'<4>event=restored kind="addresses and routes" commands="ip address replace {VIP} dev lo; '
        'ip rule add from 10.20.1.80 lookup 7600 priority 7600 protocol 76"'
    )
    told = kept.report["addresses and routes"]
    assert (told["restored"], told["failing"], told["given_up"]) == (1, "", False)
    assert told["last"] > 0
    assert told["commands"] == event.partition('commands="')[2].rstrip('"').split("; ")


def test_an_event_names_five_commands_and_the_number_of_the_others(host, capsys):
    vips = [f"10.20.1.{number}/32" for number in range(80, 87)]
    host.write(kinds.NETWORK.path, "".join(f"address replace {vip} dev lo\n" for vip in vips))
    host.boot()
    kept = Kept(host)
    host.addresses["lo"].clear()
    kept.hears(kinds.NETWORK)
    (event,) = events(capsys)
    said = event.partition('commands="')[2].rstrip('"').split("; ")
    assert said == [*(f"ip address replace {vip} dev lo" for vip in vips[:5]), "and 2 more"]
    assert len(kept.report["addresses and routes"]["commands"]) == 7


def test_rules_and_their_calls_come_back_after_a_flush(kept, host):
    host.tables.clear()
    kept.hears(*netlink_events.RULES)
    assert host.tables["raw"] == {
        "LVSKIT-PREROUTING": ["-A LVSKIT-PREROUTING -d 10.20.1.80/32 -p tcp -m tcp --dport 80 -j CT --notrack"],
        "PREROUTING": ["-A PREROUTING -j LVSKIT-PREROUTING"],
    }


@pytest.mark.parametrize(
    ("path", "bad", "good"),
    [(f"/proc/sys/{KEY}", "0\n", "1\n"), (f"/sys/module/{OPTIONS}", "\n", "10.20.1.11\n")],
    ids=["setting", "parameter"],
)
def test_what_the_kernel_tells_nobody_of_is_looked_at(kept, host, path, bad, good):
    host.write(path, bad)
    kept.after(LOOK + SETTLE)
    assert host.text(path) == good


def test_a_module_comes_back_with_its_parameters(kept, host):
    host(["rmmod", "lvskit_ctk"])
    kept.after(LOOK + SETTLE)
    assert host.text(f"/sys/module/{OPTIONS}") == "10.20.1.11\n"


def test_what_others_add_stays(kept, host):
    host.addresses["lo"].append("192.0.2.1/32")
    host.tables["raw"]["PREROUTING"].append("-A PREROUTING -j ACCEPT")
    host.addresses["lo"].remove(VIP)
    kept.hears(kinds.NETWORK, kinds.NETFILTER)
    assert "192.0.2.1/32" in host.addresses["lo"]
    assert "-A PREROUTING -j ACCEPT" in host.tables["raw"]["PREROUTING"]


def test_the_table_of_ipvs_is_the_governors(kept, host):
    host.services.clear()
    kept.hears(*KEPT)
    kept.after(2 * AGAIN)
    assert not host.services
    assert not [line for line in host.log if line.startswith("ipvsadm")]


def test_during_a_run_it_stands_aside_and_looks_at_all_afterwards(kept, host):
    host.addresses["lo"].remove(VIP)
    with lock.held():
        host.addresses["lo"].append("10.20.1.99/32")
        kept.hears(kinds.NETWORK)
        assert VIP not in host.addresses["lo"]
        host.write(f"/proc/sys/{KEY}", "0\n")
    kept.after(3 * APART)
    assert VIP in host.addresses["lo"]
    assert host.sysctl(KEY) == 1


def test_after_a_run_its_plan_is_kept(kept, host):
    other = "10.20.1.99/32"
    with lock.held():
        host.write(kinds.NETWORK.path, NETWORK.replace(VIP, other))
        host.addresses["lo"].remove(VIP)
    kept.after(LOOK + 3 * APART)
    assert other in host.addresses["lo"] and VIP not in host.addresses["lo"]


def take_away(kept, host, times):
    for _ in range(times):
        host.addresses["lo"].remove(VIP)
        kept.hears(kinds.NETWORK)
        assert VIP in host.addresses["lo"]


def test_it_gives_way_to_what_takes_away_again_and_again_until_the_next_run(kept, host, capsys):
    take_away(kept, host, FIGHTS)
    assert events(capsys)[-1] == (
        '<3>event=given-up kind="addresses and routes" reason="taken away 10 times within 10 minutes; it is left alone until the next run"'
    )
    host.addresses["lo"].remove(VIP)
    kept.hears(kinds.NETWORK)
    kept.after(2 * AGAIN)
    assert VIP not in host.addresses["lo"]
    assert kept.report["addresses and routes"]["given_up"] is True
    host.write(f"/proc/sys/{KEY}", "0\n")
    kept.after(LOOK + SETTLE)
    assert host.sysctl(KEY) == 1  # another kind
    with lock.held():
        pass
    kept.after(LOOK + 2 * APART)
    assert VIP in host.addresses["lo"]


def test_what_is_taken_away_now_and_then_always_comes_back(kept, host):
    for _ in range(FIGHTS + 2):
        take_away(kept, host, 1)
        kept.after(WITHIN / (FIGHTS - 1))
    assert kept.report["addresses and routes"]["given_up"] is False


def test_what_cannot_be_put_back_is_told_once_and_tried_again(kept, host, capsys):
    host.fails["-batch"] = "Cannot find device"
    host.addresses["lo"].remove(VIP)
    kept.hears(kinds.NETWORK)
    assert events(capsys) == []  # a unit of the boot may have been about the same
    kept.after(3 * AGAIN)
    (event,) = events(capsys)
    assert event.startswith(
        '<3>event=not-kept kind="addresses and routes" reason="addresses and routes: `ip -batch -` failed: Cannot find'
    )
    assert "Cannot find device" in kept.report["addresses and routes"]["failing"]
    host.fails.clear()
    kept.after(AGAIN + SETTLE)
    assert VIP in host.addresses["lo"]
    assert [line.partition(" ")[0] for line in events(capsys)] == ["<5>event=kept-again", "<4>event=restored"]
    assert kept.report["addresses and routes"]["failing"] == ""


def test_what_fails_once_because_something_else_did_the_same_is_not_told(kept, host, capsys):
    host.fails["-batch"] = "File exists"
    host.addresses["lo"].remove(VIP)
    kept.hears(kinds.NETWORK)
    host.fails.clear()
    host.addresses["lo"].append(VIP)
    kept.after(3 * AGAIN)
    assert events(capsys) == []
    assert kept.report == {}


def test_a_module_that_is_built_in_is_asked_for_once(kept, host):
    host.write(kinds.MODULES.path, "ip_vs\n")
    host(["rmmod", "lvskit_ctk"])
    host.log.clear()
    host._modprobe = lambda argv, stdin: "builtin ip_vs\n"
    kept.after(5 * LOOK)
    assert host.log.count("modprobe --show-depends ip_vs") == 1


def test_rules_of_the_older_iptables_are_looked_at(kept, host):
    kept.keeper.older_iptables = True
    kept.after(LOOK)
    host.tables.clear()
    kept.after(AGAIN + SETTLE)
    assert "LVSKIT-PREROUTING" in host.tables["raw"]


def link(number, flags):
    return struct.pack("=BBHiII", 0, 0, 0, number, flags, 0)


def route(protocol):
    return struct.pack("=BBBBBBBBI", socket.AF_INET6, 0, 0, 0, 0, protocol, 0, 0, 0)


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setattr(netlink_events, "_listening", lambda protocol, groups: None)
    made = netlink_events.Events()
    made.chains = {"LVSKIT-INPUT", "INPUT"}
    return made


def test_only_what_may_be_lvskits_is_heard_of(heard):
    assert list(heard.about(21, bytes([socket.AF_INET]))) == [kinds.NETWORK]
    assert list(heard.about(33, bytes([socket.AF_INET6]))) == [kinds.NETWORK6]
    assert list(heard.about(25, route(kinds.ROUTE_PROTOCOL))) == [kinds.NETWORK6]
    assert list(heard.about(25, route(186))) == []  # bgp
    assert list(heard.about(20, bytes([socket.AF_INET]))) == []  # a new address


def test_a_link_that_comes_or_goes_is_heard_of_and_no_other_change_of_it(heard):
    concerned = [kinds.SYSCTLS, kinds.NETWORK, kinds.NETWORK6]
    found = [
        list(heard.about(kind, link(3, flags))) for kind, flags in ((16, 1), (16, 0x11), (16, 0), (16, 1), (17, 1))
    ]
    assert found == [concerned, [], concerned, concerned, concerned]


def test_of_rules_only_those_in_chains_that_matter_are_heard_of(heard):
    in_chain = {
        name: b"\0\0\0\0" + name.encode() + b"\0" for name in ("LVSKIT-INPUT", "INPUT", "DOCKER-INPUT", "INPUTS")
    }
    found = {name: bool(heard.about_rules(10 << 8 | 8, payload)) for name, payload in in_chain.items()}
    assert found["LVSKIT-INPUT"] and found["INPUT"] and not found["INPUTS"] and not found["DOCKER-INPUT"]
    assert not heard.about_rules(10 << 8 | 6, in_chain["INPUT"])  # a new rule
    assert list(heard.about_rules(10 << 8 | 2, b"")) == [kinds.NETFILTER, kinds.NETFILTER6]  # a table


def test_messages_are_told_apart():
    first, second = b"abcde", b"xyz1"
    data = b"".join(
        struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload + b"\0" * (-len(payload) % 4)
        for kind, payload in ((21, first), (33, second))
    )
    assert list(netlink_events.messages(data)) == [(21, first), (33, second)]
    assert list(netlink_events.messages(data[:10])) == []
    assert list(netlink_events.messages(b"\0" * 32)) == []
