"""What is read of Ansible's variables before the model has it."""

from ansible.module_utils.lvs_controller import environment


def test_the_host_that_differs_is_named_wherever_it_stands():
    """The environment's value is that of most hosts, not of the first one."""
    shared, own = [{"name": "web"}], [{"name": "other"}]
    for odd in ("a", "b", "c"):
        hosts = {name: {"lvs_services": own if name == odd else shared} for name in ("a", "b", "c")}
        (found,) = environment._of_single_hosts(hosts)
        assert found.message.startswith(f"host {odd} has lvs_services of its own")
        assert found.at is own


def test_a_host_without_the_value_is_named_and_the_place_is_that_of_the_others():
    shared = [{"name": "web"}]
    (found,) = environment._of_single_hosts({"a": {}, "b": {"lvs_services": shared}, "c": {"lvs_services": shared}})
    assert found.message.startswith("host a has lvs_services of its own, or lacks it")
    assert found.at is shared


def test_equal_values_of_different_files_are_one():
    assert not [*environment._of_single_hosts({"a": {"lvs_services": [1]}, "b": {"lvs_services": [1]}})]
