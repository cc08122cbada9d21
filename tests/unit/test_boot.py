"""A host that reboots in the middle of a run: what lvskit-netfilter.service restores, from the files that the host has then."""

from pathlib import Path

import pytest
import units
from ansible.module_utils.lvs.host_plan import AddressRange, Chain, HostPlan, Mark, MssClamp, Netfilter, SourceNat
from ansible.module_utils.lvs_controller import layout
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.kinds import TEXTS
from ansible.module_utils.lvs_host.netfilter import called, parse
from fake_host import FakeHost
from libraries import loaded

TEMPLATES = Path(__file__).parents[2] / "roles/lvs_host/templates"
FAMILIES = ("netfilter", "netfilter6")
VIPS = {"netfilter": ("203.0.113.80", "10.20.1.201"), "netfilter6": ("2001:db8::80", "2001:db8:a::201")}


def clamp(vip, _):
    return Netfilter(chains=(Chain("mangle", "OUTPUT"),), mss_clamps=(MssClamp(vip, 1220),))


def mark(vip, _):
    return Netfilter(chains=(Chain("mangle", "PREROUTING"),), marks=(Mark("tcp", vip, ("80", "443"), 0x6C000001),))


def both(vip, local):
    one, other = clamp(vip, local), mark(vip, local)
    return Netfilter(chains=(*one.chains, *other.chains), mss_clamps=one.mss_clamps, marks=other.marks)


def snat(vip, local):
    return Netfilter(
        chains=(Chain("nat", "POSTROUTING"), Chain("filter", "FORWARD")),
        source_nats=(SourceNat("tcp", vip, 80, (AddressRange(local, None),)),),
        returning_vips=(vip,),
    )


# The rules of two families in a host's plan, and in its next plan.
CHANGES = {
    "the first rules": ((None, None), (clamp, None)),
    "the last rules": ((clamp, None), (None, None)),
    "a chain is added": ((clamp, None), (both, None)),
    "a chain is removed": ((both, None), (clamp, None)),
    "a chain replaces another of its table": ((clamp, None), (mark, None)),
    "chains replace one of another table": ((clamp, None), (snat, None)),
    "a chain replaces those of two tables": ((snat, None), (clamp, None)),
    "a family is added": ((clamp, None), (clamp, snat)),
    "a family is removed": ((clamp, snat), (clamp, None)),
    "a family replaces the other": ((clamp, None), (None, clamp)),
    "a chain is added in one family and removed in the other": ((clamp, both), (both, clamp)),
}
WITH_A_UNIT_ALREADY = [change for change in CHANGES if change != "the first rules"]


@pytest.fixture(params=[FAMILIES, FAMILIES[::-1]], ids="-".join)
def families(request):
    """Which family is the first one of a change."""
    return request.param


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return FakeHost(tmp_path / "host", monkeypatch)


@pytest.fixture
def state():
    return loaded("lvs_state")


def texts(families, rules):
    parts = {family: make(*VIPS[family]) for family, make in zip(families, rules) if make}
    return layout.texts(HostPlan("host", **parts), str(TEMPLATES), "/lib/systemd/systemd-sysctl")


def of_the_host(machine):
    """lvskit's chains and the calls of them, by family; the order of the calls in a built-in chain is of no matter."""
    tables = (machine.tables, machine.tables6)
    return {
        name: {(table, chain): rules for table, chains in held.items() for chain, rules in chains.items() if rules}
        for name, held in zip(FAMILIES, tables)
    }


def of_the_files(machine):
    """What the files of record stand for."""
    return {name: called(parse(machine.text(TEXTS[name]))) for name in FAMILIES}


@pytest.fixture
def restored(machine):
    """Starts the unit as a boot does, and returns the rules that it makes."""
    for program in ("iptables", "ip6tables"):
        units.program(machine.folder, program, 'case " $* " in *" -C "*) exit 1; esac')
        units.program(machine.folder, f"{program}-restore", "")

    def start():
        assert units.start(machine.text(TEXTS["netfilter_unit"]), machine.folder) == 0
        made = {name: {} for name in FAMILIES}
        for program, *words in (line.split() for line in units.told(machine.folder)):
            chains = made["netfilter6" if program.startswith("ip6") else "netfilter"]
            if program.endswith("-restore"):
                chains.update(parse(machine.text(words[-1])))
            else:
                _, _, table, _, hook, _, chain = words
                assert words == ["-w", "-t", table, "-I", hook, "-j", chain]
                assert (table, chain) in chains
                chains.setdefault((table, hook), []).append(f"-A {hook} -j {chain}")
        return made

    return start


@pytest.mark.parametrize("change", CHANGES)
def test_after_each_stage_a_boot_restores_what_the_host_has(machine, state, restored, families, change):
    old, new = (texts(families, rules) for rules in CHANGES[change])
    for plan, remove in ((old, True), (new, False), (new, True)):
        machine.run(state, **plan, remove=remove)
        assert restored() == of_the_host(machine) == of_the_files(machine)


@pytest.mark.parametrize("change", CHANGES)
def test_a_second_run_of_a_stage_changes_nothing(machine, state, families, change):
    old, new = (texts(families, rules) for rules in CHANGES[change])
    machine.run(state, **old)
    for remove in (False, True):
        machine.run(state, **new, remove=remove)
        before = machine.tree()
        assert machine.run(state, **new, remove=remove)["changed"] is False
        assert machine.tree() == before


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("change", WITH_A_UNIT_ALREADY)
def test_a_boot_restores_what_is_in_the_files_when_a_run_has_replaced_some_of_them(
    machine, state, restored, monkeypatch, families, change, remove
):
    old, new = (texts(families, rules) for rules in CHANGES[change])
    record = state.record

    def killed(replaced):
        def some(changed):
            record(dict(list(changed.items())[:replaced]))
            raise HostError("killed")

        return some

    machine.run(state, **old)
    for replaced in range(4):
        monkeypatch.setattr(state, "record", killed(replaced))
        machine.run(state, **new, remove=remove)
        if machine.text(TEXTS["netfilter_unit"]):
            assert restored() == of_the_files(machine)
    monkeypatch.setattr(state, "record", record)
    machine.run(state, **new)
    assert restored() == of_the_host(machine) == of_the_files(machine)
