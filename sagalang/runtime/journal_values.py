"""What a journal may tell people of the values of a saga: everything but secrets.

`covering` turns the entries of a run into entries that can be written to a file and drawn. A value
that was covered says so by its type, `Kept`; writer and pictures take no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine.definition import define
from sagalang.machine.evaluate import Build
from sagalang.machine.events import (
    Compensated,
    Completed,
    Escalated,
    OpenItem,
    Purpose,
    SagaOutcome,
)
from sagalang.machine.outcomes import Failure, Ok, Outcome
from sagalang.model.program import ChildStep, Operation, Program, Step
from sagalang.model.types import RecordRef, Type
from sagalang.runtime import journal as j
from sagalang.runtime.codec import dump, freeze, parse
from sagalang.runtime.shown import shown
from sagalang.runtime.values import Values


class Kept(Struct, frozen=True):
    """A value as plain JSON (frozen), its secrets replaced by `shown.COVER`. Never None: what is
    null stays None."""

    plain: Any


def kept(plain: Any) -> Kept | None:
    """Plain JSON values, whose secrets were covered, as a `Kept`. Raises `EncodeError`."""
    return None if plain is None else Kept(freeze(parse(dump(plain))))


def covering(program: Program, values: Values) -> Callable[[j.Entry], j.Entry]:
    """A function to call with each entry of a journal, in order: the entry, its values covered.

    A value whose type is not known is left out: so nothing can slip through.
    """
    return _Covering(program, values).entry


class _Covering:
    def __init__(self, program: Program, values: Values) -> None:
        self._program, self._values = program, values
        self._sagas: dict[str, str] = {}
        """The names of the sagas that ran, by id."""
        self._operations: Mapping[str, Operation] = {
            o.label: o for s in program.services.values() for o in s.operations.values()
        }

    def entry(self, entry: j.Entry) -> j.Entry:
        match entry:
            case j.SagaStarted(saga=saga, saga_id=id_, args=args):
                self._sagas[id_] = saga
                types = {param.name: param.type for param in self._program.sagas[saga].params}
                plain = {n: self._plain(value, types[n]) for n, value in args.items()}
                return replace(entry, args=kept(plain))
            case j.Intent(label=label, args=args):
                params = self._operations[label].params
                return replace(
                    entry,
                    args=tuple(
                        self._cover(arg, param.type)
                        for arg, param in zip(args, params, strict=True)
                    ),
                )
            case j.OutcomeRecorded(label=label, value=outcome):
                return replace(entry, value=self._outcome(outcome, self._operations[label].result))
            case j.EventAccepted(event=event, value=value):
                return replace(entry, value=self._cover(value, RecordRef(event)))
            case j.Settlement():
                return replace(entry, value=self._cover(entry.value, self._settled(entry)))
            case j.EscalationRaised(item=item):
                return replace(entry, item=self._item(item))
            case j.SagaFinished(saga_id=id_, value=outcome):
                result = self._program.sagas[self._sagas[id_]].result
                return replace(entry, value=self._end(outcome, result))
            case _:
                return entry

    def _outcome(self, outcome: Outcome, result: Type) -> Outcome:
        if isinstance(outcome, Ok):
            return Ok(self._cover(outcome.value, result), outcome.replayed)
        return replace(outcome, error=self._failure(outcome.error))

    def _end(self, outcome: SagaOutcome, result: Type) -> SagaOutcome:
        match outcome:
            case Completed(value):
                return Completed(self._cover(value, result))
            case Compensated(error):
                return Compensated(self._failure(error))
            case Escalated(items):
                return Escalated(tuple(map(self._item, items)))

    def _item(self, item: OpenItem) -> OpenItem:
        return replace(item, failure=self._failure(item.failure))

    def _failure(self, failure: Failure) -> Failure:
        type_ = RecordRef(failure.name) if failure.name in self._program.errors else None
        return replace(failure, value=self._cover(failure.value, type_))

    def _settled(self, entry: j.Settlement) -> Type | None:
        """The type of what a step gives that was done by hand."""
        saga = self._sagas.get(entry.saga_id)
        if saga is None or entry.purpose is not Purpose.STEP:
            return None
        v = self._values
        build = Build(make=v.make, get=v.get, convert=v.convert, update=v.update)
        match define(self._program, saga, build).statements.get(entry.place.path):
            case Step(call=call):
                return self._program.operation(call).result
            case ChildStep(saga=name):
                return self._program.sagas[name].result
            case _:
                return None

    def _cover(self, value: Any, type_: Type | None) -> Kept | None:
        return None if type_ is None else kept(self._plain(value, type_))

    def _plain(self, value: Any, type_: Type) -> Any:
        return shown(value, type_, self._values)
