"""Kernel modules: which are loaded, with what, and what is said of one that cannot be had."""

import os

import pytest
from ansible.module_utils.lvs_host import files, kernel_modules
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.kernel_modules import KernelModules


class Modprobe:
    """`knows` maps a module to what --show-depends says of it."""

    def __init__(self, **knows):
        self.knows, self.ran = knows, []

    def __call__(self, argv, stdin):
        self.ran.append(argv)
        if argv[1] == "--show-depends":
            said = self.knows.get(argv[2])
            return (0, said, "") if said else (1, "", f"modprobe: FATAL: Module {argv[2]} not found")
        return 0, "", ""


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "ROOT", str(tmp_path))

    def make(*names):
        for name in names:
            (tmp_path / "sys/module" / name).mkdir(parents=True)

    return make


@pytest.fixture
def on_disk(monkeypatch):
    """Whether the running kernel's modules are on the disk."""

    def make(there):
        monkeypatch.setattr(kernel_modules.os, "uname", lambda: os.uname_result(("", "", "6.1.0-9", "", "")))
        monkeypatch.setattr(kernel_modules.os.path, "isdir", lambda path, real=os.path.isdir: there if path == "/lib/modules/6.1.0-9" else real(path))  # fmt: skip

    return make


def modules(wanted, modprobe, **options):
    made = KernelModules("".join(f"{name}\n" for name in wanted), "", modprobe, **options)
    made.prepare()
    return made


def test_what_is_missing_is_loaded_with_its_parameters(loaded):
    loaded("ip_vs")
    modprobe = Modprobe(lvskit_toa="insmod /lib/lvskit_toa.ko\n")
    made = modules(["ip_vs", "lvskit_toa"], modprobe, options={"lvskit_toa": ["lips=10.20.1.200", "kind=200"]})
    assert (made.additions(), made.before()) == (["modprobe lvskit_toa lips=10.20.1.200 kind=200"], ["ip_vs"])
    made.add()
    assert modprobe.ran[-1] == ["modprobe", "lvskit_toa", "lips=10.20.1.200", "kind=200"]
    assert made.additions() == []


def test_what_is_part_of_the_kernel_is_not_loaded(loaded):
    made = modules(["ip_vs"], Modprobe(ip_vs="builtin ip_vs\n"))
    assert (made.additions(), made.before()) == ([], ["ip_vs"])


def test_modules_stay_loaded_for_whoever_uses_them(loaded):
    loaded("ip_vs")
    made = KernelModules("", "ip_vs\n", Modprobe())
    made.prepare()
    assert (made.removals(), made.additions()) == ([], [])


def test_a_module_that_the_kernel_does_not_have_is_refused(loaded, on_disk):
    on_disk(True)
    words = r"the kernel 6.1.0-9 has no module ip_vs \(modprobe: FATAL: Module ip_vs not found\). Install a kernel that has it"
    with pytest.raises(HostError, match=words):
        modules(["ip_vs"], Modprobe())


def test_a_kernel_whose_modules_are_gone_is_to_be_rebooted(loaded, on_disk):
    on_disk(False)
    with pytest.raises(
        HostError, match=r"the running kernel 6.1.0-9 has no modules on disk .* Reboot into the installed kernel"
    ):
        modules(["ip_vs"], Modprobe())


def test_a_check_run_does_not_ask_for_modules_that_are_yet_to_be_installed(loaded, on_disk):
    on_disk(True)
    made = modules(["lvskit_toa"], Modprobe(), coming=["lvskit_toa"])
    assert made.additions() == ["modprobe lvskit_toa"]
    with pytest.raises(HostError):
        modules(["lvskit_toa", "ip_vs"], Modprobe(), coming=["lvskit_toa"])


def test_a_module_that_cannot_be_loaded_is_told_with_the_kernels_words(loaded):
    made = modules(["ip_vs"], Modprobe(ip_vs="insmod /lib/ip_vs.ko\n"))
    made.run = lambda argv, stdin: (1, "", "modprobe: ERROR: could not insert 'ip_vs': Key was rejected by service")
    with pytest.raises(HostError, match=r"kernel modules: `modprobe ip_vs` failed: .* Key was rejected by service"):
        made.add()
