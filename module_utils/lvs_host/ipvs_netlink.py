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

from .ipvs_lines import split

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
AF, PROTOCOL, ADDRESS, PORT, MARK, SCHEDULER, FLAGS, TIMEOUT, NETMASK, ENGINE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11
# IPVS_DEST_ATTR_…
TO_ADDRESS, TO_PORT, METHOD, WEIGHT, UPPER, LOWER, TO_AF = 1, 2, 3, 4, 5, 6, 11
PROTOCOLS = {"-t": socket.IPPROTO_TCP, "-u": socket.IPPROTO_UDP, "--sctp-service": socket.IPPROTO_SCTP}
METHODS = {"-m": 0, "-i": 2, "-g": 3}  # IP_VS_CONN_F_…
# IP_VS_SVC_F_…; those of a scheduler by its own names and by ipvsadm's for all others.
PERSISTENT, ONE_PACKET = 0x1, 0x4
SCHEDULER_FLAGS = {
    **{"flag-1": 0x8, "flag-2": 0x10, "flag-3": 0x20},
    **{"sh-fallback": 0x8, "sh-port": 0x10, "mh-fallback": 0x8, "mh-port": 0x10},
}
WHOLE_ADDRESS: dict[int, str] = {
    socket.AF_INET: "255.255.255.255",
    socket.AF_INET6: "128",
}  # persistence for single client addresses
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
    try:
        verb, (flag, address), rest = split(command)
        kind, service = COMMANDS[verb], _service(flag, address)
        destination = b""
        if verb in ("-A", "-E"):
            service += _service_options(rest, _family_of(address))
        elif verb in ("-a", "-e", "-d"):
            option, real, *options = rest.split(None, 2)
            if option != "-r":
                raise KeyError(option)
            destination = _real_server(real, _family_of(address))
            if verb != "-d":
                destination += _destination_options(options[0])
            destination = _attribute(DESTINATION | NLA_F_NESTED, destination)
    except (KeyError, IndexError, ValueError, OSError, struct.error) as error:
        raise Unsupported(command) from error
    body = _attribute(SERVICE | NLA_F_NESTED, service) + destination
    flags = NLM_F_REQUEST | (NLM_F_ACK if acknowledge else 0)
    return _HEADER.pack(_HEADER.size + len(body), family, flags, number, 0, kind, VERSION, 0) + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


# Thousands of commands have few different services, real servers and weights.
@lru_cache(maxsize=1024)
def _service(flag: str, address: str) -> bytes:
    family = _attribute(AF, struct.pack("=H", _family_of(address)))
    if flag == "-f":
        return family + _attribute(MARK, struct.pack("=I", int(address.partition(" ")[0])))
    return family + _attribute(PROTOCOL, struct.pack("=H", PROTOCOLS[flag])) + _endpoint(ADDRESS, PORT, address)


def _family_of(address: str) -> int:
    """The family of an address in brackets or without them; a mark of IPv6 has the option -6 behind it."""
    return socket.AF_INET6 if address.startswith("[") or address.endswith(" -6") else socket.AF_INET


@lru_cache(maxsize=65536)
def _real_server(text: str, family: int) -> bytes:
    """A real server, with its family where this is not the service's: the kernel takes the latter for both."""
    own = _family_of(text)
    other = _attribute(TO_AF, struct.pack("=H", own)) if own != family else b""
    return _endpoint(TO_ADDRESS, TO_PORT, text) + other


@lru_cache(maxsize=65536)
def _endpoint(address: int, port: int, text: str) -> bytes:
    host, _, number = text.rpartition(":")
    six = host.startswith("[") and host.endswith("]")
    packed = socket.inet_pton(socket.AF_INET6, host[1:-1]) if six else socket.inet_aton(host) + bytes(12)
    return _attribute(address, packed) + _attribute(port, struct.pack("!H", int(number)))


@lru_cache(maxsize=1024)
def _service_options(text: str, family: int) -> bytes:
    given = _given(text, ("-s", "-p", "-M", "--pe", "-o", "-b"))
    timeout = int(given.get("-p", "0"))
    if ("-p" in given) != bool(timeout) or given.get("-o", ""):
        raise KeyError(text)
    flags = (PERSISTENT if timeout else 0) | (ONE_PACKET if "-o" in given else 0)
    for name in given["-b"].split(",") if "-b" in given else ():
        flags |= SCHEDULER_FLAGS[name]
    netmask = given.get("-M", WHOLE_ADDRESS[family])
    six = family == socket.AF_INET6
    packed = struct.pack("=I", int(netmask)) if six else socket.inet_pton(socket.AF_INET, netmask)
    engine = _attribute(ENGINE, given["--pe"].encode("ascii") + b"\0") if "--pe" in given else b""
    return (
        _attribute(SCHEDULER, given["-s"].encode("ascii") + b"\0")
        + _attribute(FLAGS, struct.pack("=II", flags, 0xFFFFFFFF))
        + _attribute(TIMEOUT, struct.pack("=I", timeout))
        + _attribute(NETMASK, packed)
        + engine
    )


@lru_cache(maxsize=1024)
def _destination_options(text: str) -> bytes:
    method, _, rest = text.partition(" ")
    given = _given(rest, ("-w", "-x", "-y"))
    return (
        _attribute(METHOD, struct.pack("=I", METHODS[method]))
        + _attribute(WEIGHT, struct.pack("=I", int(given["-w"])))
        + _attribute(UPPER, struct.pack("=I", int(given.get("-x", "0"))))
        + _attribute(LOWER, struct.pack("=I", int(given.get("-y", "0"))))
    )


def _given(text: str, known: Sequence[str]) -> dict[str, str]:
    """The value of each option, empty for one without. Raises KeyError for an option that is not known."""
    given: dict[str, str] = {}
    option = ""
    for word in text.split():
        if word.startswith("-"):
            option = word
            given[option] = ""
        elif option not in given or given[option]:
            raise KeyError(word)
        else:
            given[option] = word
    if not set(given) <= set(known):
        raise KeyError(text)
    return given


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
