#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends requests to virtual services, as a client does."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvs_probe
short_description: Send requests to virtual services
version_added: "1.0.0"
description:
  - Opens connections to each service one after the other, asks by HTTP on TCP and with one datagram on UDP, and reports each.
  - A request that is not answered is reported, not failed on.
options:
  requests:
    description: The services to ask, each with C(service), C(address), C(port), C(protocol) and C(count).
    type: list
    elements: dict
    required: true
  path:
    description: What is asked for by HTTP.
    type: str
    default: /
  timeout:
    description: Seconds to wait for an answer.
    type: int
    default: 5
attributes:
  check_mode: {support: full, description: Nothing changes; it asks in check mode too.}
  diff_mode: {support: none, description: There is nothing to differ.}
author: lvskit
"""

EXAMPLES = r"""
- name: Ask a web service ten times
  lvs_probe:
    requests:
      - {service: web, address: 203.0.113.80, port: 80, protocol: tcp, count: 10}
"""

RETURN = r"""
connections:
  description: Each connection, in order.
  returned: success
  type: list
  elements: dict
  contains:
    service: {description: The service's name., type: str, returned: always}
    port: {description: The client's port., type: int, returned: always}
    bytes: {description: Bytes received., type: int, returned: always}
    seconds: {description: Time until the answer was complete., type: float, returned: always}
    peer: {description: "The client's address and port as the application says it sees them, in the header C(Peer) or in
      the key C(peer) of a datagram; empty when it does not say.", type: str, returned: always}
    error: {description: Why there was no answer., type: str, returned: always}
"""

import json
import re
import socket
import time

from ansible.module_utils.basic import AnsibleModule

ARGUMENTS = {
    "requests": {"type": "list", "elements": "dict", "required": True},
    "path": {"type": "str", "default": "/"},
    "timeout": {"type": "int", "default": 5},
}
FAILURES_BEFORE_GIVING_UP = 3  # a dead service would otherwise cost the timeout for each of its requests


def main():
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    connections = []
    for request in module.params["requests"]:
        failures = 0
        for _ in range(int(request["count"])):
            connections.append(ask(request, module.params["path"], module.params["timeout"]))
            failures += bool(connections[-1]["error"])
            if failures == FAILURES_BEFORE_GIVING_UP:
                break
    module.exit_json(changed=False, connections=connections)


def ask(request, path, timeout):
    kind = socket.SOCK_STREAM if request["protocol"] == "tcp" else socket.SOCK_DGRAM
    started = time.monotonic()
    received, error, port, answer = 0, "", 0, b""
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(timeout)
        try:
            connection.bind(("", 0))  # the port is known even when nothing answers
            port = connection.getsockname()[1]
            connection.connect((request["address"], int(request["port"])))
            if kind == socket.SOCK_STREAM:
                head = f"GET {path} HTTP/1.1\r\nHost: {request['address']}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode("ascii"))
                while True:
                    chunk = connection.recv(65536)
                    if not chunk:
                        break
                    received += len(chunk)
                    answer = answer if len(answer) > 4096 else answer + chunk
            else:
                connection.send(f"lvskit {port} {time.time_ns()}".encode("ascii"))
                answer = connection.recv(65536)
                received = len(answer)
            if not received:
                error = "the connection was closed without an answer"
        except OSError as failure:
            error = str(failure)
    return {
        "service": request["service"],
        "port": port,
        "bytes": received,
        "seconds": round(time.monotonic() - started, 4),
        "peer": told(answer),
        "error": error,
    }


def told(answer):
    """The peer that the answer names, if it does."""
    header = re.search(rb"\r\nPeer: ([0-9.:]+)\r\n", answer)
    if header:
        return header[1].decode("ascii")
    try:
        return str(json.loads(answer)["peer"])
    except (ValueError, KeyError, TypeError):
        return ""


if __name__ == "__main__":
    main()
