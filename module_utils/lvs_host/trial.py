"""Asks real servers once what keepalived's health checks will ask them, before keepalived runs.

A trial is a mapping: `address` and `port` of the real server, `block`, the words of `settings` and `url` as in keepalived.conf(5), and
`timeout` in seconds.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

Trial = Mapping[str, Any]

LONGEST = 1_000_000  # bytes of a content
_QUERY = 0x4C56  # the number of a DNS query
_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}


def obstacle(trial: Trial) -> str:
    """Why the check would fail; empty if it passes."""
    try:
        return _BLOCKS[trial["block"]](trial)
    except socket.timeout:
        return f"no answer within {trial['timeout']} s"
    except (OSError, http.client.HTTPException) as error:
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _connected(trial: Trial) -> socket.socket:
    return socket.create_connection((trial["address"], int(trial["port"])), timeout=trial["timeout"])


def _tcp(trial: Trial) -> str:
    _connected(trial).close()
    return ""


def _http(trial: Trial) -> str:
    with _connected(trial) as stream:
        return _page(trial, stream)


def _https(trial: Trial) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as keepalived does it
    with _connected(trial) as stream, context.wrap_socket(stream, server_hostname=_url(trial)["virtualhost"]) as inner:
        return _page(trial, inner)


def _page(trial: Trial, stream: socket.socket) -> str:
    url = _url(trial)
    stream.sendall(f"GET {url['path']} HTTP/1.0\r\nHost: {url['virtualhost']}\r\nConnection: close\r\n\r\n".encode())
    answer = http.client.HTTPResponse(stream)
    answer.begin()
    if not any(_within(answer.status, one) for one in url["status_code"].split()):
        return f"status {answer.status}, and {url['status_code']} pass"
    content = answer.read(LONGEST)
    if "digest" in url and hashlib.md5(content, usedforsecurity=False).hexdigest() != url["digest"]:
        return f"another content: its MD5 sum is {hashlib.md5(content, usedforsecurity=False).hexdigest()}"
    try:
        if "regex" in url and not re.search(url["regex"].encode(), content):
            return "the content does not match the regular expression"
    except re.error:
        pass  # PCRE knows more than Python does
    return ""


def _url(trial: Trial) -> dict[str, str]:
    return {name: value.strip('"') for name, value in trial["url"].items()}


def _within(status: int, codes: str) -> bool:
    first, _, last = codes.partition("-")
    return int(first) <= status <= int(last or first)


def _smtp(trial: Trial) -> str:
    with _connected(trial) as connection, connection.makefile("rwb") as stream:
        for said in (
            b"",
            f"HELO {trial['settings'].get('helo_name', '').strip(chr(34)) or socket.gethostname()}\r\n".encode(),
        ):
            stream.write(said)
            stream.flush()
            line = stream.readline(1000)
            if not line.startswith(b"2"):
                return f"the answer {line.decode('ascii', 'replace').strip()!r}"
        stream.write(b"QUIT\r\n")
    return ""


def _datagram(trial: Trial, sent: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in trial["address"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(trial["timeout"])
        connection.connect((trial["address"], int(trial["port"])))
        connection.send(sent)
        return connection.recv(65536)


def _dns(trial: Trial) -> str:
    """A query (RFC 1035, 4.1); the answer must have no error code."""
    labels = [label for label in trial["settings"]["name"].strip('"').rstrip(".").encode("idna").split(b".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = struct.pack("!HHHHHH", _QUERY, 0x0100, 1, 0, 0, 0)
    answer = _datagram(trial, head + name + struct.pack("!HH", _TYPES[trial["settings"]["type"]], 1))
    code = answer[3] & 15 if len(answer) >= 12 else None
    return "" if code == 0 else "an answer that is no DNS" if code is None else f"an answer with the error code {code}"


def _udp(trial: Trial) -> str:
    answer = _datagram(trial, bytes.fromhex(trial["settings"].get("payload", "")))
    wanted = bytes.fromhex(trial["settings"].get("require_reply", ""))
    return "" if answer.startswith(wanted) else f"another answer: {answer[: len(wanted)].hex()}"


_BLOCKS = {
    "TCP_CHECK": _tcp,
    "HTTP_GET": _http,
    "SSL_GET": _https,
    "SMTP_CHECK": _smtp,
    "DNS_CHECK": _dns,
    "UDP_CHECK": _udp,
}
TRIED = tuple(_BLOCKS)
