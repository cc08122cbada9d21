"""A small environment that is in order, for tests to use or to break."""

import copy
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.lvs import inventory, rules

BASE = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())


class Environment:
    """What `parse` takes, and what comes of it. `changes` replace networks, hosts, groups, services or directors of the base."""

    def __init__(self, changes=None):
        raw = {**copy.deepcopy(BASE), **(changes or {})}
        raw["groups"] = {"all": list(raw["hosts"]), **raw["groups"]}
        self.topology, self.faults = inventory.parse(
            raw["networks"], raw["services"], raw["hosts"], raw["groups"], raw.get("directors")
        )
        self.violations = [*self.faults, *rules.check(self.topology)]

    @property
    def messages(self):
        return [str(violation) for violation in self.violations]

    def service(self, name):
        return next(service for service in self.topology.services if service.name == name)

    def host(self, name):
        return self.topology.hosts[name]


@pytest.fixture
def environment():
    return Environment
