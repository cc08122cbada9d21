#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends requests to virtual services from a client."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_probe
short_description: Send requests to virtual services
version_added: "1.0.0"
description:
  - Sends requests to many services at the same time, and reports each request.
  - Reports a request without an answer; the module does not fail.
  - Stops the requests to a service if the first three fail and none was answered.
  - Each request of one call has a different source port, which identifies its packets.
options:
  requests:
    description:
      - The services to probe, each with C(service), C(address), C(port), C(protocol) and C(count). The address is one of IPv4
        or IPv6, the protocol C(tcp), C(udp) or C(sctp); SCTP takes a client whose kernel has it.
      - C(speaks) is the kind of request. C(connect) opens a connection and closes it; C(http) and C(https) send a GET request, the
        server's certificate is not checked; C(dns) sends a UDP query for the name servers of the root; C(datagram) sends a short string by UDP.
        The default is C(http) on TCP, C(connect) on SCTP and C(datagram) on UDP.
      - C(path) is the path of the GET request; the default is the option I(path).
      - With C(patience) and I(until_answered), a service that has not answered its first request gets the others after so many seconds.
    type: list
    elements: dict
    required: true
  path:
    description: The path of GET requests.
    type: str
    default: /
  timeout:
    description: Seconds to wait for the connection, and for each part of the answer. A request ends after four times as long.
    type: float
    default: 5
  parallel:
    description: Maximum number of simultaneous requests.
    type: int
    default: 32
  seconds:
    description: Time limit in seconds for sending new requests.
    type: float
    default: 600
  until_answered:
    description:
      - Whether to stop the requests to a service after its first answer. Each service then gets one request first; services that
        have not answered get the others.
      - All of I(count) requests are sent to a service that does not answer.
    type: bool
    default: false
attributes:
  check_mode: {support: full, description: Changes nothing; sends requests in check mode too.}
  diff_mode: {support: none, description: The module has no diff.}
author: lvskit
"""

EXAMPLES = r"""
- name: Probe a web service ten times
  lvs_probe:
    requests:
      - {service: web, address: 203.0.113.80, port: 80, protocol: tcp, count: 10}

- name: Check that a database is reachable
  lvs_probe:
    requests:
      - {service: orders, address: 203.0.113.90, port: 3306, protocol: tcp, count: 3, speaks: connect}
    until_answered: true
    timeout: 1
