"""The governor's decisions: which real server is in use with which weight, by verdicts, floor, sorry server and operators."""

import pytest
from ansible.module_utils.lvs_host import governing, ipvs
from ansible.module_utils.lvs_host.governing import Override, Service, State
from ansible.module_utils.lvs_host.verdicts import FAILED, PASSED, UNKNOWN
from hypothesis import given
from hypothesis import strategies as st

VIP = "-t 203.0.113.80:80"
TABLE = f"""\
-A {VIP} -s wlc
-a {VIP} -r 10.20.1.11:80 -g -w 100
-a {VIP} -r 10.20.1.12:80 -g -w 100 -x 50 -y 20
-a {VIP} -r 10.20.1.13:80 -g -w 100
-A -t 203.0.113.99:80 -s rr
-a -t 203.0.113.99:80 -r 10.20.1.11:80 -g -w 1
"""
NAMES = {"10.20.1.11:80": "rs1", "10.20.1.12:80": "rs2", "10.20.1.13:80": "rs3"}


def service(**changed):
    plain = {
        "service": "web",
        "family": 4,
        "verdicts": VIP,
        "entries": (VIP,),
        "servers": NAMES,
        "detection": 5,
        "hold": 0,
        "slow_start": 0,
        "floor": 50,
        "quiesce": False,
        "sorry": "",
        "apologies": {},
    }
    return Service(**{**plain, **changed})


class Case:
    """A service as the governor sees it over time. Verdicts are given by the real servers' names."""

    def __init__(self, table=TABLE, overrides=None, **changed):
        self.service = service(**changed)
        self.table = table
        self.state = State()
        self.overrides = overrides or {}
        self.verdicts = dict.fromkeys(NAMES.values(), UNKNOWN)
        self.now = 1000.0
        self.pass_()

    @property
    def due_in(self):
        return None if self.state.due is None else self.state.due - self.now

    def pass_(self, after=1.0, **verdicts):
        self.now += after
        self.verdicts.update(verdicts)
        by_endpoint = {(self.service.verdicts, end): self.verdicts[name] for end, name in NAMES.items()}
        governing.hear(self.state, self.service, by_endpoint, self.now)
        planned = governing.planned_weights(self.table, self.service)
        governing.decide(self.state, self.service, planned, self.overrides, self.now)
        return self

    @property
    def weights(self):
        return {own.name: own.weight for own in self.state.servers.values()}

    @property
    def why(self):
        return {own.name: own.why for own in self.state.servers.values()}

    def governed(self):
        return governing.governed(self.table, [self.service], {self.service.key: self.state})


ALL_PASS = {"rs1": PASSED, "rs2": PASSED, "rs3": PASSED}


def test_before_the_first_verdict_all_real_servers_have_their_planned_weight():
    assert Case().weights == {"rs1": 100, "rs2": 100, "rs3": 100}


def test_a_failed_real_server_is_removed_and_others_keep_their_weight():
    case = Case().pass_(**ALL_PASS).pass_(rs2=FAILED)
    assert case.weights == {"rs1": 100, "rs2": None, "rs3": 100}
    assert case.state.state == governing.FINE


def test_with_a_scheduler_that_falls_back_it_gets_weight_0():
    assert Case(quiesce=True).pass_(**ALL_PASS).pass_(rs2=FAILED).weights == {"rs1": 100, "rs2": 0, "rs3": 100}


def test_the_floor_keeps_the_real_server_that_failed_last():
    case = Case().pass_(**ALL_PASS).pass_(rs3=FAILED).pass_(rs1=FAILED)
    assert case.weights == {"rs1": 100, "rs2": 100, "rs3": None}
    assert case.state.state == governing.FLOOR
    assert case.why["rs1"] == "check failed, kept by the floor"
    case.pass_(rs3=PASSED)
    assert case.weights == {"rs1": None, "rs2": 100, "rs3": 100}


@pytest.mark.parametrize(("floor", "left"), [(0, 0), (1, 1), (33, 1), (34, 2), (66, 2), (67, 3), (100, 3)])
def test_when_none_passes_the_floor_says_how_many_stay(floor, left):
    case = Case(floor=floor).pass_(**ALL_PASS).pass_(**dict.fromkeys(ALL_PASS, FAILED))
    assert sum(weight is not None for weight in case.weights.values()) == left
    assert case.state.state == governing.DOWN


