"""The variable files of an inventory, as text: faults that Ansible reports without their place, or does not see.

Ansible reads `group_vars/NAME` and `host_vars/NAME`: a folder, and only where there is none a file with one of its endings.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible import constants, context
from ansible.module_utils.lvs.contract.values import nearest
from ansible.module_utils.lvs.contract.variables import ONCE

KINDS = {"group_vars": "group", "host_vars": "host"}
_VAULT = b"$ANSIBLE_VAULT"
_NO_VARIABLES = "this is no mapping of variables to values. Is the first line missing, such as lvs_services:?"
_ENCRYPTED = "the file is encrypted, and there is no password. Say --ask-vault-pass, or --vault-password-file FILE."
_NO_BREAK_SPACE = "\u00a0"
# YAML 1.1, integers that are not what they look like.
_BASES = {60: re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+"), 8: re.compile(r"[-+]?0[0-7_]+")}
_INTEGER = "tag:yaml.org,2002:int"
_MERGE = "tag:yaml.org,2002:merge"
_TAGS = ("!unsafe", "!vault", "!vault-encrypted")
_OWN = "lvs_"
_FOR_ALL = {"lvs_networks", "lvs_services", "lvs_directors"}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Fault:
    """Line and column begin with 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        path = Path(self.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True)
class Entity:
    """The files of one group or host that Ansible reads, and those that it does not read because there is a folder of the same name."""

    kind: str
    name: str
    files: tuple[str, ...]
    ignored: tuple[str, ...] = ()


def entities(folder: str) -> Iterator[Entity]:
    """All groups and hosts with variable files beside the inventory in `folder`."""
    for kind in KINDS:
        found: dict[str, dict[str, str]] = {}  # paths by name and ending
        base = os.path.join(folder, kind)
        for entry in sorted(os.listdir(base)) if os.path.isdir(base) else ():
            name, ending = os.path.splitext(entry)
            if _read(entry) and (not ending or ending in constants.YAML_FILENAME_EXTENSIONS):
                found.setdefault(name, {})[ending] = os.path.join(base, entry)
        for name, paths in found.items():
            endings = [ending for ending in ("", *constants.YAML_FILENAME_EXTENSIONS) if ending in paths]
            first = paths[endings[0]]
            files = tuple(_below(first)) if os.path.isdir(first) else (first,)
            yield Entity(kind, name, files, tuple(paths[ending] for ending in endings[1:]))


def _read(entry: str) -> bool:
    return not entry.startswith(".") and not entry.endswith("~")


def _below(folder: str) -> Iterator[str]:
    """The files of a folder in the order in which Ansible reads them; the last one that sets a variable counts."""
    for entry in sorted(os.listdir(folder)):
        path, ending = os.path.join(folder, entry), os.path.splitext(entry)[1]
        if not _read(entry):
            continue
        if os.path.isdir(path):
            yield from () if ending else _below(path)
        elif not ending or ending in constants.YAML_FILENAME_EXTENSIONS:
            yield path


def sources(folder: str, given: Iterable[str]) -> list[str]:
    """What there is to examine of a folder, of which Ansible asks for variables: the inventories `given` (-i) that are files in it, or itself."""
    folder = os.path.realpath(folder)
    files = (os.path.realpath(one) for one in given if os.path.isfile(one))
    return [one for one in files if os.path.dirname(one) == folder] or [folder]


def faults(source: str) -> list[Fault]:
    """What is wrong with an inventory: with the variable files beside it, and with its own YAML files. `source` is its file or folder."""
    found: list[Fault] = []
    folder = beside(source)
    inline = _inline(source)
    found += [_once(key, place) for own in inline.values() for key, place in own.items() if key in ONCE]
    for entity in entities(folder):
        places = inline.get((entity.kind, entity.name), {})  # where each variable is set
        if (entity.kind, entity.name) == ("group_vars", "all"):
            # They count more than those of any group in the inventory's own files.
            groups = [own for (kind, _), own in inline.items() if kind == "group_vars"]
            places = {key: place for own in groups for key, place in own.items()}
        for path in entity.files:
            document, wrong = parsed(path)
            found += wrong
            if document is not None and not isinstance(document, yaml.MappingNode):
                found.append(_at(path, document.start_mark, _NO_VARIABLES))
            for key, place in _variables(document, path):
                if key in ONCE:
                    found.append(_once(key, place))
                if key in places:
                    found.append(_twice(key, places[key], place))
                places[key] = place
    for path in _inventory(source):
        if path.endswith((".yml", ".yaml", ".json")):
            found += parsed(path)[1]
    return found


