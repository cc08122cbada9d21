"""Faults under a steady load, and how many requests each one costs: with lvskit's health checks, and with keepalived alone."""

import lab  # noqa: F401  makes lvskit's module_utils known to Python
