"""Python in the root directory of an image, for the inventory's host that builds kernel modules.

A compiler in an emulated machine takes minutes for what it does in seconds here, and needs no kernel but the headers of one.
"""

from __future__ import annotations

import os
import shlex

from lab.image import Image

SCRIPT = """#!/bin/sh
# Written by `python -m lab up`.
exec unshare --mount{user} sh -ec '
    root=$1; shift
    for folder in dev proc; do mount --rbind "/$folder" "$root/$folder"; done
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /usr/bin/python3 "$@"
' sh {root} "$@"
"""


def script(image: Image) -> str:
    """A program that runs the image's Python 3 there; the words it is given are Python's."""
    user = "" if os.geteuid() == 0 else " --map-root-user"
    return SCRIPT.format(user=user, root=shlex.quote(str(image.root)))
