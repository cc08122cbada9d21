"""Writes the files that are generated from the code: pages of docs/, the schema for editors, argument_specs of roles.

`python -m tools.docs` writes all of them, `python -m tools.docs schema` prints the schema.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.lvs import inventory, rules
from ansible.module_utils.lvs.contract.directors import DirectorGroup
from ansible.module_utils.lvs.contract.key import Key, Keyed, Nested, keys_of
from ansible.module_utils.lvs.contract.schema import schema
from ansible.module_utils.lvs.contract.values import Number
from ansible.module_utils.lvs.contract.variables import PLAYBOOKS, ROLES, Role, Variable
from ansible.module_utils.lvs.findings import CHECKS
from ansible.module_utils.lvs.topology import Host, Network, Service, Topology
from ansible.module_utils.lvs.violations import Violation

PROJECT = Path(__file__).resolve().parents[1]
EXAMPLES = PROJECT / "tests/unit"  # base.yml and broken/: an environment in order, and what is wrong with others

INVENTORY = """\
# The inventory

Generated from the code. One folder in `inventory/` for each environment. The tables below list all keys. Any other key that
begins with `lvs_`, or inside these keys, is an error; the message contains the nearest known key. A number may be a quoted string of
digits, as templates produce them; a boolean is not a number.

`lvs_networks`, `lvs_services` and `lvs_directors` are environment-wide: define them in group_vars/all. A host or group that overrides them is
refused.

## `lvs_networks` (group_vars/all)

A mapping: a layer-2 segment for each name.

{networks}
## `lvs_services` (group_vars/all)

A list of virtual services.

{services}
## `lvs_directors` (group_vars/all)

A mapping: by its name each group of directors of which one takes over when another dies. See [pairs.md](pairs.md).

{directors}
## Host variables

{hosts}
## Groups

`directors`, `real_servers` (with any children), and `clients`: hosts that may send requests. `playbooks/verify.yml` uses
the first client that has an interface. `hypervisors`, optional: hosts in front of real servers that restore
clients' addresses for them.

## Variables of the playbooks

Give them with `-e`, or define them in the inventory. Names are separated by commas, or a list (`-e '{"lvs_drain": ["rs1",
"rs2"]}'`). A relative file name is relative to the current folder. For `toa_*` see [roles/toa](../roles/toa/README.md).

{playbooks}
## In an editor

[inventory.schema.json](inventory.schema.json) is the JSON Schema of files in group_vars and host_vars: an editor that reads
it completes keys, shows their meaning, and marks misspelt ones and values out of range. For the YAML extension of VS Code, set
in `.vscode/settings.json`:

```json
{"yaml.schemas": {"docs/inventory.schema.json": ["inventory/*/group_vars/**/*.yml", "inventory/*/host_vars/**/*.yml"]}}
```

For inventories in another repository, `make schema` prints it. It describes single values; `playbooks/validate.yml` also
checks what concerns several of them, such as a VIP and the networks of its directors.
"""

RULES = """\
# What is refused, and why

Generated from the code. `playbooks/validate.yml` checks all of these at once, and `playbooks/site.yml` before it touches a
host. In an id, `{mode}` stands for the service's mode and `{carrier}` for what carries the client's address. Each rule lists
the messages of small broken inventories; each message says how to fix the fault.

"""

FORM = """
## The form of an inventory

Syntax and range errors, independent of the packet path.

"""

FINDINGS = """\
# What preflight and trace check

Generated from the code. `playbooks/preflight.yml` checks all hosts, before the first run (state that lvskit would create is not reported
as missing) and after it. `playbooks/trace.yml` checks the hosts that a request passes. Both change nothing: they send ARP probes, which
enter no neighbour table, and ICMP echo requests, and read the kernel's state. A finding contains the host, the found state, the needed
state, and the effect on packets. A fault stops packets now; a risk does not yet.

