"""Variables of a host as lvskit reads them: what Ansible makes of them, without its work for values that have no template."""

import json

import pytest
from ansible._internal._datatag._tags import Origin
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.lvs_controller.host_variables import HostVariables, Unrendered, of_hosts
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, VaultSecretsContext
from ansible.vars.hostvars import HostVars, HostVarsVars
from ansible.vars.manager import VariableManager

VALUES = {
    "a list of mappings": "[{name: web, port: 80, real_servers: [{host: rs1, weight: 1.5}, {host: rs2}], empty: , on: true}]",
    "a template in one of two": "[{name: web, port: 80}, {name: '{{ site }}-dns', ports: [53, '{{ port }}']}]",
    "a template deep inside": "[{name: web, real_servers: [{host: rs1, weight: '{{ port + 1 }}'}]}]",
    "a statement": "[{name: '{% if site %}web{% endif %}'}]",
    "a comment": "[{name: 'web{# the first #}'}]",
    "a header that changes the marks": "[{name: \"#jinja2: variable_start_string:'[['\\n[[ site }}\"}]",
    "a brace that is no template": "[{name: '{web}'}]",
    "a template instead of the list": "'{{ elsewhere }}'",
    "a template instead of an entry": "[{name: web}, '{{ elsewhere[0] }}', {name: dns}]",
    "an entry that is left out": "['{{ omit }}', {name: web}]",
    "a key that is left out": "[{name: web, port: '{{ omit }}'}, {name: dns}]",
    "a mapping": "{edge: {cidr: '{{ prefix }}.0/24', vlan: 10}, app: {cidr: 10.0.0.0/24}}",
    "a string": "'{{ site }}'",
    "a date": "[{name: web, since: 2024-01-01}]",
    "an empty list": "[]",
    "nothing": "",
}
OTHERS = "site: paris\nport: 5353\nprefix: 192.0.2\nelsewhere: [{name: elsewhere, port: '{{ port }}'}]\n"


@pytest.fixture
def read(tmp_path):
    """`hostvars` of an inventory, whose variable `value` is the given YAML."""

    def hostvars(value, hosts="{lb1: }", more=""):
        (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {hosts}}}\n")
        (tmp_path / "group_vars").mkdir(exist_ok=True)
        (tmp_path / "group_vars/all.yml").write_text(f"{OTHERS}{more}value: {value}\n")
        loader = DataLoader()
        inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.yml")])
        return HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)

    return hostvars


TEMPLATES = {
    "{{ site }}": None,  # the same for all
    "{{ site }}-{{ port }}": None,
    "{{ inventory_hostname }}": {"lb1": ["lb1"], "rs1": ["rs1"]},
    "{{ rack }}": {"None": ["lb1"], "7": ["rs1"]},  # only one has it
    "{{ rack | default(site) }}": {"paris": ["lb1"], "7": ["rs1"]},
    "{{ nested }}": {"lb1.paris": ["lb1"], "rs1.paris": ["rs1"]},  # made of what differs
    "{{ inventory_hostname | length }}": None,  # hosts have other names of the same length
    "{{ looped }}": None,  # ends
    "{{ broken": None,  # said elsewhere
    "no template": None,
}


def test_a_template_that_hosts_render_differently_is_found(read):
    hostvars = read(
        json.dumps([{"real_servers": [{"weight": own}]} for own in TEMPLATES]),
        hosts="{lb1: , rs1: {rack: 7}}",
        more="nested: '{{ inventory_hostname }}.{{ site }}'\nlooped: '{{ looped }}'\n",
    )
    hosts = [HostVariables(hostvars, name) for name in ("lb1", "rs1")]
    found = dict(of_hosts(hosts[0].raw["value"], hosts))
    assert found == {template: values for template, values in TEMPLATES.items() if values}


def placed(value):
    """The value, and the places of all that it contains."""
    origin = Origin.get_tag(value)
    place = origin and (origin.line_num, origin.col_num)
    if isinstance(value, dict):
        return place, {key: (placed(key), placed(one)) for key, one in value.items()}
    if isinstance(value, list):
        return place, [placed(one) for one in value]
    return place, value


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_ansible_makes_of_it_with_the_same_places(read, name):
    hostvars = read(VALUES[name])
    found = HostVariables(hostvars, "lb1").get("value")
    assert placed(found) == placed(hostvars["lb1"]["value"])


