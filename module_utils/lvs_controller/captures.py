"""Reads packet captures into the model's frames.

Without a packet library, because a verification of many services captures millions of packets and needs only some header fields of each: Ethernet,
IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200), also one inside the other (RFC 2003, RFC 2473, RFC 4213), TCP with its options
(RFC 9293, 3.1), UDP (RFC 768) and SCTP (RFC 9260).
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ansible.module_utils.lvs.families import Address, parsed
from ansible.module_utils.lvs.modes import OPTION_KIND
from ansible.module_utils.lvs.observation import Frame, Vantage
from ansible.module_utils.lvs.walk import Endpoint, Packet

from .sightings import Sightings

_FILE_HEADER, _RECORD_HEADER = 24, 16  # bytes of a pcap file (pcap-savefile(5))
_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_ETHERNET = 14
_ETHERTYPES = (b"\x08\x00", b"\x86\xdd")  # IPv4, IPv6
_TCP, _UDP, _SCTP = 6, 17, 132
_ENCLOSED = (4, 41)  # protocol numbers of IPv4 and IPv6 inside another IP header
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS = 0, 43, 44, 51, 60  # IPv6 extension headers
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION_OPTIONS)
_SYN, _ACK = 0x02, 0x10
_FRAGMENT_OFFSET, _FRAGMENT_OFFSET_6 = 0x1FFF, 0xFFF8
_END, _NOP = 0, 1  # TCP options without a length
_ENDPOINT_OPTIONS = (8, 20)  # bytes: kind, length, port, and an IPv4 or IPv6 address
_INIT = 1  # type of the SCTP chunk that opens an association; it stands alone in its packet


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
    neighbours = {parsed(str(address)): str(mac) for address, mac in report["neighbours"].items()}
    return Vantage({str(name): str(mac) for name, mac in report["macs"].items()}, neighbours)


def frames(host: str, report: Mapping[str, Any], option_kind: int = OPTION_KIND) -> Iterator[Frame]:
    """Every TCP, UDP or SCTP frame to or from a host that it captured, also inside a tunnel."""
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

    There is no packet where it is neither TCP, UDP nor SCTP, and no mark where it does not open a connection.
    """
    source, destination = _mac(data[6:12]), _mac(data[:6])
    packet, mark = None, None
    if data[12:14] in _ETHERTYPES:
        packet, mark = _internet(data[_ETHERNET:], None, option_kind)
    return source, destination, packet, mark


def _internet(
    data: bytes, outer: tuple[Address, Address] | None, option_kind: int
) -> tuple[Packet | None, int | bytes | None]:
    found = _ipv4(data) if data[:1] and data[0] >> 4 == 4 else _ipv6(data)
    if found is None:
        return None, None
    source, destination, protocol, payload = found
    if protocol in _ENCLOSED and outer is None:
        return _internet(payload, (_address(source), _address(destination)), option_kind)
    option = None
    mark: int | bytes | None = None
    if protocol == _TCP and len(payload) >= 20:
        flags, end = payload[13], (payload[12] >> 4) * 4
        option = _option(payload[20:end], option_kind)
        mark = int.from_bytes(payload[4:8], "big") if flags & _SYN and not flags & _ACK else None
        name = "tcp"
    elif protocol == _UDP and len(payload) >= 8:
        name, mark = "udp", payload[8:]
    elif protocol == _SCTP and len(payload) >= 12:
        # The initiate tag, which stands behind the chunk's type, flags and length.
        mark = int.from_bytes(payload[16:20], "big") if payload[12:13] == bytes([_INIT]) else None
        name = "sctp"
    else:
        return None, None
    return Packet(name, _end(source, payload[:2]), _end(destination, payload[2:4]), outer, option), mark


_Header = tuple[bytes, bytes, int, bytes]  # source, destination, protocol, and what follows the IP header


def _ipv4(data: bytes) -> _Header | None:
    """None where the packet is not IPv4, or a later fragment: its ports are in another one."""
    if len(data) < 20 or data[0] >> 4 != 4 or int.from_bytes(data[6:8], "big") & _FRAGMENT_OFFSET:
        return None
    length = int.from_bytes(data[2:4], "big") or None  # 0: larger than 64 KiB before segmentation
    return data[12:16], data[16:20], data[9], data[(data[0] & 0xF) * 4 : length]


def _ipv6(data: bytes) -> _Header | None:
    """The same of IPv6, with what follows the extension headers."""
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    length = int.from_bytes(data[4:6], "big")
    payload = data[40 : 40 + length if length else None]
    following = data[6]
    while following in _EXTENSIONS:
        if len(payload) < 8:
            return None
        size = (payload[1] + 1) * 8
        if following == _FRAGMENT:
            if int.from_bytes(payload[2:4], "big") & _FRAGMENT_OFFSET_6:
                return None
            size = 8
        elif following == _AUTHENTICATION:
            size = (payload[1] + 2) * 4
        following, payload = payload[0], payload[size:]
    return data[8:24], data[24:40], following, payload


def _option(options: bytes, kind: int) -> Endpoint | None:
    """The endpoint that the option names: port and address in network byte order; its length says the family."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            return None
        if options[at] == kind and length in _ENDPOINT_OPTIONS:
            return _end(options[at + 4 : at + length], options[at + 2 : at + 4])
        at += length
    return None


@lru_cache(maxsize=65536)
def _end(address: bytes, port: bytes) -> Endpoint:
    return Endpoint(_address(address), int.from_bytes(port, "big"))


@lru_cache(maxsize=65536)
def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


@lru_cache(maxsize=65536)
def _mac(packed: bytes) -> str:
    return packed.hex(":")
