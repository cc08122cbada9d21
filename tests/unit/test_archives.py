"""Archives are unpacked into their folder and nowhere else, also by a Python whose tarfile has no filters (Debian 11 and 12)."""

import io
import tarfile

import pytest
from ansible.module_utils.lvs_host.archives import unpack


@pytest.fixture(params=["as it is", "without filters"], autouse=True)
def python(request, monkeypatch):
    if request.param == "without filters":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


def archive(name, kind=tarfile.REGTYPE, link=""):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(entry, io.BytesIO(b"x"))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


@pytest.mark.parametrize(
    ("kind", "link"), [(tarfile.REGTYPE, ""), (tarfile.SYMTYPE, "there/it"), (tarfile.DIRTYPE, "")]
)
def test_what_stays_inside_is_unpacked(tmp_path, kind, link):
    with archive("a/b", kind, link) as tar:
        unpack(tar, str(tmp_path))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("a/../../outside", tarfile.REGTYPE, ""),
        ("a", tarfile.SYMTYPE, "../outside"),
        ("a", tarfile.SYMTYPE, "/etc/passwd"),
        ("a", tarfile.LNKTYPE, "../outside"),
        ("a", tarfile.CHRTYPE, ""),
    ],
)
def test_what_would_leave_is_refused(tmp_path, name, kind, link):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    with archive(name, kind, link) as tar, pytest.raises(tarfile.TarError):
        unpack(tar, str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "secret"]
    assert list(folder.iterdir()) == []


def test_an_absolute_path_is_not_written_to(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    with archive(str(outside)) as tar:
        try:
            unpack(tar, str(folder))
        except tarfile.TarError:
            assert list(folder.iterdir()) == []
    assert not outside.exists()
