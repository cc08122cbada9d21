"""lvs_state as Ansible runs it, on a host in a folder: what it does in which order, and what it says."""

import pytest
from ansible.module_utils.lvs_host import files, formats, history, lock, programs, sysctls
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.kinds import TEXTS
from fake_host import FakeHost
from libraries import loaded

VIP, OTHER = "203.0.113.80", "203.0.113.81"
SERVICE = f"-A -t {VIP}:80 -s wlc"
SERVERS = [f"-a -t {VIP}:80 -r 10.20.1.{n}:80 -g -w 1" for n in (11, 12)]
ARP = "net/ipv4/conf/eth1/arp_ignore"
UNIT = "[Unit]\nDescription=x\n[Service]\nType=oneshot\n[Install]\nWantedBy=multi-user.target\n"
CLAMP = f"-A LVSKIT-OUTPUT -s {VIP}/32 -p tcp -j TCPMSS --set-mss 1440"
PLAN = {
    "modules": "ip_vs\n",
    "module_options": "options lvskit_toa lips=10.20.1.200\n",
    "sysctls": f"{ARP} = 1\n",
    "netfilter": f"*mangle\n:LVSKIT-OUTPUT - [0:0]\n{CLAMP}\nCOMMIT\n",
    "ipvs": "".join(f"{line}\n" for line in [SERVICE, *SERVERS]),
    "network": f"address replace {VIP}/32 dev eth1\n",
    "network_unit": UNIT,
    "programs": ["ipvsadm"],
    "interfaces": {"eth1": ["10.20.1.10/24"]},
}
COMMANDS = [
    "modprobe ip_vs",
    "lvskit_toa/parameters/lips = 10.20.1.200",
    f"{ARP} = 1",
    "iptables -t mangle -N LVSKIT-OUTPUT",
    f"iptables -t mangle {CLAMP}",
    "iptables -t mangle -I OUTPUT -j LVSKIT-OUTPUT",
    f"ipvsadm {SERVICE}",
    *(f"ipvsadm {line}" for line in SERVERS),
    f"ip address replace {VIP}/32 dev eth1",
    "systemctl enable --no-reload lvskit-network.service",
    "systemctl start lvskit-network.service",
]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    made = FakeHost(tmp_path, monkeypatch, {"eth1": "10.20.1.10/24"})
    made.write(f"/proc/sys/{ARP}", "0\n")
    made.write("/sys/module/lvskit_toa/parameters/lips", "\n")
    return made


@pytest.fixture
def state():
    return loaded("lvs_state")


def test_a_new_host_gets_everything_in_the_order_that_loses_no_packet(machine, state):
    result = machine.run(state, **PLAN)
    assert result["commands"] == COMMANDS
    assert (result["changed"], result["stale"], result["missing_programs"], result["notes"]) == (True, [], [], [])
    assert machine.addresses["eth1"] == ["10.20.1.10/24", f"{VIP}/32"]
    assert (machine.sysctl(ARP), machine.active) == (1, {"lvskit-network.service"})
    assert {name: machine.text(TEXTS[name]) for name in TEXTS} == {
        **dict.fromkeys(TEXTS, ""),
        **{n: PLAN[n] for n in PLAN if n in TEXTS},
    }


VIP6 = "2001:db8::80"
PLAN6 = {
    "netfilter6": f"*mangle\n:LVSKIT-OUTPUT - [0:0]\n{CLAMP.replace(f'{VIP}/32', f'{VIP6}/128')}\nCOMMIT\n",
    "network6": f"address replace {VIP6}/128 dev eth1 preferred_lft 0 nodad\n"
    "route replace default via 2001:db8::1 dev eth1 table 7690 protocol 76\n"
    "rule add from all lookup 7690 priority 7690 protocol 76\n",
    "programs": ["ip6tables"],
    "interfaces": {"eth1": ["10.20.1.10/24"]},
}


