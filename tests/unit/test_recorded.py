"""Which services a director carries, as lvskit's own record says."""

import importlib.util
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "library/lvs_recorded.py"


@pytest.fixture(scope="module")
def services():
    spec = importlib.util.spec_from_file_location("lvs_recorded", LIBRARY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.services


def test_services_are_named_by_protocol_and_address(services, tmp_path):
    record = (
        "-A -t 203.0.113.80:80 -s rr\n-a -t 203.0.113.80:80 -r 10.20.1.11:80 -g -w 1\n-A -u 203.0.113.80:53 -s rr\n"
    )
    (tmp_path / "ipvs.rules").write_text(record)
    assert services(tmp_path / "ipvs.rules") == ["tcp 203.0.113.80:80", "udp 203.0.113.80:53"]


def test_a_director_without_a_record_carries_none(services, tmp_path):
    assert services(tmp_path / "ipvs.rules") == []


def test_of_a_record_that_cannot_be_read_nothing_is_known(services, tmp_path):
    (tmp_path / "ipvs.rules").write_text("what is this")
    assert services(tmp_path / "ipvs.rules") is None
    (tmp_path / "ipvs.rules").write_bytes(b"\xff\xfe")
    assert services(tmp_path / "ipvs.rules") is None
