"""The values of a checked program: its types as Python types, and what is done with values.

Nothing here sends, waits or reads a clock. Importing this module loads no network library.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from sagalang.machine.frozen import FrozenMap
from sagalang.model.program import Operation, Program, Record, Saga
from sagalang.model.types import (
    DECIMAL,
    JSON,
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
    is_optional,
)
from sagalang.runtime.codec import (
    DecodeError,
    Mode,
    encode,
    freeze,
    parse,
    read,
    refuse_unknown,
)
from sagalang.runtime.contract import Contract, ParamSpec, RejectionSpec
from sagalang.runtime.data import HIDDEN, Members, RecordValue, attribute

_PRIMITIVES: Final[Mapping[str, Any]] = {
    "string": str,
    "int": int,
    "decimal": Decimal,
    "bool": bool,
    "duration": timedelta,
    "datetime": Annotated[datetime, msgspec.Meta(tz=True)],
    "uuid": UUID,
    "json": Any,
    "key": str,
}


class Values:
    """What a program's values are made of. One per program: two would have two sets of classes,
    and records are equal only within one class."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._types: dict[Type, Any] = {}
        self._contracts: dict[str, Contract] = {}
        self.kept: dict[str, Any] = {}
        """What the interpreter made of each saga of the program, for its next run."""

    def python_type(self, type_: Type) -> Any:
        """The Python type of the values of this type, as `codec` reads and writes it.

        A record is a frozen Struct, a list a tuple, a map a `Mapping` (held as `FrozenMap`), an
        enum a `str` that holds the member's name, a secret what it hides (the type is marked, see
        `data.Secret`), `null` None.
        """
        found = self._types.get(type_, _ABSENT)
        if found is _ABSENT:
            found = self._types[type_] = self._make_type(type_)
        return found

    def _make_type(self, type_: Type) -> Any:
        match type_:
            case Primitive(name):
                return _PRIMITIVES[name]
            case Secret(item):
                return Annotated[self.python_type(item), HIDDEN]
            case Optional(item):
                inner = self.python_type(item)
                return inner if inner is Any else inner | None
            case ListOf(item):
                return tuple[self.python_type(item), ...]  # type: ignore[misc]
            case MapOf(item):
                return Mapping[str, self.python_type(item)]  # type: ignore[misc]
            case EnumRef(name):
                return Annotated[str, Members(self._program.enums[name].members)]
            case RecordRef(name):
                return self._make_record(type_, name)
            case InlineRecord():
                return self._make_record(type_, "Answer")
            case Null():
                return None
            case Unknown():
                return Any

    def _make_record(self, type_: Type, name: str) -> type[msgspec.Struct]:
        fields = self.fields_of(type_)
        definition: list[Any] = []
        for field, field_type, wire in fields:
            options = {"name": wire, **({"default": None} if is_optional(field_type) else {})}
            definition.append((attribute(field), Any, msgspec.field(**options)))
        secrets = frozenset(attribute(f) for f, t, _ in fields if isinstance(t, Secret))
        cls = msgspec.defstruct(
            name,
            definition,
            bases=(RecordValue,),
            namespace={"__secret_fields__": secrets},
            module=__name__,
            frozen=True,
            kw_only=True,
            omit_defaults=True,
        )
        # The class exists before the types of its fields do: they may lead back to it.
        self._types[type_] = cls
        for field, field_type, _ in fields:
            cls.__annotations__[attribute(field)] = self.python_type(field_type)
        return cls

    def declared(self, name: str) -> Record:
        """The record, error or event of this name."""
        program = self._program
        for table in (program.records, program.errors, program.events):
            if name in table:
                return table[name]
        raise KeyError(name)

    def fields_of(self, type_: Type) -> tuple[tuple[str, Type, str], ...]:
        """(name, type, name on the wire) of the fields of a record type, else nothing."""
        match type_:
            case Secret(item) | Optional(item):
                return self.fields_of(item)
            case RecordRef(name):
                return tuple((f.name, f.type, f.wire) for f in self.declared(name).fields)
            case InlineRecord(fields):
                return fields
            case _:
                return ()

    def make(self, type_: Type, fields: Mapping[str, Any]) -> Any:
        """A record of this type, by the names of its fields; or a map or json object."""
        match type_:
            case Secret(item) | Optional(item):
                return self.make(item, fields)
            case MapOf() | Unknown() | Primitive("json"):
                return FrozenMap(fields)
            case _:
                cls = self.python_type(type_)
                return cls(**{attribute(name): value for name, value in fields.items()})

    def get(self, value: Any, field: str) -> Any:
        """A field of a record, or an entry of a map or json object (KeyError if it has none)."""
        if isinstance(value, Mapping):
            return value[field]
        return getattr(value, attribute(field))

    def update(self, value: Any, fields: Mapping[str, Any]) -> Any:
        """A copy of the record (or map) with these fields changed."""
        if isinstance(value, Mapping):
            return FrozenMap({**value, **fields})
        changes = {attribute(name): item for name, item in fields.items()}
        return msgspec.structs.replace(value, **changes)

    def convert(self, value: Any, type_: Type) -> Any:
        """The value made to fit the type: an int as a decimal, a record as another whose fields
        it has (what the other lacks is dropped), anything as json; also inside lists, maps and
        optionals. A value that fits already is returned as it is."""
        match type_:
            case Secret(item):
                return self.convert(value, item)
            case Optional(item):
                return None if value is None else self.convert(value, item)
            case ListOf(item):
                return tuple(self.convert(element, item) for element in value)
            case MapOf(item):
                return FrozenMap({name: self.convert(e, item) for name, e in value.items()})
            case RecordRef() | InlineRecord():
                return self._convert_record(value, type_)
            case Primitive() if type_ == DECIMAL and isinstance(value, int):
                return Decimal(value)
            case Primitive() if type_ == JSON:
                return _as_json(value)
            case _:
                return value

    def _convert_record(self, value: Any, type_: Type) -> Any:
        cls = self.python_type(type_)
        if isinstance(value, cls):
            return value
        fields = {}
        for name, field_type, _ in self.fields_of(type_):
            attr = attribute(name)
            if hasattr(value, attr):
                fields[attr] = self.convert(getattr(value, attr), field_type)
            elif not is_optional(field_type):
                raise TypeError(f"a {type(value).__name__} has no field {name}")
        return cls(**fields)

    def contract(self, operation: Operation) -> Contract:
        """What a transport needs to know of the operation."""
        label = operation.label
        found = self._contracts.get(label)
        if found is None:
            found = self._contracts[label] = Contract(
                service=operation.service,
                operation=operation.name,
                is_query=operation.is_query,
                params=tuple(
                    ParamSpec(p.name, p.wire, self.python_type(p.type)) for p in operation.params
                ),
                result=self.python_type(operation.result),
                promises=operation.promises,
                rejects=tuple(
                    RejectionSpec(r.error, r.status, self._error_type(r.error))
                    for r in operation.rejects
                ),
                route=operation.route,
            )
        return found

    def _error_type(self, name: str) -> Any:
        error = self._program.errors.get(name)
        return self.python_type(RecordRef(name)) if error and error.fields else None