def of_all(source: str) -> dict[str, Fault]:
    """lvskit's variables of all hosts in an inventory, each with its place; the last one that Ansible reads counts."""
    found = dict(_inline(source).get(("group_vars", "all"), {}))
    for entity in entities(beside(source)):
        if (entity.kind, entity.name) == ("group_vars", "all"):
            for path in entity.files:
                found.update(_variables(parsed(path)[0], path))
    return found


def _inline(source: str) -> dict[tuple[str, str], dict[str, Fault]]:
    """The variables of lvskit's that the inventory's own files set, by the kind and name of the group or host; its places."""
    found: dict[tuple[str, str], dict[str, Fault]] = {}
    for path in _inventory(source):
        if path.endswith((".yml", ".yaml", ".json")):
            document = parsed(path)[0]
            for kind, name, variables in _of_groups(document):
                found.setdefault((kind, name), {}).update(_variables(variables, path))
        elif not os.path.splitext(path)[1] or path.endswith((".ini", ".cfg")):
            for kind, name, key, line in _of_ini(Path(path).read_text(encoding="utf-8", errors="replace")):
                found.setdefault((kind, name), {})[key] = Fault(path, line, 1, "")
    return found


def _of_groups(document: yaml.Node | None) -> Iterator[tuple[str, str, yaml.Node]]:
    """The mappings of variables in an inventory of YAML: kind, group or host, and the mapping."""
    for group, parts in _items(document):
        for part, inner in _items(parts):
            if part == "vars":
                yield "group_vars", group, inner
            elif part == "hosts":
                yield from (("host_vars", host, variables) for host, variables in _items(inner))
            elif part == "children":
                yield from _of_groups(inner)


