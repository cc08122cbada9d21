"""The one exception a person is meant to read."""

from __future__ import annotations


class LabError(Exception):
    """An error of the lab; the message contains the fault, its place and the remedy."""
