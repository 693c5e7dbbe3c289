"""The types of the language, as frozen values.

Named records and enums are held by name, so that a record may contain itself; their fields are
found in the `Program`. Aliases (`type X = ...`) are gone by the time a `Type` exists.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Primitive(Struct, frozen=True, gc=False):
    """`string int decimal bool duration datetime uuid json key`."""

    name: str


class ListOf(Struct, frozen=True, gc=False):
    item: Type


class MapOf(Struct, frozen=True, gc=False):
    """A map with string keys."""

    item: Type


class Optional(Struct, frozen=True, gc=False):
    """`T?`: a value or null. Never nested."""

    item: Type


class Secret(Struct, frozen=True, gc=False):
    """`secret T`: a value that must never be seen. Always outside `Optional`, never nested."""

    item: Type


class RecordRef(Struct, frozen=True, gc=False):
    """A declared record, or the fields of an error or event, by name."""

    name: str


class EnumRef(Struct, frozen=True, gc=False):
    name: str


class InlineRecord(Struct, frozen=True, gc=False):
    """`{ a: T }` written in place: the result of an operation. Fields in text order."""

    fields: tuple[tuple[str, Type, str], ...]
    """(name, type, name on the wire)"""


class Null(Struct, frozen=True, gc=False):
    """The type of `null`, and of a call that answers nothing."""


class Unknown(Struct, frozen=True, gc=False):
    """The type of a poisoned expression: fits everything, so that one mistake is told once."""


Type = (
    Primitive
    | ListOf
    | MapOf
    | Optional
    | Secret
    | RecordRef
    | EnumRef
    | InlineRecord
    | Null
    | Unknown
)

STRING: Final = Primitive("string")
INT: Final = Primitive("int")
DECIMAL: Final = Primitive("decimal")
BOOL: Final = Primitive("bool")
DURATION: Final = Primitive("duration")
DATETIME: Final = Primitive("datetime")
UUID: Final = Primitive("uuid")
JSON: Final = Primitive("json")
KEY: Final = Primitive("key")
NULL: Final = Null()
UNKNOWN: Final = Unknown()

PRIMITIVES: Final = {
    t.name: t for t in (STRING, INT, DECIMAL, BOOL, DURATION, DATETIME, UUID, JSON, KEY)
}


def optional(item: Type) -> Type:
    """`item?`, without nesting; a secret stays outermost."""
    match item:
        case Optional() | Null() | Unknown():
            return item
        case Secret(inner):
            return Secret(optional(inner))
        case _:
            return Optional(item)


def secret(item: Type) -> Type:
    return item if isinstance(item, Secret | Unknown) else Secret(item)


def reveal(item: Type) -> Type:
    """The type without its outermost `secret`."""
    return item.item if isinstance(item, Secret) else item


def required(item: Type) -> Type:
    """The type without its outermost `?`; `secret` stays."""
    match item:
        case Optional(inner):
            return inner
        case Secret(Optional(inner)):
            return Secret(inner)
        case _:
            return item


def is_optional(item: Type) -> bool:
    return isinstance(reveal(item), Optional | Null)


def show(item: Type) -> str:
    """The type as its user would write it."""
    match item:
        case Primitive(name) | RecordRef(name) | EnumRef(name):
            return name
        case ListOf(inner):
            return f"list<{show(inner)}>"
        case MapOf(inner):
            return f"map<{show(inner)}>"
        case Optional(inner):
            return f"{show(inner)}?"
        case Secret(inner):
            return f"secret {show(inner)}"
        case InlineRecord(fields):
            return "{ " + ", ".join(f"{name}: {show(t)}" for name, t, _ in fields) + " }"
        case Null():
            return "null"
        case Unknown():
            return "?"
