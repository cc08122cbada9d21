"""Which run the hosts go back to, from what each of them has stored."""

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.lvs_controller import rollback

FIRST, SECOND, THIRD = (f"2026-03-0{day}T03:00:00Z" for day in (1, 2, 3))


def host(*runs, since=FIRST, unreadable=()):
    return {
        "runs": {run: f"revision {run[9]}" for run in runs},
        "since": since,
        "unreadable": dict.fromkeys(unreadable, "no JSON"),
    }


def test_without_a_time_the_run_before_the_last_one_is_chosen():
    kept = {"lb1": host(FIRST, SECOND, THIRD), "rs1": host(FIRST)}
    assert rollback.choose(kept, None) == rollback.Chosen(SECOND, "revision 2")


def test_a_run_is_chosen_by_its_time():
    assert rollback.choose({"lb1": host(FIRST, SECOND, THIRD)}, FIRST).to == FIRST


def test_a_rollback_is_a_run_of_its_own():
    arguments = rollback.Chosen(FIRST, "a").as_arguments()
    assert (arguments["to"], arguments["revision"]) == (FIRST, f"{FIRST} again")
    assert arguments["run"] > THIRD


@pytest.mark.parametrize(
    ("kept", "to", "undone", "said"),
    [
        (
            {"lb1": host(FIRST, SECOND)},
            "2026-01-01T00:00:00Z",
            None,
            "Stored runs: 2026-03-01T03:00:00Z (inventory revision 1), ",
        ),
        ({"lb1": host(FIRST)}, None, None, "there is no earlier run to go back to"),
        ({"lb1": host(since="")}, None, None, "Stored runs: none"),
        (
            {"lb1": host(FIRST, SECOND, THIRD)},
            None,
            SECOND,
            f"the run {SECOND} is not the last one, so it cannot be undone",
        ),
        (
            {"lb1": host(FIRST, SECOND), "rs1": host(SECOND, since=SECOND)},
            FIRST,
            None,
            f"rs1 has no stored plan from {FIRST}",
        ),
        ({"lb1": host(FIRST, SECOND), "rs1": host(since="")}, FIRST, None, "(first stored: rs1: no run)"),
        ({"lb1": host(FIRST, SECOND), "rs1": host(unreadable=[FIRST])}, FIRST, None, "cannot be read. rs1: no JSON"),
    ],
    ids=["unknown", "only one", "none", "undone", "late", "never", "damaged"],
)
def test_what_cannot_be_gone_back_to_is_refused_and_nothing_is_changed(kept, to, undone, said):
    with pytest.raises(AnsibleActionFail) as refusal:
        rollback.choose(kept, to, undone)
    assert said in str(refusal.value)
    assert "Nothing was changed." in str(refusal.value)
