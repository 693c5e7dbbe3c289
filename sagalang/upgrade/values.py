"""Whether expressions say the same, and whether values on record can be read by other types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from sagalang.model import program as p
from sagalang.model import types as t

_TYPED: Final = (p.MakeRecord, p.Convert)
"""Their type is part of what they do; that of others follows from what they are made of."""


def shape(program: p.Program, node: Any) -> Any:
    """What an expression, or a call, says: equal for two that do the same with the same names.
    The value of a constant stands for its name."""
    match node:
        case p.ConstantRef(name=name):
            return shape(program, program.constants[name].value)
        case tuple():
            return tuple(shape(program, item) for item in node)
        case Struct():
            left_out = {"span"} if isinstance(node, _TYPED) else {"span", "type"}
            names = (name for name in node.__struct_fields__ if name not in left_out)
            said = tuple(shape(program, getattr(node, name)) for name in names)
            return (type(node).__name__, *said)
        case p.Const() | None | str() | int():
            return type(node).__name__, node
        case _:
            return node


def readable(old: p.Program, new: p.Program, was: t.Type, is_: t.Type) -> bool:
    """Whether every value of the old type that is on record is one of the new type as well."""
    return _readable(old, new, was, is_, frozenset())


def _readable(
    old: p.Program, new: p.Program, was: t.Type, is_: t.Type, seen: frozenset[tuple[str, str]]
) -> bool:
    match was, is_:
        case t.Optional(a), t.Optional(b):
            return _readable(old, new, a, b, seen)
        case t.Secret(a), t.Secret(b):
            return _readable(old, new, a, b, seen)
        case (t.ListOf(a), t.ListOf(b)) | (t.MapOf(a), t.MapOf(b)):
            return _readable(old, new, a, b, seen)
        case _, t.Optional(b):
            return _readable(old, new, was, b, seen)
        case t.EnumRef(a), t.EnumRef(b):
            return _members(old, a) <= _members(new, b)
        case ((t.RecordRef() | t.InlineRecord()), (t.RecordRef() | t.InlineRecord())):
            names = (t.show(was), t.show(is_))
            if names in seen:
                return True
            had, has = _fields(old, was), _fields(new, is_)
            if had is None or has is None:
                return False
            return all(
                _readable(old, new, had[name], kind, seen | {names})
                if name in had
                else t.is_optional(kind)
                for name, kind in has.items()
            )
        case _:
            return was == is_


def _members(program: p.Program, enum: str) -> set[str]:
    return {name for name, _ in program.enums[enum].members}


def _fields(program: p.Program, type_: t.Type) -> Mapping[str, t.Type] | None:
    match type_:
        case t.InlineRecord(fields):
            return {name: kind for name, kind, _ in fields}
        case t.RecordRef(name):
            for table in (program.records, program.errors, program.events):
                if name in table:
                    return {field.name: field.type for field in table[name].fields}
    return None


def wire(program: p.Program, type_: t.Type, seen: frozenset[str] = frozenset()) -> Any:
    """How values of a type are written in requests."""
    match type_:
        case t.Optional(item) | t.Secret(item):
            return wire(program, item, seen)
        case t.ListOf(item) | t.MapOf(item):
            return type(type_).__name__, wire(program, item, seen)
        case t.EnumRef(name):
            return tuple(sorted(program.enums[name].members))
        case t.RecordRef(name) if name not in seen:
            tables = (program.records, program.errors, program.events)
            record = next(table[name] for table in tables if name in table)
            return {f.wire: wire(program, f.type, seen | {name}) for f in record.fields}
        case t.InlineRecord(fields):
            return {name: wire(program, kind, seen) for _, kind, name in fields}
        case _:
            return t.show(type_)


def mentions(node: Any, name: str) -> bool:
    """Whether an expression anywhere in the node names it."""
    return any(isinstance(found, p.Ref) and found.name == name for found in _nodes(node))


def by_own_key(node: Any) -> bool:
    """Whether the key of the step that is undone occurs in the node."""
    return any(isinstance(found, p.KeyOf) and found.step is None for found in _nodes(node))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, Struct):
        yield value
        for name in value.__struct_fields__:
            yield from _nodes(getattr(value, name))