def test_the_sorry_server_takes_all_when_none_passes_and_leaves_with_the_first_that_does():
    case = Case(sorry="rs9", apologies={VIP: "10.20.1.19:8080 -g"}).pass_(**ALL_PASS)
    case.pass_(**dict.fromkeys(ALL_PASS, FAILED))
    assert case.state.state == governing.SORRY
    destinations = ipvs.parse(case.governed())["-t", "203.0.113.80:80"].destinations
    assert destinations == {"10.20.1.19:8080": "-g -w 1"}
    case.pass_(rs2=PASSED)
    destinations = ipvs.parse(case.governed())["-t", "203.0.113.80:80"].destinations
    assert "10.20.1.12:80" in destinations
    assert destinations["10.20.1.19:8080"] == "-g -w 0"  # its open connections end
    assert case.due_in == governing.LINGER
    case.pass_(after=governing.LINGER)
    assert "10.20.1.19:8080" not in case.governed()
    assert case.due_in is None


def test_the_sorry_server_does_not_come_for_real_servers_that_nobody_has_asked_yet():
    case = Case(sorry="rs9", apologies={VIP: "10.20.1.19:8080 -g"}).pass_(rs1=FAILED, rs2=FAILED)
    assert case.state.state != governing.SORRY
    assert case.weights["rs3"] == 100


def test_no_verdict_changes_nothing():
    case = Case().pass_(**ALL_PASS).pass_(rs2=FAILED)
    before = case.weights
    assert case.pass_(**dict.fromkeys(ALL_PASS, UNKNOWN)).weights == before


def test_a_new_real_server_enters_when_its_check_has_passed():
    case = Case()
    case.verdicts["rs3"] = UNKNOWN
    case.pass_(rs1=PASSED, rs2=PASSED)
    del case.state.servers["10.20.1.13:80"]
    assert case.pass_().weights["rs3"] is None
    assert case.why["rs3"] == "no verdict yet"
    assert case.pass_(rs3=PASSED).weights["rs3"] == 100


def test_rise_keeps_a_server_out_until_it_has_passed_for_its_time():
    case = Case(hold=10).pass_(**ALL_PASS).pass_(rs1=FAILED)
    assert case.pass_(rs1=PASSED).weights["rs1"] is None
    assert case.due_in == 10
    assert not governing.due(case.state, case.now + 9.9)
    assert governing.due(case.state, case.now + 10)
    assert case.pass_(after=9).weights["rs1"] is None
    assert case.pass_(after=2).weights["rs1"] == 100


def test_a_failure_meanwhile_begins_the_time_again():
    case = Case(hold=10).pass_(**ALL_PASS).pass_(rs1=FAILED).pass_(rs1=PASSED).pass_(after=8, rs1=FAILED)
    case.pass_(rs1=PASSED)
    assert case.pass_(after=5).weights["rs1"] is None


def test_the_weight_of_a_server_that_returns_grows():
    case = Case(slow_start=100).pass_(**ALL_PASS).pass_(rs1=FAILED).pass_(rs1=PASSED)
    assert case.weights["rs1"] == 1
    assert case.pass_(after=50).weights["rs1"] == 50
    assert case.due_in == 1
    assert case.pass_(after=50).weights["rs1"] == 100
    assert case.due_in is None
    assert not governing.due(case.state, case.now + 3600)


def test_at_the_first_start_no_weight_grows():
    assert Case(slow_start=100).pass_(**ALL_PASS).weights == {"rs1": 100, "rs2": 100, "rs3": 100}


def test_a_planned_weight_of_0_stays_0_and_is_no_part_of_the_floor():
    case = Case(TABLE.replace("10.20.1.13:80 -g -w 100", "10.20.1.13:80 -g -w 0")).pass_(**ALL_PASS).pass_(rs1=FAILED)
    assert case.weights == {"rs1": None, "rs2": 100, "rs3": 0}


def test_an_operators_weight_counts_for_its_time_and_its_services():
    overrides = {"rs1": Override(0, until=1060.0), "rs2": Override(7, services=("shop",)), "rs3": Override(250)}
    case = Case(overrides=overrides).pass_(**ALL_PASS)
    assert case.weights == {"rs1": 0, "rs2": 100, "rs3": 250}
    assert case.now + case.due_in == 1060
    assert case.pass_(after=100).weights["rs1"] == 100
    assert case.due_in is None


