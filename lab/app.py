#!/usr/bin/python3
"""The demo application of the lab's real servers: it reports its host and its peer.

    GET /                JSON: host, peer, local
    GET /bytes/N         N octets, no two neighbouring segments of which are alike (`octets`)
    GET /healthz         the same JSON
    GET /slow/SECONDS    the same JSON, after a while
    POST or PUT          the JSON, with length and sha256 of the body it read
    any UDP datagram     the JSON with its length, from the address the datagram was sent to

It listens on the ports of its configuration, {"tcp": [80], "udp": [5353], "sctp": [2905]}, on every address of both families: a
VIP that is added to lo or tunl0 later is served at once. Over SCTP it speaks HTTP as over TCP. After SIGHUP it reads the configuration again and listens on those ports. So a clone of a
machine where Python has started needs no start of its own, and a port can be added without a restart. Standard library only,
for the Python of Debian 11 (3.9) and later.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import signal
import socket
import struct
import sys
from asyncio import AbstractEventLoop, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Dict, Tuple

IP_PKTINFO = 8  # <linux/in.h>; socket has it from Python 3.14 on
IN_PKTINFO = "=i4s4s"  # struct in_pktinfo: interface, local address, address in the header
IN6_PKTINFO = "=16si"  # struct in6_pktinfo: address, interface
IPPROTO_SCTP = 132
LONGEST_DATAGRAM = 65535
CHUNK = 65536
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a kernel without it, or in which it is switched off
FAULT = Path("/run/lvskit-lab-fault")
IDLE = 300  # seconds a kept-alive connection may wait for its next request

Listening = Dict[Tuple[str, int], Callable[[], None]]  # protocol and port: what stops it
Request = Tuple[str, str, str, Mapping[str, str]]  # method, path, version, header fields


class BadRequest(Exception):
    """What the client sent is no HTTP request this server understands."""


# A prime number of octets, so that it does not repeat with any size of segments.
PATTERN = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(2048))[:65521]


def octets(number: int) -> Iterator[bytes]:
    """That many octets, in pieces; always the same ones, so that what arrives out of place is noticed."""
    for _ in range(number // len(PATTERN)):
        yield PATTERN
    yield PATTERN[: number % len(PATTERN)]


def endpoint(address: tuple[Any, ...]) -> str:
    """Address and port; the address of IPv6 in brackets (RFC 3986)."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def read_head(reader: StreamReader) -> Request | None:
    """The next request without its body; None when the client closed instead."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE)
    except (asyncio.IncompleteReadError, asyncio.TimeoutError):
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest("head too long") from error
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) != 3:
        raise BadRequest("not a request line")
    fields = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
    return words[0], words[1], words[2], {name.strip().lower(): value.strip() for name, value in fields.items()}


async def body_parts(reader: StreamReader, fields: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The body in pieces, as Content-Length or chunked transfer coding lays it out."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            if size == 0:
                while (await reader.readline()).strip():
                    pass
                return
            while size:
                part = await reader.read(min(size, CHUNK))
                if not part:
                    raise BadRequest("body cut short")
                size -= len(part)
                yield part
            await reader.readexactly(2)
    left = int(fields.get("content-length") or 0)
    while left:
        part = await reader.read(min(left, CHUNK))
        if not part:
            raise BadRequest("body cut short")
        left -= len(part)
        yield part


def respond(writer: StreamWriter, status: str, length: int, kind: str, close: bool) -> None:
    fields = {
        "Server": "lvskit-lab",
        "Peer": endpoint(writer.get_extra_info("peername")),
        "Content-Type": kind,
        "Content-Length": str(length),
        "Connection": "close" if close else "keep-alive",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode())


def respond_json(writer: StreamWriter, status: str, content: Mapping[str, Any], close: bool) -> None:
    text = (json.dumps(content) + "\n").encode()
    respond(writer, status, len(text), "application/json", close)
    writer.write(text)


async def fault() -> str:
    """What FAULT says: a status that all requests get, and seconds that they wait; `500`, `200 3`. Empty if there is no fault."""
    try:
        status, _, seconds = FAULT.read_text().strip().partition(" ")
    except FileNotFoundError:
        return ""
    await asyncio.sleep(float(seconds or 0))
    return "" if status == "200" else f"{status} As Told"


async def serve_request(reader: StreamReader, writer: StreamWriter, request: Request) -> bool:
    """Answer one request; True while the connection may carry another."""
    method, path, version, fields = request
    wanted = fields.get("connection", "").lower()
    close = wanted == "close" or (version == "HTTP/1.0" and wanted != "keep-alive")
    if fields.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length, digest = 0, hashlib.sha256()
    async for part in body_parts(reader, fields):
        length += len(part)
        digest.update(part)
    failing = await fault()
    who = {
        "host": socket.gethostname(),
        "peer": endpoint(writer.get_extra_info("peername")),
        "local": endpoint(writer.get_extra_info("sockname")),
    }
    if failing:
        respond_json(writer, failing, {**who, "error": "as the lab was told"}, close)
    elif method in ("POST", "PUT"):
        respond_json(writer, "200 OK", {**who, "length": length, "sha256": digest.hexdigest()}, close)
    elif method not in ("GET", "HEAD"):
        respond_json(writer, "405 Method Not Allowed", {**who, "error": "GET, POST or PUT"}, close)
    elif path.startswith("/bytes/"):
        left = int(path[len("/bytes/") :])
        respond(writer, "200 OK", left, "application/octet-stream", close)
        if method == "GET":
            for part in octets(left):
                writer.write(part)
                await writer.drain()
    else:
        status = "200 OK"
        if path.startswith("/slow/"):
            await asyncio.sleep(float(path[len("/slow/") :]))
        elif path not in ("/", "/healthz"):
            status = "404 Not Found"
        if method == "HEAD":
            respond(writer, status, 0, "application/json", close)
        else:
            respond_json(writer, status, who, close)
    await writer.drain()
    return not close


async def serve_connection(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while True:
            request = await read_head(reader)
            if request is None or not await serve_request(reader, writer, request):
                break
    except (BadRequest, ValueError) as error:
        respond_json(writer, "400 Bad Request", {"host": socket.gethostname(), "error": str(error)}, True)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client went away; probes and killed connections do that
    finally:
        writer.close()


def serve_datagrams(sock: socket.socket) -> None:
    """Answer what waits in the socket, each from the address it was sent to.

    A socket bound to every address would let the routing table choose the source, which is the RIP; a real server in mode dr or
    tun has to answer from the VIP.
    """
    for _ in range(64):  # then let the TCP connections have their turn
        try:
            datagram, ancillary, _, peer = sock.recvmsg(LONGEST_DATAGRAM, socket.CMSG_SPACE(20))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            continue  # an ICMP error for an earlier answer
        for level, kind, content in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                _, _, destination = struct.unpack(IN_PKTINFO, content[:12])
                answer(
                    sock, peer, len(datagram), destination, (level, kind, struct.pack(IN_PKTINFO, 0, destination, b""))
                )
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                destination, _ = struct.unpack(IN6_PKTINFO, content[:20])
                answer(sock, peer, len(datagram), destination, (level, kind, struct.pack(IN6_PKTINFO, destination, 0)))


def answer(
    sock: socket.socket, peer: tuple[Any, ...], length: int, destination: bytes, source: tuple[int, int, bytes]
) -> None:
    local = (socket.inet_ntop(sock.family, destination), sock.getsockname()[1])
    told = {"host": socket.gethostname(), "peer": endpoint(peer), "local": endpoint(local), "length": length}
    text = json.dumps(told) + "\n"
    try:
        sock.sendmsg([text.encode()], [source], 0, peer)
    except OSError as error:  # no route, buffer full: UDP promises nothing
        print(f"no answer to {endpoint(peer)}: {error}", file=sys.stderr)


def bound(family: int, kind: int, protocol: int, port: int) -> socket.socket:
    """A socket for one family alone: on one for both, what depends on the family of a socket would see IPv4 as IPv6."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    except OSError:
        sock.close()
        raise
    return sock


