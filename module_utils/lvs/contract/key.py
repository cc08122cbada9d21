"""Keys of the contract, and the classes whose fields are keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar

from ..modes import TABLE, Mode
from .values import Fault, Kind, described, listing

REQUIRED: Any = object()


@dataclass(frozen=True)
class Key:
    """A key of a mapping of the inventory, or a variable.

    `meaning` is Markdown. `default` is the model's value where the key is absent, and `absent` what the documentation says of
    that. `modes` tells the rows of the table of modes that it is for; None: all of them. `field` names the model's field.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = REQUIRED
    absent: str = ""
    modes: Callable[[Mode], bool] | None = None
    field: str = ""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def fallback(self) -> Any:
        """The model's value where the key is absent or faulty."""
        return None if self.required else self.default

    @property
    def mode_names(self) -> tuple[str, ...]:
        """The modes that have a row which the key is for."""
        return tuple(dict.fromkeys(mode.name for mode in TABLE if self.modes is None or self.modes(mode)))


def key(
    kind: Kind,
    meaning: str,
    default: Any = REQUIRED,
    *,
    name: str = "",
    absent: str = "",
    modes: Callable[[Mode], bool] | None = None,
) -> Any:
    """A field of the model that is a key of the inventory, under the field's name where no other one is given."""
    said = {"key": Key(name, kind, meaning, default, absent, modes)}
    if default is REQUIRED:
        return field(metadata=said)
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=said)
    return field(default=default, metadata=said)


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """A class of the model whose fields are keys of the inventory.

    Fields that are not compared are values of the inventory as ansible-core has them: they know their places in its files,
    and do not leave the process that has read them. A pickle has these fields' defaults instead, and no cached properties.
    """

    OTHER_KEYS: ClassVar[tuple[Key, ...]] = ()  # keys of the mapping that are no fields of the class
    EITHER: ClassVar[tuple[str, ...]] = ()  # keys of which the mapping has exactly one
    LEAST: ClassVar[tuple[str, ...]] = ()  # keys of which the mapping has at least one
    DECISIVE: ClassVar[
        tuple[str, ...]
    ] = ()  # keys whose default is no substitute for a faulty value: other messages would follow from it

    def __getstate__(self) -> dict[str, Any]:
        own, others = _pickled(type(self))
        return {**{name: getattr(self, name) for name in own}, **others}


_PICKLED: dict[type[Keyed], tuple[tuple[str, ...], dict[str, Any]]] = {}  # read once for each class, as _KEYS


def _pickled(cls: type[Keyed]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The fields of a class that a pickle has, and the defaults of the others."""
    if cls not in _PICKLED:
        own = tuple(item.name for item in fields(cls) if item.compare)
        _PICKLED[cls] = own, {item.name: _default(item) for item in fields(cls) if not item.compare}
    return _PICKLED[cls]


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


class Keys(dict[str, Key]):
    """The keys of a class by their names, in the order they are declared.

    `defaults` by the names of fields; None for those that have none.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__((one.name, one) for one in keys)
        self.required = tuple(name for name, one in self.items() if one.required)
        self.defaults = {one.field: one.fallback for one in self.values() if one.field}


_KEYS: dict[
    type[Keyed], Keys
] = {}  # read once for each class: a mapping of the inventory is read a hundred thousand times


def keys_of(cls: type[Keyed]) -> Keys:
    if cls not in _KEYS:
        _KEYS[cls] = Keys(_declared(cls))
    return _KEYS[cls]


def _declared(cls: type[Keyed]) -> Iterator[Key]:
    yield from (
        replace(item.metadata["key"], name=item.metadata["key"].name or item.name, field=item.name)
        for item in dataclasses.fields(cls)
        if "key" in item.metadata
    )
    yield from cls.OTHER_KEYS


def schema_of(cls: type[Keyed]) -> dict[str, Any]:
    """The JSON Schema of a mapping with the keys of a class."""
    keys = keys_of(cls)
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: described_schema(one) for name, one in keys.items()},
        "required": list(keys.required),
        "additionalProperties": False,
    }
    if cls.EITHER:
        found["oneOf"] = [{"required": [name]} for name in cls.EITHER]
    if cls.LEAST:
        found["anyOf"] = [{"required": [name]} for name in cls.LEAST]
    return found


def described_schema(one: Key) -> dict[str, Any]:
    """The JSON Schema of a key's value, with what an editor shows beside it."""
    return {"description": one.meaning.replace("`", ""), **one.kind.schema()}


@dataclass(frozen=True)
class Nested(Kind):
    """A mapping with the keys of a class."""

    of: type[Keyed]

    @property
    def words(self) -> str:
        return "mapping"

    def schema(self) -> dict[str, Any]:
        return schema_of(self.of)


@dataclass(frozen=True)
class Entries(Nested):
    """A list of mappings with the keys of a class. `no_entry` is the rule and the message that refuse an empty one."""

    no_entry: tuple[str, str] | None = None

    @property
    def words(self) -> str:
        return "list of mappings"

    def read(self, value: Any) -> Sequence[Any]:
        entries = listing(value)
        if self.no_entry and not entries:
            raise Fault(*self.no_entry)
        return entries

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": schema_of(self.of), **({"minItems": 1} if self.no_entry else {})}


@dataclass(frozen=True)
class Named(Nested):
    """A mapping of names to mappings with the keys of a class. Where it is `filled`, it has one at least."""

    filled: bool = False

    @property
    def words(self) -> str:
        return "mapping of names to mappings"

    def read(self, value: Any) -> Mapping[Any, Any]:
        if not isinstance(value, Mapping):
            raise Fault("VALUE-TYPE", f"is {described(value)}, it must be a mapping of names to mappings")
        return value

    def schema(self) -> dict[str, Any]:
        least = {"minProperties": 1} if self.filled else {}
        return {"type": "object", "additionalProperties": schema_of(self.of), **least}
