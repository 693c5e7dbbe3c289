"""`nothing left`: effects in the services that nobody stands by.

Steps that are never undone (`best effort`, `compensate none "why"`) are outside of it. A saga
stands by the effect of a step that is ok, unless the saga, an `attempt` around the step, or a saga
that runs this one began to undo what it did. Each such step accounts for one effect. Whatever else
the ledger holds is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sagalang.machine.events import Place, Purpose
from sagalang.model import program as p
from sagalang.runtime import journal as j
from sagalang.runtime.fakes import Entry
from sagalang.scenario.result import Course
from sagalang.scenario.shape import never_undone, undone_with
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
    step: p.Step
    place: Place
    label: str
    key: str | None
    args: tuple[Any, ...]
    kind: str = ""
    undoing: str = ""
    undone: str = ""
    """The kind of the outcome of its compensation, once it has one."""

    @property
    def which(self) -> tuple[Any, ...]:
        return _which(self.label, self.key, self.args)


@dataclass(slots=True)
class _History:
    """What the journal says of all sagas of a run."""

    stage: Stage
    calls: dict[tuple[str, Place], _Call] = field(default_factory=dict)
    sagas: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, Place]] = field(default_factory=dict)
    aborted: dict[str, list[Place]] = field(default_factory=dict)

    def take(self, entry: j.Entry) -> None:
        match entry:
            case j.SagaStarted(saga=saga):
                self.sagas[entry.saga_id] = saga
            case j.ChildStarted(place=place, child_id=child):
                self.parents[child] = (entry.saga_id, place)
            case j.AbortBegan(place=place):
                self.aborted.setdefault(entry.saga_id, []).append(place)
            case j.Intent(place=place, purpose=Purpose.STEP):
                step = self._statement(entry.saga_id, place)
                assert isinstance(step, p.Step)
                # Every step has a key; a service that is not keyed never sees it.
                keyed = self.stage.operation(entry.label).promises.keyed
                key = entry.key if keyed else None
                self.calls[entry.saga_id, place] = _Call(
                    entry.saga_id, step, place, entry.label, key, entry.args
                )
            case j.Intent(place=place, purpose=Purpose.COMPENSATE):
                self.calls[entry.saga_id, place].undoing = entry.label
            case j.OutcomeRecorded(place=place, purpose=Purpose.STEP | Purpose.RESOLVE):
                self.calls[entry.saga_id, place].kind = entry.kind
            case j.OutcomeRecorded(place=place, purpose=Purpose.COMPENSATE):
                self.calls[entry.saga_id, place].undone = entry.kind
            case _:
                pass

    def _statement(self, saga_id: str, place: Place) -> p.Statement:
        return self.stage.shapes[self.sagas[saga_id]].statements[place.path]

    def _goes_back(self, saga_id: str, place: Place) -> bool:
        """Whether what was done at this place has to be undone."""
        shape = self.stage.shapes[self.sagas[saga_id]]
        if undone_with(shape, self.aborted.get(saga_id, ()), place):
            return True
        if saga_id not in self.parents:
            return False
        above, at = self.parents[saga_id]
        step = self._statement(above, at)
        assert isinstance(step, p.ChildStep)
        return not step.best_effort and self._goes_back(above, at)

    def stands(self, call: _Call) -> bool:
        return call.kind == "ok" and not self._goes_back(call.saga_id, call.place)


def left(stage: Stage, course: Course) -> list[Left]:
    """The effects that are there and that no step stands by, in the order they came."""
    history = _History(stage)
    for entry in course.journal:
        history.take(entry)
    calls = list(history.calls.values())
    loose = {call.which for call in calls if never_undone(call.step)}
    accounted = Counter(call.which for call in calls if history.stands(call))
    found = []
    for effect in course.ledger:
        which = _which(effect.operation, effect.key, effect.args)
        if effect.effect != "done" or which in loose:
            continue
        if accounted[which]:
            accounted[which] -= 1
            continue
        same = [call for call in calls if call.which == which]
        found.append(Left(effect, _why(history, same), same[0].step if same else None))
    return found


def _which(label: str, key: str | None, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What tells effects apart: the key, or without one the input."""
    return (label, key) if key is not None else (label, None, args)


def _why(history: _History, calls: Sequence[_Call]) -> str:
    if not calls:
        return ""
    call = calls[0]
    if history.stands(call):
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
