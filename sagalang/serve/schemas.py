"""The types of the language as JSON Schema (2020-12, as OpenAPI 3.1 has it). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sagalang.model.program import Program
from sagalang.model.types import (
    EnumRef,
    InlineRecord,
    ListOf,
    MapOf,
    Null,
    Optional,
    Primitive,
    RecordRef,
    Secret,
    Type,
    is_optional,
)

Schema = dict[str, Any]

_NUMBER: Final = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_PRIMITIVES: Final[Mapping[str, Schema]] = {
    "string": {"type": "string"},
    "int": {"type": "integer"},
    "decimal": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _NUMBER}]},
    "bool": {"type": "boolean"},
    "duration": {"type": "string", "format": "duration"},
    "datetime": {"type": "string", "format": "date-time"},
    "uuid": {"type": "string", "format": "uuid"},
    "json": {},
    "key": {"type": "string"},
}


class Schemas:
    """The schemas of a program's types; those of its records gather in `components`, under names
    that begin with `prefix`."""

    def __init__(self, program: Program, prefix: str) -> None:
        self._program, self._prefix = program, prefix
        self.components: dict[str, Schema] = {}

    def of(self, type_: Type) -> Schema:
        match type_:
            case Primitive(name):
                return dict(_PRIMITIVES[name])
            case Secret(item):
                return {"allOf": [self.of(item)], "writeOnly": True}
            case Optional(item):
                return {"anyOf": [self.of(item), {"type": "null"}]}
            case ListOf(item):
                return {"type": "array", "items": self.of(item)}
            case MapOf(item):
                return {"type": "object", "additionalProperties": self.of(item)}
            case EnumRef(name):
                wires = [wire for _, wire in self._program.enums[name].members]
                return {"type": "string", "enum": wires}
            case RecordRef(name):
                return self._named(name)
            case InlineRecord(fields):
                return self.record([(wire, t) for _, t, wire in fields])
            case Null():
                return {"type": "null"}
            case _:
                return {}

    def record(self, fields: list[tuple[str, Type]], doc: str = "") -> Schema:
        """`fields`: names on the wire, and types."""
        made: Schema = {
            "type": "object",
            "properties": {wire: self.of(type_) for wire, type_ in fields},
            "required": [wire for wire, type_ in fields if not is_optional(type_)],
            "additionalProperties": False,
        }
        return {**made, "description": doc} if doc else made

    def _named(self, name: str) -> Schema:
        # The names of components are ASCII.
        full = self._prefix + re.sub(r"[^A-Za-z0-9._-]", lambda x: f"-{ord(x[0]):x}-", name)
        if full not in self.components:
            self.components[full] = {}  # a record may hold itself
            found = self._program
            declared = next(
                t[name] for t in (found.records, found.errors, found.events) if name in t
            )
            self.components[full] = self.record(
                [(f.wire, f.type) for f in declared.fields], declared.doc
            )
        return {"$ref": f"#/components/schemas/{full}"}