def test_an_operators_weight_does_not_bring_a_failed_server_back():
    assert Case(overrides={"rs1": Override(50)}).pass_(**ALL_PASS).pass_(rs1=FAILED).weights["rs1"] is None


FAIL = dict.fromkeys(ALL_PASS, FAILED)
SORRY = {"sorry": "rs9", "apologies": {VIP: "10.20.1.19:80 -g"}}


@pytest.mark.parametrize(
    ("changed", "verdicts", "share", "why"),
    [
        ({}, [], 1, "no verdict yet"),
        ({}, [ALL_PASS], 1, "check passed"),
        ({"slow_start": 100}, [ALL_PASS], 1, "check passed"),
        ({}, [ALL_PASS, {"rs1": FAILED}], None, "check failed"),
        ({"quiesce": True}, [ALL_PASS, {"rs1": FAILED}], 0, "check failed"),
        ({}, [ALL_PASS, {"rs2": FAILED}, {"rs3": FAILED}, {"rs1": FAILED}], 1, "check failed, kept by the floor"),
        ({}, [ALL_PASS, {"rs1": FAILED}, {"rs1": PASSED}], 1, "check passed"),
        ({"hold": 10}, [ALL_PASS, {"rs1": FAILED}, {"rs1": PASSED}], None, "check passed, not long enough yet"),
        ({"slow_start": 100}, [ALL_PASS, {"rs1": FAILED}, {"rs1": PASSED}], 0.01, "check passed, weight grows for 100 s"),
        ({"overrides": {"rs1": Override(0)}}, [ALL_PASS], 0, "weight 0"),
        (SORRY, [ALL_PASS, FAIL], None, "check failed, the sorry server answers"),
        ({**SORRY, "hold": 10}, [ALL_PASS, FAIL, {"rs1": PASSED}], None, "check passed, not long enough yet, the sorry server answers"),
    ],
)  # fmt: skip
def test_each_real_server_has_its_share_for_a_reason(changed, verdicts, share, why):
    case = Case(**changed)
    for new in verdicts:
        case.pass_(**new)
    own = case.state.servers["10.20.1.11:80"]
    assert (own.share, own.why) == (share, why)


def test_the_state_has_the_times_from_which_it_goes_on():
    case = Case(slow_start=100, hold=10).pass_(**ALL_PASS).pass_(rs1=FAILED).pass_(rs1=PASSED).pass_(after=60)
    usual = {
        "verdict": PASSED,
        "since": 1002.0,
        "share": 1.0,
        "weight": 100,
        "planned": 100,
        "why": "check passed",
        "known": True,
    }
    back = {
        "since": 1004.0, "passing_since": 1004.0, "used_since": 1064.0, "share": 0.01, "weight": 1,
        "why": "check passed, weight grows for 100 s",
    }  # fmt: skip
    assert case.state == State(
        servers={
            end: governing.Standing(name, **{**usual, **(back if name == "rs1" else {})}) for end, name in NAMES.items()
        },
        due=1065.0,
    )
    down = Case(**SORRY).pass_(**ALL_PASS).pass_(after=8, **FAIL)
    assert (down.state.state, down.state.since, down.state.apology, down.due_in) == (governing.SORRY, 1010.0, 1, None)
    down.pass_(rs3=PASSED)
    assert (down.state.state, down.state.since, down.state.apologized) == (governing.FLOOR, 1011.0, 1011.0)
    down.pass_(after=59)
    assert down.state.apology == 0
    assert down.pass_(after=1).state.apology is None


def test_a_server_that_leaves_the_plan_is_forgotten():
    case = Case().pass_(**ALL_PASS)
    case.state.servers["10.20.1.99:80"] = governing.Standing(name="gone")
    assert "gone" not in case.pass_().weights


def test_the_table_has_the_decisions_and_all_else_as_it_is_planned():
    case = Case().pass_(**ALL_PASS).pass_(rs1=FAILED)
    assert case.governed() == TABLE.replace(f"-a {VIP} -r 10.20.1.11:80 -g -w 100\n", "")
    case.overrides = {"rs2": Override(3)}
    assert f"-a {VIP} -r 10.20.1.12:80 -g -w 3 -x 50 -y 20" in case.pass_().governed()


