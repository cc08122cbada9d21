"""Builds the collection lvskit.lvs from this tree.

    python -m tools.collection FOLDER     writes the collection's tree and its archive into FOLDER

The tree stays as it is; what differs in a collection is made here: folders have other names, lvskit's own modules, roles, filters
and lookups are called by their full names, and plugins import the model by the collection's path.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomllib
import yaml

ROOT = Path(__file__).resolve().parents[1]
NAME = "lvskit.lvs"
FOLDERS = {
    "action_plugins": "plugins/action",
    "callback_plugins": "plugins/callback",
    "filter_plugins": "plugins/filter",
    "library": "plugins/modules",
    "lookup_plugins": "plugins/lookup",
    "module_utils": "plugins/module_utils",
    "playbooks": "playbooks",
    "roles": "roles",
    "vars_plugins": "plugins/vars",
    "docs": "docs",
}
FILES = ("README.md", "CHANGELOG.md", "LICENSE")
_PATH = re.compile(r"^ansible\.module_utils\.__path__\.append\(.*\)\n\n?", re.MULTILINE)
_PATH_IMPORTS = re.compile(r"^(?:from pathlib import Path\n\n)?import ansible\.module_utils\n", re.MULTILINE)
_MODEL = re.compile(r"\bansible\.module_utils\.(lvs(?:_host|_controller)?)\b")


class Names:
    """lvskit's own modules, roles, filters and lookups, as the tree has them."""

    def __init__(self, files: Iterable[str]) -> None:
        stems: dict[str, set[str]] = {}
        for name in files:
            path = Path(name)
            kind = path.parts[1] if path.parts[0] == "roles" and len(path.parts) > 1 else path.stem
            stems.setdefault(path.parts[0], set()).add(kind)
        modules = "|".join(sorted(stems["library"] | stems["action_plugins"]))
        roles = "|".join(sorted(stems["roles"]))
        filters, lookups = ("|".join(sorted(stems[kind])) for kind in ("filter_plugins", "lookup_plugins"))
        self._rules = (
            (re.compile(rf"^(\s*(?:- )?)({modules}):(?=\s|$)", re.MULTILINE), rf"\1{NAME}.\2:"),
            (re.compile(rf"^(\s*(?:- )?(?:role|name): )({roles})$", re.MULTILINE), rf"\1{NAME}.\2"),
            (re.compile(rf"\|\s*({filters})\b"), rf"| {NAME}.\1"),
            (re.compile(rf"\b(query|lookup)\('({lookups})'"), rf"\1('{NAME}.\2'"),
            (re.compile(rf"\bM\(({modules})\)"), rf"M({NAME}.\1)"),
        )

    def full(self, text: str) -> str:
        """YAML, also in a module's documentation, with the full names."""
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return text


def python(text: str) -> str:
    """A file of Python, which imports the model from the collection."""
    without = _PATH.sub("", text)
    if without != text:
        without = _PATH_IMPORTS.sub("", without)
        if re.search(r"\bPath\(", without):
            without = without.replace(
                "from __future__ import annotations\n",
                "from __future__ import annotations\n\nfrom pathlib import Path\n",
                1,
            )
    return _MODEL.sub(rf"ansible_collections.{NAME}.plugins.module_utils.\1", without)


def version() -> str:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return str(found["project"]["version"])


def core() -> str:
    """The oldest ansible-core that the project runs on, as `requires_ansible` has it."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    versions = [re.search(r"ansible-core==(\d+\.\d+)", one) for one in groups["run"] if isinstance(one, str)]
    return f">={min(found[1] for found in versions if found)}.0"


def generated() -> dict[str, Any]:
    """The files that only a collection has."""
    return {
        "galaxy.yml": {
            "namespace": "lvskit",
            "name": "lvs",
            "version": version(),
            "readme": "README.md",
            "authors": ["lvskit"],
            "description": "Provisions Linux Virtual Server (IPVS) load balancers, and proves with packets that they work",
            "license_file": "LICENSE",
            "tags": ["networking", "linux", "infrastructure"],
            "dependencies": {},
        },
        "meta/runtime.yml": {"requires_ansible": core()},
        # Plugins on the controller import nothing but ansible-core and what it needs itself.
        "execution-environment.yml": {
            "version": 3,
            "dependencies": {
                "ansible_core": {"package_pip": f"ansible-core{core()}"},
                "ansible_runner": {"package_pip": "ansible-runner"},
                "galaxy": {"collections": [{"name": NAME, "version": version()}]},
                "system": ["openssh-clients [platform:rpm]", "openssh-client [platform:dpkg]", "git"],
            },
        },
    }


def write(folder: Path) -> Path:
    """The collection's tree below `folder`; its own folder."""
    root = folder / NAME.replace(".", "/")
    if root.exists():
        shutil.rmtree(root)
    listing = subprocess.run(
        ["git", "ls-files", *FOLDERS, *FILES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = listing.stdout.splitlines()
    names = Names(files)
    for name in files:
        top, _, rest = name.partition("/")
        target = root / (f"{FOLDERS[top]}/{rest}" if rest else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".py":
            text = python((ROOT / name).read_text())
            target.write_text(names.full(text) if top in ("library", "lookup_plugins") else text)
        elif target.suffix == ".yml" and top in ("playbooks", "roles"):
            target.write_text(names.full((ROOT / name).read_text()))
        else:
            shutil.copyfile(ROOT / name, target)
    for path, content in generated().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(yaml.safe_dump(content, sort_keys=False))
    return root


def build(folder: Path) -> Path:
    """The archive, which `ansible-galaxy collection install` takes."""
    root = write(folder / "tree")
    command = [str(Path(sys.executable).parent / "ansible-galaxy"), "collection", "build", "--force"]
    subprocess.run([*command, "--output-path", str(folder), str(root)], check=True, stdout=subprocess.DEVNULL)
    return folder / f"{NAME.replace('.', '-')}-{version()}.tar.gz"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(build(Path(sys.argv[1]).resolve()))
