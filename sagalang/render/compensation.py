"""Compensation plans as items of a picture: dashed arrows in the order the machine runs them."""

from __future__ import annotations

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING, calls_of
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import ORCHESTRATOR, Cast
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
    Phase,
)

_DRAWN = 80
"""So many compensations are drawn as arrows; each failure of a long saga undoes most of it again,
and a picture that grows with the square of the saga is read by nobody."""


class Compensations:
    """Draws plans; remembers how much has been drawn, to be brief in the end."""

    def __init__(self, program: p.Program, cast: Cast) -> None:
        self._program = program
        self._cast = cast
        self._left = _DRAWN

    def phase(self, plan: g.Undo) -> tuple[Phase, ...]:
        """The plan as a phase of its own; nothing where nothing is to be undone."""
        if plan == NOTHING:
            return ()
        calls = calls_of(plan)
        begun = self._left < _DRAWN
        if begun and len(calls) > self._left:
            return (Phase((self._in_brief(calls),)),)
        self._left -= len(calls)
        return (Phase(self._items(plan)),)

    def _in_brief(self, calls: tuple[g.UndoCall, ...]) -> Note:
        first, last = _label(calls[0].step), _label(calls[-1].step)
        lines = (f"{len(calls)} compensations, from {first}", f"back to {last}")
        return Note(lines, NoteKind.INFO)

    def _items(self, plan: g.Undo) -> tuple[Item, ...]:
        match plan:
            case g.UndoCall(step=step):
                return (self._call(step),)
            case g.UndoSequence(items=items):
                return tuple(item for inner in items for item in self._items(inner))
            case g.UndoTogether(items=items, partly=partly):
                arms = tuple(
                    Arm("as far as begun" if partly and index == 0 else "", self._items(inner))
                    for index, inner in enumerate(items)
                )
                return (Fragment(FragmentKind.PAR, arms),)
            case g.UndoEach(loop=loop, body=body):
                pace = "last first" if loop.at_once == 1 else f"{loop.at_once} at once"
                label = f"each {loop.variable} begun, {pace}"
                arm = Arm(label, self._items(body))
                return (Fragment(FragmentKind.LOOP, (arm,), loop.span),)
            case g.UndoCase(statement=statement, arms=arms_):
                labels = _ways(statement)
                arms = tuple(
                    Arm(label, self._items(inner))
                    for label, inner in zip(labels, arms_, strict=True)
                    if inner != NOTHING
                )
                kind = FragmentKind.OPT if len(arms) == 1 else FragmentKind.ALT
                return (Fragment(kind, arms, statement.span),)

    def _call(self, step: p.Step | p.ChildStep) -> Message:
        kind = MessageKind.COMPENSATION
        if isinstance(step, p.ChildStep):
            to = self._cast.saga(step.saga)
            return Message(ORCHESTRATOR, to, "compensate", kind, step.path, step.span)
        assert isinstance(step.compensation, p.Compensation)
        call = step.compensation.call
        text = words.call_text(self._program.operation(call), call, step.name)
        to = self._cast.service(call.service)
        return Message(ORCHESTRATOR, to, text, kind, step.path, call.span)


def _label(step: p.Step | p.ChildStep) -> str:
    if isinstance(step, p.ChildStep):
        return f"saga {step.saga}"
    assert isinstance(step.compensation, p.Compensation)
    return step.compensation.call.label


def _ways(statement: p.If | p.Attempt) -> tuple[str, ...]:
    """What each arm is called, looking back at it."""
    if isinstance(statement, p.If):
        test = words.condition(statement.condition)
        return test, f"not ({test})"
    return "the attempt went well", *(
        "after " + " or ".join(handler.errors) for handler in statement.handlers
    )
