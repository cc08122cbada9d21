"""What is removed from a host without a plan, and what stays."""

import json
from fnmatch import fnmatch

import pytest
from ansible.module_utils.lvs_host import formats, history, ipvs, lock
from ansible.module_utils.lvs_host.kinds import TEXTS
from fake_host import FakeHost
from libraries import loaded

MODULES = ("ip_vs", "ip_vs_rr", "ipip", "lvskit_toa")
ENTRY = '{"revision": "", "wanted": {"modules": "# x\\nip_vs\\nip_vs_rr\\nipip\\nlvskit_toa\\n"}}'


@pytest.fixture
def clear():
    return loaded("lvs_clear")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A host whose plan has become empty: what is left of lvskit's, and something of others."""
    made = FakeHost(tmp_path, monkeypatch, {"eth1": "10.20.1.10/24"})
    for name in MODULES:
        made(["modprobe", name])
    made.write(f"{history.FOLDER}/2026-03-01T03:00:00Z.json", ENTRY)
    made.write(formats.PATH, "2\n")
    made.write("/lib/modules/6.1/updates/lvskit/lvskit_toa.ko", "")
    made.write("/usr/src/lvskit-toa-1/Makefile", "")
    made.write(lock.PATH, "")
    made.write("/etc/lvskit/ipvs.rules.new", "half")
    made.write("/etc/systemd/system/lvskit-lab-app.service", "somebody's")
    made.place("/etc/lvskit").mkdir(exist_ok=True)
    made.log.clear()
    return made


def loaded_now(machine):
    return {path.name for path in machine.place("/sys/module").iterdir()}


def test_the_folder_of_built_modules_is_the_one_that_they_are_installed_in(clear):
    assert loaded("lvs_built_modules").FOLDER.format(kernel="*") == clear.BUILT


def test_every_file_of_record_is_a_plan(clear):
    for path in TEXTS.values():
        assert any(fnmatch(path, pattern) for pattern in clear.records()), path


@pytest.mark.parametrize("name", TEXTS)
def test_a_host_that_still_has_a_plan_is_refused(clear, machine, name):
    machine.write(TEXTS[name], "x\n")
    before = machine.tree()
    result = machine.run(clear)
    assert result["msg"].startswith(f"this host still has a plan ({TEXTS[name]}).")
    assert result["msg"].endswith("playbooks/teardown.yml. Nothing was changed.")
    assert (machine.tree(), loaded_now(machine)) == (before, set(MODULES))


def test_everything_of_lvskits_goes_and_nothing_else(clear, machine):
    result = machine.run(clear)
    assert machine.tree() == {"/etc/systemd/system/lvskit-lab-app.service": b"somebody's"}
    assert not machine.place("/usr/src/lvskit-toa-1").exists()
    assert not machine.place("/lib/modules/6.1/updates/lvskit").exists()
    assert (loaded_now(machine), result["kept_loaded"]) == (set(), [])
    assert result["removed"] == [
        *MODULES,
        "/etc/lvskit/ipvs.rules.new",
        "/lib/modules/6.1/updates/lvskit",
        "/usr/src/lvskit-toa-1",
        "/etc/lvskit",
        "/var/lib/lvskit",
        lock.PATH,
    ]
    assert machine.log[-1] == "depmod"
    again = machine.run(clear)
    assert (again["changed"], again["removed"]) == (False, [])


def test_a_check_run_says_so_and_removes_nothing(clear, machine):
    before = machine.tree()
    result = machine.run(clear, check=True)
    assert result["changed"] is True
    assert {*MODULES, "/etc/lvskit", "/var/lib/lvskit", "/usr/src/lvskit-toa-1"} <= set(result["removed"])
    assert (machine.tree(), loaded_now(machine), machine.log) == (before, set(MODULES), [])


@pytest.mark.parametrize(
    "line", ["TCP  C6336407:01BB rr", "UDP  C6336407:0035 rr", "FWM  00000007 rr", "SCTP C6336407:0050 rr"]
)
def test_ip_vs_stays_where_it_carries_somebody_elses_service(clear, machine, line):
    """Unloading it would take the service away."""
    machine.write(
        ipvs.TABLE, f"IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n{line}\n"
    )
    result = machine.run(clear)
    assert loaded_now(machine) == {"ip_vs", "ip_vs_rr"}
    assert result["kept_loaded"] == ["ip_vs", "ip_vs_rr"]
    assert not any(command.startswith("rmmod ip_vs") for command in machine.log)