| id | checks that |
|---|---|
"""

SPECS = "# Generated from module_utils/lvs/contract/variables.py by `make docs`.\n"


def broken() -> dict[str, dict[str, Any]]:
    """The broken inventories by their names; what they do not say is as in the base environment. `expect` is the message."""
    base = yaml.safe_load((EXAMPLES / "base.yml").read_text())
    paths = sorted((EXAMPLES / "broken").glob("*.yml"))
    return {path.stem: {**base, **yaml.safe_load(path.read_text())} for path in paths}


def parsed(raw: Mapping[str, Any]) -> tuple[Topology, list[Violation]]:
    """The topology of such an inventory, and the faults of form in it."""
    groups = {"all": list(raw["hosts"]), **raw["groups"]}
    topology, faults = inventory.parse(raw["networks"], raw["services"], raw["hosts"], groups, raw.get("directors"))
    return topology, faults


def rules_page() -> str:
    """The rules in the catalogue's order, each with the messages of the broken inventories that it refuses."""
    examples = [parsed(raw) for raw in broken().values()]
    lines: list[str] = []
    for rule in rules.CATALOGUE:
        refuses = "Warns of" if rule.warning else "Refuses"
        lines += [f"## {rule.id}", "", f"{refuses} {rule.refuses}.", "", rule.reason, ""]
        told = (violation.message for topology, _ in examples for violation in rule.violations(topology))
        lines += [*(f"- {message}" for message in dict.fromkeys(told)), ""]
    form = sorted({f"- `{fault.rule}`: {fault.message}" for _, faults in examples for fault in faults})
    return RULES + "\n".join(lines) + FORM + "\n".join(form) + "\n"


def checks_page() -> str:
    return FINDINGS + "".join(f"| {id} | {text} |\n" for id, text in CHECKS.items())


def inventory_page() -> str:
    """Every key and variable of the contract."""
    variables = [v for v in (*PLAYBOOKS, *(v for role in ROLES for v in role.variables)) if not v.given]
    heads = ("variable", "playbooks", "value", "default", "meaning")
    playbooks = table(heads, ((f"`{v.name}`", ", ".join(v.playbooks), *cells(v)) for v in variables))
    parts = {
        "networks": keys(Network),
        "services": keys(Service),
        "directors": keys(DirectorGroup),
        "hosts": keys(Host),
        "playbooks": playbooks,
    }
    page = INVENTORY
    for name, text in parts.items():
        page = page.replace(f"{{{name}}}", text)
    return page


def keys(cls: type[Keyed]) -> str:
    """A table of the keys of a class, and one for each class that is nested in it."""
    own = keys_of(cls)
    page = table(("key", "value", "default", "meaning"), ((f"`{key.name}`", *cells(key)) for key in own.values()))
    for key in own.values():
        if isinstance(key.kind, Nested):
            page += f"\n### `{key.name}`\n\n{key.kind.words.capitalize()} with these keys:\n\n{keys(key.kind.of)}"
    return page


def cells(key: Key) -> tuple[str, str, str]:
    """What a table says of a key's value, default and meaning."""
    modes = f"{', '.join(key.mode_names)}: " if key.modes else ""
    return key.kind.words, default(key), f"{modes}{key.meaning}"


def default(key: Key) -> str:
    if key.required:
        return "required"
    if key.absent:
        return str(key.absent)
    if key.default in (None, "", ()):
        return "none"
    return f"`{said(key.default)}`"


def said(value: Any) -> str:
    """A value as YAML has it."""
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1000, sort_keys=False).partition("\n")[0]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, *rows)).replace(
        f"| {' | '.join(heads)} |\n", f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n", 1
    )


def specs(role: Role) -> str:
    """A role's meta/argument_specs.yml."""
    options = {variable.name: option(variable) for variable in role.variables}
    main = {"short_description": role.title, "description": [role.description], "options": options}
    return SPECS + yaml.dump({"argument_specs": {"main": main}}, Dumper=Indented, sort_keys=False, width=130)


def option(variable: Variable) -> dict[str, Any]:
    unit = f" ({variable.kind.unit})" if isinstance(variable.kind, Number) and variable.kind.unit else ""
    sentence = f"{variable.meaning[0].upper()}{variable.meaning[1:]}{unit}."
    need = {"required": True} if variable.required else {"default": _plain(variable.default)}
    return {"description": sentence, **variable.kind.spec(), **need}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class Indented(yaml.SafeDumper):
    """Lists are indented, as yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def schema_text() -> str:
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def files() -> Iterator[tuple[Path, str]]:
    """Each generated file, and what it has to have in it."""
    yield PROJECT / "docs/rules.md", rules_page()
    yield PROJECT / "docs/checks.md", checks_page()
    yield PROJECT / "docs/inventory.md", inventory_page()
    yield PROJECT / "docs/inventory.schema.json", schema_text()
    for role in ROLES:
        yield PROJECT / "roles" / role.name / "meta/argument_specs.yml", specs(role)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["all", "schema"], default="all")
    if parser.parse_args().what == "schema":
        print(schema_text(), end="")
        return
    for path, text in files():
        path.write_text(text)


if __name__ == "__main__":
    main()