def listen_udp(loop: AbstractEventLoop, family: int, port: int) -> socket.socket:
    sock = bound(family, socket.SOCK_DGRAM, 0, port)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    loop.add_reader(sock, serve_datagrams, sock)
    return sock


def close_udp(loop: AbstractEventLoop, sock: socket.socket) -> None:
    loop.remove_reader(sock)
    sock.close()


def tell_systemd(text: bytes) -> None:
    where = os.environ.get("NOTIFY_SOCKET")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(text, "\0" + where[1:] if where.startswith("@") else where)


async def follow(loop: AbstractEventLoop, listening: Listening, configuration: Mapping[str, list[int]]) -> None:
    """Listen on the configured ports and on no other. A port that stays refuses nobody meanwhile; open connections stay."""
    wanted = {(protocol, port) for protocol, ports in configuration.items() for port in ports}
    for protocol, port in sorted(wanted - set(listening)):
        try:
            listening[protocol, port] = await listen(loop, protocol, port)
        except OSError as error:  # another program has the port: the other ports are served all the same
            print(f"cannot listen on {protocol} port {port}: {error.strerror}", file=sys.stderr)
    for gone in set(listening) - wanted:
        listening.pop(gone)()


async def listen(loop: AbstractEventLoop, protocol: str, port: int) -> Callable[[], None]:
    """Listen on a port, in the families that the kernel has; the function that is returned ends it."""
    ends = contextlib.ExitStack()
    with contextlib.ExitStack() as unless_all_listen:
        unless_all_listen.callback(ends.close)
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                ends.callback(await listen_in(loop, family, protocol, port))
            except OSError as error:
                if family == socket.AF_INET or error.errno not in NO_IPV6:
                    raise
        unless_all_listen.pop_all()
    return ends.close


async def listen_in(loop: AbstractEventLoop, family: int, protocol: str, port: int) -> Callable[[], None]:
    """The same in one family."""
    if protocol == "udp":
        return partial(close_udp, loop, listen_udp(loop, family, port))
    sock = bound(family, socket.SOCK_STREAM, IPPROTO_SCTP if protocol == "sctp" else socket.IPPROTO_TCP, port)
    server = await asyncio.start_server(serve_connection, sock=sock, backlog=4096)
    return server.close


async def main(file: Path) -> None:
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, received.put_nowait, number)
    listening: Listening = {}
    while True:
        await follow(loop, listening, json.loads(file.read_text()))
        tell_systemd(b"READY=1")
        if await received.get() == signal.SIGTERM:
            return


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
