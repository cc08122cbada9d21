"""Sources of kernel modules: what is packed, when it counts as another version, and what cannot be built."""

import base64
import io
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


def names(packed):
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed.archive)), mode="r:gz") as tar:
        return sorted(tar.getnames())


def test_a_folder(source):
    assert names(pack(str(source), [])) == ["Makefile", "src/toa.c"]


def test_an_archive_is_the_folder_in_it(source, tmp_path):
    archive = tmp_path / "toa.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "toa-1.0")
    assert pack(str(archive), []) == pack(str(source), [])


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
    (source / "src/toa.c").write_text("long toa;\n")
    assert pack(str(source), []).version != before.version


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "neither a folder nor a tar archive"),
        (lambda folder: folder, "has neither Makefile nor Kbuild"),
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