@pytest.mark.parametrize(("name", "address"), [("tunl0", "192.0.2.7/32"), ("tunl9", None)])
def test_ipip_stays_where_it_carries_somebody_elses_tunnel(clear, machine, name, address):
    machine.addresses = {name: [address] if address else []}
    assert machine.run(clear)["kept_loaded"] == ["ipip"]
    assert loaded_now(machine) == {"ipip"}


def test_ipip_goes_with_the_tunnel_that_it_makes_itself(clear, machine):
    machine.addresses = {"tunl0": []}
    assert machine.run(clear)["kept_loaded"] == []


@pytest.mark.parametrize(
    ("module", "own", "other"),
    [("sit", "sit0", "sit9"), ("ip6_tunnel", "ip6tnl0", "ip6tnl9"), ("ipip", "tunl0", "tunl9")],
)
@pytest.mark.parametrize("address", ["2001:db8::7/128", "fe80::1/64", None])
def test_a_tunnel_module_of_either_family_goes_if_nothing_else_is_its(clear, machine, module, own, other, address):
    """Each tunnel has a link-local address by itself."""
    machine.write(
        f"{history.FOLDER}/2026-03-01T03:00:00Z.json", json.dumps({"revision": "", "wanted": {"modules": module}})
    )
    machine(["modprobe", module])
    machine.addresses = {own: [address] if address else []}
    assert machine.run(clear, check=False)["kept_loaded"] == ([module] if address == "2001:db8::7/128" else [])
    machine(["modprobe", module])
    machine.write(
        f"{history.FOLDER}/2026-03-01T03:00:00Z.json", json.dumps({"revision": "", "wanted": {"modules": module}})
    )
    machine.addresses = {own: [], other: []}
    assert machine.run(clear)["kept_loaded"] == [module]


def test_a_module_that_others_use_goes_when_they_have_gone(clear, machine):
    """rmmod ip_vs fails until ip_vs_rr, which comes later by name, is unloaded."""
    works = machine._rmmod

    def rmmod(argv, stdin):
        if argv[1] == "ip_vs" and "ip_vs_rr" in loaded_now(machine):
            raise BlockingIOError
        works(argv, stdin)

    def run(argv, stdin=None, real=machine.__call__):
        try:
            return real(argv, stdin)
        except BlockingIOError:
            return 1, "", "rmmod: ERROR: Module ip_vs is in use by: ip_vs_rr"

    machine._rmmod = rmmod
    assert clear.clear(run, [], check=False)["kept_loaded"] == []
    assert loaded_now(machine) == set()


@pytest.mark.parametrize(("program", "package"), [("rmmod", "kmod"), ("depmod", "kmod"), ("ip", "iproute2")])
def test_a_program_that_is_missing_is_named_with_what_was_done(clear, machine, program, package):
    machine.programs -= {program}
    result = machine.run(clear)
    assert f"`{program}` is missing on this host: install the package {package}." in result["msg"]
    done = {"rmmod": "Nothing was changed.", "ip": "Done before that: unloaded ip_vs; unloaded ip_vs_rr."}
    assert result["msg"].endswith(done.get(program, "; removed /var/lib/lvskit; removed /run/lvskit.lock."))


def test_a_host_of_a_newer_lvskit_is_left_as_it_is(clear, machine):
    machine.write(formats.PATH, "99\n")
    before = machine.tree()
    result = machine.run(clear)
    assert result["failed"] is True
    assert result["msg"].endswith("Nothing was changed.")
    assert (machine.tree(), loaded_now(machine)) == (before, set(MODULES))


def test_all_that_is_left_of_a_plan_is_named(clear, machine):
    for path in (TEXTS["sysctls"], "/etc/lvskit/b", "/etc/lvskit/a"):
        machine.write(path, "x\n")
    assert f"plan (/etc/lvskit/a, /etc/lvskit/b, {TEXTS['sysctls']})" in machine.run(clear)["msg"]


def test_a_check_run_of_a_teardown_still_has_the_plan_and_is_not_refused(clear, machine):
    machine.write(TEXTS["ipvs"], "x\n")
    result = machine.run(clear, check=True)
    assert "msg" not in result
    assert result["changed"] is True


@pytest.fixture
def clean(tmp_path, monkeypatch):
    return FakeHost(tmp_path, monkeypatch)


