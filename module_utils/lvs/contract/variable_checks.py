"""Checks of variables that somebody gives: on the command line, and those of playbooks and roles in an inventory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..violations import Violation
from .values import Choice, Fault, Flag, Number, Text, nearest
from .variables import IN_INVENTORIES, OF_PLAYBOOKS, OF_ROLES, OLD_NAMES, Batches


def old_names(variables_by_host: Mapping[str, Mapping[str, Any]]) -> list[Violation]:
    """A warning for each variable of an inventory that has the name of version 0.1.0, with the first of its places.

    `variables_by_host` maps each host to its variables; their values need not be templated.
    """
    places: dict[str, Any] = {}
    for variables in variables_by_host.values():
        places.update({name: variables[name] for name in OLD_NAMES if name in variables and name not in places})
    return [
        Violation("OLD-NAME", f"{name} has no effect: lvskit's variable is {OLD_NAMES[name]} now. Rename it.", at, True)
        for name, at in places.items()
    ]


def refused_extra_vars(extra_vars: Mapping[str, Any]) -> list[str]:
    """A message for each refused variable of the command line: an old name, a misspelt one, or one with a value that it cannot have."""
    return [*_refused(extra_vars)]


def wrong_values(variables: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    """The variables of playbooks and roles with a value that they cannot have. Templates are not rendered, and pass."""
    for name, value in variables.items():
        variable = OF_ROLES.get(name) or OF_PLAYBOOKS.get(name)
        if variable is None or value is None or "{{" in str(value):
            continue
        try:
            if isinstance(variable.kind, Text) and variable.kind.pattern:
                variable.kind.read(str(value))
            elif isinstance(variable.kind, (Number, Flag, Choice, Batches)):
                variable.kind.read(value)
        except Fault as fault:
            yield name, fault


def _meant(name: str, known: Collection[str]) -> str:
    """The variable that is written otherwise: LVS_BATCHES, lvs-batches, or site_rollback without lvs_. Empty if there is none.

    A single word without lvs_, such as weight or services, may be a variable of the user's own.
    """
    word = name.lower().replace("-", "_")
    if word in known:
        return word
    whole = f"lvs_{word}"
    return whole if "_" in word and whole in {**OF_PLAYBOOKS, **OF_ROLES} else ""


def _refused(extra_vars: Mapping[str, Any]) -> Iterator[str]:
    known = {**IN_INVENTORIES, **OF_ROLES}
    for name in extra_vars:
        if name in OLD_NAMES:
            yield f"-e {name}: the variable is {OLD_NAMES[name]} now. Say -e {OLD_NAMES[name]}=…"
        elif name not in known and (meant := _meant(name, known)):
            yield f"-e {name}: lvskit's variable is {meant}. Say -e {meant}=…"
        elif name.startswith("lvs_") and name not in known:
            yield f"-e {name}: lvskit has no such variable: {nearest(name, known)}"
    if words := extra_vars.get("_raw_params"):
        yield f"-e: {words} stands behind a blank, and is no part of any variable. Write lists without blanks, and put texts with blanks into quotes."
    for name, fault in wrong_values(extra_vars):
        yield f"-e {name}: {extra_vars[name]} {fault}"
