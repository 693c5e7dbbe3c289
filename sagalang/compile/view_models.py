"""What the templates print, as plain data: every name and every line is decided."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassView:
    """A record, an error, an event, or what an operation answers."""

    name: str
    decorator: str
    base: str
    doc: str
    notes: tuple[str, ...]
    """Class attributes before the fields."""
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnumView:
    name: str
    doc: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OperationView:
    """`contract` and `method` stand in the Protocol, `builder` and `body` make calls."""

    contract: str
    method: str
    doc: str
    builder: str
    body: str


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`name` is that of the class that makes calls."""

    name: str
    protocol: str
    doc: str
    operations: tuple[OperationView, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class SagaView:
    signature: str
    doc: str
    body: str
    epilogue: str
    definition: str
    name: str


@dataclass(frozen=True, slots=True)
class ModuleView:
    doc: str
    imports: tuple[str, ...]
    exports: str
    enums: tuple[EnumView, ...]
    records: tuple[ClassView, ...]
    answers: tuple[ClassView, ...]
    errors: tuple[ClassView, ...]
    events: tuple[ClassView, ...]
    policies: tuple[str, ...]
    services: tuple[ServiceView, ...]
    services_constant: str
    constants: tuple[str, ...]
    helpers: tuple[str, ...]
    sagas: tuple[SagaView, ...]
    main: str
