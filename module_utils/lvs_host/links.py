"""Network interfaces as the kernel has them."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Mapping
from typing import Any

from .programs import CommandRunner, listed, output

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_ETHTOOL_GFLAGS = 0x25  # linux/ethtool.h
_ETH_FLAG_LRO = 1 << 15


def interfaces(run: CommandRunner) -> dict[str, dict[str, Any]]:
    """Each interface by name: mac, mtu (bytes), up, vlan (its 802.1Q id, None where it is untagged), addresses, link_local, lro.

    The addresses are of both families, without IPv6's link-local ones; `link_local` is whether there is one.
    """
    out = output(run, ["ip", "-json", "-details", "address", "show"])
    found = {}
    for link in listed(out):
        name = link["ifname"]
        kind = link.get("linkinfo", {})
        found[name] = {
            "mac": link.get("address", ""),
            "mtu": int(link.get("mtu", 0)),
            "up": "LOWER_UP" in link.get("flags", ()) and "UP" in link.get("flags", ()),
            "vlan": kind.get("info_data", {}).get("id") if kind.get("info_kind") == "vlan" else None,
            "addresses": [
                f"{address['local']}/{address['prefixlen']}"
                for address in link.get("addr_info", ())
                if described(address)
            ],
            "link_local": any(not described(address) for address in link.get("addr_info", ())),
            "lro": merges(name),
        }
    return found


def described(address: Mapping[str, Any]) -> bool:
    """Whether an inventory can describe an address that ip(8) lists: a link-local one of IPv6 exists by itself."""
    return address.get("family") != "inet6" or address.get("scope") != "link"


def merges(interface: str) -> bool:
    """Whether the device merges received packets (large receive offload)."""
    value = struct.pack("II", _ETHTOOL_GFLAGS, 0)
    buffer = bytearray(value)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        address = _address_of(buffer)
        request = struct.pack("16sP", interface.encode()[:15], address)
        try:
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
        except OSError:  # a device without such settings
            return False
    return bool(struct.unpack("II", buffer)[1] & _ETH_FLAG_LRO)


def _address_of(buffer: bytearray) -> int:
    import ctypes

    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
