"""The working memory of one transition: what the state was, what it becomes, what is to be done.

A turn lives only inside `start` and `advance`; nothing of it is shared between states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sagalang.machine import keys
from sagalang.machine.definition import Definition
from sagalang.machine.evaluate import Scope, evaluate
from sagalang.machine.events import Command, EventReceived, OpenItem, Place, ProbeCall, Purpose
from sagalang.machine.frozen import Choice, FrozenMap
from sagalang.machine.outcomes import Failure
from sagalang.model import program as p
from sagalang.model.program import Ms
from sagalang.model.types import STRING, InlineRecord, RecordRef

_NAMED: Final = InlineRecord((("name", STRING, "name"),))


class Pivot(Choice):
    AHEAD = "ahead"
    """Not reached, or it certainly did not happen."""
    HELD = "held"
    """Its intent is on record and its outcome is not certain."""
    PASSED = "passed"


@dataclass(slots=True)
class Turn:
    definition: Definition
    saga_id: str
    now: Ms
    pivot: Pivot
    held: Failure | None
    """A cancel or deadline that came while the pivot was uncertain."""
    deadline: Ms | None
    inbox: list[EventReceived]
    """Events received and not consumed, in order of arrival."""
    generations: dict[tuple[Place, str], int] = field(default_factory=dict)
    """How often a person asked for a fresh key: by place, and what the key is for."""
    written_off: list[OpenItem] = field(default_factory=list)
    abort: Failure | None = None
    """Set when a held cancel or deadline is to be carried out."""
    commands: list[Command] = field(default_factory=list)

    def emit(self, command: Command) -> None:
        self.commands.append(command)

    def key(self, place: Place, purpose: str = keys.STEP) -> str:
        generation = self.generations.get((place, purpose), 0) if self.generations else 0
        return keys.key(
            self.definition.saga.name, self.saga_id, place.path, place.loops, purpose, generation
        )

    def renew(self, place: Place, purpose: str = keys.STEP) -> None:
        """A fresh key from now on: the last call under the old one certainly did nothing."""
        self.generations[place, purpose] = self.generations.get((place, purpose), 0) + 1

    def scope(
        self,
        names: FrozenMap,
        place: Place,
        *,
        result: Any = None,
        now: Ms | None = None,
    ) -> Scope:
        """What expressions at `place` see; `key` alone is the key of the step there."""

        def key(step: str | None) -> str:
            if step is None:
                return self.key(place)
            around = self.definition.loops.get(step, ())
            return self.key(Place(step, tuple(pair for pair in place.loops if pair[0] in around)))

        return Scope(
            names=names,
            build=self.definition.build,
            now=self.now if now is None else now,
            constants=self.definition.program.constants,
            key=key,
            result=result,
        )

    def arguments(self, call: p.Call, scope: Scope) -> tuple[Any, ...]:
        return tuple(None if arg is None else evaluate(arg, scope) for arg in call.args)

    def probe(
        self, operation: p.Operation, args: tuple[Any, ...], place: Place
    ) -> ProbeCall | None:
        """The operation's probe, its arguments evaluated over the operation's parameters."""
        if operation.probe is None:
            return None
        names = FrozenMap(dict(zip((param.name for param in operation.params), args, strict=True)))
        scope = self.scope(names, place)
        call = operation.probe
        return ProbeCall(call.service, call.operation, self.arguments(call, scope))

    def caught(self, failure: Failure, errors: Sequence[str] = ()) -> Any:
        """What `as e` binds: the fields of the one declared error, else its `name` alone."""
        error = self.definition.program.errors.get(errors[0]) if len(errors) == 1 else None
        if error is None:
            return self.definition.build.make(_NAMED, {"name": failure.name})
        if failure.value is None and not error.fields:
            return self.definition.build.make(RecordRef(error.name), {})
        return failure.value

    def item(
        self, place: Place, failure: Failure, purpose: Purpose = Purpose.STEP, team: str = ""
    ) -> OpenItem:
        return OpenItem(place, purpose, self.label(place, purpose), failure, team)

    def label(self, place: Place, purpose: Purpose) -> str:
        match self.definition.statements.get(place.path):
            case p.Step(compensation=p.Compensation(call=call)) if purpose is Purpose.COMPENSATE:
                return call.label
            case p.Step(call=call) | p.Poll(call=call):
                return call.label
            case p.ChildStep(saga=saga):
                return saga
            case p.Wait(event=event):
                return event
            case _:
                return place.path


def needs_result(exprs: Sequence[p.Expr | None]) -> bool:
    """Whether `result` occurs in any of the expressions."""
    return any(expr is not None and _mentions_result(expr) for expr in exprs)


def _mentions_result(expr: p.Expr) -> bool:
    match expr:
        case p.ResultOf():
            return True
        case p.Member(value=value) | p.Convert(value=value):
            return _mentions_result(value)
        case p.Index(value=value, index=index):
            return needs_result((value, index))
        case p.Unary(operand=operand):
            return _mentions_result(operand)
        case p.Binary(left=left, right=right):
            return needs_result((left, right))
        case p.Conditional(condition=condition, then=then, otherwise=otherwise):
            return needs_result((condition, then, otherwise))
        case p.MakeRecord(fields=fields):
            return needs_result([value for _, value in fields])
        case p.Update(value=value, fields=fields):
            return needs_result([value, *(item for _, item in fields)])
        case p.MakeList(items=items) | p.Apply(args=items) | p.Interpolate(parts=items):
            return needs_result(items)
        case p.Comprehension(element=element, source=source, condition=condition):
            return needs_result((element, source, condition))
        case _:
            return False
