"""`nothing left`: effects in the services that nobody stands by, and what became of them.

The rule itself stands in `runtime.saga_left`, which tests of compiled sagas go by as well; here is
what a scenario's text and journal say of each effect that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagalang.machine.events import Place, Purpose
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime import saga_left
from sagalang.runtime.fakes import Entry
from sagalang.scenario.result import Course
from sagalang.scenario.shape import Shape, never_undone
from sagalang.scenario.stage import Stage


@dataclass(frozen=True, slots=True)
class Left:
    """An effect that is left. `why`: what became of its step and its compensation."""

    entry: Entry
    why: str
    step: p.Step | None


@dataclass(slots=True)
class _Call:
    """A step as it ran, and what the journal says of it."""

    saga_id: str
    place: Place
    step: p.Step
    label: str
    key: str | None
    args: tuple[Any, ...]
    kind: str = ""
    undoing: str = ""
    undone: str = ""
    """The kind of the outcome of its compensation, once it has one."""


def left(stage: Stage, course: Course) -> list[Left]:
    """The effects that are there and that no step stands by, in the order they came."""
    texts = {name: _text(shape) for name, shape in stage.shapes.items()}
    services = stage.program.services.values()
    keyed = {o.label for s in services for o in s.operations.values() if o.promises.keyed}
    rule = saga_left.Left(texts, keyed, lambda _, args: args)
    for entry in course.journal:
        rule.take(entry)
    calls = _calls(stage.shapes, keyed, course.journal)
    found = []
    for effect in rule.found(course.ledger):
        call = next((call for call in calls if _is_of(effect, call)), None)
        why = "" if call is None else _why(call, rule.stands(call.saga_id, call.place))
        found.append(Left(effect, why, None if call is None else call.step))
    return found


def _text(shape: Shape) -> saga_left.SagaText:
    steps = {
        path: step
        for path, step in shape.statements.items()
        if isinstance(step, p.Step | p.ChildStep)
    }
    return saga_left.SagaText(
        [path for path, step in steps.items() if never_undone(step)], shape.bodies
    )


def _calls(shapes: Mapping[str, Shape], keyed: set[str], journal: Sequence[j.Entry]) -> list[_Call]:
    """The steps of all sagas of a run, in the order in which they began."""
    sagas: dict[str, Shape] = {}
    calls: dict[tuple[str, Place], _Call] = {}
    for entry in journal:
        match entry:
            case j.SagaStarted(saga=saga):
                sagas[entry.saga_id] = shapes[saga]
            case j.Intent(place=place, purpose=Purpose.STEP):
                step = sagas[entry.saga_id].statements[place.path]
                assert isinstance(step, p.Step)
                # Every step has a key; a service that is not keyed never sees it.
                key = entry.key if entry.label in keyed else None
                calls[entry.saga_id, place] = _Call(
                    entry.saga_id, place, step, entry.label, key, entry.args
                )
            case j.Intent(place=place, purpose=Purpose.COMPENSATE):
                calls[entry.saga_id, place].undoing = entry.label
            case j.OutcomeRecorded(place=place, purpose=Purpose.STEP | Purpose.RESOLVE):
                calls[entry.saga_id, place].kind = entry.kind
            case j.OutcomeRecorded(place=place, purpose=Purpose.COMPENSATE):
                calls[entry.saga_id, place].undone = entry.kind
            case _:
                pass
    return list(calls.values())


def _is_of(effect: Entry, call: _Call) -> bool:
    if effect.operation != call.label or effect.key != call.key:
        return False
    return call.key is not None or effect.args == call.args


def _why(call: _Call, stands: bool) -> str:
    if stands:
        return "done more than once"
    if call.undone == "ok":
        return f"it took effect after {call.undoing} had undone it"
    if call.undoing:
        return f"its compensation {call.undoing} was escalated"
    if call.kind in ("rejected", "not sent"):
        return f"the saga believes that it was {call.kind}"
    if isinstance(call.step.compensation, p.Compensation):
        return f"its compensation {call.step.compensation.call.label} was never sent"
    if call.kind == "ok":
        return "nothing undoes it"
    return "nobody knows what became of it"