@pytest.mark.parametrize("other", [{}, PLAN])
def test_ipv6_comes_and_goes_beside_ipv4_or_alone(machine, state, other):
    machine.write("/proc/net/if_inet6", "")
    machine.run(state, **other)
    before = machine.tables, machine.rules["4"], machine.addresses["eth1"]
    six = {**other, **PLAN6}
    commands = machine.run(state, **six)["commands"]
    assert [command for command in commands if command.startswith("ip")] == [
        "ip6tables -t mangle -N LVSKIT-OUTPUT",
        f"ip6tables -t mangle {CLAMP.replace(f'{VIP}/32', f'{VIP6}/128')}",
        "ip6tables -t mangle -I OUTPUT -j LVSKIT-OUTPUT",
        *(f"ip -6 {line}" for line in PLAN6["network6"].splitlines()),
    ]
    assert f"{VIP6}/128 preferred_lft 0 nodad" in machine.addresses["eth1"]
    assert machine.text(TEXTS["netfilter6"]) == PLAN6["netfilter6"]
    assert machine.run(state, **six)["changed"] is False
    gone = machine.run(state, **{**other, "interfaces": PLAN6["interfaces"]})
    assert [command for command in gone["commands"] if command.startswith("ip")] == [
        "ip -6 rule del from all lookup 7690 priority 7690 protocol 76",
        "ip -6 route del default via 2001:db8::1 dev eth1 table 7690 protocol 76",
        f"ip -6 address del {VIP6}/128 dev eth1",
        "ip6tables -t mangle -D OUTPUT -j LVSKIT-OUTPUT",
        "ip6tables -t mangle -F LVSKIT-OUTPUT",
        "ip6tables -t mangle -X LVSKIT-OUTPUT",
    ]
    assert (machine.tables, machine.rules["4"], machine.addresses["eth1"]) == before
    assert machine.text(TEXTS["network6"]) == machine.text(TEXTS["netfilter6"]) == ""


def test_a_diff_shows_each_kind_of_state_and_each_file_before_and_after(machine, state):
    few = {"modules": "ip_vs\n", "sysctls": f"{ARP} = 1\n"}
    title = sysctls.Sysctls.title
    machine.run(state, **few)
    more = {**few, "sysctls": f"{ARP} = 2\n"}
    for check in (True, False):
        assert machine.run(state, check=check, **more)["diff"] == [
            {"before": f"{ARP} = 1\n", "after": f"{ARP} = 2\n", "before_header": title, "after_header": title},
            {
                "before": few["sysctls"],
                "after": more["sysctls"],
                "before_header": TEXTS["sysctls"],
                "after_header": TEXTS["sysctls"],
            },
        ]


def test_a_second_run_changes_nothing(machine, state):
    machine.run(state, **PLAN)
    before = machine.tree()
    result = machine.run(state, **PLAN)
    assert (result["changed"], result["commands"], result["diff"]) == (False, [], [])
    assert machine.tree() == before


def test_a_check_run_says_the_same_and_touches_nothing(machine, state):
    before = machine.tree()
    result = machine.run(state, check=True, **PLAN, run="2026-03-01T03:00:00Z")
    assert (result["changed"], result["commands"]) == (True, COMMANDS)
    assert machine.tree() == before
    assert (machine.addresses["eth1"], machine.services, machine.tables) == (["10.20.1.10/24"], {}, {})
    assert (machine.sysctl(ARP), machine.active) == (0, set())
    assert lock.PATH not in before