@pytest.mark.parametrize("check", [False, True])
def test_a_host_that_never_had_anything_of_lvskits_needs_no_program(clear, clean, check):
    clean.programs = set()
    assert clean.run(clear, check=check) == {
        "changed": False,
        "removed": [],
        "kept_loaded": [],
        "invocation": {"module_args": {}},
    }


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("file", "removed"),
    [
        ("/etc/lvskit/network.batch.new", ["/etc/lvskit/network.batch.new", "/etc/lvskit"]),
        ("/etc/systemd/system/lvskit-ipvs.service.new", ["/etc/systemd/system/lvskit-ipvs.service.new"]),
        ("/lib/modules/6.1/updates/lvskit/a.ko", ["/lib/modules/6.1/updates/lvskit"]),
        ("/usr/src/lvskit-toa-1/Makefile", ["/usr/src/lvskit-toa-1"]),
        ("/var/lib/dkms/lvskit-toa/1/x", ["/var/lib/dkms/lvskit-toa"]),
        ("/var/lib/lvskit/sysctls.json", ["/var/lib/lvskit"]),
        ("/run/lvskit-capture/eth1.pcap", ["/run/lvskit-capture"]),
        ("/var/lib/dkms/lvskit-note", []),
        ("/usr/src/linux/Makefile", []),
    ],
)
def test_a_single_remainder_goes(clear, clean, check, file, removed):
    clean.write(file, "x")
    result = clean.run(clear, check=check)
    assert (result["changed"], result["removed"]) == (bool(removed), removed)
    assert [clean.place(path).exists() for path in removed] == [check] * len(removed)
    assert clean.place(file).exists() == (check or not removed)
    built = file.endswith(".ko") or removed == ["/var/lib/dkms/lvskit-toa"]
    assert clean.log == (["depmod"] if built and not check else [])


def test_dkms_removes_each_version_of_its_packages_itself(clear, clean):
    """It has installed the modules for every kernel."""
    versions = [str(number) for number in range(9, 0, -1)]
    for version in versions:
        clean.write(f"/var/lib/dkms/lvskit-toa/{version}/source/Makefile", "")
    clean.write("/var/lib/dkms/lvskit-toa/kernel-6.1-x86_64/log", "")
    assert "`dkms` is missing on this host: install the package dkms" in clean.run(clear)["msg"]
    clean.programs |= {"dkms"}
    clean._dkms = lambda argv, stdin: ""
    clean.log.clear()
    assert clean.run(clear)["removed"] == ["/var/lib/dkms/lvskit-toa"]
    assert clean.log == [*(f"dkms remove lvskit-toa/{version} --all" for version in sorted(versions)), "depmod"]
    assert not clean.place("/var/lib/dkms/lvskit-toa").exists()
    clean.write("/var/lib/dkms/lvskit-toa/1/source/Makefile", "")
    clean.fails = {"depmod": "no space"}
    assert clean.run(clear)["msg"].endswith("Done before that: removed /var/lib/dkms/lvskit-toa.")


def test_a_failure_says_what_has_gone_before(clear, machine):
    machine.fails = {"depmod": "no space"}
    assert machine.run(clear)["msg"] == (
        "`depmod` failed: no space. Done before that: unloaded ip_vs; unloaded ip_vs_rr; unloaded ipip; unloaded lvskit_toa; "
        "removed /etc/lvskit/ipvs.rules.new; removed /lib/modules/6.1/updates/lvskit; removed /usr/src/lvskit-toa-1; "
        "removed /etc/lvskit; removed /var/lib/lvskit; removed /run/lvskit.lock."
    )


@pytest.mark.parametrize("check", [False, True])
def test_a_module_that_is_not_loaded_is_not_named(clear, machine, check):
    machine(["rmmod", "ipip"])
    machine.log.clear()
    assert "ipip" not in machine.run(clear, check=check)["removed"]
    assert "rmmod ipip" not in machine.log


def test_a_module_that_cannot_be_unloaded_is_named(clear, machine):
    machine.fails = {"rmmod lvskit_toa": "rmmod: ERROR: Module lvskit_toa is in use"}
    result = machine.run(clear)
    assert result["kept_loaded"] == ["lvskit_toa"]
    assert "lvskit_toa" not in result["removed"]


def test_an_empty_table_of_ip_vs_is_no_service(clear, machine):
    machine.write(ipvs.TABLE, "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n")
    assert machine.run(clear)["kept_loaded"] == []
