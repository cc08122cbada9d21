#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs lvskit's kernel modules."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_built_modules
short_description: Install kernel modules that were built for this host
version_added: "1.0.0"
description:
  - Checks whether the running kernel has the wanted version of the modules, and installs the given files if not. Without files
    it returns the kernel to build for.
  - Replaces an older loaded version of a module by the new one; if the kernel refuses the new one, loads the old one
    again.
  - Stores the version of the sources beside the module's file, and compares the build id of the loaded module with the file. Third-party
    modules therefore need no version of their own.
  - Refuses a module that cannot work, and changes nothing.
options:
  source:
    description: Folder, tar archive or git URL of the sources, on the controller.
    type: str
  archive:
    description: The packed sources, with I(method=dkms); the controller derives it from I(source).
    type: str
  version:
    description: Identifies the sources; the controller derives it from I(source).
    type: str
  modules:
    description: Names of the modules to install.
    type: list
    elements: str
    required: true
  binaries:
    description: The modules' files in base64, by name, as lvs_build returns them.
    type: dict
    default: {}
  method:
    description: With C(builder) another host builds the files. With C(dkms) this host builds them, and again whenever a kernel is installed.
    type: str
    choices: [builder, dkms]
    default: builder
  make_arguments:
    description: Arguments of make in addition to the kernel's tree, with I(method=dkms).
    type: list
    elements: str
    default: []
  signed:
    description: Whether the modules are signed by a key that the host may trust.
    type: bool
    default: false
