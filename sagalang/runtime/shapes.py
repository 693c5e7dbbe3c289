"""The fields of a record class, whichever way it was made.

The interpreter makes msgspec Structs at run time; a compiled module declares dataclasses.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, NamedTuple, get_type_hints

import msgspec

from sagalang.runtime.data import field_name


class RecordField(NamedTuple):
    """`attr` is the attribute, `name` the field's name in the language. `optional`: it may be
    left out, and is null then."""

    attr: str
    name: str
    wire: str
    type: Any
    optional: bool


def is_record(type_: Any) -> bool:
    return isinstance(type_, type) and (
        issubclass(type_, msgspec.Struct) or dataclasses.is_dataclass(type_)
    )


def is_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Enum)


def record_fields(cls: type) -> tuple[RecordField, ...]:
    """The fields in order. Where the attribute of a dataclass does not tell the field's name,
    `metadata={"name": ...}` does; another name on the wire is `metadata={"wire": ...}`."""
    if issubclass(cls, msgspec.Struct):
        return tuple(
            RecordField(
                f.name,
                field_name(f.name),
                f.encode_name,
                f.type,
                f.default is not msgspec.NODEFAULT,
            )
            for f in msgspec.structs.fields(cls)
        )
    hints = get_type_hints(cls, include_extras=True)
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = {f.name: f.metadata.get("name", field_name(f.name)) for f in fields}
    return tuple(
        RecordField(
            f.name,
            names[f.name],
            f.metadata.get("wire", names[f.name]),
            hints[f.name],
            f.default is not dataclasses.MISSING,
        )
        for f in fields
    )
