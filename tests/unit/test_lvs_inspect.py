"""What a host answers to the questions about it."""

import socket

import pytest
from ansible.module_utils.lvs.diagnosis import COUNTERS as EXPLAINED
from ansible.module_utils.lvs.findings import evidence as explained
from ansible.module_utils.lvs_host import counters, evidence, files, host, links, programs, sysctl_files
from ansible.module_utils.lvs_host.errors import HostError
from fake_host import FakeHost
from libraries import loaded

OWN, COMMON = "net/ipv4/conf/eth1/{}", "net/ipv4/conf/all/{}"


@pytest.fixture
def inspect():
    return loaded("lvs_inspect")


@pytest.fixture
def setting(inspect, monkeypatch, tmp_path):
    """What is said of a setting that is to be `wanted`, with the values that the interface and all of them have."""
    monkeypatch.setattr(files, "ROOT", str(tmp_path))

    def make(name, wanted, own, common, boot="", also=None):
        for key, value in ((OWN, own), (COMMON, common)):
            path = tmp_path / "proc/sys" / key.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if value is not None:
                path.write_text(f"{value}\n")
        monkeypatch.setattr(sysctl_files, "read", lambda: list(sysctl_files.assignments("/etc/sysctl.conf", boot)))
        found = inspect.settings_of({OWN.format(name): wanted, **(also or {})})[OWN.format(name)]
        return found

    return make


def test_a_setting_that_a_run_has_yet_to_make_can_be_had(setting):
    """What the interface has now is nothing against it: conf/all is."""
    found = setting("arp_ignore", 1, own=0, common=0)
    assert (found["effective"], found["serves"], found["reachable"]) == (0, False, True)


@pytest.mark.parametrize(
    ("name", "wanted", "own", "common", "serves", "reachable"),
    [
        ("arp_ignore", 1, 0, 3, False, False),
        ("arp_ignore", 1, 1, 0, True, True),
        ("arp_ignore", 1, 0, 2, True, True),
        ("rp_filter", 0, 0, 1, False, False),
        ("rp_filter", 2, 1, 1, False, True),
        ("send_redirects", 0, 0, 1, False, False),
        ("forwarding", 1, 0, 0, False, True),
        ("forwarding", 1, None, None, False, True),
    ],
)
def test_what_conf_all_makes_of_a_setting(setting, name, wanted, own, common, serves, reachable):
    found = setting(name, wanted, own, common)
    assert (found["own"], found["all"]) == (own, common)
    assert (found["serves"], found["reachable"]) == (serves, reachable)


def test_a_common_setting_that_the_plan_changes_counts_with_its_planned_value(setting):
    """conf/all is 1 now and blocks the interface's 0, but the same run sets it to 0."""
    found = setting("send_redirects", 0, 0, 1, also={COMMON.format("send_redirects"): 0})
    assert (found["serves"], found["reachable"]) == (False, True)


def test_what_a_setting_gets_at_boot(setting):
    found = setting("arp_ignore", 1, 1, 0, boot="net.ipv4.conf.all.arp_ignore = 3\nnet.ipv4.conf.eth1.arp_ignore = 0\n")
    assert found["boot"] == {"value": "0", "place": "/etc/sysctl.conf:2"}
    assert found["boot_all"] == {"value": "3", "place": "/etc/sysctl.conf:1"}
    assert found["boot_serves"] is False
    assert setting("arp_ignore", 1, 1, 0, boot="net.ipv4.conf.eth1.arp_ignore = yes\n")["boot_serves"] is False
    assert setting("arp_ignore", 1, 1, 0, boot="net.ipv4.conf.eth1.arp_ignore = 1\n")["boot_serves"] is True
    assert setting("arp_ignore", 1, 1, 0)["boot_serves"] is True


