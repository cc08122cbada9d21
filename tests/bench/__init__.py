"""Benchmarks; each prints ratios of what is measured in one run."""

import lab  # noqa: F401  makes lvskit's module_utils known to Python