attributes:
  check_mode: {support: full, description: Reports what would be installed.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Check which modules the host has
  lvs_built_modules:
    source: roles/toa/files/lvskit-toa
    modules: [lvskit_toa_peer]
"""

RETURN = r"""
build_needed:
  description: Whether the modules have to be built first.
  returned: always
  type: bool
kernel:
  description: The release of the running kernel.
  returned: always
  type: str
installed:
  description: The modules that were installed or replaced.
  returned: always
  type: list
  elements: str
"""

import base64
import glob
import gzip
import io
import lzma
import os
import shutil
import tarfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host import archives, errors, programs

FOLDER = "/lib/modules/{kernel}/updates/lvskit"
SOURCES = "/usr/src"
DKMS = "/var/lib/dkms"
LOADED = "/sys/module"
TREE = "/lib/modules/{kernel}/build"
# Third-party modules that also hook into the socket's address.
OTHERS = ("toa", "vtoa", "hookers", "ip_vs_ca", "ttm")
KEYS = "/proc/keys"
EFI_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOCKDOWN = "/sys/kernel/security/lockdown"  # "none [integrity] confidentiality"
CLOSED = "/proc/sys/kernel/modules_disabled"


ARGUMENTS = {
    "source": {"type": "str"},
    "archive": {"type": "str"},
    "version": {"type": "str"},
    "modules": {"type": "list", "elements": "str", "required": True},
    "binaries": {"type": "dict", "default": {}},
    "method": {"type": "str", "choices": ["builder", "dkms"], "default": "builder"},
    "make_arguments": {"type": "list", "elements": "str", "default": []},
    "signed": {"type": "bool", "default": False},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    done = []
    with errors.reported(module, done):
        result = bring(module, os.uname().release, done)
    module.exit_json(**result)


def bring(module, kernel, done):
    """Installs and replaces modules, and returns the result of the module. Appends each completed step to `done`."""
    given = module.params
    preflight(module, kernel)
    missing = [name for name in given["modules"] if not installed(given, kernel, name)]
    old = [name for name in given["modules"] if name not in missing and outdated(module, name)]
    result = {"changed": bool(missing or old), "kernel": kernel, "installed": missing + old}
    by_builder = given["method"] == "builder"
    if module.check_mode or not result["changed"]:
        return {**result, "build_needed": bool(missing) and by_builder}
    if missing and by_builder and not given["binaries"]:
        return {"changed": False, "build_needed": True, "kernel": kernel, "installed": []}
    if text(CLOSED).strip() == "1":
        module.fail_json(
            msg=f"this host loads no kernel module until its next boot (kernel.modules_disabled is 1), and needs {', '.join(missing + old)}. "
            "Find what sets it (sysctl.d), reboot, and run again before it is set. Nothing was changed."
        )
    if missing:
        if by_builder:
            install(module, kernel, missing)
        else:
            install_with_dkms(module, kernel)
        done += [f"installed {name}" for name in missing]
    for name in given["modules"]:
        if outdated(module, name):
            exchange(module, [name])
            done.append(f"loaded the new {name}")
    return {**result, "build_needed": False}


def preflight(module, kernel):
    """Fails, with the reason, if a module built by lvskit could not be loaded, or would conflict with a third-party module."""
    found = [name for name in OTHERS if name not in module.params["modules"] and os.path.isdir(f"{LOADED}/{name}")]
    if found:
        module.fail_json(
            msg=f"a third-party module is loaded: {', '.join(found)}. Two of them would overwrite each other's addresses. "
            f"Unload it (rmmod {found[0]}) and take it from /etc/modules-load.d, or build it by toa_source and toa_modules."
        )
    reason = signature_needed()
    by_dkms = module.params["method"] == "dkms" and os.path.exists(f"{DKMS}/mok.pub")
    if reason and not module.params["signed"] and not by_dkms:
        module.fail_json(
            msg=f"{reason}, so the kernel {kernel} loads signed modules only. Name a key that this host trusts "
            f"(mokutil --import) in toa_signing_key and toa_signing_certificate; with dkms, its own is {DKMS}/mok.pub. "
            "Nothing was changed."
        )


def signature_needed():
    """Why the kernel would refuse a module without signature; empty when it would not.

    Secure Boot alone does not: the kernel locks itself down for it, unless its owner has switched validation off (mokutil).
    """
    locked = text(LOCKDOWN)
    if locked and "[none]" not in locked:
        return f"the kernel is locked down ({locked.partition('[')[2].partition(']')[0]})"
    if text(f"{LOADED}/module/parameters/sig_enforce").startswith("Y"):
        return "module.sig_enforce is set"
    return "Secure Boot is on" if not locked and secure_boot() else ""


def secure_boot():
    """Whether the firmware has checked what it booted. Its variable begins with four bytes of attributes."""
    try:
        with open(EFI_SECURE_BOOT, "rb") as file:
            return file.read()[4:5] == b"\x01"
    except OSError:
        return False


def text(path):
    """The text of a file of the kernel's; empty where the kernel has no such file."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def check_signature(module, file):
    """Fails if the kernel would refuse the file, so that a working module is not unloaded for a file that cannot be loaded."""
    reason = signature_needed()
    if not reason:
        return
    _, out, _ = programs.run(["modinfo", "-F", "signer", file])
    signer = out.strip()
    with open(KEYS, encoding="utf-8", errors="replace") as keys:
        trusted = signer and any("asymmetri" in line and f" {signer}: " in line for line in keys)
    if not trusted:
        module.fail_json(
            msg=f"{reason}, and this host trusts no key of {signer or 'nobody (it has no signature)'}, by which {file} is signed. "
            "Import its certificate (mokutil --import) and reboot, or name another in toa_signing_certificate. The modules that "
            "are loaded stay."
        )


def installed(given, kernel, name):
    """Whether the module is installed, built from the wanted sources for this kernel."""
    if given["method"] == "dkms":
        return bool(glob.glob(f"{DKMS}/{package(given)}/{given['version']}/{kernel}/*/module/{name}.ko*"))
    file = os.path.join(FOLDER.format(kernel=kernel), f"{name}.ko")
    return os.path.exists(file) and note_of(file) == given["version"]


def note_of(file):
    """The version of the sources of a file; empty if it is not stored."""
    try:
        with open(f"{file}.version", encoding="ascii") as note:
            return note.read().strip()
    except OSError:
        return ""


def outdated(module, name):
    """Whether the module is loaded, and is not the one that modprobe would load now."""
    try:
        with open(f"{LOADED}/{name}/notes/.note.gnu.build-id", "rb") as file:
            build_id = file.read()
    except OSError:
        return False
    code, path, _ = programs.run(["modinfo", "-n", name])
    return code == 0 and build_id not in content(path.strip())


def content(path):
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(os.path.splitext(path)[1], open)
    with opener(path, "rb") as file:
        return file.read()


def package(given):
    """The name by which dkms knows the sources."""
    return f"lvskit-{given['modules'][0].replace('_', '-')}"


def install(module, kernel, names):
    folder = FOLDER.format(kernel=kernel)
    staging = f"{folder}/.new"  # modinfo wants a name that ends in .ko
    os.makedirs(staging, exist_ok=True)
    for name in names:
        path, staged = (os.path.join(place, f"{name}.ko") for place in (folder, staging))
        write(staged, base64.b64decode(module.params["binaries"][name]))
        code, magic, _ = programs.run(["modinfo", "-F", "vermagic", staged])
        if code or magic.split()[:1] != [kernel]:
            os.unlink(staged)
            module.fail_json(
                msg=f"{name} was built for {magic.strip() or 'no kernel'}, this host runs {kernel}. It was not installed."
            )
        check_signature(module, staged)
        keep(path)
        os.replace(staged, path)
        with open(f"{path}.version", "w", encoding="ascii") as note:
            note.write(f"{module.params['version']}\n")
    programs.output(programs.run, ["depmod", kernel])


def write(path, content):
    try:
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise errors.cannot("write", path, error) from error


def keep(path):
    """A module that may have to be loaded again."""
    for file in (path, f"{path}.version"):
        if os.path.exists(file):
            shutil.copy(file, f"{file}.old")


def install_with_dkms(module, kernel):
    given = module.params
    if not programs.find("dkms"):
        module.fail_json(
            msg="toa_method is dkms, but this host has no dkms. Install it, or build on another host (toa_builder)."
        )
    if not os.path.exists(f"{TREE.format(kernel=kernel)}/Makefile"):
        module.fail_json(
            msg=f"no kernel headers for {kernel} here, which dkms builds with. Install linux-headers-{kernel}, or build on another "
            "host (toa_builder). Nothing was changed."
        )
    name = package(given)
    folder = f"{SOURCES}/{name}-{given['version']}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(given["archive"])), mode="r:gz") as tar:
        archives.unpack(tar, folder)
    with open(os.path.join(folder, "dkms.conf"), "w", encoding="ascii") as file:
        file.write(dkms_configuration(given))
    for step in ("add", "build", "install"):
        command = ["dkms", step, f"{name}/{given['version']}", *([] if step == "add" else ["-k", kernel])]
        code, out, err = programs.run([*command, *(["--force"] if step == "install" else [])])
        if code and not (step == "add" and "already" in f"{out}{err}"):
            reason = said(name, given, out, err)
            programs.run(["dkms", "remove", f"{name}/{given['version']}", "--all"])
            shutil.rmtree(folder, ignore_errors=True)
            module.fail_json(msg=f"`{' '.join(command)}` failed. The loaded modules stay loaded. {reason}")
    for other in sorted(os.listdir(f"{DKMS}/{name}")):
        if other != given["version"] and os.path.isdir(f"{DKMS}/{name}/{other}/source"):
            programs.run(["dkms", "remove", f"{name}/{other}", "--all"])
            shutil.rmtree(f"{SOURCES}/{name}-{other}", ignore_errors=True)


def said(name, given, out, err):
    """The end of the compiler's output, or else of dkms's output."""
    try:
        with open(f"{DKMS}/{name}/{given['version']}/build/make.log", encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-25:])
    except OSError:
        return (err or out).strip()


