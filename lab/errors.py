"""The one exception a person is meant to read."""

from __future__ import annotations


class LabError(Exception):
    """Something the lab cannot do; the message says what, where, and what to do about it."""