def test_a_real_server_that_the_governor_does_not_know_yet_is_left_out_of_a_known_service_alone():
    more = TABLE + f"-a {VIP} -r 10.20.1.14:80 -g -w 100\n"
    known = Case().pass_(**ALL_PASS)
    states = {known.service.key: known.state}
    now = service(servers={**NAMES, "10.20.1.14:80": "rs4"})
    assert governing.governed(more, [now], states) == TABLE
    assert governing.governed(more, [now], {}) == more


def test_when_all_real_servers_are_new_to_the_governor_the_table_is_as_it_is_planned():
    """Their port has changed, for example: nobody else could answer."""
    case = Case().pass_(**ALL_PASS)
    table = TABLE.replace(":80 -g", ":8080 -g")
    now = service(servers={endpoint.replace(":80", ":8080"): name for endpoint, name in NAMES.items()})
    assert governing.governed(table, [now], {now.key: case.state}) == table


def test_two_instances_on_one_host_have_a_verdict_each():
    table = TABLE.replace("10.20.1.12:80", "10.20.1.11:81")
    names = {"10.20.1.11:80": "rs1", "10.20.1.11:81": "rs1", "10.20.1.13:80": "rs3"}
    state, own = State(), service(servers=names)
    verdicts = {(VIP, "10.20.1.11:80"): PASSED, (VIP, "10.20.1.11:81"): FAILED, (VIP, "10.20.1.13:80"): PASSED}
    governing.hear(state, own, verdicts, 1)
    governing.decide(state, own, governing.planned_weights(table, own), {}, 1)
    assert [endpoint for endpoint, one in state.servers.items() if one.weight] == ["10.20.1.11:80", "10.20.1.13:80"]
    assert "10.20.1.11:81" not in governing.governed(table, [own], {own.key: state})


def test_what_is_no_longer_planned_and_still_in_use_stays_in_the_table():
    case = Case().pass_(**ALL_PASS).pass_(rs1=FAILED)
    stale = f"-a {VIP} -r 10.20.1.19:80 -g -w 100\n"
    assert stale in governing.governed(TABLE + stale, [case.service], {case.service.key: case.state})


def test_a_mark_of_ipv6_is_another_service_than_that_of_ipv4():
    lines = [
        "-A -f 7 -s rr",
        "-a -f 7 -r 10.20.1.11:0 -g -w 1",
        "-A -f 7 -6 -s rr",
        "-a -f 7 -6 -r [2001:db8::11]:0 -g -w 1",
    ]
    six = service(entries=("-f 7 -6",), servers={"[2001:db8::11]:80": "rs1"}, family=6)
    state = State(servers={"[2001:db8::11]:80": governing.Standing("rs1", known=True, weight=None)})
    governed = governing.governed("\n".join(lines) + "\n", [six], {six.key: state})
    assert governed.splitlines() == lines[:3]


def test_a_state_is_read_as_it_was_written():
    case = Case(slow_start=100).pass_(**ALL_PASS).pass_(rs1=FAILED).pass_(rs1=PASSED)
    assert State.of(case.state.as_dict()) == case.state


@given(
    st.lists(
        st.tuples(st.sampled_from(["rs1", "rs2", "rs3"]), st.sampled_from([PASSED, FAILED, UNKNOWN])), max_size=12
    ),
    st.integers(0, 100),
    st.booleans(),
    st.sampled_from([0, 5]),
)
def test_whatever_the_verdicts_the_floor_is_in_use_and_who_passes_is(steps, floor, sorry, hold):
    apologies = {"sorry": "rs9", "apologies": {VIP: "10.20.1.19:80 -g"}} if sorry else {}
    case = Case(floor=floor, hold=hold, **apologies)
    for name, verdict in steps:
        case.pass_(**{name: verdict})
        weights = case.weights
        passing = [own for own in case.state.servers.values() if own.verdict == PASSED]
        if case.state.state == governing.SORRY:
            assert all(weight is None for weight in weights.values())
            assert not any(own.verdict == UNKNOWN for own in case.state.servers.values())
            continue
        assert sum(weight or 0 for weight in weights.values()) >= 300 * floor / 100
        if not hold:
            assert all(own.weight == 100 for own in passing)
        if passing and not hold:
            assert sum(weight or 0 for weight in weights.values()) > 0