def _items(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _of_ini(text: str) -> Iterator[tuple[str, str, str, int]]:
    """The variables in an inventory of INI: kind, group or host, variable and line."""
    group, part = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if words.startswith("[") and words.endswith("]"):
            group, _, part = words[1:-1].partition(":")
        elif part == "vars" and words.startswith(_OWN):
            yield "group_vars", group, words.partition("=")[0].strip(), number
        elif not part:
            host, *rest = words.split() or [""]
            keys = (one.partition("=")[0] for one in rest if "=" in one)
            yield from (("host_vars", host, key, number) for key in keys if key.startswith(_OWN))


def beside(source: str) -> str:
    """The folder in which Ansible looks for group_vars and host_vars."""
    return source if os.path.isdir(source) else os.path.dirname(source)


def _inventory(source: str) -> list[str]:
    if os.path.isfile(source):
        return [source]
    if not any(os.path.isdir(os.path.join(source, kind)) for kind in KINDS):
        return []  # the folder of a playbook
    return sorted(entry.path for entry in os.scandir(source) if entry.is_file())


def _variables(document: yaml.Node | None, path: str) -> Iterator[tuple[str, Fault]]:
    """lvskit's variables that a file sets, each with its place."""
    if isinstance(document, yaml.MappingNode):
        for key, _ in document.value:
            if isinstance(key, yaml.ScalarNode) and key.value.startswith(_OWN):
                yield key.value, _at(path, key.start_mark, "")


def _once(key: str, place: Fault) -> Fault:
    message = f"{key} says what one run is to do: say it on the command line (-e {key}=…). What lasts is {ONCE[key]}."
    return Fault(place.path, place.line, place.column, message)


def _twice(key: str, first: Fault, second: Fault) -> Fault:
    message = f"{key} is set in {Path(first.path).name}:{first.line}, too, and only the last one that Ansible reads counts. Set it in one file."
    return Fault(second.path, second.line, second.column, message)


def parsed(path: str) -> tuple[yaml.Node | None, list[Fault]]:
    """A file as nodes of YAML, and what is wrong with it. None where it is encrypted, empty, or no YAML."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        what = "is a link to nothing" if os.path.islink(path) else f"cannot be read: {error.strerror}"
        return None, [Fault(path, 1, 1, f"the file {what}. Remove it, or mend it.")]
    if raw.startswith(_VAULT):
        return None, [] if _has_password() else [Fault(path, 1, 1, _ENCRYPTED)]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        return None, [
            Fault(path, line, column, f"the byte 0x{raw[error.start]:02x} is no UTF-8. Save the file as UTF-8.")
        ]
    try:
        documents = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        return None, [] if _is_json(text) else [_unreadable(path, text, error)]
    except yaml.YAMLError as error:
        return None, [] if _is_json(text) else [Fault(path, 1, 1, f"no YAML: {error}")]
    if len(documents) > 1:
        return None, [_at(path, documents[1].start_mark, "a second document begins (---). A variable file has one.")]
    return (documents[0], list(_in(path, documents[0]))) if documents and documents[0] else (None, [])


def _has_password() -> bool:
    """Whether somebody has said where Ansible gets a password for encrypted files."""
    given = (context.CLIARGS.get(name) for name in ("ask_vault_pass", "vault_password_files", "vault_ids"))
    settings = (
        constants.config.get_config_value(name)
        for name in ("DEFAULT_VAULT_PASSWORD_FILE", "DEFAULT_VAULT_IDENTITY_LIST")
    )
    return any(given) or any(settings)


def _is_json(text: str) -> bool:
    """Whether it is JSON: Ansible reads it as that, also where it is no YAML."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# What the parser notices behind the fault, which is where it began to read; with what to look for.
_LATE = {
    "found unexpected end of stream": " It begins here, and does not end.",
    "could not find expected ':'": " Is a blank missing behind a colon?",
    "did not find expected ',' or '}'": " It begins here, and does not end.",
    "did not find expected ',' or ']'": " It begins here, and does not end.",
}


def _unreadable(path: str, text: str, error: yaml.MarkedYAMLError) -> Fault:
    ends = [mark for mark in (error.context_mark, error.problem_mark) if mark]
    first, last = (ends[0].line, ends[-1].line) if ends else (0, 0)
    for number, words in enumerate(text.splitlines()[first : last + 1], first + 1):
        indent = words[: len(words) - len(words.lstrip(" \t" + _NO_BREAK_SPACE))]
        if _NO_BREAK_SPACE in words.partition("#")[0]:
            column = words.index(_NO_BREAK_SPACE) + 1
            return Fault(path, number, column, "a no-break space (U+00A0). Write a space.")
        if "\t" in indent and (words.strip() or number > last):
            return Fault(path, number, indent.index("\t") + 1, "a tab. YAML is indented with spaces.")
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    if error.problem in _LATE and error.context_mark:
        return _at(path, error.context_mark, f"no YAML: {reason}.{_LATE[error.problem]}")
    mark = error.problem_mark or error.context_mark
    return Fault(path, (mark.line if mark else 0) + 1, (mark.column if mark else 0) + 1, f"no YAML: {reason}.")


def _in(path: str, node: yaml.Node) -> Iterator[Fault]:
    """What YAML allows, and what is not meant."""
    todo: list[tuple[yaml.Node, bool]] = [(node, False)]  # with whether it belongs to a variable of lvskit's
    seen: set[int] = set()
    while todo:
        node, own = todo.pop()
        if id(node) in seen:
            continue  # an alias
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: dict[str, yaml.Mark] = {}
            for key, value in node.value:
                if isinstance(key, yaml.MappingNode):
                    yield _at(path, node.start_mark, "a template begins the value. Put it into quotes.")
                    break
                if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        first = keys[key.value].line + 1
                        yield _at(
                            path, key.start_mark, f"duplicate key {key.value}: it is in line {first}, too. Remove one."
                        )
                    keys[key.value] = key.start_mark
                todo.append((value, own or str(key.value).startswith(_OWN)))
        elif isinstance(node, yaml.SequenceNode):
            todo += [(value, own) for value in node.value]
        elif node.tag.startswith("!") and node.tag not in _TAGS:
            yield _at(path, node.start_mark, f"Ansible knows no tag {node.tag}. Leave it out.")
        elif own and node.tag == _INTEGER:
            base = next((base for base, form in _BASES.items() if form.fullmatch(node.value)), 0)
            number = yaml.safe_load(node.value)
            if base and str(number) != node.value:
                message = (
                    f"YAML reads {node.value} as a number of base {base}: {number}. Put it into quotes, or correct it."
                )
                yield _at(path, node.start_mark, message)


def _at(path: str, mark: yaml.Mark, message: str) -> Fault:
    return Fault(path, mark.line + 1, mark.column + 1, message)


def unread(source: str, known: Mapping[str, Collection[str]]) -> list[Fault]:
    """Files that Ansible does not read: of no group or host of the inventory (`known`: their names by kind), or beside a folder.

    Only those that set variables of lvskit's.
    """
    found = []
    for entity in entities(beside(source)):
        word = KINDS[entity.kind]
        nobody = entity.name not in known[entity.kind]
        for path in (*(entity.files if nobody else ()), *entity.ignored):
            variables = dict(_variables(parsed(path)[0], path))
            if not variables:
                continue
            if not nobody:
                why = f"Ansible does not read it, because {entity.kind}/{entity.name} is a folder. Move it there."
            elif _FOR_ALL & variables.keys():
                why = f"there is no {word} {entity.name}, and they concern all. Move the file to group_vars/all/."
            else:
                why = f"there is no {word} {entity.name}: {nearest(entity.name, known[entity.kind])}"
            place = next(iter(variables.values()))
            found.append(Fault(path, place.line, place.column, f"these variables have no effect: {why}"))
    return found