def test_what_leaves_goes_in_the_reverse_order(machine, state):
    machine.run(state, **PLAN)
    result = machine.run(state)
    assert result["commands"] == [
        f"ipvsadm -e -t {VIP}:80 -r 10.20.1.11:80 -g -w 0",
        f"ipvsadm -e -t {VIP}:80 -r 10.20.1.12:80 -g -w 0",
        "systemctl disable --now --no-reload lvskit-network.service",
        f"ip address del {VIP}/32 dev eth1",
        f"ipvsadm -D -t {VIP}:80",
        "iptables -t mangle -D OUTPUT -j LVSKIT-OUTPUT",
        "iptables -t mangle -F LVSKIT-OUTPUT",
        "iptables -t mangle -X LVSKIT-OUTPUT",
        f"{ARP} = 0",
        "lvskit_toa/parameters/lips = ",
        "systemctl daemon-reload",
    ]
    assert (machine.services, machine.addresses["eth1"], machine.sysctl(ARP)) == ({}, ["10.20.1.10/24"], 0)


def test_lvskits_own_folder_goes_with_its_last_file_and_folders_of_others_stay(machine, state):
    machine.run(state, **PLAN)
    machine.run(state, **{**PLAN, "network": "", "network_unit": ""})
    assert machine.place("/etc/lvskit").is_dir()  # of the rules and the table, which are still planned
    machine.run(state)
    assert not machine.place("/etc/lvskit").exists()
    assert machine.place("/etc/sysctl.d").is_dir()
    assert machine.place("/etc/modules-load.d").is_dir()


def test_a_file_of_somebody_else_keeps_lvskits_folder(machine, state):
    machine.run(state, **PLAN)
    machine.write("/etc/lvskit/note", "theirs")
    machine.run(state)
    assert machine.text("/etc/lvskit/note") == "theirs"
    assert machine.place("/etc/lvskit").is_dir()


def test_without_removals_everything_stays_and_is_named(machine, state):
    machine.run(state, **PLAN)
    result = machine.run(state, remove=False)
    assert result["commands"] == []
    assert f"ip address del {VIP}/32 dev eth1" in result["stale"]
    assert f"{VIP}/32" in machine.addresses["eth1"]
    assert list(machine.services) == [("-t", f"{VIP}:80")]
    assert machine.active == {"lvskit-network.service"}
    assert f"address replace {VIP}/32 dev eth1" in machine.text(TEXTS["network"])


def foreign(machine):
    machine.netlink([f"-A -t {OTHER}:443 -s rr", f"-a -t {OTHER}:443 -r 10.20.1.99:443 -m -w 5"])
    return ("-t", f"{OTHER}:443")


def test_somebody_elses_virtual_service_stays_and_is_named(machine, state):
    theirs = foreign(machine)
    assert machine.run(state, **PLAN)["foreign"] == [f"-t {OTHER}:443"]
    machine.run(state)
    assert list(machine.services) == [theirs]


def test_somebody_elses_virtual_service_goes_with_consent(machine, state):
    foreign(machine)
    result = machine.run(state, **PLAN, purge_foreign=True)
    assert f"ipvsadm -D -t {OTHER}:443" in result["commands"]
    assert list(machine.services) == [("-t", f"{VIP}:80")]


def test_a_real_server_that_leaves_is_waited_for(machine, state, monkeypatch):
    """Its weight is 0 at once; what it has open may end within drain_timeout."""
    machine.run(state, **PLAN)
    pauses = []

    def listed():
        port = "0050"
        head = f"TCP  CB007150:{port} wlc\n"
        return head + f"  -> 0A14010C:{port} Route 1 {int(len(pauses) < 2)} 0\n"

    monkeypatch.setattr(machine, "_listed", listed)

    def pause(seconds):
        pauses.append(seconds)
        machine.netlink([])

    monkeypatch.setattr("ansible.module_utils.lvs_host.ipvs.time.sleep", pause)
    fewer = {**PLAN, "ipvs": f"{SERVICE}\n{SERVERS[0]}\n"}
    result = machine.run(state, **fewer, drain_timeout=60)
    assert result["commands"] == [
        f"ipvsadm -e -t {VIP}:80 -r 10.20.1.12:80 -g -w 0",
        f"ipvsadm -d -t {VIP}:80 -r 10.20.1.12:80",
    ]
    assert len(pauses) == 2