def dkms_configuration(given):
    wanted = f"LVSKIT_MODULES='{' '.join(given['modules'])}'"
    make = " ".join([f"LVSKIT_VERSION={given['version']}", wanted, *given["make_arguments"]])
    lines = [
        "# Managed by lvskit.",
        f'PACKAGE_NAME="{package(given)}"',
        f'PACKAGE_VERSION="{given["version"]}"',
        "AUTOINSTALL=yes",
        f'MAKE[0]="make -C ${{kernel_source_dir}} M=${{dkms_tree}}/${{PACKAGE_NAME}}/${{PACKAGE_VERSION}}/build {make} modules"',
    ]
    for index, name in enumerate(given["modules"]):
        lines += [f'BUILT_MODULE_NAME[{index}]="{name}"', f'DEST_MODULE_LOCATION[{index}]="/updates/dkms"']
    return "\n".join([*lines, ""])


def exchange(module, names):
    """Replaces the old version by the new one; loads the old one again if the kernel refuses the new one."""
    kernel = os.uname().release
    for name in names:
        if signature_needed():
            check_signature(module, programs.output(programs.run, ["modinfo", "-n", name]).strip())
        programs.output(programs.run, ["rmmod", name])
        code, out, err = programs.run(["modprobe", name])
        if not code:
            continue
        file = os.path.join(FOLDER.format(kernel=kernel), f"{name}.ko")
        back = "there was no older one to go back to"
        if os.path.exists(f"{file}.old"):
            os.replace(f"{file}.old", file)
            restore_note(file)
            programs.run(["depmod", kernel])
            back_code, _, _ = programs.run(["modprobe", name])
            back = "the older one is back" if not back_code else "and the older one could not be loaded again"
        module.fail_json(msg=f"the kernel refuses the new {name}: {(err or out).strip()}; {back}.")


def restore_note(file):
    if os.path.exists(f"{file}.version.old"):
        os.replace(f"{file}.version.old", f"{file}.version")
    elif os.path.exists(f"{file}.version"):
        os.unlink(f"{file}.version")


if __name__ == "__main__":
    main()
