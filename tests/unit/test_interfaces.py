"""What is documented is what is there: roles' argument_specs and defaults, modules' documentation and arguments."""

import importlib.util
import sys
from pathlib import Path

import ansible.module_utils
import pytest
import yaml

PROJECT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir())
MODULES = sorted((PROJECT / "library").glob("*.py"))


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_argument_specs_and_defaults_agree(role):
    specs = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    file = PROJECT / "roles" / role / "defaults/main.yml"
    defaults = yaml.safe_load(file.read_text()) if file.exists() else {}
    options = specs["main"]["options"]
    assert {name: option["default"] for name, option in options.items() if not option.get("required")} == defaults


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_a_readme_that_names_its_variables(role):
    text = (PROJECT / "roles" / role / "README.md").read_text()
    specs = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert [name for name in specs["main"]["options"] if f"`{name}`" not in text] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_modules_documentation_is_that_of_its_arguments(path):
    module = loaded(path)
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == path.stem
    assert set(documented["attributes"]) == {"check_mode", "diff_mode"}
    arguments = getattr(module, "ARGUMENTS", None)
    if arguments is None:  # an action plugin's documentation
        arguments = loaded(PROJECT / "action_plugins" / path.name).ActionModule.SPEC
    described = {
        name: {key: option[key] for key in ("type", "default", "required", "choices", "elements") if key in option}
        for name, option in documented["options"].items()
    }
    assert described == arguments
    for option in documented["options"].values():
        texts = option["description"] if isinstance(option["description"], list) else [option["description"]]
        assert all(isinstance(text, str) and text.endswith((".", ")")) for text in texts), option
        assert option.keys() <= {"description", "type", "default", "required", "choices", "elements"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_modules_examples_and_return_values_can_be_read(path):
    module = loaded(path)
    assert path.stem in yaml.safe_load(module.EXAMPLES)[0]
    assert all(value["description"] for value in yaml.safe_load(module.RETURN).values())


PLUGINS = [
    path
    for kind in ("action", "callback", "filter", "lookup", "vars")
    for path in sorted((PROJECT / f"{kind}_plugins").glob("*.py"))
]


@pytest.fixture
def as_installed(monkeypatch):
    """Ansible's own module_utils alone, and none of lvskit's imported."""
    utils = ansible.module_utils
    monkeypatch.setattr(utils, "__path__", utils.__path__[:1])
    there = {name: module for name, module in sys.modules.items() if name.startswith("ansible.module_utils.lvs")}
    for name in (name.rpartition(".")[2] for name in there if name.count(".") == 2):
        monkeypatch.setattr(utils, name, None)
    for name in there:
        del sys.modules[name]
    yield utils
    for name in [name for name in sys.modules if name.startswith("ansible.module_utils.lvs")]:
        del sys.modules[name]
    sys.modules.update(there)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_a_plugin_finds_the_model_by_itself(path, as_installed):
    """Ansible adds a project's module_utils for modules on hosts only."""
    loaded(path)
    assert as_installed.__path__[1:] == [str(PROJECT / "module_utils")]