def test_a_way_is_asked_for_without_a_source_that_the_host_does_not_have_yet(inspect):
    asked = []

    def run(argv, stdin):
        asked.append(argv[5:])
        if "from" in argv:
            return 2, "", "RTNETLINK answers: Invalid argument\n"
        return 0, '[{"dst": "198.51.100.10", "gateway": "10.20.1.1", "dev": "eth1"}]', ""

    packet = {"to": "198.51.100.10", "source": "203.0.113.80", "protocol": "tcp", "port": 80}
    assert inspect.route(packet, run) == {"interface": "eth1", "gateway": "10.20.1.1"}
    tail = ["ipproto", "tcp", "sport", "80"]
    assert asked == [["from", "203.0.113.80", *tail], tail]


def test_a_way_that_there_is_not_is_told_in_the_kernels_words(inspect):
    unreachable = lambda argv, stdin: (2, "", "RTNETLINK answers: Network is unreachable\n")  # noqa: E731
    assert inspect.route({"to": "198.51.100.10"}, unreachable) == {"error": "RTNETLINK answers: Network is unreachable"}


def test_a_default_route_of_an_advertisement_has_the_accept_ra_of_its_interface(inspect, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "ROOT", str(tmp_path))
    for name in ("eth1.20", "eth2"):
        place = tmp_path / f"proc/sys/net/ipv6/conf/{name}/accept_ra"
        place.parent.mkdir(parents=True)
        place.write_text("1\n")
    said = (
        '[{"dst": "default", "gateway": "fe80::1", "dev": "eth1.20", "protocol": "ra", "metric": 1024, "expires": 1799},'
        ' {"dst": "default", "gateway": "2001:db8::1", "dev": "eth2", "protocol": "static", "metric": 1024}]'
    )
    asked = {("ip", "-6", "-json", "route", "show", "default"): (0, said, "")}
    assert inspect.defaults(lambda argv, stdin: asked[tuple(argv)]) == [
        {"interface": "eth1.20", "accept_ra": 1},
        {"interface": "eth2", "accept_ra": None},
    ]
    assert inspect.defaults(lambda argv, stdin: (1, "", "RTNETLINK answers: Operation not supported\n")) == []


def test_modules_that_the_kernel_lacks(inspect, tmp_path, monkeypatch):
    machine = FakeHost(tmp_path, monkeypatch)
    machine.fails = {"--show-depends xt_ipvs": "not found"}
    assert list(inspect.lacking(["ip_vs", "xt_ipvs"], machine)) == ["xt_ipvs"]
    machine.programs -= {"modprobe"}
    assert inspect.lacking(["ip_vs"], machine) == {
        "ip_vs": "`modprobe` is missing on this host: install the package kmod"
    }


def test_firewall_rules_are_read_by_the_programs_that_there_are(inspect, monkeypatch):
    said = {
        "iptables-save": "*filter\n:FORWARD DROP [7:280]\nCOMMIT\n",
        "ip6tables-save": "*filter\n[5:400] -A FORWARD -j REJECT\nCOMMIT\n",
        "nft": "table ip6 filter {\n\tchain FORWARD {\n\t\tcounter packets 5 bytes 400 reject\n\t}\n}\ntable inet x {\n\tchain in {\n\t\tudp dport 53 drop\n\t}\n}\n",
    }
    there = set()
    monkeypatch.setattr(programs, "find", lambda name: name if name in there else None)

    def drops():
        return list(inspect.drops(*inspect.rules_of(lambda argv, stdin: (0, said[argv[0]], ""))))

    assert drops() == []
    there.add("nft")
    assert drops() == [("nft ip6 filter FORWARD reject", 5), ("nft inet x in udp dport 53 drop", None)]
    there.add("iptables-save")
    assert drops() == [
        ("iptables -t filter -P FORWARD DROP", 7),
        ("nft ip6 filter FORWARD reject", 5),
        ("nft inet x in udp dport 53 drop", None),
    ]
    there.add("ip6tables-save")
    assert drops() == [
        ("iptables -t filter -P FORWARD DROP", 7),
        ("ip6tables -t filter -A FORWARD -j REJECT", 5),
        ("nft inet x in udp dport 53 drop", None),
    ]


