"""Values as a person may see them: JSON by type, with secrets covered."""

from __future__ import annotations

from typing import Any

from sagalang.model.types import (
    InlineRecord,
    ListOf,
    MapOf,
    Optional,
    RecordRef,
    Secret,
    Type,
)
from sagalang.runtime.codec import plain
from sagalang.runtime.values import Values

COVER = "•••"


def shown(value: Any, type_: Type, values: Values) -> Any:
    """Plain data to print as JSON. Every secret in it is replaced by `•••`."""
    if value is None:
        return None
    match type_:
        case Secret():
            return COVER
        case Optional(item):
            return shown(value, item, values)
        case ListOf(item):
            return [shown(part, item, values) for part in value]
        case MapOf(item):
            return {name: shown(part, item, values) for name, part in value.items()}
        case _:
            fields = values.fields_of(type_) if isinstance(type_, RecordRef | InlineRecord) else ()
            if not fields:
                return plain(value, values.python_type(type_))
            return {
                wire: shown(part, field_type, values)
                for name, field_type, wire in fields
                if (part := values.get(value, name)) is not None
            }
