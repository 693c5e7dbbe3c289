"""Values as a person may see them: JSON by type, with secrets covered."""

from __future__ import annotations

from typing import Any

from sagalang.model.types import (
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
            fields = values.fields_of(type_) if _is_record(type_) else ()
            if not fields:
                return plain(value, values.python_type(type_))
            return {
                wire: shown(part, field_type, values)
                for name, field_type, wire in fields
                if (part := values.get(value, name)) is not None
            }


def _is_record(type_: Type) -> bool:
    from sagalang.model.types import InlineRecord

    return isinstance(type_, RecordRef | InlineRecord)


def short(value: Any, limit: int = 60) -> str:
    """One line of JSON, cut where it is long."""
    import json
    from decimal import Decimal

    def default(item: Any) -> Any:
        return float(item) if isinstance(item, Decimal) else str(item)

    text = json.dumps(value, ensure_ascii=False, default=default)
    return text if len(text) <= limit else text[: limit - 1] + "…"