def test_the_plan_is_kept_under_the_runs_name(machine, state):
    machine.run(state, **PLAN, run="2026-03-01T03:00:00Z", revision="4f1c2ab")
    assert history.runs() == [history.BEGINNING, "2026-03-01T03:00:00Z"]
    kept = history.read("2026-03-01T03:00:00Z")
    assert kept["revision"] == "4f1c2ab"
    assert kept["wanted"] == {**state.PLAN, **PLAN}


def test_what_has_changed_in_between_is_said_with_the_next_change(machine, state):
    machine.run(state, **PLAN)
    machine.addresses["eth1"].remove(f"{VIP}/32")
    result = machine.run(state, **PLAN)
    assert result["drift"] == [f"ip address replace {VIP}/32 dev eth1"] == result["commands"]


def test_missing_programs_are_named_before_anything_changes(machine, state):
    machine.programs -= {"ipvsadm"}
    before = machine.tree()
    result = machine.run(state, **PLAN)
    assert {key: value for key, value in result.items() if key != "invocation"} == {
        "changed": False,
        "commands": [],
        "stale": [],
        "foreign": [],
        "drift": [],
        "notes": [],
        "missing_programs": ["ipvsadm"],
    }
    after = machine.tree()
    after.pop(lock.PATH)
    assert after == before


def staged(machine):
    return [path for path in machine.tree() if path.endswith(files.SUFFIX)]


@pytest.mark.parametrize(
    ("program", "package"),
    [("ip", "iproute2"), ("systemctl", "systemd"), ("iptables-save", "iptables"), ("modprobe", "kmod")],
)
def test_a_program_that_is_missing_is_named_with_its_package(machine, state, program, package):
    machine.programs -= {program}
    result = machine.run(state, **{**PLAN, "programs": []})
    assert result["failed"] is True
    assert f"`{program}` is missing on this host: install the package {package}" in result["msg"]
    assert (machine.services, staged(machine)) == ({}, [])


def test_a_program_that_goes_missing_on_the_way_is_told_with_what_was_done(machine, state, monkeypatch):
    """Nothing half-written stays, and the next run finishes."""
    works = machine._iptables_restore

    def vanished(argv, stdin):
        raise HostError(programs.missing(argv[0]))

    monkeypatch.setattr(machine, "_iptables_restore", vanished)
    result = machine.run(state, **PLAN, run="2026-03-01T03:00:00Z")
    assert "`iptables-restore` is missing on this host: install the package iptables" in result["msg"]
    assert result["msg"].endswith(f"Done before that: {'; '.join(COMMANDS[:3])}.")
    assert result["commands"] == COMMANDS[:3]
    assert (staged(machine), history.runs(), machine.text(TEXTS["sysctls"])) == ([], [], "")
    monkeypatch.setattr(machine, "_iptables_restore", works)
    assert machine.run(state, **PLAN)["commands"] == COMMANDS[3:]


def test_a_kernel_that_refuses_is_told_with_what_was_done(machine, state):
    machine.fails = {SERVERS[1]: "No space left on device"}
    result = machine.run(state, **PLAN, run="2026-03-01T03:00:00Z")
    assert f"the kernel refused {SERVERS[1]}: No space left on device" in result["msg"]
    assert result["msg"].endswith(f"Done before that: {'; '.join(COMMANDS[:6])}.")
    assert (staged(machine), history.runs()) == ([], [])
    assert f"{VIP}/32" not in machine.addresses["eth1"]