def test_the_order_of_real_servers_is_told_of_the_services_that_are_asked_for(inspect):
    listing = (
        "TCP  CB007150:0050 mh\n  -> 0A14010C:0050 Route 1 0 0\n  -> 0A14010B:0050 Route 1 0 0\nTCP  CB007150:0051 mh\n"
    )
    names = ["-t 203.0.113.80:80", "-t 203.0.113.80:81", "-t 203.0.113.80:82"]
    assert inspect.orders(names, listing) == {names[0]: ["10.20.1.11:80", "10.20.1.12:80"]}
    assert inspect.orders([], listing) == inspect.orders(names, "") == {}


def test_rules_about_marks_are_read_of_both_families(inspect):
    said = {
        "ip rule show": "0:\tfrom all lookup local\n9:\tfrom all fwmark 0x1 lookup 9\n",
        "ip -6 rule show": "9:\tfrom all fwmark 0x2 lookup 9\n",
    }
    saved = "*mangle\n-A PREROUTING -j MARK --set-xmark {}/0xffffffff\nCOMMIT\n"
    rules = "table inet own {\n\tchain in {\n\t\tmeta mark 0x00000005 accept\n\t}\n}\n"
    found = inspect.uses_of_marks(
        saved.format("0x3"), saved.format("0x4"), rules, lambda argv, stdin: (0, said[" ".join(argv)], "")
    )
    assert [(one["value"], one["how"]) for one in found] == [
        (1, "matches"),
        (2, "routes"),
        (3, "sets"),
        (4, "sets"),
        (5, "matches"),
    ]
    assert [one["rule"].partition(" 9")[0].partition(" -t")[0] for one in found[:4]] == [
        "ip rule",
        "ip -6 rule",
        "iptables",
        "ip6tables",
    ]


def test_each_health_check_is_tried(inspect):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        plain = {"address": "127.0.0.1", "block": "TCP_CHECK", "timeout": 2, "settings": {}, "url": {}}
        found = inspect.obstacles([{**plain, "port": port} for port in (listening.getsockname()[1], 1)])
    assert found == ["", "connection refused"]


def test_the_keepalived_of_health_checks_is_no_other_software(inspect, monkeypatch):
    texts = {
        "/proc/1/comm": "keepalived\n",
        "/proc/1/cgroup": "0::/system.slice/lvskit-health.service\n",
        "/proc/2/comm": "sshd\n",
        "/proc/2/cgroup": "0::/system.slice/ssh.service\n",
    }
    monkeypatch.setattr(inspect, "read", lambda path: texts.get(path, ""))
    monkeypatch.setattr(inspect.glob, "glob", lambda pattern: [path for path in texts if path.endswith("/comm")])
    assert inspect.running() == {"sshd"}


def test_features_and_other_software_are_those_that_findings_explain(inspect):
    everything = "".join(f"CONFIG_{name}=m\n" for name in evidence.FEATURES)
    assert inspect.unbuilt(everything) == [] == inspect.unbuilt("")
    assert inspect.unbuilt(everything.replace("CONFIG_IP_VS_NFCT=m", "# CONFIG_IP_VS_NFCT is not set")) == [
        "IP_VS_NFCT"
    ]
    assert inspect.companions({"sshd", "kube-proxy", "NetworkManager", "dockerd"}) == [
        "NetworkManager",
        "docker",
        "kube-proxy",
    ]
    assert inspect.companions({"cilium-agent", "firewalld", "keepalived"}) == ["cilium", "firewalld", "keepalived"]
    assert explained is evidence
    assert EXPLAINED is evidence.COUNTERS is counters.COUNTERS


