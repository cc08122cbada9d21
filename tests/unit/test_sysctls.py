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
