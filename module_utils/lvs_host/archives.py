"""Unpacks archives without a file outside of the folder that they are unpacked to."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath


def unpack(tar: tarfile.TarFile, folder: str) -> None:
    """Raises tarfile.TarError for a member that would be outside.

    The filters of tarfile do this since Python 3.11.4 and 3.9.17; Debian 11 and 12 have earlier ones.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    for member in tar.getmembers():
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise tarfile.TarError(f"{member.name} is neither a file, a folder nor a link")
        for path in (member.name, *([member.linkname] if member.issym() or member.islnk() else [])):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise tarfile.TarError(f"{member.name} would be outside of the folder")
    tar.extractall(folder)
