"""When a host cannot have a kernel module of ours, and what dkms is told."""

import base64
import importlib.util
import io
import lzma
import tarfile
from pathlib import Path

import pytest
from ansible.module_utils.lvs_host import programs
from ansible.module_utils.lvs_host.errors import HostError

LIBRARY = Path(__file__).parents[2] / "library"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, LIBRARY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Refused(Exception):
    pass


class Host:
    """What a module sees of its host; `answers` maps a command's first word to its return code and output."""

    def __init__(self, answers=None, **params):
        self.params, self.answers = params, answers or {}
        self.commands = []
        self.check_mode = False
        Host.last = self

    def run(self, command):
        self.commands.append(list(command))
        code, out = self.answers.get(command[0], (0, ""))
        return code, out, ""

    def fail_json(self, msg):
        raise Refused(msg)


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    """Commands are run on the host that was made last."""
    monkeypatch.setattr(programs, "run", lambda argv, stdin=None: Host.last.run(argv))


@pytest.fixture
def built_modules(monkeypatch, tmp_path):
    module = loaded("lvs_built_modules")
    for name in ("EFI_SECURE_BOOT", "LOCKDOWN", "CLOSED"):
        monkeypatch.setattr(module, name, str(tmp_path / name))
    return module


@pytest.mark.parametrize(("value", "refused"), [(b"\x06\x00\x00\x00\x01", True), (b"\x06\x00\x00\x00\x00", False)])
def test_secure_boot_without_a_key_is_refused(built_modules, value, refused):
    Path(built_modules.EFI_SECURE_BOOT).write_bytes(value)
    host = Host(modules=["lvskit_toa"], signed=False, method="builder")
    if refused:
        with pytest.raises(Refused, match=r"Secure Boot is on, so the kernel 6\.1 loads signed modules only"):
            built_modules.preflight(host, "6.1")
        host.params["signed"] = True
    built_modules.preflight(host, "6.1")


@pytest.mark.parametrize(
    ("lockdown", "secure_boot", "reason"),
    [
        ("none [integrity] confidentiality\n", 0, r"the kernel is locked down \(integrity\)"),
        ("none integrity [confidentiality]\n", 1, r"the kernel is locked down \(confidentiality\)"),
        ("[none] integrity confidentiality\n", 1, None),  # its owner has switched validation off
        ("[none] integrity confidentiality\n", 0, None),
    ],
)
def test_a_kernel_that_is_locked_down_wants_signatures_with_secure_boot_and_without(
    built_modules, lockdown, secure_boot, reason
):
    Path(built_modules.LOCKDOWN).write_text(lockdown)
    Path(built_modules.EFI_SECURE_BOOT).write_bytes(bytes([6, 0, 0, 0, secure_boot]))
    host = Host(modules=["lvskit_toa"], signed=False, method="builder")
    if reason:
        with pytest.raises(Refused, match=f"{reason}, so the kernel 6\\.1 loads signed modules only"):
            built_modules.preflight(host, "6.1")
    else:
        built_modules.preflight(host, "6.1")


def test_a_host_that_loads_no_modules_any_more_is_refused_where_one_is_needed(built_modules, monkeypatch):
    Path(built_modules.CLOSED).write_text("1\n")
    host = Host(modules=["lvskit_toa", "lvskit_enat"], signed=False, method="builder", binaries={"lvskit_enat": "x"})
    there = ["lvskit_toa"]
    monkeypatch.setattr(built_modules, "installed", lambda given, kernel, name: name in there)
    monkeypatch.setattr(built_modules, "outdated", lambda module, name: False)
    with pytest.raises(Refused, match=r"modules_disabled is 1\), and needs lvskit_enat\. Find what sets it"):
        built_modules.bring(host, "6.1", [])
    there.append("lvskit_enat")
    assert not built_modules.bring(host, "6.1", [])["changed"]


