"""The strokes that pictures of a saga are made of: its messages, notes and labels.

The full picture and the picture of one failure path differ in what they draw; how a step, a wait
or a loop is drawn stands here once.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagalang import graph as g
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import ORCHESTRATOR, Cast
from sagalang.render.details import Details
from sagalang.render.diagram import Item, Message, MessageKind, Note, NoteKind
from sagalang.render.policies import Policies, extras
from sagalang.text import Span

SAFETY = (
    "any other failure up to here is undone likewise, last step first,",
    "a call without an answer too (it may have happened)",
)


class Strokes:
    """Draws the statements of one saga."""

    def __init__(
        self, graph: g.SagaGraph, shown: words.Shown = words.NAMES, worst: Mapping[str, str] = {}
    ) -> None:
        """`worst`: a line for the details of a step, by its path: its worst case."""
        self.program = graph.program
        self.cast = Cast(graph)
        self.shown = shown
        self._details = Details(graph.program, worst)
        self._policies = Policies(graph)
        self._calls: dict[str, Message] = {}
        self._well: dict[str, tuple[Item, ...]] = {}
        self._undo: dict[str, Message] = {}

    def opening(self) -> tuple[Item, ...]:
        lines = self._policies.opening()
        return (Note(lines, NoteKind.POLICY),) if lines else ()

    def pivot(self, step: p.Step | p.ChildStep) -> Note:
        lines = ("point of no return", *self._policies.from_the_pivot())
        return Note(lines, NoteKind.PIVOT, None, step.span)

    # --- Calls -----------------------------------------------------------------------------------

    def to(self, step: p.Step | p.ChildStep | p.Poll) -> int:
        if isinstance(step, p.ChildStep):
            return self.cast.saga(step.saga)
        return self.cast.service(step.call.service)

    def text(self, step: p.Step | p.ChildStep | p.Poll) -> str:
        if isinstance(step, p.ChildStep):
            params = self.program.sagas[step.saga].params
            return f"run({words.arguments(params, step.args, shown=self.shown)})"
        operation = self.program.operation(step.call)
        return words.call_text(operation, step.call, shown=self.shown)

    def special(self, step: p.Step | p.ChildStep) -> tuple[Item, ...]:
        """What is special about the step's policy."""
        lines = self._policies.of(step) if isinstance(step, p.Step) else extras(step)
        to = self.to(step)
        return (Note(lines, NoteKind.POLICY, (to, to), step.span),) if lines else ()

    def call(self, step: p.Step | p.ChildStep | p.Poll) -> Message:
        found = self._calls.get(step.path)
        if found is None:
            kind, details = MessageKind.CALL, self._details.of(step)
            to, text = self.to(step), self.text(step)
            found = Message(ORCHESTRATOR, to, text, kind, step.path, step.span, details=details)
            self._calls[step.path] = found
        return found

    def reply(self, step: p.Step | p.ChildStep | p.Poll) -> Message:
        text = step.name or "ok"
        kind = MessageKind.REPLY
        return Message(self.to(step), ORCHESTRATOR, text, kind, step.path, step.span)

    def rejection(self, step: p.Step | p.ChildStep, text: str) -> Message:
        kind = MessageKind.REJECTION
        return Message(self.to(step), ORCHESTRATOR, text, kind, step.path, step.span)

    def well(self, step: p.Step | p.ChildStep) -> tuple[Item, ...]:
        """All of a step that goes well."""
        found = self._well.get(step.path)
        if found is None:
            found = (*self.special(step), self.call(step), self.reply(step))
            self._well[step.path] = found
        return found

    def compensation(self, step: p.Step | p.ChildStep) -> Message:
        """What undoes a step."""
        found = self._undo.get(step.path)
        if found is None:
            found = self._undo[step.path] = self._undoing(step)
        return found

    def _undoing(self, step: p.Step | p.ChildStep) -> Message:
        kind, path = MessageKind.COMPENSATION, step.path
        if isinstance(step, p.ChildStep):
            return Message(ORCHESTRATOR, self.to(step), "compensate", kind, path, step.span)
        undo = step.compensation
        assert isinstance(undo, p.Compensation)
        operation = self.program.operation(undo.call)
        text = words.call_text(operation, undo.call, step, self.shown)
        to, details = self.cast.service(undo.call.service), self._details.compensation(undo)
        return Message(ORCHESTRATOR, to, text, kind, path, undo.call.span, details=details)

    # --- What is waited for ----------------------------------------------------------------------

    def event(self, wait: p.Wait) -> Message:
        text, kind = words.event(wait), MessageKind.EVENT
        source = self.cast.event(wait.event)
        return Message(source, ORCHESTRATOR, text, kind, wait.path, wait.span)

    def sleep(self, sleep: p.Sleep) -> Note:
        return aside(words.sleep(sleep), sleep.span)


def aside(line: str, span: Span | None) -> Note:
    """Something the orchestrator does by itself.

    As wide as the first call, for alone in a fragment it has to carry the fragment's label.
    """
    return Note((line,), NoteKind.INFO, (ORCHESTRATOR, ORCHESTRATOR + 1), span)


def compensated(errors: str, *, nothing: bool) -> Note:
    """How a saga ends that was undone; `nothing` was there to undo."""
    outcome = f"compensated with {errors}"
    if nothing:
        outcome = f"nothing to undo, {outcome}"
    return Note((outcome,), NoteKind.OUTCOME)


COMPLETED = Note(("completed",), NoteKind.OUTCOME)
