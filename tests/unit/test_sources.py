"""Sources of kernel modules: what is packed, when it counts as another version, and what cannot be built."""

import base64
import io
import re
import subprocess
import tarfile

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs_controller.sources import Kept, pack


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "toa-1.0"
    (folder / "src").mkdir(parents=True)
    (folder / "Makefile").write_text("obj-m := toa.o\n")
    (folder / "src/toa.c").write_text("int toa;\n")
    return folder


def contents(packed):
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed.archive)), mode="r:gz") as tar:
        return {name: tar.extractfile(name).read().decode() for name in tar.getnames()}


def names(packed):
    return sorted(contents(packed))


def test_a_folder(source):
    assert contents(pack(str(source), [])) == {"Makefile": "obj-m := toa.o\n", "src/toa.c": "int toa;\n"}


def archived(folder, path, place="toa-1.0"):
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, place)
    return str(path)


def test_an_archive_is_the_folder_in_it(source, tmp_path):
    assert pack(archived(source, tmp_path / "toa.tar.gz"), []) == pack(str(source), [])


def test_what_an_archive_contains_is_the_folder_nearest_to_its_top(source, tmp_path):
    """Parts of a module have a Makefile, too."""
    (tmp_path / "all/a/part/of").mkdir(parents=True)
    (tmp_path / "all/a/part/of/Makefile").write_text("")
    source.rename(tmp_path / "all/b")
    (tmp_path / "all/b/src/Makefile").write_text("")
    assert names(pack(archived(tmp_path / "all", tmp_path / "toa.tar", "all"), [])) == [
        "Makefile",
        "src/Makefile",
        "src/toa.c",
    ]


def test_a_kbuild_file_is_as_good_as_a_makefile(source, tmp_path):
    (source / "Makefile").rename(source / "Kbuild")
    packed = pack(str(source), [])
    assert names(packed) == ["Kbuild", "src/toa.c"]
    assert pack(archived(source, tmp_path / "toa.tar"), []) == packed


def test_an_archive_cannot_write_outside_of_the_folder_that_it_is_unpacked_to(source, tmp_path):
    with pytest.raises(AnsibleActionFail, match="neither a folder nor a tar archive that can be read"):
        pack(archived(source, tmp_path / "toa.tar", "../toa"), [])


@pytest.fixture
def git(tmp_path, monkeypatch):
    """A git in PATH that clones nothing but a Makefile; the file returned has its arguments, one a line."""
    told, program = tmp_path / "told", tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\nfor last; do :; done\nmkdir "$last/.git"\n'
        'echo x > "$last/.git/HEAD"\necho "obj-m := toa.o" > "$last/Makefile"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return told


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/toa",
        "http://example.org/toa",
        "ssh://git@example.org/toa",
        "git://example.org/toa",
        "git@example.org:toa",
        "/srv/toa.git",
    ],
)
def test_a_repository_is_known_by_its_address_and_cloned_without_its_past(git, url):
    assert names(pack(url, [])) == ["Makefile"]
    assert git.read_text().splitlines()[:-1] == ["clone", "--quiet", "--depth=1", url]
    pack(f"{url}#v1", [])
    assert git.read_text().splitlines()[:-1] == ["clone", "--quiet", "--depth=1", "--branch", "v1", url]


def test_a_git_repository_is_its_tree(source, tmp_path):
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    repository = source.rename(tmp_path / "toa.git")
    cloned = pack(f"{repository}#v1", [])
    assert names(cloned) == ["Makefile", "src/toa.c"]


def test_the_version_changes_with_any_file_and_with_the_arguments(source):
    before = pack(str(source), [])
    assert pack(str(source), []) == before
    assert pack(str(source), ["KIND=200"]).version != before.version
    assert re.fullmatch("[0-9a-f]{12}", before.version)
    (source / "src/toa.c").write_text("long toa;\n")
    assert pack(str(source), []).version != before.version


def test_a_file_that_moves_is_another_version(source):
    before = pack(str(source), []).version
    (source / "src/toa.c").rename(source / "src/ops.c")
    assert pack(str(source), []).version != before


def test_the_same_sources_make_the_same_archive_at_any_time(source, monkeypatch):
    """Else the host would get it anew with each run."""
    before = pack(str(source), [])
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert pack(str(source), []) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "neither a folder nor a tar archive"),
        (lambda folder: folder, "has neither Makefile nor Kbuild"),
        (
            lambda folder: archived(folder, folder.parent / "b.tar"),
            r"the archive .*b.tar has neither Makefile nor Kbuild",
        ),
        (lambda folder: _written(folder / "a.tar", b"no tar"), "neither a folder nor a tar archive"),
        (lambda folder: folder / "nowhere.git", "git cannot clone"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path, make, message):
    with pytest.raises(AnsibleActionFail, match=message):
        pack(str(make(tmp_path)), [])


def _written(path, content):
    path.write_bytes(content)
    return path


def test_built_modules_are_kept_for_one_kernel_version_and_certificate(monkeypatch, tmp_path):
    monkeypatch.setenv("LVSKIT_CACHE", str(tmp_path))
    kept = Kept("6.1.0", "abc", "")
    binaries = {"a": base64.b64encode(b"A").decode(), "b": base64.b64encode(b"B").decode()}
    kept.write(binaries)
    assert kept.read(["a"]) == {"a": binaries["a"]}
    assert kept.read(["a", "c"]) == {}
    others = [Kept("6.1.1", "abc", ""), Kept("6.1.0", "abd", ""), Kept("6.1.0", "abc", "/etc/key.pem")]
    assert [other.read(["a"]) for other in others] == [{}, {}, {}]


def test_kept_modules_are_replaced_as_a_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("LVSKIT_CACHE", str(tmp_path))
    kept = Kept("6.1.0", "abc", "")
    for content in ({"a": b"A", "b": b"B"}, {"a": b"new"}):
        kept.write({name: base64.b64encode(text).decode() for name, text in content.items()})
    assert kept.read(["a"]) == {"a": base64.b64encode(b"new").decode()}
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "modules",
        "modules/6.1.0",
        "modules/6.1.0/abc-unsigned",
        "modules/6.1.0/abc-unsigned/a.ko",
    ]


def test_modules_that_cannot_be_written_leave_the_kept_ones_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("LVSKIT_CACHE", str(tmp_path))
    kept = Kept("6.1.0", "abc", "")
    kept.write({"a": base64.b64encode(b"A").decode()})
    with pytest.raises(ValueError, match="base64"):
        kept.write({"a": base64.b64encode(b"new").decode(), "b": "x"})
    assert kept.read(["a"]) == {"a": base64.b64encode(b"A").decode()}


def test_modules_are_kept_in_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("LVSKIT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Kept("6.1.0", "abc", "").folder == tmp_path / ".cache/lvskit/modules/6.1.0/abc-unsigned"
    signed = Kept("6.1.0", "abc", "/etc/key.pem").folder
    assert signed.parent == tmp_path / ".cache/lvskit/modules/6.1.0"
    assert re.fullmatch("abc-[0-9a-f]{8}", signed.name)
