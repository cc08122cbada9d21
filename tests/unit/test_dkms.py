"""Kernel modules that a host builds itself with dkms, and those that a builder built: the whole of lvs_built_modules on a host in a folder."""

import base64
import contextlib
import gzip
import io
import json
import lzma
import os
import tarfile

import pytest
from ansible.module_utils.lvs_host import programs
from ansible.module_utils.testing import patch_module_args
from libraries import loaded

KERNEL = os.uname().release
KEYS = "1f6 I--Q--- 1 perm 1f030000 0 0 asymmetri Build key: 5b2b: X509.rsa 61df []\n2a7 I------ 1 perm 0 0 0 keyring Other key: 1\n"


def archive(name="Makefile"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"all:"))
    return base64.b64encode(packed.getvalue()).decode()


class Host:
    """`fails` maps words of a command to its code and what it prints; `files` has the file of each module that modprobe would load."""

    def __init__(self, folder, monkeypatch):
        self.module = loaded("lvs_built_modules")
        self.folder = folder
        for name, path in {
            "FOLDER": "modules/{kernel}/updates/lvskit",
            "SOURCES": "src",
            "DKMS": "dkms",
            "LOADED": "loaded",
            "TREE": "trees/{kernel}",
            "KEYS": "keys",
            "EFI_SECURE_BOOT": "secure-boot",
        }.items():
            monkeypatch.setattr(self.module, name, f"{folder}/{path}")
        self.write(f"trees/{KERNEL}/Makefile", "")
        self.write("keys", KEYS)
        self.programs, self.fails, self.signer, self.log = {"dkms"}, {}, "", []
        self.magic = {}
        monkeypatch.setattr(programs, "find", lambda name: name if name in self.programs else None)
        monkeypatch.setattr(programs, "run", self)
        monkeypatch.setattr("os.geteuid", lambda: 0)

    def place(self, path):
        return self.folder / path

    def write(self, path, text):
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def file(self, name):
        """The file that modprobe loads."""
        built = f"dkms/lvskit-toa/v2/{KERNEL}/x86_64/module/{name}.ko"
        return self.place(built if self.place(built).exists() else f"modules/{KERNEL}/updates/lvskit/{name}.ko")

    def load(self, name, build_id):
        self.write(f"loaded/{name}/notes/.note.gnu.build-id", build_id)

    def install(self, name, version, build_id):
        self.write(f"modules/{KERNEL}/updates/lvskit/{name}.ko", f"ELF {build_id}")
        self.write(f"modules/{KERNEL}/updates/lvskit/{name}.ko.version", f"{version}\n")

    def __call__(self, command, stdin=None):
        self.log.append(" ".join(map(str, command)).replace(str(self.folder), ""))
        for words, (code, out, err) in self.fails.items():
            if words in self.log[-1]:
                return code, out, err
        if command[0] == "modinfo":
            if command[1] == "-n":
                return 0, f"{self.file(command[2])}\n", ""
            name = command[-1].rpartition("/")[2].removesuffix(".ko")
            return (
                0,
                {"signer": f"{self.signer}\n", "vermagic": f"{self.magic.get(name, KERNEL)} SMP mod_unload\n"}[
                    command[2]
                ],
                "",
            )
        if command[0] == "dkms":
            getattr(self, f"_{command[1]}")(*command[2].split("/"))
        if command[0] == "modprobe":
            self.load(command[1], self.file(command[1]).read_text().split()[-1])
        return 0, "", ""

    def _add(self, package, version):
        self.write(f"dkms/{package}/{version}/source/dkms.conf", "")

    def _build(self, package, version):
        for name in self.wanted:
            self.write(f"dkms/{package}/{version}/{KERNEL}/x86_64/module/{name}.ko", f"ELF {version}")

    def _install(self, package, version):
        assert self.place(f"dkms/{package}/{version}/{KERNEL}").is_dir(), "built first"

    def _remove(self, package, version):
        for folder in sorted(self.place(f"dkms/{package}/{version}").rglob("*"), reverse=True):
            folder.rmdir() if folder.is_dir() else folder.unlink()
        self.place(f"dkms/{package}/{version}").rmdir()

    def bring(self, check=False, **arguments):
        given = {"modules": ["toa"], "version": "v2", **arguments}
        self.wanted = given["modules"]
        out = io.StringIO()
        given["_ansible_check_mode"] = check
        with patch_module_args(given), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            self.module.main()
        return json.loads(out.getvalue())

    def by_dkms(self, **arguments):
        return self.bring(method="dkms", archive=archive(), **arguments)

    def built(self, *names):
        return {name: base64.b64encode(b"ELF v2").decode() for name in names}

    def content(self, path):
        return self.place(path).read_text() if self.place(path).exists() else None


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


