"""What a host keeps of the plans it was brought to."""

import pytest
from ansible.module_utils.lvs_host import history
from ansible.module_utils.lvs_host.resource import HostError


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(history, "FOLDER", str(tmp_path / "history"))
    return tmp_path / "history"


def time_of(number):
    return f"2026-03-01T03:{number:02}:00Z"


def add(number, wanted, *, first=False, forget=True):
    paths = history.stage(time_of(number), f"r{number}", {"ipvs": wanted}, first=first)
    history.keep(paths, forget=forget)


def test_what_is_not_known_is_not_taken_for_nothing():
    """Going back to it would strip a host that had something before lvskit began to keep plans."""
    with pytest.raises(HostError, match="has no stored plan"):
        history.at(time_of(0))
    add(5, "x")
    with pytest.raises(HostError, match="has no stored plan"):
        history.at(time_of(4))


def test_a_host_that_had_nothing_can_go_back_to_that():
    add(5, "x", first=True)
    assert history.at(time_of(4)) == {}
    assert history.at(time_of(5)) == {"ipvs": "x"}


def test_what_was_wanted_after_a_run_is_what_the_last_change_until_then_wanted():
    for number in (1, 5, 9):
        add(number, str(number))
    found = [history.at(time_of(number))["ipvs"] for number in (1, 4, 5, 20)]
    assert found == ["1", "1", "5", "9"]
    assert history.read(time_of(5))["revision"] == "r5"


def test_a_run_that_wants_the_same_is_known():
    assert not history.known({"ipvs": "x"})
    add(1, "x")
    assert history.known({"ipvs": "x"})
    assert not history.known({"ipvs": "y"})


def test_the_oldest_are_forgotten_and_with_them_that_there_was_nothing():
    for number in range(30):
        add(number, str(number), first=number == 0)
    assert history.runs() == [time_of(number) for number in range(30 - history.KEPT, 30)]
    with pytest.raises(HostError):
        history.at(time_of(2))


def test_the_run_that_is_gone_back_to_is_not_forgotten_on_the_way():
    for number in range(history.KEPT):
        add(number, str(number))
    add(40, "0", forget=False)
    assert history.at(time_of(0)) == {"ipvs": "0"}


def test_what_was_cut_short_before_it_was_put_in_place_is_no_entry(folder):
    add(1, "x")
    history.stage(time_of(2), "", {"ipvs": "y"}, first=False)
    assert history.runs() == [time_of(1)]


@pytest.mark.parametrize("garbled", ['{"wan', "[]", '{"revision": ""}'])
def test_an_entry_that_cannot_be_read_is_named_and_does_not_stop_other_things(folder, garbled):
    add(1, "x")
    (folder / f"{time_of(2)}.json").write_text(garbled)
    assert list(history.readable()) == [time_of(1)]
    assert not history.known({"ipvs": "x"})
    assert history.at(time_of(1)) == {"ipvs": "x"}
    with pytest.raises(HostError, match=f"{time_of(2)}.json is damaged"):
        history.at(time_of(3))