def test_a_hosts_whole_answer(inspect, tmp_path, monkeypatch):
    machine = FakeHost(tmp_path, monkeypatch, {"eth1": "10.20.1.11/24"})
    machine.write("/etc/lvskit/network.batch", "# x\naddress replace 203.0.113.80/32 dev lo\n")
    monkeypatch.setattr(inspect.neighbours, "answers", lambda asks, macs: [["52:54:00:00:00:01"] for _ in asks])
    monkeypatch.setattr(inspect.echo, "largest", lambda paths: [size for _, size in paths])
    monkeypatch.setattr(links, "merges", lambda interface: False)
    answer = machine.run(
        inspect,
        neighbours=[{"interface": "eth1", "address": "10.20.1.1"}],
        paths=[{"address": "10.20.1.10", "size": 1500}],
    )
    assert answer["changed"] is False
    assert answer["interfaces"]["eth1"]["addresses"] == ["10.20.1.11/24"]
    assert (answer["neighbours"], answer["paths"]) == ([["52:54:00:00:00:01"]], [1500])
    assert answer["recorded"] == ["address replace 203.0.113.80/32 dev lo"]
    (departure,) = answer["departures"]
    assert (departure["kind"], departure["commands"]) == (
        "addresses and routes",
        ["ip address replace 203.0.113.80/32 dev lo"],
    )
    assert machine.run(inspect, departures=False)["departures"] == []


def test_a_damaged_file_of_record_is_an_obstacle_of_its_kind_alone(tmp_path, monkeypatch):
    machine = FakeHost(tmp_path, monkeypatch)
    machine.write("/etc/sysctl.d/zz-lvskit.conf", "net/ipv4/ip_forward = ye\n")
    machine.write("/etc/lvskit/network.batch", "address replace 203.0.113.80/32 dev lo\n")
    found = {one.kind: one for one in host.departures(machine)}
    assert list(found) == ["kernel settings", "addresses and routes"]
    assert found["kernel settings"].obstacle.startswith("/etc/sysctl.d/zz-lvskit.conf is damaged: ")


def test_interfaces_are_not_made_up_where_ip_fails():
    with pytest.raises(HostError, match="`ip -json -details address show` failed: no"):
        links.interfaces(lambda argv, stdin: (1, "", "no"))


def test_a_device_that_merges_packets(monkeypatch):
    """The kernel writes the flags behind the command (struct ethtool_value); LRO is bit 15."""
    flags = {"eth1": 1 << 15, "eth2": 1 << 14}

    def ioctl(handle, request, argument):
        name, address = links.struct.unpack("16sP", argument)
        name = name.rstrip(b"\0").decode()
        assert request == 0x8946
        if name not in flags:
            raise OSError(95, "Operation not supported")
        import ctypes

        value = (ctypes.c_uint * 2).from_address(address)
        assert value[0] == 0x25
        value[1] = flags[name]

    monkeypatch.setattr(links.fcntl, "ioctl", ioctl)
    assert [links.merges(name) for name in ("eth1", "eth2", "lo")] == [True, False, False]


@pytest.mark.parametrize(("tracking", "dropped"), [(0, True), (None, True), (1, False)])
def test_a_reply_is_invalid_unless_ipvs_shows_its_packets_to_conntrack(inspect, monkeypatch, tracking, dropped):
    read = {"net/ipv4/vs/conntrack": tracking}
    monkeypatch.setattr(inspect.sysctls, "read", read.get)
    monkeypatch.setattr(inspect.programs, "find", lambda program: None)
    saved = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    reply = {
        "hooks": ["forward"],
        "family": 4,
        "protocol": "tcp",
        "source": "10.20.1.11",
        "sport": 8080,
        "states": ["ipvs"],
    }
    rule = "iptables -t filter -A FORWARD -m conntrack --ctstate INVALID -j DROP"
    assert inspect.refused([reply], saved, "", None) == ([rule] if dropped else [""])