OURS = f"modules/{KERNEL}/updates/lvskit"
DKMS_STEPS = [
    "dkms add lvskit-toa/v2",
    f"dkms build lvskit-toa/v2 -k {KERNEL}",
    f"dkms install lvskit-toa/v2 -k {KERNEL} --force",
]


def told(result):
    return {key: result[key] for key in ("changed", "build_needed", "installed", "kernel")}


# Built by another host


def test_a_host_without_the_modules_asks_for_a_build_and_changes_nothing(host):
    expected = {"build_needed": True, "kernel": KERNEL}
    assert told(host.bring()) == {**expected, "changed": False, "installed": []}
    assert told(host.bring(check=True)) == {**expected, "changed": True, "installed": ["toa"]}
    assert not host.place("modules").exists()


def test_what_was_built_is_installed_once(host):
    names = ["toa", "toa_peer"]
    result = host.bring(modules=names, binaries=host.built(*names))
    assert told(result) == {"changed": True, "build_needed": False, "installed": names, "kernel": KERNEL}
    for name in names:
        assert host.content(f"{OURS}/{name}.ko") == "ELF v2"
        assert host.content(f"{OURS}/{name}.ko.version") == "v2\n"
        assert host.content(f"{OURS}/.new/{name}.ko") is None
    assert host.log[-1] == f"depmod {KERNEL}"
    host.log.clear()
    again = host.bring(modules=names)
    assert told(again) == {"changed": False, "build_needed": False, "installed": [], "kernel": KERNEL}
    assert host.log == []


def test_only_what_is_missing_is_installed(host):
    host.install("toa", "v2", "v2")
    result = host.bring(modules=["toa", "peer"], binaries=host.built("peer"))
    assert result["installed"] == ["peer"]


def test_a_module_of_other_sources_is_replaced_and_the_loaded_one_exchanged(host):
    host.install("toa", "v1", "v1")
    host.load("toa", "v1")
    assert told(host.bring())["build_needed"] is True
    result = host.bring(binaries=host.built("toa"))
    assert result["installed"] == ["toa"]
    assert host.log[-3:] == ["modinfo -n toa", "rmmod toa", "modprobe toa"]
    assert (host.content(f"{OURS}/toa.ko.old"), host.content(f"{OURS}/toa.ko.version.old")) == ("ELF v1", "v1\n")


def test_a_module_that_is_not_loaded_is_not_loaded(host):
    """lvs_state loads what the plan needs."""
    host.bring(binaries=host.built("toa"))
    assert not any(command.startswith(("rmmod", "modprobe")) for command in host.log)


def test_a_loaded_module_that_is_older_than_its_file_is_exchanged_without_a_build(host):
    """The run that installed it was killed before."""
    host.install("toa", "v2", "v2")
    host.load("toa", "v1")
    assert told(host.bring(check=True)) == {
        "changed": True, "build_needed": False, "installed": ["toa"], "kernel": KERNEL
    }  # fmt: skip
    assert told(host.bring())["installed"] == ["toa"]
    assert host.content("loaded/toa/notes/.note.gnu.build-id") == "v2"
    assert host.bring()["changed"] is False


def test_a_loaded_module_of_which_no_file_is_found_is_left(host):
    host.install("toa", "v2", "v2")
    host.load("toa", "v1")
    host.fails["modinfo -n"] = (1, "", "modinfo: ERROR: Module toa not found.")
    assert host.bring()["changed"] is False


