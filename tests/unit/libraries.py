"""Modules of library/, which are no package."""

import importlib.util
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "library"


def loaded(name):
    """The module of that name, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, LIBRARY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
