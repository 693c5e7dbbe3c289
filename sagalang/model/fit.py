"""Which values fit where: assignability, joins, and the conversions that make them fit."""

from __future__ import annotations

from sagalang.model.context import Context
from sagalang.model.types import (
    BOOL,
    DECIMAL,
    INT,
    JSON,
    NULL,
    STRING,
    InlineRecord,
    ListOf,
    MapOf,
    Null,
    Optional,
    RecordRef,
    Secret,
    Type,
    Unknown,
    optional,
    secret,
)


def fits(context: Context, given: Type, wanted: Type) -> bool:
    """Whether a value of type `given` may stand where `wanted` is needed.

    Secrets fit only secrets; an int fits a decimal; an inline record fits a record whose fields
    it has.
    """
    if given == wanted or isinstance(given, Unknown) or isinstance(wanted, Unknown):
        return True
    match given, wanted:
        case Secret(inner), Secret(outer):
            return fits(context, inner, outer)
        case Secret(), _:
            return False
        case _, Secret(outer):
            return fits(context, given, outer)
        case Null(), Optional():
            return True
        case Optional(inner), Optional(outer):
            return fits(context, inner, outer)
        case Optional() | Null(), _:
            return wanted == JSON and fits(context, getattr(given, "item", JSON), JSON)
        case _, Optional(outer):
            return fits(context, given, outer)
        case ListOf(inner), ListOf(outer):
            return fits(context, inner, outer)
        case MapOf(inner), MapOf(outer):
            return fits(context, inner, outer)
        case InlineRecord(fields), RecordRef() | InlineRecord():
            have = {name: t for name, t, _ in fields}
            return all(
                fits(context, have.get(name, NULL), t) for name, t in record_fields(context, wanted)
            )
        case InlineRecord(fields), MapOf(outer):
            return all(fits(context, t, outer) for _, t, _ in fields)
        case _, _ if wanted == JSON:
            return _fits_json(context, given)
        case _:
            return given == INT and wanted == DECIMAL


def _fits_json(context: Context, given: Type) -> bool:
    match given:
        case ListOf(inner) | MapOf(inner):
            return fits(context, inner, JSON)
        case InlineRecord(fields):
            return all(fits(context, t, JSON) for _, t, _ in fields)
        case _:
            return given in (STRING, INT, DECIMAL, BOOL, JSON)


def needs_conversion(given: Type, wanted: Type) -> bool:
    """Whether a fitting value has to be changed to be of the wanted type."""
    match given, wanted:
        case Unknown() | Null(), _:
            return False
        case _, Unknown():
            return False
        case Secret(inner), Secret(outer):
            return needs_conversion(inner, outer)
        case _, Secret(outer):
            return needs_conversion(given, outer)
        case Optional(inner), Optional(outer):
            return needs_conversion(inner, outer)
        case _, Optional(outer):
            return needs_conversion(given, outer)
        case (ListOf(inner), ListOf(outer)) | (MapOf(inner), MapOf(outer)):
            return needs_conversion(inner, outer)
        case _:
            return given != wanted


def record_fields(context: Context, item: Type) -> tuple[tuple[str, Type], ...]:
    """Names and types of the fields of a record type; nothing for other types."""
    match item:
        case InlineRecord(fields):
            return tuple((name, t) for name, t, _ in fields)
        case RecordRef(name):
            record = context.fields_of(name)
            return tuple((f.name, f.type) for f in record.fields) if record else ()
        case _:
            return ()


def join(context: Context, one: Type, other: Type) -> Type | None:
    """The smallest type both fit, or None."""
    if fits(context, one, other):
        return other
    if fits(context, other, one):
        return one
    match one, other:
        case (Secret(a), Secret(b)) | (Secret(a), b) | (a, Secret(b)):
            inner = join(context, a, b)
            return secret(inner) if inner else None
        case (Null(), t) | (t, Null()):
            return optional(t)
        case (Optional(a), Optional(b)) | (Optional(a), b) | (a, Optional(b)):
            inner = join(context, a, b)
            return optional(inner) if inner else None
        case ListOf(a), ListOf(b):
            inner = join(context, a, b)
            return ListOf(inner) if inner else None
        case MapOf(a), MapOf(b):
            inner = join(context, a, b)
            return MapOf(inner) if inner else None
        case _:
            return None
