"""What the calls of a saga may come to, each in its own words."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.model.errors import (
    CONTRACT_MISMATCH,
    NOT_SENT,
    NOT_SENT_ERRORS,
    TIMEOUT,
    UNKNOWN_ERRORS,
)
from sagalang.model.types import Null, RecordRef
from sagalang.verify import call as one
from sagalang.verify.service import Belief, Unit
from sagalang.verify.stage import Stage
from sagalang.verify.values import Symbol
from sagalang.verify.world import Flight


class Outcomes:
    """The results of calls, worked out once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._results: dict[Any, tuple[one.Result, ...]] = {}

    def of(
        self, flight: Flight, operation: p.Operation, unit: Unit | None
    ) -> tuple[one.Result, ...]:
        bare = None if unit is None else replace(unit, belief=Belief.OPEN, sealed=False)
        key = (flight.path, flight.place, flight.purpose, bare, flight.variant, flight.limited)
        found = self._results.get(key)
        if found is None:
            found = self._course(self._kind(flight, operation), bare or Unit(), flight.variant)
            found = self._merged(operation, flight, found)
            self._results[key] = found
        if unit is None or not unit.sealed:
            return found
        return tuple(replace(r, unit=replace(r.unit, sealed=True)) for r in found)

    def _course(self, kind: one.Kind, unit: Unit, variant: str) -> tuple[one.Result, ...]:
        """What the call may come to: once for all operations that promise the same."""
        key = (kind.like, unit, variant)
        found = self._stage.courses.get(key)
        if found is None:
            found = one.results(
                kind, unit, variant, self._stage.rules, reduce_inert=self._stage.options.inert
            )
            self._stage.courses[key] = found
        return found

    def _merged(
        self, operation: p.Operation, flight: Flight, found: tuple[one.Result, ...]
    ) -> tuple[one.Result, ...]:
        """One result for those that differ only in what makes no difference to this step."""
        best: dict[Any, one.Result] = {}
        matters = not self._stage.options.normal or self._waits_for_late(flight, operation)
        for result in found:
            outcome = self._named(flight, operation, result.outcome)
            unanswered = result.unanswered and matters
            key = (outcome, unanswered, result.unit)
            if key not in best or result.faults < best[key].faults:
                best[key] = replace(result, outcome=outcome, unanswered=unanswered)
        return tuple(best.values())

    def _waits_for_late(self, flight: Flight, operation: p.Operation) -> bool:
        """Whether it matters to the compensation that an attempt went unanswered."""
        statement = self._stage.definition(flight.path).statements[flight.place.path]
        if not isinstance(statement, p.Step) or operation.promises.lands_within is None:
            return False
        undo = statement.compensation
        return (
            isinstance(undo, p.Compensation)
            and not self._stage.program.operation(undo.call).promises.fences_late
        )

    def _named(self, flight: Flight, operation: p.Operation, outcome: Outcome) -> Outcome:
        """The outcome with the values that it brings: as unknown as all others."""
        match outcome:
            case Ok(value):
                return outcome if value is not one.ANSWER else Ok(self._answer(flight, operation))
            case Rejected(error) | NotSent(error) | Unknown(error):
                return type(outcome)(self._error(flight, error))

    def _answer(self, flight: Flight, operation: p.Operation) -> Symbol | None:
        if isinstance(operation.result, Null):
            return None
        statement = self._stage.definition(flight.path).statements[flight.place.path]
        around = "".join(f"{place}." for place in flight.path)
        return Symbol(around + _bound(statement, flight.place), operation.result)

    def _error(self, flight: Flight, error: Failure) -> Failure:
        name = error.name
        declared = self._stage.program.errors.get(name)
        if declared is None or not declared.fields:
            return Failure(name)
        return Failure(name, Symbol(f"{name}({flight.place})", RecordRef(name)))

    def _kind(self, flight: Flight, operation: p.Operation) -> one.Kind:
        stage, purpose = self._stage, flight.purpose
        statement = stage.definition(flight.path).statements[flight.place.path]
        assert isinstance(statement, p.Step | p.Poll)
        policy = statement.policy
        back = purpose in (m.Purpose.COMPENSATE, m.Purpose.RESOLVE)
        if back:
            assert isinstance(statement, p.Step)
            assert isinstance(statement.compensation, p.Compensation)
            policy = statement.compensation.policy
        config = calls.CallConfig.of(
            operation, policy, resolve=purpose is m.Purpose.RESOLVE, patient=back
        )
        undoing = None
        faults = frozenset(filter(stage.allows, one.FAULTS))
        if purpose is m.Purpose.COMPENSATE:
            undoing = stage.program.operation(statement.call)
            if not stage.allows("failing compensation"):
                faults = frozenset()
        limited = flight.limited or config.total is not None
        return one.Kind(
            operation,
            config,
            undoing,
            limited,
            faults,
            self._named_in_handlers(NOT_SENT, NOT_SENT_ERRORS),
            self._named_in_handlers(TIMEOUT, UNKNOWN_ERRORS - {CONTRACT_MISMATCH}),
        )

    def _named_in_handlers(self, usual: str, names: frozenset[str]) -> tuple[str, ...]:
        return (usual, *sorted((names & self._stage.handled) - {usual}))


def belief(purpose: m.Purpose, outcome: Outcome) -> Belief:
    match purpose, outcome:
        case m.Purpose.COMPENSATE, Ok():
            return Belief.UNDONE
        case m.Purpose.COMPENSATE, _:
            return Belief.UNKNOWN
        case _, Ok():
            return Belief.DONE
        case _, Unknown():
            return Belief.UNKNOWN
        case _:
            return Belief.NOT_DONE


def poll_name(place: m.Place) -> str:
    return f"answer({place})"


def _bound(statement: p.Statement, place: m.Place) -> str:
    if isinstance(statement, p.Poll):
        return poll_name(place)
    return str(place)