def test_another_makers_module_is_refused(built_modules, monkeypatch):
    monkeypatch.setattr(built_modules.os.path, "isdir", lambda path: path == "/sys/module/toa")
    with pytest.raises(Refused, match="a third-party module is loaded: toa"):
        built_modules.preflight(Host(modules=["lvskit_toa_peer"], signed=False), "6.1")
    built_modules.preflight(Host(modules=["toa"], signed=False, method="builder"), "6.1")


def test_a_module_of_another_kernel_is_not_installed(built_modules, monkeypatch, tmp_path):
    monkeypatch.setattr(built_modules, "FOLDER", str(tmp_path / "{kernel}"))
    binaries = {"lvskit_toa": base64.b64encode(b"new").decode()}
    there = tmp_path / "6.1/lvskit_toa.ko"
    there.parent.mkdir()
    there.write_bytes(b"old")
    given = {"binaries": binaries, "version": "abc", "method": "builder"}
    wrong = Host({"modinfo": (0, "5.10 SMP mod_unload")}, **given)
    with pytest.raises(Refused, match=r"was built for 5\.10 SMP mod_unload, this host runs 6\.1"):
        built_modules.install(wrong, "6.1", ["lvskit_toa"])
    assert there.read_bytes() == b"old"
    assert not built_modules.installed(given, "6.1", "lvskit_toa")
    built_modules.install(Host({"modinfo": (0, "6.1 SMP")}, **given), "6.1", ["lvskit_toa"])
    assert there.read_bytes() == b"new"
    assert built_modules.installed(given, "6.1", "lvskit_toa")
    assert not built_modules.installed({**given, "version": "abd"}, "6.1", "lvskit_toa")


@pytest.mark.parametrize(("suffix", "opener"), [("", open), (".xz", lzma.open)])
def test_a_loaded_module_is_told_from_the_file_by_its_build_id(built_modules, monkeypatch, tmp_path, suffix, opener):
    monkeypatch.setattr(built_modules, "LOADED", str(tmp_path))
    file = tmp_path / f"toa.ko{suffix}"
    with opener(file, "wb") as made:
        made.write(b"\x7fELF ... GNU\0 first ...")
    host = Host({"modinfo": (0, f"{file}\n")})
    assert not built_modules.outdated(host, "toa"), "not loaded"
    note = tmp_path / "toa/notes/.note.gnu.build-id"
    note.parent.mkdir(parents=True)
    note.write_bytes(b"GNU\0 first")
    assert not built_modules.outdated(host, "toa")
    note.write_bytes(b"GNU\0 other")
    assert built_modules.outdated(host, "toa")


def test_a_new_module_that_the_kernel_refuses_gives_way_to_the_old_one(built_modules, monkeypatch, tmp_path):
    monkeypatch.setattr(built_modules, "FOLDER", str(tmp_path))
    (tmp_path / "lvskit_toa.ko").write_bytes(b"new")
    (tmp_path / "lvskit_toa.ko.old").write_bytes(b"old")
    host = Host({"modprobe": (1, "Key was rejected by service")})
    with pytest.raises(Refused, match="the kernel refuses the new lvskit_toa: Key was rejected by service"):
        built_modules.exchange(host, ["lvskit_toa"])
    assert (tmp_path / "lvskit_toa.ko").read_bytes() == b"old"
    assert [command[0] for command in host.commands] == ["rmmod", "modprobe", "depmod", "modprobe"]


@pytest.mark.parametrize(("signer", "trusted"), [("Build key", True), ("Somebody", False), ("", False)])
def test_a_signature_that_the_kernel_does_not_know_is_refused_beforehand(
    built_modules, monkeypatch, tmp_path, signer, trusted
):
    (tmp_path / "keys").write_text("1f6 I--Q--- 1 perm 1f030000 0 0 asymmetri Build key: 5b2b: X509.rsa 61df []\n")
    monkeypatch.setattr(built_modules, "KEYS", str(tmp_path / "keys"))
    monkeypatch.setattr(built_modules, "signature_needed", lambda: "Secure Boot is on")
    host = Host({"modinfo": (0, f"{signer}\n")})
    if trusted:
        built_modules.check_signature(host, "toa.ko")
    else:
        with pytest.raises(Refused, match="this host trusts no key of"):
            built_modules.check_signature(host, "toa.ko")


