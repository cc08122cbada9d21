"""The timeouts of IPVS: set, compared, and put back to what they were."""

import pytest
from ansible.module_utils.lvs_host import timeouts
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.timeouts import Timeouts

WANTED = "# lvskit\n--set 901 121 301\n"


@pytest.fixture
def director(monkeypatch, tmp_path):
    """A director whose kernel has IPVS; makes the resource, and keeps what ipvsadm is told in `told`."""
    kernel = {"set": "900 120 300"}
    monkeypatch.setattr(timeouts.files, "ROOT", str(tmp_path))
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/ip_vs").write_text("")
    told = []

    def run(argv, stdin=None):
        if argv[1:3] == ["-L", "--timeout"]:
            return 0, f"Timeout (tcp tcpfin udp): {kernel['set']}\n", ""
        told.append(" ".join(argv))
        kernel["set"] = " ".join(argv[2:])
        return 0, "", ""

    def make(wanted, recorded=""):
        made = Timeouts(wanted, recorded, run, installed=True)
        made.prepare()
        return made

    make.told, make.kernel, make.folder = told, kernel, tmp_path
    return make


def test_they_are_set_once(director):
    made = director(WANTED)
    assert (made.before(), made.after()) == (["--set 900 120 300"], ["--set 901 121 301"])
    made.add()
    assert director.told == ["ipvsadm --set 901 121 301"]
    assert director(WANTED, WANTED).additions() == []


def test_what_somebody_else_has_set_is_set_back(director):
    director(WANTED).add()
    director.kernel["set"] = "5 5 5"
    assert director(WANTED, WANTED).additions() == ["ipvsadm --set 901 121 301"]


def test_without_a_plan_they_become_what_they_were_before_the_first_run(director):
    director.kernel["set"] = "800 100 200"
    director(WANTED).add()
    director("--set 1 2 3\n", WANTED).add()
    last = director("", "--set 1 2 3\n")
    assert last.removals() == ["ipvsadm --set 800 100 200"]
    assert last.stale() == ["--set 1 2 3"]
    last.remove()
    assert director.kernel["set"] == "800 100 200"
    assert director("").removals() == []
    assert not (director.folder / timeouts.Timeouts.originals_path[1:]).exists()


def test_a_host_without_plan_and_record_is_not_asked(director):
    director.kernel.clear()
    assert director("").removals() == []


def test_the_module_is_not_loaded_only_to_read_them(director):
    (director.folder / "proc/net/ip_vs").unlink()
    made = director(WANTED)
    assert (made.before(), made.additions()) == ([], ["ipvsadm --set 901 121 301"])


@pytest.mark.parametrize("text", ["--set 1 2", "--set 1 2 3\n--set 1 2 3", "--clear"])
def test_a_damaged_record_is_refused(director, text):
    with pytest.raises(HostError, match=r"/etc/lvskit/ipvs.timeouts is damaged"):
        director(WANTED, text)
