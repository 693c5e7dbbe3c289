"""Answers that a fake invents: valid by type, the same for the same seed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sagalang.machine.evaluate import instant
from sagalang.machine.frozen import FrozenMap
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
    Unknown,
)
from sagalang.runtime.values import Values

_EPOCH_2030 = 1_893_456_000_000
_DEEPEST = 4


class Inventor:
    """Makes up values. `name` and `number` show in texts: `auth-1`."""

    def __init__(self, program: Program, values: Values, seed: int) -> None:
        self._program = program
        self._values = values
        self._seed = seed

    def value(self, type_: Type, name: str, number: int, depth: int = 0) -> Any:
        """A value of the type. Optional parts are there, unless the type contains itself."""
        match type_:
            case Secret(item):
                return self.value(item, name, number, depth)
            case Optional(item):
                return None if depth > _DEEPEST else self.value(item, name, number, depth)
            case ListOf(item):
                return () if depth > _DEEPEST else (self.value(item, name, number, depth + 1),)
            case MapOf(item):
                if depth > _DEEPEST:
                    return FrozenMap()
                return FrozenMap({name: self.value(item, name, number, depth + 1)})
            case RecordRef() | InlineRecord():
                return self.record(type_, {}, number, depth)
            case EnumRef(enum):
                return self._program.enums[enum].members[0][0]
            case Primitive(primitive):
                return self._scalar(primitive, name, number)
            case Null() | Unknown():
                return None

    def record(self, type_: Type, given: dict[str, Any], number: int, depth: int = 0) -> Any:
        """A record of the type: the fields that are given, the others made up."""
        fields = {
            name: given[name] if name in given else self.value(field_type, name, number, depth + 1)
            for name, field_type, _ in self._values.fields_of(type_)
        }
        return self._values.make(type_, fields)

    def _scalar(self, primitive: str, name: str, number: int) -> Any:
        if primitive in ("string", "key"):
            return f"{name}-{number}"
        draw = Random(f"{self._seed}:{name}:{number}")
        match primitive:
            case "int":
                return draw.randint(1, 100)
            case "decimal":
                return Decimal(draw.randint(100, 99_999)).scaleb(-2)
            case "bool":
                return True
            case "duration":
                return timedelta(minutes=draw.randint(1, 120))
            case "datetime":
                return instant(_EPOCH_2030) + timedelta(minutes=draw.randint(0, 500_000))
            case "uuid":
                return uuid5(NAMESPACE_URL, f"{self._seed}:{name}:{number}")
            case _:
                return FrozenMap({name: number})