def test_values_of_the_test_have_templates_and_places(read):
    found = HostVariables(read(VALUES["a template in one of two"]), "lb1").get("value")
    assert [one["name"] for one in found] == ["web", "paris-dns"]
    assert found[1]["ports"] == [53, 5353]
    assert Origin.get_tag(found[0]["port"]).line_num == OTHERS.count("\n") + 1


def test_a_value_without_templates_is_not_copied(read, monkeypatch):
    own = HostVariables(read(VALUES["a list of mappings"]), "lb1")
    monkeypatch.setattr(HostVarsVars, "__init__", None)
    assert own.get("value") is own.raw["value"]


def test_only_entries_with_a_template_are_copied(read):
    own = HostVariables(read(VALUES["a template in one of two"]), "lb1")
    plain, templated = own.get("value")
    assert plain is own.raw["value"][0]
    assert templated is not own.raw["value"][1]
    assert own.raw["value"][1]["name"] == "{{ site }}-dns", "the inventory's own value has changed"


def test_a_variable_that_is_missing_is_none(read):
    assert HostVariables(read("1"), "lb1").get("nothing") is None


@pytest.mark.parametrize("value", ["[{name: '{{ missing }}'}]", "['{{ missing }}']", "{name: '{{ missing }}'}"])
def test_a_template_that_cannot_be_rendered_is_told_with_its_place(read, value):
    with pytest.raises(Unrendered) as found:
        HostVariables(read(value), "lb1").get("value")
    ((template, why),) = found.value.templates
    assert (template, why) == ("{{ missing }}", "'missing' is undefined")
    assert Origin.get_tag(template).line_num


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ rack }}", ". Only rs1 has it: set it in group_vars/all, or write the value"),
        ("{{ ansible_hostname }}", ". Facts are not gathered before an inventory is checked: write the value"),
        ("{{ missing }}", ""),
    ],
)
def test_a_variable_that_a_template_lacks_is_told_with_what_to_do(read, template, told):
    hostvars = read(f"'{template}'", hosts="{lb1: , rs1: {rack: 7}}")
    with pytest.raises(Unrendered) as error:
        HostVariables(hostvars, "lb1").get("value")
    ((_, why),) = error.value.templates
    assert why == f"'{template[3:-3]}' is undefined{told}"


def test_a_template_may_name_the_variables_of_another_host(read):
    hostvars = read("\"{{ hostvars['rs1'].rack + 1 }}\"", hosts="{lb1: , rs1: {rack: 7}}")
    assert HostVariables(hostvars, "lb1").get("value") == 8


def test_all_templates_that_cannot_be_rendered_are_told_at_once(read):
    value = (
        "[{name: '{{ missing }}', port: '{{ port }}'}, {name: '{{ 1 / 0 }}'}, {'{{ other }}': [1, '{{ another }}']}]"
    )
    with pytest.raises(Unrendered) as found:
        HostVariables(read(value), "lb1").get("value")
    assert [template for template, _ in found.value.templates] == ["{{ missing }}", "{{ 1 / 0 }}", "{{ another }}"]


def test_an_encrypted_string_is_decrypted(read, monkeypatch):
    secrets = [("default", VaultSecret(b"password"))]
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(secrets))
    encrypted = VaultLib(secrets).encrypt("secret").decode().replace("\n", "\n    ")
    hostvars = read(f"\n- name: web\n- name: !vault |\n    {encrypted}")
    found = HostVariables(hostvars, "lb1").get("value")
    assert found == [{"name": "web"}, {"name": "secret"}]
    assert type(found[1]["name"]) is type(hostvars["lb1"]["value"][1]["name"])


def test_without_raw_variables_of_ansible_each_value_is_rendered_by_it():
    """hostvars of another ansible-core, that has only the view which renders."""
    own = HostVariables({"lb1": {"value": "rendered"}}, "lb1")
    assert own.get("value") == "rendered"
    assert own.raw == {"value": "rendered"}


def test_where_the_view_cannot_render_single_values_it_renders_the_whole():
    class Hostvars(dict):
        def raw_get(self, name):
            return {"value": [{"name": "{{ site }}"}]}

    own = HostVariables(Hostvars(lb1={"value": [{"name": "paris"}]}), "lb1")
    assert own.get("value") == [{"name": "paris"}]