def test_the_older_module_comes_back_with_its_version(host, monkeypatch):
    """The next run has to see that the wanted version is not there."""
    host.install("toa", "v1", "v1")
    host.load("toa", "v1")

    def refuses(command, stdin=None, answer=host.__call__):
        if command[0] == "modprobe" and "v2" in host.file("toa").read_text():
            host.log.append("modprobe toa")
            return 1, "", "modprobe: ERROR: could not insert 'toa': Exec format error\n"
        return answer(command, stdin)

    monkeypatch.setattr(programs, "run", refuses)
    result = host.bring(binaries=host.built("toa"))
    assert result["msg"] == (
        "the kernel refuses the new toa: modprobe: ERROR: could not insert 'toa': Exec format error; the older one is back."
    )
    assert host.log[-4:] == ["rmmod toa", "modprobe toa", f"depmod {KERNEL}", "modprobe toa"]
    assert host.content(f"{OURS}/toa.ko.version") == "v1\n"
    assert host.content("loaded/toa/notes/.note.gnu.build-id") == "v1"


@pytest.mark.parametrize(
    ("old", "said"),
    [(True, "and the older one could not be loaded again"), (False, "there was no older one to go back to")],
)
def test_where_the_older_module_cannot_come_back_this_is_told(host, old, said):
    host.install("toa", "v2", "v2")
    host.load("toa", "v1")
    if old:
        host.write(f"{OURS}/toa.ko.old", "ELF v1")
    host.fails["modprobe"] = (1, "refused", "")
    assert host.bring()["msg"] == f"the kernel refuses the new toa: refused; {said}."
    # An older one without a version is not taken for the wanted one.
    assert host.content(f"{OURS}/toa.ko.version") == (None if old else "v2\n")


def test_a_file_for_another_kernel_is_not_kept(host):
    host.magic["toa"] = "5.10.0"
    result = host.bring(binaries=host.built("toa"))
    assert result["msg"] == (f"toa was built for 5.10.0 SMP mod_unload, this host runs {KERNEL}. It was not installed.")
    assert list(host.place(OURS).rglob("*.ko")) == []


def test_a_file_that_is_no_module_is_not_kept(host):
    host.fails["modinfo -F vermagic"] = (1, "", "modinfo: ERROR: not a module")
    assert host.bring(binaries=host.built("toa"))["msg"].startswith("toa was built for no kernel, this host runs")
    assert list(host.place(OURS).rglob("*.ko")) == []


# Signatures


ENFORCED = "loaded/module/parameters/sig_enforce"


@pytest.mark.parametrize(("path", "text", "reason"), [
    ("secure-boot", "\x06\x00\x00\x00\x01", "Secure Boot is on"), (ENFORCED, "Y\n", "module.sig_enforce is set")
])  # fmt: skip
def test_without_a_key_a_kernel_that_wants_signatures_is_refused_before_anything_is_built(host, path, text, reason):
    host.write(path, text)
    for result in (host.bring(), host.bring(check=True), host.by_dkms()):
        assert result["msg"].startswith(f"{reason}, so the kernel {KERNEL} loads signed modules only.")
    assert host.log == []
    assert told(host.bring(signed=True))["build_needed"] is True


def test_a_kernel_that_does_not_enforce_signatures_takes_modules_without(host):
    host.write(ENFORCED, "N\n")
    assert told(host.bring())["build_needed"] is True


def test_dkms_signs_with_its_own_key(host):
    host.write(ENFORCED, "Y\n")
    host.write("dkms/mok.pub", "")
    assert host.by_dkms()["installed"] == ["toa"]
    assert "so the kernel" in host.bring()["msg"], "a builder does not"


