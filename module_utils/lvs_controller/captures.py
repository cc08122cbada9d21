"""Reads packet captures into the model's frames.

Without a packet library, because a verification of many services captures millions of packets and needs only some header fields of each: Ethernet,
IPv4 (RFC 791) also inside IPv4 (RFC 2003), TCP with its options (RFC 9293, 3.1) and UDP (RFC 768).
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from ansible.module_utils.lvs.modes import OPTION_KIND
from ansible.module_utils.lvs.observation import Frame, Vantage
from ansible.module_utils.lvs.walk import Endpoint, Packet

from .sightings import Sightings

_FILE_HEADER, _RECORD_HEADER = 24, 16  # bytes of a pcap file (pcap-savefile(5))
_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_ETHERNET, _IPV4 = 14, 0x0800
_IPIP, _TCP, _UDP = 4, 6, 17
_SYN, _ACK = 0x02, 0x10
_FRAGMENT_OFFSET = 0x1FFF
_END, _NOP = 0, 1  # TCP options without a length
_ENDPOINT_OPTION = 8  # bytes: kind, length, port, address


def read(
    reports: Mapping[str, Mapping[str, Any]], option_kinds: Mapping[str, int]
) -> tuple[Sightings, dict[str, Vantage]]:
    """All frames sorted by time, and the hosts that captured them.

    `reports` are what lvs_capture returned when it stopped, `option_kinds` the kinds of the option with an address; both by host.
    """
    found = [frame for name, report in reports.items() for frame in frames(name, report, option_kinds[name])]
    found.sort(key=lambda frame: frame.time)
    return Sightings(found), {name: vantage(report) for name, report in reports.items()}


def vantage(report: Mapping[str, Any]) -> Vantage:
    """The interfaces and neighbours that lvs_capture reported on a host."""
    neighbours = {IPv4Address(str(address)): str(mac) for address, mac in report["neighbours"].items()}
    return Vantage({str(name): str(mac) for name, mac in report["macs"].items()}, neighbours)


def frames(host: str, report: Mapping[str, Any], option_kind: int = OPTION_KIND) -> Iterator[Frame]:
    """Every TCP or UDP frame to or from a host that it captured, also inside an IPv4 tunnel."""
    for interface, encoded in report["captures"].items():
        own = str(report["macs"][interface])
        for data, length, time in _records(gzip.decompress(base64.b64decode(str(encoded)))):
            source, destination, packet, mark = dissect(data, option_kind)
            if own not in (source, destination):
                continue  # a switch that did not know the destination has flooded it: the host did not accept it
            if packet is not None:
                yield Frame(host, str(interface), source == own, source, destination, packet, length, time, mark)


def _records(file: bytes) -> Iterator[tuple[bytes, int, float]]:
    """The frames of a pcap file: captured bytes, length on the wire, time. A record that was cut short is left out."""
    if len(file) < _FILE_HEADER:
        return
    order = next(
        (order for order in "<>" if struct.unpack_from(f"{order}I", file)[0] in (_MICROSECONDS, _NANOSECONDS)), None
    )
    if order is None:
        raise ValueError("this is no pcap file")
    fraction = 1e9 if struct.unpack_from(f"{order}I", file)[0] == _NANOSECONDS else 1e6
    header = struct.Struct(f"{order}IIII")
    at = _FILE_HEADER
    while at + _RECORD_HEADER <= len(file):
        seconds, part, captured, length = header.unpack_from(file, at)
        at += _RECORD_HEADER
        if at + captured > len(file):
            return
        yield file[at : at + captured], length, seconds + part / fraction
        at += captured


def dissect(data: bytes, option_kind: int = OPTION_KIND) -> tuple[str, str, Packet | None, int | bytes | None]:
    """Source and destination MAC of an Ethernet frame, the packet in it, and its mark.

    There is no packet where it is neither TCP nor UDP, and no mark where it does not open a connection.
    """
    source, destination = _mac(data[6:12]), _mac(data[:6])
    packet, mark = None, None
    if data[12:14] == _IPV4.to_bytes(2, "big"):
        packet, mark = _ipv4(data[_ETHERNET:], None, option_kind)
    return source, destination, packet, mark


def _ipv4(
    data: bytes, outer: tuple[IPv4Address, IPv4Address] | None, option_kind: int
) -> tuple[Packet | None, int | bytes | None]:
    if len(data) < 20 or data[0] >> 4 != 4:
        return None, None
    header = (data[0] & 0xF) * 4
    protocol = data[9]
    payload = data[header : int.from_bytes(data[2:4], "big") or None]  # 0: larger than 64 KiB before segmentation
    if int.from_bytes(data[6:8], "big") & _FRAGMENT_OFFSET:
        return None, None  # its ports are in another fragment
    if protocol == _IPIP and outer is None:
        return _ipv4(payload, (_address(data[12:16]), _address(data[16:20])), option_kind)
    if protocol == _TCP and len(payload) >= 20:
        flags, end = payload[13], (payload[12] >> 4) * 4
        option = _option(payload[20:end], option_kind)
        opens = flags & _SYN and not flags & _ACK
        mark: int | bytes | None = int.from_bytes(payload[4:8], "big") if opens else None
        name = "tcp"
    elif protocol == _UDP and len(payload) >= 8:
        name, option, mark = "udp", None, payload[8:]
    else:
        return None, None
    return Packet(name, _end(data[12:16], payload[:2]), _end(data[16:20], payload[2:4]), outer, option), mark


def _option(options: bytes, kind: int) -> Endpoint | None:
    """The endpoint that the option names: length 8, port and address in network byte order."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            return None
        if options[at] == kind and length == _ENDPOINT_OPTION:
            return _end(options[at + 4 : at + 8], options[at + 2 : at + 4])
        at += length
    return None


@lru_cache(maxsize=65536)
def _end(address: bytes, port: bytes) -> Endpoint:
    return Endpoint(_address(address), int.from_bytes(port, "big"))


@lru_cache(maxsize=65536)
def _address(packed: bytes) -> IPv4Address:
    return IPv4Address(packed)


@lru_cache(maxsize=65536)
def _mac(packed: bytes) -> str:
    return packed.hex(":")
