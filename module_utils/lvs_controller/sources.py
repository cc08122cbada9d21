"""The sources of kernel modules on the controller, packed so that a host can build them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs_host import archives

_GIT = re.compile(r"(https?|ssh|git)://|git@")  # how the address of a repository begins
_BUILD_FILES = {"Makefile", "Kbuild"}


@dataclass(frozen=True)
class Sources:
    """`archive` is a gzipped tar, in base64; `version` changes with any of the files and with the arguments of make."""

    version: str
    archive: str


def pack(source: str, make_arguments: list[str]) -> Sources:
    """The sources in a folder, a tar archive, or a git repository (URL, with `#tag` or `#branch` behind it if wanted).

    Raises AnsibleActionFail, naming the source, when there is nothing that can be built.
    """
    if _GIT.match(source) or source.partition("#")[0].endswith(".git"):
        with tempfile.TemporaryDirectory() as folder:
            _clone(source, folder)
            return _folder(Path(folder), make_arguments)
    path = Path(source)
    if path.is_dir():
        return _folder(path, make_arguments)
    try:
        with tarfile.open(path) as tar, tempfile.TemporaryDirectory() as folder:
            archives.unpack(tar, folder)
            found = [path.parent for path in sorted(Path(folder).rglob("*")) if path.name in _BUILD_FILES]
            if not found:
                raise AnsibleActionFail(
                    f"toa_source: the archive {source} has neither Makefile nor Kbuild in it: it is no module's source."
                )
            return _folder(min(found, key=lambda path: len(path.parts)), make_arguments)
    except (OSError, tarfile.TarError) as error:
        raise AnsibleActionFail(
            f"toa_source: {source} is neither a folder nor a tar archive that can be read ({error}). Correct the path; a git "
            "repository begins with https:// or ends with .git."
        ) from error


@dataclass(frozen=True)
class Kept:
    """The controller's copy of modules that were built for a kernel."""

    kernel: str
    version: str
    certificate: str

    @property
    def folder(self) -> Path:
        cache = Path(os.environ.get("LVSKIT_CACHE") or Path.home() / ".cache/lvskit")
        signed = hashlib.sha256(self.certificate.encode()).hexdigest()[:8] if self.certificate else "unsigned"
        return cache / "modules" / self.kernel / f"{self.version}-{signed}"

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """The modules in base64, by name; empty if one of the named modules is missing."""
        files = {path.stem: path for path in self.folder.glob("*.ko")}
        if any(name not in files for name in names):
            return {}
        return {name: base64.b64encode(files[name].read_bytes()).decode() for name in names}

    def write(self, binaries: Mapping[str, str]) -> None:
        """Replaces the folder by a complete one: a run that is killed leaves no incomplete file."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as work:
            new = Path(work) / "new"
            new.mkdir()
            for name, text in binaries.items():
                (new / f"{name}.ko").write_bytes(base64.b64decode(text))
            shutil.rmtree(self.folder, ignore_errors=True)
            new.rename(self.folder)


def _clone(source: str, folder: str) -> None:
    url, _, revision = source.partition("#")
    command = ["git", "clone", "--quiet", "--depth=1", *(["--branch", revision] if revision else []), url, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AnsibleActionFail(f"toa_source: git cannot clone {source}: {done.stderr.strip()}")


def _folder(folder: Path, make_arguments: list[str]) -> Sources:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".git" not in path.parts]
    if not any(path.name in _BUILD_FILES for path in files):
        raise AnsibleActionFail(
            f"toa_source: {folder} has neither Makefile nor Kbuild in it: it is no module's source."
        )
    digest = hashlib.sha256(" ".join(make_arguments).encode())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in files:
            content = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
            digest.update(entry.name.encode() + b"\0" + content)
    return Sources(digest.hexdigest()[:12], base64.b64encode(gzip.compress(packed.getvalue(), mtime=0)).decode())
