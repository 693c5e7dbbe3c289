"""A program for fakes, read off the contracts of a compiled module: its services and their types.

It has no sagas, so it says nothing of what undoes what: whoever makes fakes of it adds that.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

from sagalang.model import program as p
from sagalang.model import types as t
from sagalang.runtime.contract import Contract
from sagalang.runtime.saga_operations import NOWHERE
from sagalang.runtime.saga_services import Service
from sagalang.runtime.shapes import is_enum, is_record, record_fields

_SCALARS: Final[Mapping[Any, t.Type]] = {
    str: t.STRING,
    int: t.INT,
    Decimal: t.DECIMAL,
    bool: t.BOOL,
    timedelta: t.DURATION,
    datetime: t.DATETIME,
    UUID: t.UUID,
    Any: t.JSON,
    None: t.NULL,
    types.NoneType: t.NULL,
}


def fake_program(services: Iterable[Service[Any]]) -> p.Program:
    """The program of these services. Raises TypeError for a type that no compiled module has."""
    return _Reader().program(services)


class _Reader:
    """Types are read once each: a record may lead back to itself."""

    def __init__(self) -> None:
        self._records: dict[str, p.Record] = {}
        self._enums: dict[str, p.EnumDecl] = {}
        self._errors: dict[str, p.Record] = {}
        self._names: dict[type, str] = {}

    def program(self, services: Iterable[Service[Any]]) -> p.Program:
        listed = tuple(services)
        for service in listed:
            for contract in service.contracts:
                for rejection in contract.rejects:
                    self._error(rejection.error, rejection.type)
        made = {service.name: self._service(service) for service in listed}
        return p.Program(
            "", {}, records=self._records, enums=self._enums, errors=self._errors, services=made
        )

    def _service(self, service: Service[Any]) -> p.Service:
        operations = {c.operation: self._operation(c) for c in service.contracts}
        return p.Service(service.name, service.binding, (), operations, p.Policy(), "", "", NOWHERE)

    def _operation(self, contract: Contract) -> p.Operation:
        return p.Operation(
            contract.service,
            contract.operation,
            contract.is_query,
            tuple(
                p.Param(param.name, self._type(param.type), param.wire, NOWHERE)
                for param in contract.params
            ),
            self._type(contract.result),
            contract.route,
            contract.promises,
            tuple(p.Rejection(r.error, r.status, NOWHERE) for r in contract.rejects),
            None,
            None,
            p.Policy(),
            "",
            NOWHERE,
        )

    def _error(self, name: str, cls: Any) -> None:
        if name not in self._errors:
            self._errors[name] = p.Record(name, (), "", NOWHERE)
            fields = self._fields(cls) if cls is not None else ()
            self._errors[name] = p.Record(name, fields, "", NOWHERE)

    def _type(self, type_: Any) -> t.Type:
        if type_ in _SCALARS:
            return _SCALARS[type_]
        origin, args = get_origin(type_), get_args(type_)
        if origin is Annotated:
            return self._type(args[0])
        if origin in (Union, types.UnionType):
            (inner,) = (arg for arg in args if arg is not types.NoneType)
            return t.Optional(self._type(inner))
        if origin is tuple:
            return t.ListOf(self._type(args[0]))
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return t.MapOf(self._type(args[1]))
        if is_enum(type_):
            return self._enum(type_)
        if is_record(type_):
            return self._record(type_)
        raise TypeError(f"{type_!r} is none of the types of compiled modules")

    def _record(self, cls: type) -> t.Type:
        known = cls in self._names
        name = self._name(cls)
        if not known:
            self._records[name] = p.Record(name, self._fields(cls), "", NOWHERE)
        return t.RecordRef(name)

    def _enum(self, cls: Any) -> t.Type:
        name = self._name(cls)
        members = tuple((member.name, str(member.value)) for member in cls)
        self._enums.setdefault(name, p.EnumDecl(name, members, "", NOWHERE))
        return t.EnumRef(name)

    def _fields(self, cls: type) -> tuple[p.Field, ...]:
        return tuple(
            p.Field(found.name, self._type(found.type), found.wire, "", NOWHERE)
            for found in record_fields(cls)
        )

    def _name(self, cls: type) -> str:
        """The class's own name, unless a class of another module or an error has it."""
        if cls not in self._names:
            name, taken = cls.__name__, {*self._names.values(), *self._errors}
            while name in taken:
                name += "_"
            self._names[cls] = name
        return self._names[cls]