@pytest.mark.parametrize(("signer", "said"), [
    ("Other key", "trusts no key of Other key, by which"), ("", "trusts no key of nobody (it has no signature), by which")
])  # fmt: skip
def test_a_file_with_a_signature_that_the_host_does_not_trust_replaces_nothing(host, signer, said):
    host.write(ENFORCED, "Y\n")
    host.install("toa", "v1", "v1")
    host.load("toa", "v1")
    host.signer = signer
    result = host.bring(signed=True, binaries=host.built("toa"))
    assert said in result["msg"]
    assert host.content(f"{OURS}/toa.ko") == "ELF v1"
    assert not any(command.startswith("rmmod") for command in host.log)


def test_a_file_with_a_trusted_signature_is_installed_and_loaded(host):
    host.write(ENFORCED, "Y\n")
    host.install("toa", "v1", "v1")
    host.load("toa", "v1")
    host.signer = "Build key"
    assert host.bring(signed=True, binaries=host.built("toa"))["installed"] == ["toa"]
    assert host.log[-4:] == ["modinfo -n toa", f"modinfo -F signer /{OURS}/toa.ko", "rmmod toa", "modprobe toa"]


def test_a_module_whose_signature_is_not_trusted_is_not_unloaded(host):
    host.write(ENFORCED, "Y\n")
    host.install("toa", "v2", "v2")
    host.load("toa", "v1")
    host.signer = "Other key"
    assert "trusts no key of Other key" in host.bring(signed=True)["msg"]
    assert not any(command.startswith("rmmod") for command in host.log)


@pytest.mark.parametrize("name", ["toa", "vtoa", "hookers", "ip_vs_ca", "ttm"])
def test_another_module_that_hooks_into_the_address_is_named(host, name):
    host.place(f"loaded/{name}").mkdir(parents=True)
    result = host.bring(modules=["lvskit_toa"])
    assert result["msg"].startswith(f"a third-party module is loaded: {name}.")
    assert f"(rmmod {name})" in result["msg"]


# Built by dkms


def test_dkms_gets_the_sources_and_builds_installs_and_loads(host):
    host.load("toa", "v1")
    result = host.by_dkms(modules=["toa", "peer"], make_arguments=["KIND=200"])
    assert told(result) == {"changed": True, "build_needed": False, "installed": ["toa", "peer"], "kernel": KERNEL}
    assert [command for command in host.log if command.startswith("dkms")] == DKMS_STEPS
    assert host.log[-2:] == ["rmmod toa", "modprobe toa"]
    assert host.content("src/lvskit-toa-v2/Makefile") == "all:"
    assert host.content("src/lvskit-toa-v2/dkms.conf").splitlines() == [
        "# Managed by lvskit.",
        'PACKAGE_NAME="lvskit-toa"',
        'PACKAGE_VERSION="v2"',
        "AUTOINSTALL=yes",
        'MAKE[0]="make -C ${kernel_source_dir} M=${dkms_tree}/${PACKAGE_NAME}/${PACKAGE_VERSION}/build '
        "LVSKIT_VERSION=v2 LVSKIT_MODULES='toa peer' KIND=200 modules\"",
        'BUILT_MODULE_NAME[0]="toa"',
        'DEST_MODULE_LOCATION[0]="/updates/dkms"',
        'BUILT_MODULE_NAME[1]="peer"',
        'DEST_MODULE_LOCATION[1]="/updates/dkms"',
    ]
    host.log.clear()
    assert told(host.by_dkms(modules=["toa", "peer"]))["changed"] is False
    assert not any(command.startswith("dkms") for command in host.log)


def test_a_check_run_with_dkms_installs_nothing_and_needs_no_builder(host):
    assert told(host.by_dkms(check=True)) == {
        "changed": True, "build_needed": False, "installed": ["toa"], "kernel": KERNEL
    }  # fmt: skip
    assert host.log == []


def test_the_version_before_goes_with_its_sources(host):
    host.write("dkms/lvskit-toa/v1/source/dkms.conf", "")
    host.write("src/lvskit-toa-v1/Makefile", "")
    host.write("dkms/lvskit-toa/kernel-6.1.0-x86_64/module", "")
    host.by_dkms()
    assert host.log[-1] == "dkms remove lvskit-toa/v1 --all"
    assert not host.place("src/lvskit-toa-v1").exists()
    assert host.place("src/lvskit-toa-v2").exists()


