"""The Python types of what a journal holds, by the names that stand in it.

Interpreted runs have them from the program, compiled ones from their module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from sagalang.machine.definition import Definition, define
from sagalang.machine.evaluate import Build
from sagalang.machine.events import Purpose
from sagalang.model.program import ChildStep, Poll, Program, Step, Wait
from sagalang.model.types import RecordRef
from sagalang.runtime.contract import Contract
from sagalang.runtime.saga_calls import SagaDefinition
from sagalang.runtime.saga_errors import SagaError
from sagalang.runtime.saga_services import Service
from sagalang.runtime.saga_statements import given
from sagalang.runtime.values import Values


class Types(Protocol):
    """What a definition says of values. Each raises KeyError for a name that it does not have."""

    def params(self, saga: str) -> Mapping[str, Any]:
        """The types of a saga's parameters by their names in the language, in order."""
        ...

    def result(self, saga: str) -> Any: ...

    def contract(self, label: str) -> Contract:
        """`label`: `Service.operation`."""
        ...

    def event(self, name: str) -> Any: ...

    def error(self, name: str) -> Any:
        """The class of the error's fields; None for one that has none, as those of the language
        itself."""
        ...

    def settled(self, saga: str, path: str, purpose: Purpose) -> Any:
        """The type of what a person may say that the statement gave."""
        ...


class ProgramTypes:
    """Of a checked program. `values`: those that its runs are made with."""

    def __init__(self, program: Program, values: Values) -> None:
        self._program, self._values = program, values
        self._operations = {
            o.label: o for s in program.services.values() for o in s.operations.values()
        }
        self._define = lru_cache(self._defined)

    def params(self, saga: str) -> Mapping[str, Any]:
        python_type = self._values.python_type
        return {p.name: python_type(p.type) for p in self._program.sagas[saga].params}

    def result(self, saga: str) -> Any:
        return self._values.python_type(self._program.sagas[saga].result)

    def contract(self, label: str) -> Contract:
        return self._values.contract(self._operations[label])

    def event(self, name: str) -> Any:
        return self._values.python_type(RecordRef(self._program.events[name].name))

    def error(self, name: str) -> Any:
        found = self._program.errors.get(name)
        return self._values.python_type(RecordRef(name)) if found and found.fields else None

    def settled(self, saga: str, path: str, purpose: Purpose) -> Any:
        match self._define(saga).statements.get(path):
            case Step(call=call) if purpose is Purpose.RESOLVE:
                return self._values.python_type(self._program.operation(call).result)
            case Step(type=found) | ChildStep(type=found) | Wait(type=found) | Poll(type=found) if (
                purpose is Purpose.STEP
            ):
                return self._values.python_type(found)
            case _:
                return Any  # nothing takes it

    def _defined(self, saga: str) -> Definition:
        v = self._values
        build = Build(make=v.make, get=v.get, convert=v.convert, update=v.update)
        return define(self._program, saga, build)


class ModuleTypes:
    """Of compiled modules: their sagas (those that they call included), services and events."""

    def __init__(
        self,
        sagas: Iterable[SagaDefinition[..., Any]],
        services: Iterable[Service[Any]],
        events: Iterable[type] = (),
    ) -> None:
        self._sagas = {saga.name: saga for saga in sagas}
        self._given = lru_cache(lambda saga: given(self._sagas[saga]))
        self._contracts = {c.label: c for service in services for c in service.contracts}
        self._events = {getattr(event, "__event_name__", event.__name__): event for event in events}
        rejections = [r.type for c in self._contracts.values() for r in c.rejects]
        errors = [e for saga in self._sagas.values() for e in saga.errors]
        self._errors = {
            error.__error_name__: error
            for error in (*errors, *rejections)
            if error is not None and _has_fields(error)
        }

    @classmethod
    def around(cls, *sagas: SagaDefinition[..., Any]) -> ModuleTypes:
        """All that the modules of these sagas, and of the sagas they call, declare: it is found
        where the sagas themselves find it, among the names of their modules."""
        found: dict[str, SagaDefinition[..., Any]] = {saga.name: saga for saga in sagas}
        modules = [saga.function.__globals__ for saga in sagas]
        for module in modules:
            for each in module.values():
                if isinstance(each, SagaDefinition) and each.name not in found:
                    found[each.name] = each
                    if all(each.function.__globals__ is not known for known in modules):
                        modules.append(each.function.__globals__)
        named = [each for module in modules for each in module.values()]
        records = [each for each in named if isinstance(each, type) and _is_event(each)]
        # One that says which event it is comes after those that only might be one.
        records.sort(key=lambda each: "__event_name__" in vars(each))
        return cls(found.values(), [s for s in named if isinstance(s, Service)], records)

    def params(self, saga: str) -> Mapping[str, Any]:
        return {name: kind for _, name, kind, _ in self._sagas[saga].params}

    def result(self, saga: str) -> Any:
        return self._sagas[saga].result

    def contract(self, label: str) -> Contract:
        return self._contracts[label]

    def event(self, name: str) -> Any:
        return self._events[name]

    def error(self, name: str) -> Any:
        return self._errors.get(name)

    def settled(self, saga: str, path: str, purpose: Purpose) -> Any:
        found = self._given(saga).get(path)
        match found, purpose:
            case Contract(result=result), Purpose.STEP | Purpose.RESOLVE:
                return result
            case SagaDefinition(), Purpose.STEP:
                return found.result
            case type(), Purpose.STEP:
                return found
            case _:
                return Any  # nothing takes it


def _is_event(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and not issubclass(cls, SagaError)


def _has_fields(error: type[SagaError]) -> bool:
    return dataclasses.is_dataclass(error) and bool(dataclasses.fields(error))
