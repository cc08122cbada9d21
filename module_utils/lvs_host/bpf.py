"""Instructions of classic BPF (linux/filter.h): they tell a packet socket which frames to pass on.

A program ends with PASS and DROP, in this order; offsets are bytes of the frame.
"""

from __future__ import annotations

import struct


def byte(offset: int) -> bytes:
    """Loads a byte of the frame."""
    return struct.pack("HxxI", 0x30, offset)


def half(offset: int) -> bytes:
    """Loads two bytes of the frame, in network order."""
    return struct.pack("HxxI", 0x28, offset)


def unless(value: int, skip: int) -> bytes:
    """Skips instructions if another value is loaded."""
    return struct.pack("HBBI", 0x15, 0, skip, value)


PASS = struct.pack("HxxI", 0x06, 0xFFFF)  # the frame, with at most so many bytes
DROP = struct.pack("HxxI", 0x06, 0)
