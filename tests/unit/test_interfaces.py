"""What is documented is what is there: roles' argument_specs and defaults, modules' documentation and arguments."""

import importlib.util
from pathlib import Path

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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_modules_examples_and_return_values_can_be_read(path):
    module = loaded(path)
    assert path.stem in yaml.safe_load(module.EXAMPLES)[0]
    assert all(value["description"] for value in yaml.safe_load(module.RETURN).values())