def test_dkms_builds_every_module_again_for_a_new_kernel(built_modules):
    given = {"version": "abc", "make_arguments": ["KIND=200"], "modules": ["a", "b"]}
    lines = built_modules.dkms_configuration(given).splitlines()
    assert "AUTOINSTALL=yes" in lines
    assert [line for line in lines if "BUILT_MODULE_NAME" in line] == [
        'BUILT_MODULE_NAME[0]="a"',
        'BUILT_MODULE_NAME[1]="b"',
    ]
    assert any("LVSKIT_VERSION=abc LVSKIT_MODULES='a b' KIND=200 modules" in line for line in lines)


@pytest.fixture
def build():
    return loaded("lvs_build")


def archive():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("Makefile"), io.BytesIO())
    return base64.b64encode(packed.getvalue()).decode()


def test_a_builder_without_headers_is_refused(build):
    host = Host(kernel="0.0-none", signing_key="", signing_certificate="")
    with pytest.raises(
        Refused, match=r"no kernel headers for 0\.0-none on the builder .* Install linux-headers-0\.0-none"
    ):
        build.check_builder(host)


def test_a_source_that_does_not_build_is_refused_with_the_compilers_words(build, tmp_path):
    given = {"modules": ["a"], "archive": archive(), "version": "abc", "kernel": "6.1", "make_arguments": []}
    host = Host({"make": (2, "a.c:1: error: unknown type name")}, **given)
    with pytest.raises(Refused, match=r"make failed.*modules that are loaded stay(.|\n)*unknown type name"):
        build.build(host, str(tmp_path), "/usr/src/linux")


def test_a_source_that_builds_something_else_is_refused(build, tmp_path):
    given = {"modules": ["a"], "archive": archive(), "version": "abc", "kernel": "6.1", "make_arguments": []}
    with pytest.raises(Refused, match=r"no a\.ko came of it"):
        build.build(Host(**given), str(tmp_path), "/usr/src/linux")


def test_a_program_that_is_missing_is_named_with_what_was_done(built_modules, monkeypatch, tmp_path):
    monkeypatch.setattr(built_modules, "FOLDER", str(tmp_path / "{kernel}"))
    monkeypatch.setattr(built_modules, "outdated", lambda module, name: (tmp_path / "6.1/lvskit_toa.ko").exists())

    def missing(command):
        if command[0] == "rmmod":
            raise HostError(programs.missing("rmmod"))
        return 0, "6.1 SMP", ""

    host = Host(
        binaries={"lvskit_toa": base64.b64encode(b"x").decode()},
        version="abc",
        method="builder",
        modules=["lvskit_toa"],
    )
    monkeypatch.setattr(host, "run", missing)
    done = []
    with pytest.raises(HostError, match="`rmmod` is missing on this host: install the package kmod"):
        built_modules.bring(host, "6.1", done)
    assert done == ["installed lvskit_toa"]


def test_a_full_disk_is_told_with_the_file(built_modules, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(built_modules.os, "fsync", full)
    with pytest.raises(HostError, match=f"cannot write {tmp_path}/x.ko: No space left on device. Free some space"):
        built_modules.write(str(tmp_path / "x.ko"), b"x")


def test_a_builder_without_make_is_told(build, tmp_path, monkeypatch):
    def missing(command):
        raise HostError(programs.missing(command[0]))

    given = {"modules": ["a"], "archive": archive(), "version": "abc", "kernel": "6.1", "make_arguments": []}
    host = Host(**given)
    monkeypatch.setattr(host, "run", missing)
    with pytest.raises(HostError, match="`make` is missing on this host: install the package make"):
        build.build(host, str(tmp_path), "/usr/src/linux")