"""

RETURN = r"""
connections:
  description: Each request that was sent.
  returned: success
  type: list
  elements: dict
  contains:
    service: {description: The service's name., type: str, returned: always}
    port: {description: The client's port., type: int, returned: always}
    bytes: {description: Bytes received., type: int, returned: always}
    seconds: {description: Time until the answer was complete., type: float, returned: always}
    peer: {description: "The client's address and port as the application reports them, in the header C(Peer) or in
      the key C(peer) of a datagram, an address of IPv6 in brackets; empty if it does not.", type: str, returned: always}
    error: {description: "Why there was no answer; empty if there was one. With C(connect) an accepted connection is an answer.",
      type: str, returned: always}
unasked:
  description: The services without an answer that did not get all of their requests within I(seconds).
  returned: success
  type: list
  elements: str
"""

import errno
import json
import re
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

ARGUMENTS = {
    "requests": {"type": "list", "elements": "dict", "required": True},
    "path": {"type": "str", "default": "/"},
    "timeout": {"type": "float", "default": 5},
    "parallel": {"type": "int", "default": 32},
    "seconds": {"type": "float", "default": 600},
    "until_answered": {"type": "bool", "default": False},
}
FAILURES_BEFORE_GIVING_UP = 3  # a dead service would otherwise cost the timeout for each of its requests
TIMEOUTS_OF_A_REQUEST = 4  # an answer that arrives in many small parts ends, too
DATAGRAMS = ("dns", "datagram")
USUAL = {"tcp": "http", "sctp": "connect", "udp": "datagram"}  # kinds of requests
IPPROTO_SCTP = 132
LONGEST_HEAD = 4096  # bytes at the start of an answer that are searched for the client's address


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    given = module.params
    asking = Asking(given["requests"], given["path"], given["timeout"], given["seconds"], given["until_answered"])
    connections = asking.run(given["parallel"])
    module.exit_json(changed=False, connections=connections, unasked=asking.unasked())


class Asking:
    """All requests of one call."""

    def __init__(self, requests, path="/", timeout=5, seconds=600, until_answered=False):
        self.requests = [{**request, "path": request.get("path") or path} for request in requests]
        self.patience = [float(request.get("patience") or 0) for request in requests]
        self.begins = time.monotonic()
        self.timeout, self.until_answered = timeout, until_answered
        self.ends = time.monotonic() + seconds
        self.sent = [0] * len(requests)
        self.answered = [0] * len(requests)
        self.failed = [0] * len(requests)
        self.lock = threading.Lock()
        self.ports = set()

    def run(self, parallel=32):
        """The result of each request that was sent."""
        connections = []
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            for together in self.rounds():
                connections += [found for found in pool.map(self.one, together) if found]
        return connections

    def rounds(self):
        """The requests that are sent at the same time, as indexes of services: the first to each service, then the second."""
        counts = [int(request["count"]) for request in self.requests]
        turns = [[i for i, count in enumerate(counts) if number < count] for number in range(max(counts, default=0))]
        if not self.until_answered:
            yield [i for turn in turns for i in turn]
        elif turns:
            yield turns[0]
            yield [i for turn in turns[1:] for i in turn if not self.patience[i]]
            patient = [i for turn in turns[1:] for i in turn if self.patience[i] and not self.answered[i]]
            if patient:
                time.sleep(max(0, self.begins + max(self.patience[i] for i in patient) - time.monotonic()))
                yield patient

    def one(self, index):
        """Sends one request; None where it is not needed or too late."""
        with self.lock:
            if time.monotonic() > self.ends or self.has_enough(index):
                return None
            self.sent[index] += 1
        found = self.ask(self.requests[index])
        with self.lock:
            counted = self.failed if found["error"] else self.answered
            counted[index] += 1
        return found

    def has_enough(self, index):
        if self.until_answered:
            return self.answered[index] > 0
        return not self.answered[index] and self.failed[index] >= FAILURES_BEFORE_GIVING_UP

    def unasked(self):
        return [
            request["service"]
            for index, request in enumerate(self.requests)
            if self.sent[index] < int(request["count"]) and not self.answered[index] and not self.has_enough(index)
        ]

    def ask(self, request):
        speaks = request.get("speaks") or USUAL[request["protocol"]]
        started = time.monotonic()
        port, error, answer = 0, "", Answer()
        try:
            connection, port = self.bound(*socket_for(request, speaks))
            with connection:
                connection.settimeout(self.timeout)
                connection.connect((request["address"], int(request["port"])))
                if speaks in DATAGRAMS:
                    connection.send(query(port) if speaks == "dns" else f"lvskit {port} {time.time_ns()}".encode())
                    answer.take(connection.recv(65536))
                elif speaks == "https":
                    with unverified().wrap_socket(connection) as stream:
                        self.get(stream, request, answer)
                elif speaks == "http":
                    self.get(connection, request, answer)
            if speaks != "connect" and not answer.length:
                error = "the connection was closed without an answer"
        except OSError as failure:
            error = explained(request, failure)
        return {
            "service": request["service"],
            "port": port,
            "bytes": answer.length,
            "seconds": round(time.monotonic() - started, 4),
            "peer": told(answer.head),
            "error": error,
        }

    def bound(self, family, kind, protocol):
        """A socket with a source port that no other request of this call has had, bound before anything is sent from it."""
        passed_over = []
        try:
            while True:
                connection = socket.socket(family, kind, protocol)
                passed_over.append(connection)
                connection.bind(("", 0))
                port = connection.getsockname()[1]
                with self.lock:
                    if port not in self.ports:
                        self.ports.add(port)
                        passed_over.pop()
                        return connection, port
        finally:
            for connection in passed_over:
                connection.close()

    def get(self, stream, request, answer):
        ends = time.monotonic() + TIMEOUTS_OF_A_REQUEST * self.timeout
        host = f"[{request['address']}]" if of_ipv6(request["address"]) else request["address"]
        head = f"GET {request['path']} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        stream.sendall(head.encode("ascii"))
        while True:
            chunk = stream.recv(65536)
            if not chunk:
                return
            answer.take(chunk)
            if time.monotonic() > ends:
                raise OSError(f"the answer was not complete after {TIMEOUTS_OF_A_REQUEST * self.timeout:g} s")


class Answer:
    """The length of an answer in bytes, and its beginning."""

    def __init__(self):
        self.length, self.head = 0, b""

    def take(self, chunk):
        self.length += len(chunk)
        if len(self.head) < LONGEST_HEAD:
            self.head += chunk


def explained(request, failure):
    """What went wrong, as a person reads it."""
    if request["protocol"] == "sctp" and failure.errno == errno.EPROTONOSUPPORT:
        return "the client's kernel has no SCTP: load the module sctp there"
    return str(failure)


def of_ipv6(address):
    return ":" in address


def socket_for(request, speaks):
    """Family, type and protocol of the socket of a request. With SCTP, one socket has one association, like a connection of TCP."""
    kind = socket.SOCK_DGRAM if speaks in DATAGRAMS else socket.SOCK_STREAM
    family = socket.AF_INET6 if of_ipv6(request["address"]) else socket.AF_INET
    return family, kind, IPPROTO_SCTP if request["protocol"] == "sctp" else 0


def unverified():
    """The request checks that packets arrive; the name in the certificate does not matter."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def query(number):
    """A DNS query for the name servers of the root (RFC 1035, 4.1): no other name has to exist."""
    header = number.to_bytes(2, "big") + b"\x01\x00" + b"\x00\x01" + b"\x00\x00" * 3  # recursion desired, one question
    return header + b"\x00" + b"\x00\x02" + b"\x00\x01"  # the root, NS, IN


def told(answer):
    """The peer that the answer contains, if any."""
    header = re.search(rb"\r\nPeer: ([0-9a-fA-F.:%\[\]]+)\r\n", answer)
    if header:
        return header[1].decode("ascii")
    try:
        return str(json.loads(answer)["peer"])
    except (ValueError, KeyError, TypeError):
        return ""


if __name__ == "__main__":
    main()
