"""Changes of the IPVS table by netlink: many commands in one message. `ipvsadm --restore` opens a socket and requests the
family's number for each line.

The interface is defined in <linux/ip_vs.h> and <linux/genetlink.h>. No library that Debian packages for all of its releases implements it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

NETLINK_GENERIC = 16
NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLA_F_NESTED = 0x8000
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 0x10, 3, 1, 2
FAMILY, VERSION = "IPVS", 1
# IPVS_CMD_…, by ipvsadm's option.
COMMANDS = {"-A": 1, "-E": 2, "-D": 3, "-a": 5, "-e": 6, "-d": 7}
SERVICE, DESTINATION = 1, 2  # IPVS_CMD_ATTR_SERVICE, IPVS_CMD_ATTR_DEST
# IPVS_SVC_ATTR_…
AF, PROTOCOL, ADDRESS, PORT, SCHEDULER, FLAGS, TIMEOUT, NETMASK = 1, 2, 3, 4, 6, 7, 8, 9
# IPVS_DEST_ATTR_…
TO_ADDRESS, TO_PORT, METHOD, WEIGHT, UPPER, LOWER = 1, 2, 3, 4, 5, 6
PROTOCOLS = {"-t": socket.IPPROTO_TCP, "-u": socket.IPPROTO_UDP}
METHODS = {"-m": 0, "-i": 2, "-g": 3}  # IP_VS_CONN_F_…
PERSISTENT = 1  # IP_VS_SVC_F_PERSISTENT
WHOLE_ADDRESS = struct.pack("!I", 0xFFFFFFFF)  # persistence for single client addresses
BATCH = 300  # commands; small compared with a socket's buffer
SECONDS = 30

_HEADER = struct.Struct("=IHHIIBBH")  # nlmsghdr and genlmsghdr
_ATTRIBUTE = struct.Struct("=HH")


class Interrupted(Exception):
    """The kernel did not answer commands, so their result is not known."""


class Unsupported(Exception):
    """A command with options that this module does not support; ipvsadm supports all."""


def message(family: int, number: int, command: str, *, acknowledge: bool = False) -> bytes:
    """A line of `ipvsadm --restore` as a netlink message of the family, with a sequence number. Raises Unsupported."""
    words = command.split(None, 3)
    try:
        kind, service, rest = COMMANDS[words[0]], _service(words[1], words[2]), "".join(words[3:])
        destination = b""
        if words[0] in ("-A", "-E"):
            service += _service_options(rest)
        elif words[0] in ("-a", "-e", "-d"):
            option, real, *options = rest.split(None, 2)
            if option != "-r":
                raise KeyError(option)
            destination = _endpoint(TO_ADDRESS, TO_PORT, real)
            if words[0] != "-d":
                destination += _destination_options(options[0])
            destination = _attribute(DESTINATION | NLA_F_NESTED, destination)
    except (KeyError, IndexError, ValueError, OSError) as error:
        raise Unsupported(command) from error
    body = _attribute(SERVICE | NLA_F_NESTED, service) + destination
    flags = NLM_F_REQUEST | (NLM_F_ACK if acknowledge else 0)
    return _HEADER.pack(_HEADER.size + len(body), family, flags, number, 0, kind, VERSION, 0) + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


# Thousands of commands have few different services, real servers and weights.
@lru_cache(maxsize=1024)
def _service(flag: str, address: str) -> bytes:
    return (
        _attribute(AF, struct.pack("=H", socket.AF_INET))
        + _attribute(PROTOCOL, struct.pack("=H", PROTOCOLS[flag]))
        + _endpoint(ADDRESS, PORT, address)
    )


@lru_cache(maxsize=65536)
def _endpoint(address: int, port: int, text: str) -> bytes:
    host, _, number = text.rpartition(":")
    return _attribute(address, socket.inet_aton(host) + bytes(12)) + _attribute(port, struct.pack("!H", int(number)))


@lru_cache(maxsize=1024)
def _service_options(text: str) -> bytes:
    option, scheduler, *persistence = text.split()
    timeout = 0
    if persistence:
        persistent, seconds = persistence
        timeout = int(seconds) if persistent == "-p" else 0
    if option != "-s" or (persistence and not timeout):
        raise KeyError(text)
    return (
        _attribute(SCHEDULER, scheduler.encode("ascii") + b"\0")
        + _attribute(FLAGS, struct.pack("=II", PERSISTENT if timeout else 0, 0xFFFFFFFF))
        + _attribute(TIMEOUT, struct.pack("=I", timeout))
        + _attribute(NETMASK, WHOLE_ADDRESS)
    )


@lru_cache(maxsize=1024)
def _destination_options(text: str) -> bytes:
    method, option, weight = text.split()
    if option != "-w":
        raise KeyError(text)
    return (
        _attribute(METHOD, struct.pack("=I", METHODS[method]))
        + _attribute(WEIGHT, struct.pack("=I", int(weight)))
        + _attribute(UPPER, bytes(4))
        + _attribute(LOWER, bytes(4))
    )


def carry_out(commands: Sequence[str]) -> list[str]:
    """Executes lines of `ipvsadm --restore`; returns the refused ones with the kernel's error.

    Raises Unsupported, before anything is changed, if a line is not supported, OSError if netlink fails, and Interrupted
    if it is not known how many were executed.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as kernel:
        kernel.settimeout(SECONDS)
        kernel.bind((0, 0))
        family = _family(kernel)
        lasts = {*range(BATCH - 1, len(commands), BATCH), len(commands) - 1}  # of their batches
        messages = [message(family, i, command, acknowledge=i in lasts) for i, command in enumerate(commands)]
        refused = []
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            kernel.send(b"".join(batch))
            try:
                errors = dict(_answers(kernel, start + len(batch) - 1))
            except OSError as error:
                raise Interrupted(f"no answer to a batch of {len(batch)} commands: {error}") from error
            refused += [f"{commands[i]}: {os.strerror(number)}" for i, number in errors.items() if number]
    return refused


def _family(kernel: socket.socket) -> int:
    body = _attribute(CTRL_ATTR_FAMILY_NAME, FAMILY.encode("ascii") + b"\0")
    kernel.send(
        _HEADER.pack(_HEADER.size + len(body), GENL_ID_CTRL, NLM_F_REQUEST, 0, 0, CTRL_CMD_GETFAMILY, 1, 0) + body
    )
    for kind, _, content in _messages(kernel.recv(65536)):
        if kind == NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", content)[0], "the kernel does not know the netlink family IPVS")
        for number, payload in _attributes(content[4:]):
            if number == CTRL_ATTR_FAMILY_ID:
                return int(struct.unpack("=H", payload)[0])
    raise OSError("no answer about the netlink family IPVS")


def _answers(kernel: socket.socket, last: int) -> Iterator[tuple[int, int]]:
    """Sequence number and error number of each answer, until the last message's."""
    while True:
        for kind, number, content in _messages(kernel.recv(1 << 20)):
            if kind == NLMSG_ERROR:
                yield number, -struct.unpack_from("=i", content)[0]
                if number == last:
                    return


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and content of each message."""
    while len(data) >= 16:
        length, kind, _, number, _ = struct.unpack_from("=IHHII", data)
        yield kind, number, data[16:length]
        data = data[length + -length % 4 :]


def _attributes(data: bytes) -> Iterable[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & 0x3FFF, data[4:length]
        data = data[length + -length % 4 :]
