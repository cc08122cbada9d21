#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds kernel modules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_build
short_description: Build kernel modules for one kernel
version_added: "1.0.0"
description:
  - Builds the modules of a source against a kernel's headers and returns them, for hosts without a compiler.
    The controller caches the modules of each kernel (below C(~/.cache/lvskit), or C($LVSKIT_CACHE)).
  - Loads no module on the builder and leaves no file there. A failed build is not cached.
options:
  source:
    description: Folder, tar archive or git URL of the sources, on the controller.
    type: str
  archive:
    description: The packed sources; the controller derives them from I(source).
    type: str
  version:
    description: Identifies the sources; the controller derives it from I(source).
    type: str
  modules:
    description: Names of the modules that the build must produce.
    type: list
    elements: str
    required: true
  kernel:
    description: The kernel's release, as C(uname -r) prints it.
    type: str
    required: true
  make_arguments:
    description: Arguments of make, in addition to the kernel's tree.
    type: list
    elements: str
    default: []
  signing_key:
    description: Private key on the builder that signs the modules; no signature when empty.
    type: str
    default: ""
  signing_certificate:
    description: The certificate that belongs to I(signing_key).
    type: str
    default: ""
attributes:
  check_mode: {support: full, description: Reports that it would build.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Build the sender
  lvs_build:
    source: roles/toa/files/lvskit-toa
    modules: [lvskit_toa]
    kernel: 6.1.0-56-cloud-amd64
"""

RETURN = r"""
binaries:
  description: The files of all built modules in base64, by name. Missing in check mode.
  returned: when built
  type: dict
"""

import base64
import glob
import io
import os
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import archives, errors, programs

LINES_OF_A_FAILURE = 25
TREES = "/lib/modules"  # the kernels' build trees


ARGUMENTS = {
    "source": {"type": "str"},
    "archive": {"type": "str"},
    "version": {"type": "str"},
    "modules": {"type": "list", "elements": "str", "required": True},
    "kernel": {"type": "str", "required": True},
    "make_arguments": {"type": "list", "elements": "str", "default": []},
    "signing_key": {"type": "str", "default": ""},
    "signing_certificate": {"type": "str", "default": ""},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    tree = check_builder(module)
    if module.check_mode:
        module.exit_json(changed=True)
    with (
        errors.reported(module, root=False),
        tempfile.TemporaryDirectory(prefix="lvskit-build-", dir="/var/tmp") as folder,
    ):
        binaries = build(module, folder, tree)
    module.exit_json(changed=True, binaries=binaries)


def check_builder(module):
    """The kernel's build tree; fails with the remedy if nothing can be built."""
    kernel = module.params["kernel"]
    tree = f"{TREES}/{kernel}/build"
    if not os.path.exists(os.path.join(tree, "Makefile")):
        others = (
            ", ".join(sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{TREES}/*/build")))
            or "none"
        )
        module.fail_json(
            msg=f"no kernel headers for {kernel} on the builder {os.uname().nodename} (there are headers for: {others}). "
            f"Install linux-headers-{kernel} there, or name a builder in toa_builder that has them. Nothing was changed."
        )
    missing = [program for program in ("make", "gcc") if not programs.find(program)]
    if missing:
        module.fail_json(
            msg=f"the builder {os.uname().nodename} has no {' and no '.join(missing)}. Install it there, or name a builder in "
            "toa_builder that has a compiler. Nothing was changed."
        )
    for option in ("signing_key", "signing_certificate"):
        path = module.params[option]
        if (path or module.params["signing_key"]) and not os.path.exists(path):
            module.fail_json(
                msg=f"toa_{option}: there is no file {path or '(empty)'} on the builder {os.uname().nodename}."
            )
    return tree


def build(module, folder, tree):
    """The built modules in base64, by name."""
    given = module.params
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(given["archive"])), mode="r:gz") as tar:
        archives.unpack(tar, folder)
    command = [
        "make",
        "-C",
        tree,
        f"M={folder}",
        f"LVSKIT_VERSION={given['version']}",
        *given["make_arguments"],
        "modules",
    ]
    code, out, err = programs.run(command)
    wanted = [os.path.join(folder, "**", f"{name}.ko") for name in given["modules"]]
    absent = [os.path.basename(path) for path in wanted if not glob.glob(path, recursive=True)]
    if code or absent:
        said = "\n".join(f"{out}\n{err}".strip().splitlines()[-LINES_OF_A_FAILURE:])
        reason = f"make failed ({code})" if code else f"no {' and no '.join(absent)} came of it"
        module.fail_json(
            msg=f"building for kernel {given['kernel']} on {os.uname().nodename}: {reason}. The modules that are loaded stay. "
            f"The end of make's output:\n{said}"
        )
    binaries = {}
    for path in glob.glob(os.path.join(folder, "**/*.ko"), recursive=True):
        if programs.find("strip"):
            programs.output(programs.run, ["strip", "--strip-debug", path])
        if given["signing_key"]:
            sign = [f"{tree}/scripts/sign-file", "sha256", given["signing_key"], given["signing_certificate"], path]
            programs.output(programs.run, sign)
        with open(path, "rb") as file:
            binaries[os.path.basename(path)[: -len(".ko")]] = base64.b64encode(file.read()).decode()
    return binaries


if __name__ == "__main__":
    main()
