"""The variables of a host, as in the inventory and with their templates rendered.

Ansible copies every mapping and every string of a value when it renders the templates in it. That takes five seconds for 10,000
services, even if they contain no template. Only the values that may contain one are therefore given to Ansible.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.lvs.violations import some
from jinja2 import Environment, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

_PLAIN = (bool, int, float, type(None))
_UNDEFINED = re.compile(r"^'(\w+)' is undefined")
_HEADER = "#jinja2:"  # the first line of a template that changes the marks of templates


class Unrendered(Exception):
    """Templates of a host's variable that cannot be rendered, each with Ansible's reason."""

    def __init__(self, host: str, variable: str, templates: Sequence[tuple[Any, str]]) -> None:
        super().__init__(f"{variable} of {host}: {'; '.join(why for _, why in templates)}")
        self.host, self.variable, self.templates = host, variable, templates


class HostVariables:
    """The variables of one host. `raw`: as in the inventory; `get` renders the templates of one of them."""

    def __init__(self, hostvars: Mapping[str, Any], name: str) -> None:
        self._hostvars, self.name = hostvars, name
        raw_get = getattr(hostvars, "raw_get", None)
        self.raw: Mapping[str, Any] = raw_get(name) if raw_get else self._rendering

    @cached_property
    def _rendering(self) -> Mapping[str, Any]:
        """Ansible's own view of the variables, which renders a whole value at each access. It lacks `hostvars`, which templates may name."""
        rendering: Mapping[str, Any] = self._hostvars[self.name]
        own = getattr(rendering, "_vars", None)
        if isinstance(own, dict):
            own.setdefault("hostvars", self._hostvars)
        return rendering

    def get(self, key: str) -> Any:
        """The rendered value of a variable, with the places in the inventory of all it contains; None if there is none.

        Raises Unrendered for templates that cannot be rendered.
        """
        value = self.raw.get(key)
        if not _to_render(value):
            return value
        engine = getattr(self._rendering, "_templar", None)
        try:
            return self._rendered(key, value, engine)
        except AnsibleError as error:
            found = list(unrendered(value, engine.template)) if engine else []
            reasons = [(at, why + self._remedy(why)) for at, why in found or [(value, str(error.message))]]
            raise Unrendered(self.name, key, reasons) from error

    def _remedy(self, why: str) -> str:
        """What to do about a variable that is not defined, as a sentence; empty for other faults."""
        named = _UNDEFINED.search(why)
        if not named:
            return ""
        name = named[1]
        raw_get = getattr(self._hostvars, "raw_get", None)
        owners = [str(host) for host in self._hostvars if raw_get and name in raw_get(host)]
        if owners:
            return f". Only {some(owners)} {'has' if len(owners) == 1 else 'have'} it: set it in group_vars/all, or write the value"
        if name.startswith("ansible_"):
            return ". Facts are not gathered before an inventory is checked: write the value"
        return ""

    def render(self, template: str) -> Any:
        """A template's value for this host; None if it cannot be rendered."""
        engine = getattr(self._rendering, "_templar", None)
        try:
            return engine.template(template) if engine else None
        except AnsibleError:
            return None

    def _rendered(self, key: str, value: Any, engine: Any) -> Any:
        if engine is None or not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            return self._rendering.get(key)
        found = copy.copy(value)  # keeps its place in the inventory
        found[:] = [engine.template(item) if _to_render(item) else item for item in value]
        return found


def of_hosts(value: Any, hosts: Sequence[HostVariables]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Each template in a value that hosts render differently, and the hosts by what it is for them."""
    alike: dict[str, bool] = {}  # variables, and whether all hosts have the same
    for template in _templates(value):
        if not all(_alike(name, hosts, alike) for name in _variables(template)):
            found: dict[str, list[str]] = {}
            for own in hosts:
                found.setdefault(str(own.render(template)), []).append(own.name)
            if len(found) > 1:
                yield template, found


def _alike(name: str, hosts: Sequence[HostVariables], known: dict[str, bool]) -> bool:
    """Whether a variable, with those that its templates are made of, is the same for all hosts."""
    if name not in known:
        known[name] = True  # also while one of its own templates is made of it
        first = hosts[0].raw.get(name)
        known[name] = all(own.raw.get(name) is first or own.raw.get(name) == first for own in hosts) and all(
            _alike(other, hosts, known) for template in _templates(first) for other in _variables(template)
        )
    return known[name]


def _templates(value: Any) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        for own in value.values() if isinstance(value, dict) else value:
            yield from _templates(own)
    elif isinstance(value, str) and _to_render(value):
        yield value


@cache
def _variables(template: str) -> frozenset[str]:
    """The variables that a template names."""
    try:
        return frozenset(find_undeclared_variables(Environment().parse(template)))
    except TemplateSyntaxError:  # what it is then is said where it is rendered
        return frozenset()


def unrendered(value: Any, render: Callable[[Any], Any]) -> Iterator[tuple[Any, str]]:
    """Each template in a value that `render` cannot render, and why. What cannot be rendered as a whole has at least one."""
    if isinstance(value, dict):
        for own in value.values():
            yield from unrendered(own, render)
    elif isinstance(value, list):
        for own in value:
            yield from unrendered(own, render)
    elif _to_render(value):
        try:
            render(value)
        except AnsibleError as error:
            yield value, str(error.message)


def _to_render(value: Any) -> bool:
    """Whether a value may contain a template, or something else that Ansible replaces, such as an encrypted string."""
    if isinstance(value, str):
        return "{" in value or value.startswith(_HEADER)
    if isinstance(value, dict):
        return any(map(_to_render, value.values()))
    if isinstance(value, list):
        return any(map(_to_render, value))
    return not isinstance(value, _PLAIN)
