"""Kernel settings: what counts is the value that the kernel uses."""

import pytest
from ansible.module_utils.lvs_host import sysctls
from ansible.module_utils.lvs_host.resource import HostError


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A tree like /proc/sys, with a function that sets keys in it."""
    monkeypatch.setattr(sysctls, "ROOT", str(tmp_path / "proc"))
    monkeypatch.setattr(sysctls.Sysctls, "originals_path", str(tmp_path / "originals.json"))

    def put(family="ipv4", **values):
        for key, value in values.items():
            device, _, name = key.partition("__")
            path = tmp_path / f"proc/net/{family}/conf" / device / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        return lambda device, name: (tmp_path / f"proc/net/{family}/conf" / device / name).read_text().strip()

    return put


def resource(wanted, recorded=""):
    settings = sysctls.Sysctls(wanted, recorded, lambda argv, stdin: (0, "", ""))
    settings.prepare()
    return settings


ARP = "net/ipv4/conf/eth1/arp_ignore = 1\n"


@pytest.mark.parametrize(
    ("name", "own", "everywhere", "used"),
    [("arp_ignore", 1, 0, 1), ("arp_announce", 2, 1, 2), ("rp_filter", 0, 1, 1), ("send_redirects", 0, 1, 1)],
)
def test_the_kernel_combines_an_interfaces_value_with_that_of_all(name, own, everywhere, used):
    assert sysctls.effective(f"net/ipv4/conf/eth1/{name}", own, everywhere) == used


@pytest.mark.parametrize(
    ("name", "own", "everywhere", "used"),
    [
        ("accept_ra", 1, 0, 1),
        ("accept_ra", 0, 1, 0),
        ("forwarding", 0, 1, 0),
        ("accept_redirects", 0, 1, 0),
        ("rp_filter", 0, 1, 0),  # there is none
        ("accept_dad", 0, 1, 1),
        ("proxy_ndp", 0, 1, 1),
    ],
)
def test_of_ipv6_the_kernel_combines_few_settings(name, own, everywhere, used):
    key = f"net/ipv6/conf/eth1/{name}"
    assert sysctls.effective(key, own, everywhere) == used
    assert (sysctls.sibling(key) is None) == (used == own)


def test_for_ipv6_a_value_for_all_interfaces_is_no_obstacle(proc):
    value = proc("ipv6", eth1__accept_ra=1, all__accept_ra=1, all__forwarding=0)
    resource("net/ipv6/conf/eth1/accept_ra = 0\nnet/ipv6/conf/all/forwarding = 1\n").add()
    assert (value("eth1", "accept_ra"), value("all", "accept_ra"), value("all", "forwarding")) == ("0", "1", "1")


def test_settings_are_made_in_the_order_of_the_plan(proc):
    """accept_ra of IPv6 comes before forwarding, which removes the default route of an interface whose accept_ra is 1."""
    proc("ipv6", eth1__accept_ra=1, all__forwarding=0)
    settings = ["net/ipv6/conf/eth1/accept_ra = 2", "net/ipv6/conf/all/forwarding = 1"]
    assert resource("\n".join(settings)).additions() == settings


def test_a_setting_that_is_in_force_is_left_alone(proc):
    proc(eth1__arp_ignore=1, all__arp_ignore=0)
    assert resource(ARP).additions() == []


def test_a_setting_that_differs_is_set(proc):
    value = proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    assert value("eth1", "arp_ignore") == "1"


def test_a_value_for_all_interfaces_that_spoils_the_effect_is_refused(proc):
    proc(eth1__arp_ignore=0, all__arp_ignore=8)
    with pytest.raises(HostError, match="net/ipv4/conf/all/arp_ignore is 8 and the kernel combines both to 8"):
        resource(ARP)


def test_a_value_for_all_interfaces_that_does_as_well_is_accepted(proc):
    proc(eth1__arp_ignore=1, all__arp_ignore=2)
    assert resource(ARP).additions() == []


def test_what_is_no_longer_wanted_gets_its_old_value_back(proc):
    value = proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    later = resource("", ARP)
    assert later.removals() == ["net/ipv4/conf/eth1/arp_ignore = 0"]
    later.remove()
    assert value("eth1", "arp_ignore") == "0"
    assert resource("").removals() == []


def test_the_old_value_is_the_one_from_before_the_first_run(proc):
    proc(eth1__rp_filter=1, all__rp_filter=0)
    resource("net/ipv4/conf/eth1/rp_filter = 2\n").add()
    resource("net/ipv4/conf/eth1/rp_filter = 0\n").add()
    assert resource("").removals() == ["net/ipv4/conf/eth1/rp_filter = 1"]


def test_a_setting_whose_device_is_still_to_come_is_planned(proc):
    proc(all__rp_filter=0)
    assert resource("net/ipv4/conf/tunl0/rp_filter = 2\n").additions() == ["net/ipv4/conf/tunl0/rp_filter = 2"]


def test_what_stays_for_now_stays_in_the_file_of_record(proc):
    proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    assert ARP.strip() in resource("", ARP).record(keep_stale=True)


def test_a_setting_that_the_kernel_refuses_is_named(proc):
    proc(all__rp_filter=0)
    with pytest.raises(HostError, match="cannot set net/ipv4/conf/tunl0/rp_filter to 2"):
        resource("net/ipv4/conf/tunl0/rp_filter = 2\n").add()


def test_room_that_is_there_already_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sysctls, "ROOT", str(tmp_path))
    monkeypatch.setattr(sysctls.Sysctls, "originals_path", str(tmp_path / "originals.json"))
    size = tmp_path / "net/netfilter/nf_conntrack_max"
    size.parent.mkdir(parents=True)
    size.write_text("1048576\n")
    wanted = "net/netfilter/nf_conntrack_max = 400000\n"
    assert resource(wanted).additions() == []
    size.write_text("262144\n")
    resource(wanted).add()
    assert size.read_text() == "400000\n"


@pytest.mark.parametrize("line", ["net/ipv4/ip_forward", "net/ipv4/ip_forward = on"])
def test_a_line_that_is_no_setting_is_refused(proc, line):
    with pytest.raises(HostError, match=f"kernel settings: cannot read the line `{line}`"):
        resource(f"# lvskit\n{line}\n")
    with pytest.raises(HostError, match=r"zz-lvskit.conf is damaged: kernel settings"):
        resource("", line)


@pytest.mark.parametrize(
    ("key", "wanted", "used", "serves"),
    [
        ("net/ipv4/conf/eth1/arp_ignore", 1, 2, True),
        ("net/ipv4/conf/eth1/arp_ignore", 2, 1, False),
        ("net/ipv4/conf/eth1/rp_filter", 1, 2, False),
        ("net/netfilter/nf_conntrack_max", 100, 100, True),
        ("net/netfilter/nf_conntrack_buckets", 100, 101, True),
        ("net/netfilter/nf_conntrack_buckets", 100, 99, False),
        ("net/ipv4/ip_forward", 1, 2, False),
    ],
)
def test_a_value_serves_if_it_does_what_the_wanted_one_does(key, wanted, used, serves):
    assert sysctls.serves(key, wanted, used) == serves


@pytest.mark.parametrize(
    "key", ["net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/netfilter/nf_conntrack_max"]
)
def test_a_setting_of_no_interface_has_no_counterpart(key):
    assert sysctls.sibling(key) is None
    assert sysctls.effective(key, 1, None) == 1


def test_a_setting_without_a_value_for_all_interfaces_counts_alone():
    assert sysctls.effective("net/ipv4/conf/eth1/rp_filter", 1, None) == 1


def test_the_refusal_says_where_to_look_for_the_value_of_all_interfaces(proc):
    proc(eth1__arp_ignore=0, all__arp_ignore=8)
    with pytest.raises(HostError) as refused:
        resource(f"net/ipv4/ip_forward = 1\n{ARP}")  # each setting is examined
    assert str(refused.value) == (
        "net/ipv4/conf/eth1/arp_ignore is to be 1, but net/ipv4/conf/all/arp_ignore is 8 and the kernel combines both to 8. "
        "Find what sets it (grep -r arp_ignore /etc/sysctl.d /etc/sysctl.conf /run/sysctl.d /usr/lib/sysctl.d) and set it to 0, "
        "on the running system too."
    )


def test_the_value_that_the_plan_itself_gives_to_all_interfaces_counts(proc):
    proc(eth1__rp_filter=1, all__rp_filter=1)
    keys = [f"net/ipv4/conf/{device}/rp_filter = 0" for device in ("all", "eth1")]
    assert resource("\n".join(keys)).additions() == keys


def test_the_diff_shows_each_setting_that_the_kernel_has(proc):
    proc(eth1__arp_ignore=0, eth1__rp_filter=2, all__arp_ignore=0, all__rp_filter=0)
    old = "net/ipv4/conf/eth1/rp_filter = 1\n"
    resource(old).add()
    later = resource(f"{ARP}net/ipv4/conf/tunl0/rp_filter = 2\n", old)
    assert later.before() == ["net/ipv4/conf/eth1/arp_ignore = 0", "net/ipv4/conf/eth1/rp_filter = 1"]
    assert later.after() == [
        "net/ipv4/conf/eth1/arp_ignore = 1",
        "net/ipv4/conf/tunl0/rp_filter = 2",
        "net/ipv4/conf/eth1/rp_filter = 2",
    ]


def test_one_run_that_replaces_a_setting_by_another_keeps_the_old_value_of_the_new_one(proc):
    value = proc(eth1__arp_ignore=0, eth1__rp_filter=2, all__arp_ignore=0, all__rp_filter=0)
    resource(ARP).add()
    both = resource("net/ipv4/conf/eth1/rp_filter = 1\n", ARP)
    assert both.stale() == [ARP.strip()]
    both.add()
    both.remove()
    assert (value("eth1", "arp_ignore"), value("eth1", "rp_filter")) == ("0", "1")
    assert resource("").removals() == ["net/ipv4/conf/eth1/rp_filter = 2"]


def test_a_setting_that_has_its_old_value_back_is_no_longer_lvskits(proc):
    proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    resource("", ARP).remove()
    proc(eth1__arp_ignore=2)
    assert resource("").removals() == []


def test_a_setting_whose_device_has_gone_needs_no_removal(proc, tmp_path):
    proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    (tmp_path / "proc/net/ipv4/conf/eth1/arp_ignore").unlink()
    assert resource("", ARP).removals() == []


def test_a_setting_that_a_killed_run_has_made_is_not_in_the_record_and_gets_its_old_value_back(proc):
    proc(eth1__arp_ignore=0, all__arp_ignore=0)
    resource(ARP).add()
    later = resource("")
    assert (later.stale(), later.removals()) == ([], ["net/ipv4/conf/eth1/arp_ignore = 0"])


def test_a_run_that_the_kernel_has_refused_can_be_repeated(proc, tmp_path):
    value = proc(all__rp_filter=0)
    wanted = "net/ipv4/conf/tunl0/rp_filter = 2\n"
    with pytest.raises(HostError, match="No such file or directory"):
        resource(wanted).add()
    proc(tunl0__rp_filter=0)
    resource(wanted).add()
    assert value("tunl0", "rp_filter") == "2"


def test_the_old_values_are_kept_in_a_file_that_a_person_can_read(proc, tmp_path):
    proc(eth1__rp_filter=2, eth1__arp_ignore=0, all__arp_ignore=0, all__rp_filter=0)
    resource(f"net/ipv4/conf/eth1/rp_filter = 1\n{ARP}").add()
    assert (tmp_path / "originals.json").read_text().splitlines() == [
        "{",
        ' "net/ipv4/conf/eth1/arp_ignore": 0,',
        ' "net/ipv4/conf/eth1/rp_filter": 2',
        "}",
    ]


@pytest.mark.parametrize("content", ["[1]", '{"net/ipv4/ip_forward": "on"}', "null", "{"])
def test_a_damaged_file_of_old_values_is_named_with_what_its_removal_means(proc, tmp_path, content):
    (tmp_path / "originals.json").write_text(content)
    with pytest.raises(
        HostError, match=r"originals.json is damaged: .* Remove it and run again; sysctls that the plan no longer"
    ):
        resource(ARP)
