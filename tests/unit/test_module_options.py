"""Parameters of kernel modules: what is written to modules that work, and what is left."""

import shutil

import pytest
from ansible.module_utils.lvs_host import module_options
from ansible.module_utils.lvs_host.module_options import ModuleOptions
from ansible.module_utils.lvs_host.resource import HostError

WANTED = "# lvskit\noptions lvskit_toa lips=10.20.1.200,10.20.1.201\n"
KEY = "lvskit_toa/parameters/lips"


@pytest.fixture
def live(monkeypatch, tmp_path):
    """The file in which the kernel shows the parameter."""
    monkeypatch.setattr(module_options, "ROOT", str(tmp_path))
    file = tmp_path / KEY
    file.parent.mkdir(parents=True)
    file.write_text("\n")
    return file


def options(wanted, recorded=""):
    made = ModuleOptions(wanted, recorded, None)
    made.prepare()
    return made


def test_a_working_module_gets_the_new_value(live):
    options(WANTED).add()
    assert live.read_text() == "10.20.1.200,10.20.1.201\n"
    assert options(WANTED, WANTED).additions() == []


def test_a_module_that_is_yet_to_be_loaded_is_loaded_with_its_value(live):
    shutil.rmtree(live.parents[1])
    made = options(WANTED)
    assert made.additions() == [f"{KEY} = 10.20.1.200,10.20.1.201"]
    live.parent.mkdir(parents=True)
    live.write_text("10.20.1.200,10.20.1.201\n")
    live.chmod(0o444)
    changed = live.stat().st_mtime_ns
    made.add()
    assert live.stat().st_mtime_ns == changed
    assert module_options.by_module(WANTED) == {"lvskit_toa": ["lips=10.20.1.200,10.20.1.201"]}


def test_a_parameter_that_a_working_module_does_not_show_is_left_alone(live):
    live.unlink()
    assert options(WANTED).additions() == []


def test_a_module_without_services_gets_no_address_to_act_on(live):
    live.write_text("10.20.1.200\n")
    made = options("", WANTED)
    assert made.stale() == ["options lvskit_toa lips=10.20.1.200,10.20.1.201"]
    made.remove()
    assert live.read_text() == "\n"
    assert options("", WANTED).removals() == []


def test_addresses_that_are_no_longer_planned_stay_until_they_are_removed(live):
    """While a director still sends from an address, its packets have to be believed, also after a reboot."""
    before = WANTED.replace("201", "209")
    live.write_text("10.20.1.200,10.20.1.209\n")
    made = options(WANTED, before)
    made.add()
    both = "10.20.1.200,10.20.1.201,10.20.1.209"
    assert live.read_text() == f"{both}\n"
    recorded = made.record(keep_stale=True)
    assert module_options.parse(recorded) == {KEY: both}
    last = options(WANTED, recorded)
    assert last.additions() == []
    last.remove()
    assert live.read_text() == "10.20.1.200,10.20.1.201\n"
    assert last.record(keep_stale=False) == WANTED


def test_a_value_that_the_kernel_refuses_is_named(live):
    made = options(WANTED)
    live.unlink()
    live.mkdir()
    with pytest.raises(HostError, match=r"cannot set lvskit_toa/parameters/lips to 10\.20\.1\.200"):
        made.add()


def test_another_line_is_refused():
    with pytest.raises(HostError, match="cannot read the line `alias a b`"):
        module_options.parse("alias a b")


def test_a_number_is_replaced_and_stays_when_the_module_has_nothing_to_do(live):
    kind = live.parent / "kind"
    kind.write_text("254\n")
    wanted = "options lvskit_toa lips=10.20.1.200 kind=200\n"
    options(wanted).add()
    assert kind.read_text() == "200\n"
    assert options(wanted, wanted).additions() == []
    made = options("", wanted)
    assert made.stale() == ["options lvskit_toa lips=10.20.1.200"]
    made.remove()
    assert kind.read_text() == "200\n"


def test_a_module_that_knows_no_steps_gets_the_whole_value(live):
    """A former version of it, which does not show its sets."""
    addresses = ",".join(f"10.1.{number // 250}.{number % 250}" for number in range(1000))
    options(f"options lvskit_toa lips={addresses}").add()
    assert live.read_text() == f"{addresses}\n"


def test_few_addresses_are_exchanged_at_once(live, monkeypatch, tmp_path):
    monkeypatch.setattr(module_options, "SETS", str(tmp_path))
    (tmp_path / "lvskit_toa.lips").write_text("10.20.1.209\n")
    made = options(WANTED, WANTED.replace("201", "209"))
    made.add()
    assert live.read_text() == "10.20.1.200,10.20.1.201,10.20.1.209\n"


def test_thousands_of_addresses_are_changed_in_steps_that_the_kernel_takes(live, monkeypatch, tmp_path):
    """The module's file in /proc/net shows the whole set; each write to the parameter is at most a page."""
    shown = tmp_path / "lvskit_toa.lips"
    monkeypatch.setattr(module_options, "SETS", str(tmp_path))
    have, written = set(), []

    class Parameter:
        """As the module takes what is written to it."""

        def __enter__(self):
            return self

        def __exit__(self, *_):
            """Nothing stays open."""

        def write(self, text):
            assert len(text) <= 4096
            written.append(text)
            sign, addresses = (text[0], text[1:]) if text[0] in "+-" else ("", text)
            given = set(filter(None, addresses.strip().split(",")))
            if not sign:
                have.clear()
            have.difference_update(given) if sign == "-" else have.update(given)
            shown.write_text("".join(f"{one}\n" for one in sorted(have)))

    def opened(path, mode="r", **words):
        return Parameter() if mode == "w" else open(path, mode, **words)

    monkeypatch.setattr(module_options, "open", opened, raising=False)
    shown.write_text("")
    first = [f"10.1.{number // 250}.{number % 250}" for number in range(10_000)]
    second = [f"10.2.{number // 250}.{number % 250}" for number in range(10_000)]
    options(f"options lvskit_toa lips={','.join(first)}").add()
    assert have == set(first)
    both = options(f"options lvskit_toa lips={','.join(second)}", f"options lvskit_toa lips={','.join(first)}")
    both.add()
    assert have == {*first, *second}
    last = options(f"options lvskit_toa lips={','.join(second)}", both.record(keep_stale=True))
    assert last.additions() == []
    last.remove()
    assert have == set(second)
    assert len(written) < 200
    assert options(f"options lvskit_toa lips={second[0]}").widened(KEY) == ",".join(sorted(second))
