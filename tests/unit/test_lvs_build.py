"""A builder: what it needs, what make is told, and what comes of it."""

import base64
import contextlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from ansible.module_utils.lvs_host import programs
from ansible.module_utils.testing import patch_module_args
from libraries import loaded

KERNEL = "6.1.0-56"
NODE = os.uname().nodename


def archive(**files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(packed.getvalue()).decode()


class Builder:
    """A host with the build trees of two kernels, and programs that write into the file which they are given."""

    def __init__(self, folder, monkeypatch):
        self.module = loaded("lvs_build")
        self.trees = folder / "modules"
        for kernel in (KERNEL, "5.10.0-30"):
            (self.trees / kernel / "build").mkdir(parents=True)
            (self.trees / kernel / "build/Makefile").write_text("")
        monkeypatch.setattr(self.module, "TREES", str(self.trees))
        self.programs = {"make", "gcc", "strip"}
        monkeypatch.setattr(programs, "find", lambda name: name if name in self.programs else None)
        monkeypatch.setattr(programs, "run", self)
        self.temporary, self.asked = tempfile.TemporaryDirectory, None
        monkeypatch.setattr(self.module.tempfile, "TemporaryDirectory", self.folder_of_the_build)
        # Who builds needs no privileges.
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        self.log, self.said, self.place = [], (0, "", ""), folder
        self.makes = ("a.ko", "below/b.ko", "below/b.o")

    def folder_of_the_build(self, **asked):
        self.asked = asked
        return self.temporary(dir=self.place)

    def __call__(self, command, stdin=None):
        self.log.append(command)
        if command[0] == "make":
            self.folder = Path(next(word for word in command if word.startswith("M=")).removeprefix("M="))
            for name in self.makes:
                (self.folder / name).parent.mkdir(exist_ok=True)
                (self.folder / name).write_text((self.folder / "source.c").read_text())
            return self.said
        with Path(command[-1]).open("a") as file:
            file.write(f" {Path(command[0]).name}")
        return 0, "", ""

    def build(self, check=False, **arguments):
        given = {"modules": ["a", "b"], "kernel": KERNEL, "version": "v7", "archive": archive(**{"source.c": "code"})}
        out = io.StringIO()
        given |= {**arguments, "_ansible_check_mode": check}
        with patch_module_args(given), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            self.module.main()
        return json.loads(out.getvalue())


@pytest.fixture
def builder(tmp_path, monkeypatch):
    return Builder(tmp_path, monkeypatch)


def binaries(result):
    return {name: base64.b64decode(text).decode() for name, text in result["binaries"].items()}


def test_the_modules_of_all_folders_come_back_without_debug_symbols(builder):
    result = builder.build(make_arguments=["KIND=200", "V=1"])
    assert result["changed"] is True
    assert binaries(result) == {"a": "code strip", "b": "code strip"}
    tree = f"{builder.trees}/{KERNEL}/build"
    first, *others = builder.log
    assert first == ["make", "-C", tree, f"M={builder.folder}", "LVSKIT_VERSION=v7", "KIND=200", "V=1", "modules"]
    assert sorted(others) == [["strip", "--strip-debug", f"{builder.folder}/{name}.ko"] for name in ("a", "below/b")]


def test_the_build_leaves_no_folder_on_the_builder(builder):
    """/tmp is often mounted noexec, which make's own programs do not survive."""
    builder.build()
    assert builder.asked == {"prefix": "lvskit-build-", "dir": "/var/tmp"}
    assert not builder.folder.exists()


def test_a_module_is_signed_after_its_symbols_are_gone(builder, tmp_path):
    """A signature is the end of the file: strip would remove it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    for file in (key, certificate):
        file.write_text("")
    signed = builder.build(signing_key=str(key), signing_certificate=str(certificate))
    assert binaries(signed) == {"a": "code strip sign-file", "b": "code strip sign-file"}
    sign = [command for command in builder.log if command[0].endswith("sign-file")]
    program = f"{builder.trees}/{KERNEL}/build/scripts/sign-file"
    assert sorted(command[:4] for command in sign) == [[program, "sha256", str(key), str(certificate)]] * 2


def test_a_builder_without_strip_builds_too(builder):
    builder.programs -= {"strip"}
    assert binaries(builder.build()) == {"a": "code", "b": "code"}


def test_a_check_run_says_that_it_would_build(builder):
    result = builder.build(check=True)
    assert result["changed"] is True
    assert "binaries" not in result
    assert builder.log == []


@pytest.mark.parametrize("check", [False, True])
def test_a_kernel_without_headers_is_refused_with_those_that_have_some(builder, check):
    (builder.trees / KERNEL / "build/Makefile").unlink()
    (builder.trees / "6.12.0-9/build").mkdir(parents=True)
    result = builder.build(check=check)
    assert result["failed"] is True
    assert result["msg"].startswith(
        f"no kernel headers for {KERNEL} on the builder {NODE} (there are headers for: 5.10.0-30, {KERNEL}, 6.12.0-9)."
    )
    assert builder.log == []


def test_a_builder_without_any_headers_is_told_so(builder):
    for kernel in (KERNEL, "5.10.0-30"):
        (builder.trees / kernel / "build/Makefile").unlink()
        (builder.trees / kernel / "build").rmdir()
    assert "(there are headers for: none)" in builder.build()["msg"]


@pytest.mark.parametrize(
    ("absent", "said"),
    [({"gcc"}, "has no gcc. "), ({"make"}, "has no make. "), ({"gcc", "make"}, "has no make and no gcc. ")],
)
def test_a_builder_without_a_compiler_is_refused(builder, absent, said):
    builder.programs -= absent
    result = builder.build()
    assert f"the builder {NODE} {said}" in result["msg"]
    assert builder.log == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"signing_key": "{}/key.pem", "signing_certificate": "{}/no.pem"},
            "toa_signing_certificate: there is no file {}/no.pem on",
        ),
        (
            {"signing_key": "{}/no.pem", "signing_certificate": "{}/neither.pem"},
            "toa_signing_key: there is no file {}/no.pem on",
        ),
        ({"signing_key": "{}/key.pem"}, "toa_signing_certificate: there is no file (empty) on"),
        ({"signing_certificate": "{}/no.pem"}, "toa_signing_certificate: there is no file {}/no.pem on"),
    ],
)
def test_a_signing_key_or_certificate_that_is_missing_is_refused(builder, tmp_path, given, said):
    (tmp_path / "key.pem").write_text("")
    result = builder.build(**{option: text.format(tmp_path) for option, text in given.items()})
    assert result["msg"].startswith(said.format(tmp_path))
    assert builder.log == []


def test_the_end_of_makes_output_is_told(builder):
    builder.said = (2, "".join(f"CC {number}\n" for number in range(100)), "make: *** Error 2\n")
    lines = builder.build()["msg"].splitlines()
    assert lines[0].startswith(f"building for kernel {KERNEL} on {NODE}: make failed (2).")
    assert lines[1:] == [*(f"CC {number}" for number in range(77, 100)), "", "make: *** Error 2"][-25:]


def test_a_build_that_lacks_some_of_the_modules_is_refused_with_their_names(builder):
    """b is there, in a folder below: it is not named."""
    result = builder.build(modules=["a", "b", "c", "d"])
    assert "no c.ko and no d.ko came of it." in result["msg"]


def test_an_archive_that_leaves_the_folder_is_not_unpacked(builder, tmp_path):
    outside = tmp_path / "outside"
    with pytest.raises(tarfile.TarError):
        builder.build(archive=archive(**{f"../../{outside}": "x"}))
    assert not outside.exists()