_ABSENT: Final = object()


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_as_json(item) for item in value)
    if isinstance(value, FrozenMap):
        return FrozenMap({name: _as_json(item) for name, item in value.items()})
    if isinstance(value, msgspec.Struct):
        return freeze(parse(encode(value, type(value))))
    if isinstance(value, timedelta | datetime | UUID):
        return msgspec.to_builtins(value)
    return value


# --- The input of a saga -----------------------------------------------------------------------


def decode_input(values: Values, saga: Saga, json_text: str | bytes) -> dict[str, Any]:
    """The saga's arguments by name, from a JSON object of its parameters.

    A saga of one parameter also takes that parameter's value itself, where the object does not
    have the parameter's name as a key. Raises `DecodeError`; its path begins with the parameter.
    Unknown fields are refused. A path never shows the keys of a map that may be secret.
    """
    fields = parse(json_text)
    if not isinstance(fields, dict):
        raise DecodeError("expected an object with the saga's parameters")
    return _read_params(values, saga, fields, Mode.INPUT)


def read_input(values: Values, saga: Saga, given: Any) -> dict[str, Any]:
    """The same from values of a Python program: what `decode_input` takes, as it is parsed; native
    values and objects with attributes in it; or such an object for the only parameter."""
    if isinstance(given, Mapping):
        return _read_params(values, saga, given, Mode.GIVEN)
    if len(saga.params) != 1:
        names = ", ".join(param.wire for param in saga.params) or "none"
        raise DecodeError(f"expected a mapping with the saga's parameters ({names})")
    (param,) = saga.params
    return {param.name: _read_param(values, param.name, param.type, given, Mode.GIVEN)}


def _read_params(
    values: Values, saga: Saga, fields: Mapping[str, Any], mode: Mode
) -> dict[str, Any]:
    params = {p.wire: p for p in saga.params}
    if len(params) == 1 and not params.keys() & fields.keys():
        (param,) = saga.params
        try:
            return {param.name: _read_param(values, param.name, param.type, fields, mode)}
        except DecodeError:
            known = {wire for _, _, wire in values.fields_of(param.type)}
            if known & fields.keys():
                raise
    refuse_unknown(fields, list(params))
    found = {}
    for wire, param in params.items():
        if wire in fields:
            found[param.name] = _read_param(values, wire, param.type, fields[wire], mode)
        elif is_optional(param.type):
            found[param.name] = None
        else:
            raise DecodeError("this parameter is missing", wire)
    return found


def _read_param(values: Values, name: str, type_: Type, value: Any, mode: Mode) -> Any:
    try:
        return read(value, values.python_type(type_), mode)
    except DecodeError as error:
        error.hide_keys = _holds_secret(values, type_)
        error.within(name)
        raise


def _holds_secret(values: Values, type_: Type) -> bool:
    """Whether a secret lies anywhere in the type, so that no key of a map may be shown."""
    seen: set[Type] = set()

    def hides(t: Type) -> bool:
        if t in seen:
            return False
        seen.add(t)
        match t:
            case Secret():
                return True
            case Optional(item) | ListOf(item) | MapOf(item):
                return hides(item)
            case _:
                return any(hides(field_type) for _, field_type, _ in values.fields_of(t))

    return hides(type_)
