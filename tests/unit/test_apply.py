"""The order in which playbooks change hosts, and where they stop: runs on local hosts whose modules are stand-ins."""

import json

import pytest
import yaml
from test_site import Site

SERVERS = ["rs1", "rs2", "rs3"]


class Run(Site):
    """An environment with two directors of a service of their own each, and three real servers."""

    def __init__(self, folder):
        super().__init__(folder)
        hosts = yaml.safe_load((folder / "hosts.yml").read_text())
        groups = hosts["all"]["children"]
        del groups["clients"]
        groups["real_servers"]["hosts"]["rs3"] = self.host("rs3", 30)
        groups["directors"]["hosts"]["lb2"] = self.host("lb2", 31)
        groups["edge_a"] = {"hosts": {"lb1": None}}
        groups["edge_b"] = {"hosts": {"lb2": None}}
        web, orders = hosts["all"]["vars"]["lvs_services"]
        web["directors"], orders["directors"] = "edge_a", "edge_b"
        self.hosts = hosts
        self.write()

    def write(self):
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.hosts))

    def states(self, **by_host):
        """What lvs_state returns besides, by host."""
        (self.folder / "state.json").write_text(json.dumps(by_host))
        return self

    @property
    def calls(self):
        """Each run of lvs_state: the host, and whether it was to remove something; those in check mode are left out."""
        return [(call[1], call[3]) for call in self.log if call[0] == "state" and not call[5]]

    def unreachable(self, host):
        own = self.hosts["all"]["children"]["real_servers"]["hosts"][host]
        own.update(
            ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=9, ansible_ssh_common_args="-F none"
        )
        self.write()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_one_real_server_goes_first_directors_come_next_and_removals_last(run):
    run.states(rs2={"stale": ["ip address del 10.20.1.99/32 dev lo"]}).run()
    assert run.code == 0, run.output
    assert run.calls[0] == ("rs1", False)
    assert sorted(run.calls[1:3]) == [("rs2", False), ("rs3", False)]
    assert sorted(run.calls[3:5]) == [("lb1", True), ("lb2", True)]
    assert run.calls[5:] == [("rs2", True)]


def test_directors_of_one_service_change_one_after_the_other(run):
    run.hosts["all"]["children"]["edge_a"]["hosts"]["lb2"] = None
    run.hosts["all"]["vars"]["lvs_services"] = [{**run.hosts["all"]["vars"]["lvs_services"][0], "vip_routed": True}]
    run.write()
    run.states(lb1={"failure": "the kernel refused it"}).run()
    assert run.code != 0
    assert ("lb1", True) in run.calls
    assert "lb2" not in [host for host, _ in run.calls]


def test_nothing_is_removed_while_a_director_is_not_in_the_run(run):
    run.states(rs2={"stale": ["ip address del 10.20.1.99/32 dev lo"]}).run("--limit", "lb1,rs1,rs2,rs3")
    assert run.code == 0, run.output
    assert ("rs2", True) not in run.calls


def test_an_unreachable_first_real_server_stops_the_batches_behind_it(run):
    run.unreachable("rs1")
    run.run()
    assert run.code != 0
    assert run.calls == []


def test_a_drained_real_server_that_is_dead_stops_nobody(run):
    run.unreachable("rs1")
    run.hosts["all"]["children"]["real_servers"]["hosts"]["rs1"]["lvs_drained"] = True
    run.write()
    run.run()
    assert {host for host, _ in run.calls} == {"rs2", "rs3", "lb1", "lb2"}
    assert run.code == 0, run.output


TABLE = "-A -t 10.20.1.80:80 -s rr\n-a -t 10.20.1.80:80 -r 10.20.1.13:80 {} -w 1\n"


@pytest.mark.parametrize(
    ("before", "arguments", "refused"),
    [
        ("", [], True),
        (TABLE.format("-m"), [], True),
        (TABLE.format("-g"), [], False),
        ("", ["-e", "lvs_unprepared=true"], False),
    ],
    ids=["new", "other method", "known", "consent"],
)
def test_a_director_alone_gets_no_real_server_that_is_not_prepared(run, before, arguments, refused):
    entry = {"before": before, "after": TABLE.format("-g"), "before_header": "IPVS table", "after_header": "IPVS table"}
    run.states(lb1={"diff": [entry]}).run("--limit", "lb1", *arguments)
    assert (run.code != 0) == refused, run.output
    assert (("lb1", True) in run.calls) != refused
    if refused:
        assert "lb1 would begin to send requests to rs1, which this run has not prepared" in run.output


@pytest.mark.parametrize(
    ("variable", "said"),
    [("drain=rs1", "-e drain: the variable is lvs_drain now"), ("lvs_drian=rs1", "did you mean lvs_drain?")],
)
def test_an_old_or_misspelt_variable_of_the_command_line_is_refused(run, variable, said):
    run.run("-e", variable)
    assert run.code != 0
    assert said in run.output
    assert run.calls == []


def test_a_users_own_variables_change_nothing(run):
    run.hosts["all"]["vars"].update(
        drain="rs1", service="nginx", host_packages=["vim"], batches="x", compiled=1, lost=["web"]
    )
    run.write()
    run.run()
    assert run.code == 0, run.output
    assert len(run.calls) == 5
    assert run.output.count("drain has no effect: lvskit's variable is lvs_drain now") == 1


@pytest.mark.parametrize("arguments", [["--tags", "lvs"], ["--skip-tags", "toa"]], ids=["tags", "skip"])
def test_tags_are_refused_with_what_to_use_instead(run, arguments):
    run.run(*arguments)
    assert run.code != 0
    assert "lvskit's playbooks have no tags" in run.output
    assert "Use --limit for some hosts" in run.output
    assert run.log == []
