"""Reads packet captures into the model's frames, with scapy."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from ansible.module_utils.lvs.modes import OPTION_KIND
from ansible.module_utils.lvs.observation import Frame, Vantage
from ansible.module_utils.lvs.topology import Topology
from ansible.module_utils.lvs.walk import Endpoint, Packet


def read(reports: Mapping[str, Mapping[str, Any]], topology: Topology) -> tuple[list[Frame], dict[str, Vantage]]:
    """All frames by their time, and who saw them. `reports` are what lvs_capture returned when it stopped, by host."""
    found = [
        frame for name, report in reports.items() for frame in frames(name, report, topology.hosts[name].option_kind)
    ]
    found.sort(key=lambda frame: frame.time)
    return found, {name: vantage(report) for name, report in reports.items()}


def vantage(report: Mapping[str, Any]) -> Vantage:
    """What a host's lvs_capture said of its own interfaces and its neighbours."""
    neighbours = {IPv4Address(str(address)): str(mac) for address, mac in report["neighbours"].items()}
    return Vantage({str(name): str(mac) for name, mac in report["macs"].items()}, neighbours)


def frames(host: str, report: Mapping[str, Any], option_kind: int = OPTION_KIND) -> Iterator[Frame]:
    """Every TCP or UDP frame to or from a host that it captured, also inside an IPv4 tunnel."""
    from scapy.utils import RawPcapReader

    for interface, encoded in report["captures"].items():
        own = str(report["macs"][interface])
        for data, meta in RawPcapReader(io.BytesIO(gzip.decompress(base64.b64decode(str(encoded))))):
            source, destination, packet, mark = dissect(data, option_kind)
            if own not in (source, destination):
                continue  # flooded by a switch that did not know the destination: the host did not take it
            if packet is not None:
                time = meta.sec + meta.usec / 1e6
                own_end = source == own
                yield Frame(host, str(interface), own_end, source, destination, packet, meta.wirelen, time, mark)


def dissect(data: bytes, option_kind: int = OPTION_KIND) -> tuple[str, str, Packet | None, int | bytes | None]:
    """Source and destination MAC of an Ethernet frame, the packet in it, and its mark.

    There is no packet where it is neither TCP nor UDP, and no mark where it does not open a connection.
    """
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.l2 import Ether

    frame = Ether(data)
    ip = frame.getlayer(IP)
    outer = None
    if ip is not None and ip.proto == 4 and isinstance(ip.payload, IP):
        outer = (IPv4Address(ip.src), IPv4Address(ip.dst))
        ip = ip.payload
    transport = ip.payload if ip is not None else None
    if isinstance(transport, TCP):
        protocol, option = "tcp", _endpoint(transport.options, option_kind)
        mark: int | bytes | None = transport.seq if transport.flags.S and not transport.flags.A else None
    elif isinstance(transport, UDP):
        protocol, option = "udp", None
        mark = bytes(transport.payload)
    else:
        return frame.src, frame.dst, None, None
    source = Endpoint(IPv4Address(ip.src), transport.sport)
    destination = Endpoint(IPv4Address(ip.dst), transport.dport)
    return frame.src, frame.dst, Packet(protocol, source, destination, outer, option), mark


def _endpoint(options: Any, option_kind: int) -> Endpoint | None:
    """The endpoint that the option names: length 8, port and address in network byte order."""
    for kind, value in options or ():
        if kind == option_kind and isinstance(value, bytes) and len(value) == 6:
            return Endpoint(IPv4Address(value[2:]), int.from_bytes(value[:2], "big"))
    return None
