#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures packets on several interfaces of a host while a probe runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_capture
short_description: Capture packets on a host's interfaces
version_added: "1.0.0"
description:
  - Starts one tcpdump for each interface, and later stops them and returns what they captured.
  - The captures do not change the traffic. They are limited in time and in packets, and end without being stopped when a limit is reached.
options:
  state:
    description: C(started) starts the captures, C(stopped) stops them and returns what they captured.
    type: str
    choices: [started, stopped]
    required: true
  interfaces:
    description: The interfaces to capture on.
    type: list
    elements: str
    required: true
  filter:
    description: A capture filter, pcap-filter(7). tcpdump reads it from a file, so its length is not limited.
    type: str
    default: ""
  seconds:
    description: Time limit of the captures.
    type: int
    default: 120
  packets:
    description: Packet limit of each capture.
    type: int
    default: 50000
  skip_missing:
    description: Whether to skip interfaces that the host does not have.
    type: bool
    default: false
attributes:
  check_mode: {support: full, description: Changes nothing on the host; captures in check mode too.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Start the captures
  lvs_capture:
    state: started
    interfaces: [eth1]
    filter: host 203.0.113.80 and tcp port 80
"""

RETURN = r"""
captures:
  description: For each interface its pcap file, gzipped, in base64.
  returned: when stopped
  type: dict
ended:
  description:
    - The interfaces whose capture reached the limit I(seconds) or I(packets) before it was stopped. Later packets are
      missing.
  returned: when stopped
  type: list
  elements: str
lost:
  description: For each interface the number of packets that matched the filter and that the kernel dropped for lack of room.
  returned: when stopped
  type: dict
macs:
  description: The MAC address of each interface.
  returned: when stopped
  type: dict
neighbours:
  description: The MAC address of each neighbour that the host knows, by its address.
  returned: when stopped
  type: dict
"""

import base64
import contextlib
import glob
import gzip
import json
import os
import re
import shutil
import signal
import time

from ansible.module_utils.basic import AnsibleModule

DIRECTORY = "/run/lvskit-capture"
IFF_UP = 1  # linux/if.h
SNAP_LENGTH = "168"  # bytes: Ethernet, two IPv6 headers, an extension header, and TCP with all its options
SIGTERM_SECONDS = 5
LAST_PACKETS = 1.5  # seconds: the kernel hands a buffer to tcpdump when it is full, or after 1 s
BUFFER = "4096"  # KiB in the kernel, for what arrives while tcpdump writes

ARGUMENTS = {
    "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
    "interfaces": {"type": "list", "elements": "str", "required": True},
    "filter": {"type": "str", "default": ""},
    "seconds": {"type": "int", "default": 120},
    "packets": {"type": "int", "default": 50000},
    "skip_missing": {"type": "bool", "default": False},
}


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    if module.params["state"] == "started":
        start(module)
        module.exit_json(changed=False)
    module.exit_json(changed=False, **stop(module))


def start(module):
    tcpdump = module.get_bin_path("tcpdump")
    if tcpdump is None:
        module.fail_json(
            msg="this host has no tcpdump, so its packets cannot be captured. Install the package tcpdump on it."
        )
    end_captures()
    os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
    for old in glob.glob(f"{DIRECTORY}/*"):
        os.unlink(old)
    with open(f"{DIRECTORY}/filter", "w", encoding="ascii") as file:
        file.write(module.params["filter"])
    for interface in interfaces(module):
        base = f"{DIRECTORY}/{interface}"
        # If the controller is lost, timeout(1) stops the capture.
        command = ["timeout", str(module.params["seconds"]), tcpdump, "-i", interface, "-p", "-U", "-n"]
        command += ["-s", SNAP_LENGTH, "-B", BUFFER, "-c", str(module.params["packets"]), "-Z", "root"]
        command += ["-F", f"{DIRECTORY}/filter", "-w", f"{base}.pcap"]
        spawn(command, f"{base}.log", f"{base}.pid")
    for interface in interfaces(module):
        await_start(module, f"{DIRECTORY}/{interface}")


def interfaces(module):
    names = module.params["interfaces"]
    return [name for name in names if not module.params["skip_missing"] or is_up(name)]


def is_up(interface):
    try:
        with open(f"/sys/class/net/{interface}/flags", encoding="ascii") as file:
            return bool(int(file.read(), 16) & IFF_UP)
    except FileNotFoundError:
        return False


def spawn(command, log, pid_file):
    """Starts a program that outlives this module."""
    pid = os.fork()
    if pid:
        with open(pid_file, "w", encoding="ascii") as file:
            file.write(str(pid))
        return
    os.setsid()
    null, out = os.open(os.devnull, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
    for descriptor, target in ((null, 0), (null, 1), (out, 2)):
        os.dup2(descriptor, target)
    os.closerange(3, 256)
    try:
        os.execvp(command[0], command)
    except OSError as failure:
        os.write(2, f"{command[0]}: {failure}\n".encode())
    os._exit(127)


def await_start(module, base):
    deadline = time.monotonic() + 20
    words = ""
    while time.monotonic() < deadline and not (words and not alive(pid_of(base))):
        words = log_of(base)
        if "listening on" in words:
            return
        time.sleep(0.05)
    end_captures()
    module.fail_json(msg=f"cannot capture on {os.path.basename(base)}: {words.strip() or 'tcpdump did not start'}")


def log_of(base):
    try:
        with open(f"{base}.log", encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def pid_of(base):
    with open(f"{base}.pid", encoding="ascii") as file:
        return int(file.read())


def alive(pid):
    """Whether the process runs. If this module is its parent, it has to collect the process first."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return os.path.exists(f"/proc/{pid}")


def captures(pid, base):
    """Whether the process is the capture: another process may have its pid by now."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            return alive(pid) and f"{base}.pcap" in file.read()
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends between open and read
        return False


def end_captures():
    """Ends the captures that an earlier call started, and waits until their files are complete.

    Returns the interfaces whose capture had ended before.
    """
    bases = [path[: -len(".pid")] for path in sorted(glob.glob(f"{DIRECTORY}/*.pid"))]
    ended = []
    for base in bases:
        pid = pid_of(base)
        if captures(pid, base):
            end(pid, base)
        else:
            ended.append(os.path.basename(base))
        os.unlink(f"{base}.pid")
    return ended


def end(pid, base):
    """SIGTERM, on which tcpdump writes what it has; SIGKILL to its process group where that does not end it in time."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SIGTERM_SECONDS
    while captures(pid, base):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def stop(module):
    time.sleep(LAST_PACKETS)
    ended = end_captures()
    found, macs, lost = {}, {}, {}
    for interface in module.params["interfaces"]:
        path = f"{DIRECTORY}/{interface}.pcap"
        if not os.path.exists(path):
            if module.params["skip_missing"]:
                continue
            module.fail_json(msg=f"there is no capture of {interface}: start one first.")
        with open(path, "rb") as file:
            found[interface] = base64.b64encode(gzip.compress(file.read(), 6)).decode("ascii")
        with open(f"/sys/class/net/{interface}/address", encoding="ascii") as file:
            macs[interface] = file.read().strip()
        dropped = re.search(r"(\d+) packets? dropped by kernel", log_of(f"{DIRECTORY}/{interface}"))
        if dropped and int(dropped[1]):
            lost[interface] = int(dropped[1])
    shutil.rmtree(DIRECTORY, ignore_errors=True)  # the file is missing if nothing was captured
    _, out, _ = module.run_command(["ip", "-json", "neighbour", "show"], check_rc=True)
    neighbours = {n["dst"]: n["lladdr"] for n in json.loads(out or "[]") if "lladdr" in n}
    return {"captures": found, "macs": macs, "neighbours": neighbours, "ended": ended, "lost": lost}


if __name__ == "__main__":
    main()