@pytest.mark.parametrize(
    ("number", "said", "remedy"),
    [
        (28, "No space left on device", "Free some space on its file system (df "),
        (30, "Read-only file system", "Check why its file system is mounted read-only (findmnt -T "),
        (1, "Operation not permitted", "Check what denies root access (lsattr -d "),
    ],
)
def test_files_that_cannot_be_written_are_met_before_anything_changes(
    machine, state, monkeypatch, number, said, remedy
):
    def refuse(*_):
        raise OSError(number, said)

    monkeypatch.setattr(files.os, "fsync", refuse)
    result = machine.run(state, **PLAN, run="2026-03-01T03:00:00Z")
    assert result["msg"].startswith(f"cannot write {formats.PATH}.new: {said}. {remedy}")
    assert result["msg"].endswith("and run again. Nothing was changed.")
    assert (machine.services, machine.sysctl(ARP), staged(machine)) == ({}, 0, [])


def test_a_disk_that_fills_with_the_history_leaves_nothing_behind(machine, state, monkeypatch):
    writes = files.stage

    def stage(path, text, **options):
        if path.startswith(history.FOLDER):
            raise HostError(f"cannot write {path}: No space left on device")
        writes(path, text, **options)

    monkeypatch.setattr(files, "stage", stage)
    result = machine.run(state, **PLAN, run="2026-03-01T03:00:00Z")
    assert result["msg"].endswith("No space left on device. Nothing was changed.")
    assert (staged(machine), machine.services) == ([], {})


def test_files_that_cannot_be_replaced_are_told_with_what_was_done(machine, state, monkeypatch):
    def refuse(source, target):
        raise OSError(30, "Read-only file system")

    machine.run(state, **{**PLAN, "sysctls": ""})
    monkeypatch.setattr(files.os, "replace", refuse)
    monkeypatch.setattr(sysctls.Sysctls, "add", lambda self: self.batch(self.additions()))
    result = machine.run(state, **PLAN)
    assert result["msg"].startswith(f"cannot replace {TEXTS['sysctls']}: Read-only file system. ")
    assert result["msg"].endswith(f"Done before that: {ARP} = 1.")
    assert staged(machine) == []


def test_without_the_rights_of_root_a_run_is_refused(machine, state, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    result = machine.run(state, **PLAN)
    assert result["msg"] == (
        "this needs root privileges, and runs as nobody. Set `become: true` for the task, or ansible_become for the host. "
        "Nothing was changed."
    )
    assert machine.log == []
    assert machine.tree() == {}


def test_a_run_that_is_in_progress_is_waited_for_and_then_given_up(machine, state, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    for check in (False, True):
        with lock.held():
            result = machine.run(state, check=check, **PLAN)
        assert "another run has been changing this host for 0 seconds (it holds /run/lvskit.lock" in result["msg"]
        assert result["msg"].endswith("run again. Nothing was changed.")


def test_an_interface_that_is_not_as_described_is_refused(machine, state):
    result = machine.run(state, **{**PLAN, "interfaces": {"eth1": "10.20.1.99/24"}})
    assert "but it has 10.20.1.10/24" in result["msg"]
    assert (machine.services, machine.tree().keys() - {lock.PATH}) == ({}, set())


def test_a_note_is_in_the_result_and_a_warning(machine, state, monkeypatch):
    """Connections of a local address that leaves cannot be counted here: the kernel lists none, and conntrack is missing."""
    warned = []
    monkeypatch.setattr(state.AnsibleModule, "warn", lambda module, text: warned.append(text))
    snat = "*nat\n:LVSKIT-POSTROUTING - [0:0]\n-A LVSKIT-POSTROUTING -p tcp -j SNAT --to-source {}\nCOMMIT\n"
    machine.write("/proc/sys/net/netfilter/nf_conntrack_count", "7\n")
    machine.run(state, netfilter=snat.format("10.20.1.200-10.20.1.201"))
    result = machine.run(state, netfilter=snat.format("10.20.1.200"), drain_timeout=60)
    assert result["notes"] == []
    result = machine.run(state, drain_timeout=60)
    (note,) = result["notes"]
    assert note.startswith("Connections that leave from 10.20.1.200 were not waited for, and open ones were cut")
    assert warned == [note]