def test_sources_that_were_added_before_are_built(host):
    """dkms add fails for them."""
    host.write("src/lvskit-toa-v2/old", "")
    host.fails["dkms add"] = (3, "", "Error! DKMS tree already contains: lvskit-toa-v2")
    host.write("dkms/lvskit-toa/v2/source/dkms.conf", "")
    assert host.by_dkms()["installed"] == ["toa"]
    assert host.content("src/lvskit-toa-v2/old") is None, "the folder has these sources alone"


@pytest.mark.parametrize(
    ("step", "command"),
    [("add", "dkms add lvskit-toa/v2"), *[(s, f"dkms {s} lvskit-toa/v2 -k {KERNEL}") for s in ("build", "install")]],
)
def test_a_step_that_fails_is_told_and_leaves_nothing(host, step, command):
    host.write("dkms/lvskit-toa/v2/source/dkms.conf", "")
    host.fails[f"dkms {step}"] = (10, "bad exit status", "Error! it is already broken" if step == "build" else "")
    reason = "Error! it is already broken" if step == "build" else "bad exit status"
    assert host.by_dkms()["msg"] == f"`{command}` failed. The loaded modules stay loaded. {reason}"
    assert host.log[-1] == "dkms remove lvskit-toa/v2 --all"
    assert not host.place("src/lvskit-toa-v2").exists()


def test_the_end_of_the_compilers_output_is_told(host):
    host.write("dkms/lvskit-toa/v2/build/make.log", "".join(f"CC {number}\n" for number in range(100)))
    host.fails["dkms build"] = (10, "", "Error! Bad return status")
    said = host.by_dkms()["msg"].partition("stay loaded. ")[2]
    assert said.splitlines() == [f"CC {number}" for number in range(75, 100)]


def test_dkms_knows_the_sources_by_the_first_modules_name(host):
    assert host.module.package({"modules": ["lvskit_toa_peer", "b"]}) == "lvskit-lvskit-toa-peer"


def test_an_archive_that_leaves_the_folder_of_the_sources_is_not_unpacked(host):
    with pytest.raises(tarfile.TarError):
        host.bring(method="dkms", archive=archive("../../outside"))
    assert not host.place("outside").exists()


@pytest.mark.parametrize(("suffix", "opener"), [(".gz", gzip.open), (".xz", lzma.open), ("", open)])
def test_a_compressed_file_is_read_as_the_module_that_it_holds(host, suffix, opener):
    path = f"{host.folder}/toa.ko{suffix}"
    with opener(path, "wb") as file:
        file.write(b"ELF")
    assert host.module.content(path) == b"ELF"


def test_a_key_with_another_name_than_text_does_not_hide_the_others(host):
    host.write(ENFORCED, "Y\n")
    host.place("keys").write_bytes(b"1 I 1 perm 0 0 0 asymmetri caf\xe9: X509\n" + KEYS.encode())
    host.signer = "Build key"
    assert host.bring(signed=True, binaries=host.built("toa"))["installed"] == ["toa"]


def test_a_host_without_dkms_or_headers_is_refused(host):
    host.programs.clear()
    assert host.by_dkms()["msg"].startswith("toa_method is dkms, but this host has no dkms.")
    host.programs.add("dkms")
    host.place(f"trees/{KERNEL}/Makefile").unlink()
    assert host.by_dkms()["msg"].startswith(f"no kernel headers for {KERNEL} here, which dkms builds with.")
    assert host.log == []


def test_each_step_that_was_done_before_a_failure_is_told(host):
    host.load("toa", "v1")
    host.load("peer", "v1")
    host.fails["rmmod peer"] = (1, "", "rmmod: ERROR: Module peer is in use")
    result = host.bring(modules=["toa", "peer"], binaries=host.built("toa", "peer"))
    assert result["msg"].endswith(
        "Module peer is in use. Done before that: installed toa; installed peer; loaded the new toa."
    )
