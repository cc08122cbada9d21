"""What counts as a plan that a host still has."""

import importlib.util
from fnmatch import fnmatch
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TEMPLATES = PROJECT / "roles/lvs_host/templates"


def records():
    spec = importlib.util.spec_from_file_location("lvs_clear", PROJECT / "library/lvs_clear.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.records()


def test_every_file_of_record_is_one():
    for template in TEMPLATES.rglob("*.j2"):
        path = f"/{template.relative_to(TEMPLATES).with_suffix('')}"
        assert any(fnmatch(path, pattern) for pattern in records()), path


def test_a_unit_of_somebody_elses_that_begins_alike_is_none():
    assert not any(fnmatch("/etc/systemd/system/lvskit-lab-app.service", pattern) for pattern in records())
