"""What a path comes to at a statement without blocks: a step, a child saga, a wait or a poll.

Here it is decided whether a failure turns the saga back or, past the point of no return, leaves it
open. What goes well is drawn as in the full picture; a call that a fault strikes is made by the
call machine first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sagalang import graph as g
from sagalang.graph.durations import duration
from sagalang.graph.structure import has_pivot
from sagalang.graph.undoing import NOTHING, is_undone
from sagalang.machine import calls
from sagalang.machine.backward import timed
from sagalang.machine.outcomes import NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED, TIMEOUT
from sagalang.render import words
from sagalang.render.compensation import Matter, Open
from sagalang.render.diagram import Arm, Fragment, FragmentKind, Item, Note, NoteKind
from sagalang.render.paths.call_history import Attempted, CallHistory, Service
from sagalang.render.paths.caller import Caller
from sagalang.render.paths.exchange import Arrows, exchange
from sagalang.render.paths.results import End, Ending, Raised, Result, Stuck, task
from sagalang.render.strokes import Strokes, aside


@dataclass(frozen=True, slots=True)
class Place:
    """The attempts around a statement, innermost first."""

    around: tuple[p.Attempt, ...] = ()
    epilogue: bool = False


@dataclass(slots=True)
class SimpleStatements:
    """The statements of one path that have no blocks.

    `run_child`: what the child saga of a step comes to. `pivot`: the point of no return is `ahead`,
    `held` while its own step is under way, or `passed`.
    """

    graph: g.SagaGraph
    caller: Caller
    run_child: Callable[[p.ChildStep], Ending]
    pivot: str = "ahead"

    @property
    def _program(self) -> p.Program:
        return self.graph.program

    @property
    def _strokes(self) -> Strokes:
        return self.caller.strokes

    @property
    def _deadline(self) -> p.Ms | None:
        return self.graph.saga.deadline if self.pivot == "ahead" else None

    def after(self, step: p.Step | p.ChildStep, result: Result, place: Place) -> Result:
        """What strikes as a step is over: a cancel, the deadline."""
        if result.end is not None or place.epilogue:
            return result
        notes, end = self._stopping(step)
        return Result((*result.items, *notes), result.undo, end)

    def awaited(self, leaf: p.Wait | p.Poll, place: Place) -> Result:
        notes, end = self._stopping(leaf)
        if end is not None:
            return Result(notes, end=end)
        result = self._wait(leaf, place) if isinstance(leaf, p.Wait) else self._poll(leaf, place)
        return replace(result, items=(*notes, *result.items))

    def _stopping(
        self, leaf: p.Step | p.ChildStep | p.Wait | p.Poll
    ) -> tuple[tuple[Item, ...], Raised | None]:
        stop = self.caller.faults.stops(leaf.path)
        if stop is None:
            return (), None
        told = "somebody cancels it" if stop.error == CANCELLED else "the deadline passes"
        if stop.waiting and isinstance(leaf, p.Wait | p.Poll):
            what = leaf.event if isinstance(leaf, p.Wait) else leaf.name
            told = f"while it waits for {what}, {told}"
        if self.pivot == "ahead":
            return (Note((told,), NoteKind.ABORT),), Raised(stop.error, self.caller.now, stop=True)
        what = "cancelling" if stop.error == CANCELLED else "the deadline"
        line = f"{what} has no effect: it is past the point of no return"
        return (Note((told, line), NoteKind.ABORT),), None

    def raised(self, error: str, place: Place, open_: Open | None = None) -> End:
        """A failure simple a statement; past the point of no return it stays open."""
        if self.pivot == "ahead" or self._handler(error, place) is not None:
            return Raised(error, self.caller.now)
        return Stuck((open_ or Open("", error, error),))

    def _handler(self, error: str, place: Place) -> p.Attempt | None:
        for attempt in place.around:
            if self.pivot != "ahead" and has_pivot(attempt.body):
                continue  # there is no way back into it
            if any(error in handler.errors for handler in attempt.handlers):
                return attempt
        return None

    # --- Calls -----------------------------------------------------------------------------------

    def step(self, step: p.Step, place: Place) -> Result:
        items: list[Item] = [self._strokes.pivot(step)] if step.pivot else []
        operation = self._program.operation(step.call)
        memory = self.caller.begun(step)
        if self.caller.faults.quiet(step.path, operation):
            memory.service.happened = True
            self.pivot = "passed" if step.pivot else self.pivot
            owed = is_undone(step) and not (step.best_effort or place.epilogue)
            items += self._strokes.well(step)
            return Result(tuple(items), g.UndoCall(step) if owed else NOTHING)
        items += self._strokes.special(step)
        if step.pivot:
            self.pivot = "held"
        deadline = self._deadline
        config = calls.CallConfig.of(operation, step.policy, deadline=deadline)
        history = self.caller.attempt(config, operation, memory.service, step.path)
        items += exchange(history, self.caller.arrows(step, operation))
        return self._ended(step, history, tuple(items), place)

    def _ended(
        self, step: p.Step, history: CallHistory, items: tuple[Item, ...], place: Place
    ) -> Result:
        memory = self.caller.memory[step.path]
        outcome = history.outcome
        memory.unanswered = history.unanswered
        memory.unknown = outcome is None or isinstance(outcome, Unknown)
        owed: g.Undo = NOTHING
        if is_undone(step) and (memory.unknown or isinstance(outcome, Ok)):
            owed = g.UndoCall(step)
        if step.best_effort or place.epilogue:
            return Result((*items, *self.caller.strays(step, owed)))
        if isinstance(outcome, Ok):
            if step.pivot:
                self.pivot = "passed"
            return Result((*items, *self.caller.strays(step, owed)), owed)
        if step.pivot and isinstance(outcome, Rejected | NotSent):
            self.pivot = "ahead"
        error = TIMEOUT if outcome is None else _name(outcome)
        if memory.unknown and owed != NOTHING:
            items += (aside("it may have happened, so it is undone too", step.span),)
        team = step.escalate.team if step.escalate is not None else ""
        endless = timed(step.escalate, step.policy)
        forever = outcome is None and not endless
        query = self._program.operation(step.call).is_query
        matter = Matter.DOUBT if memory.unknown and not query else Matter.CALL
        open_ = Open(step.path, step.call.label, error, team, matter, forever)
        if self._overdue(history):
            error = DEADLINE_EXCEEDED
            note = Note(("the deadline passes",), NoteKind.ABORT)
            return Result((*items, note), owed, Raised(error, self.caller.now, stop=True))
        doubtful_pivot = step.pivot and memory.unknown
        if outcome is None or step.escalate is not None or doubtful_pivot:
            if team:
                items += (aside(f"{team} takes over", step.span),)
            return Result(items, owed, Stuck((open_,)))
        strays = self.caller.strays(step, owed)
        return Result((*items, *strays), owed, self.raised(error, place, open_))

    def _overdue(self, history: CallHistory) -> bool:
        """Whether the deadline struck while the last attempt was under way."""
        deadline = self._deadline
        last = history.happenings[-1] if history.happenings else None
        timed_out = isinstance(last, Attempted) and last.fault is not None
        return deadline is not None and self.caller.now > deadline and timed_out

    def child(self, step: p.ChildStep, place: Place) -> Result:
        items: list[Item] = [self._strokes.pivot(step)] if step.pivot else []
        items += [*self._strokes.special(step), self._strokes.call(step)]
        if step.pivot:
            self.pivot = "held"
        error = self.caller.faults.ends(step)
        child = self._program.sagas[step.saga]
        found: tuple[Open, ...] = ()
        if error is None and self.caller.faults.concerns_calls(child):
            before = self.caller.faults.count
            ending = self.run_child(step)
            error = ending.error if ending.kind == "compensated" else None
            found = ending.open
            items += self.inside(step, before, ending)
        undo: g.Undo = g.UndoCall(step) if is_undone(step) else NOTHING
        team = step.escalate.team if step.escalate is not None else ""
        if found:
            lines = (f"saga {step.saga} is open", *(task(one) for one in found))
            items.append(Note(lines, NoteKind.MARK))
            return Result(tuple(items), undo, Stuck(found))
        if error is None:
            if step.pivot:
                self.pivot = "passed"
            items.append(self._strokes.reply(step))
            return Result(tuple(items), undo)
        if step.pivot:
            self.pivot = "ahead"
        items.append(self._strokes.rejection(step, error))
        if step.best_effort:
            return Result(tuple(items))
        open_ = Open(step.path, f"saga {step.saga}", error, team)
        if step.escalate is not None:
            return Result(tuple(items), NOTHING, Stuck((open_,)))
        return Result(tuple(items), NOTHING, self.raised(error, place, open_))

    def inside(self, step: p.ChildStep, before: int, ending: Ending) -> tuple[Item, ...]:
        """What struck inside of a child saga, which is not drawn itself."""
        struck = self.caller.faults.since(before)
        if not struck:
            return ()
        to, name = self._strokes.to(step), f"saga {step.saga}"
        lines = [f"{when.text}, inside {name}" for when in struck]
        if ending.kind == "compensated":
            lines.append(
                f"{name} " + ("undoes its own" if ending.undone else "has nothing to undo")
            )
        return (Note(tuple(lines), NoteKind.INFO, (to, to), step.span),)

    # --- What is waited for ----------------------------------------------------------------------

    def _wait(self, wait: p.Wait, place: Place) -> Result:
        if not self.caller.faults.runs_out(wait.path, wait.otherwise):
            return Result((self._strokes.event(wait),))
        self.caller.now += wait.within
        line = f"no {wait.event} within {duration(wait.within)}"
        return self._otherwise(wait, wait.event, (_missed(line),), place)

    def _poll(self, poll: p.Poll, place: Place) -> Result:
        asked = (self._strokes.call(poll), self._strokes.reply(poll))
        loop = Fragment(FragmentKind.LOOP, (Arm(words.poll(poll), asked),), poll.span)
        operation = self._program.operation(poll.call)
        service = Service(operation)
        config = calls.CallConfig.of(operation, poll.policy, deadline=self._deadline)
        began, history = self.caller.now, self.caller.attempt(config, operation, service, poll.path)
        failed: tuple[Item, ...] = ()
        while not isinstance(history.outcome, Ok) and self.caller.now - began < poll.within:
            if history.outcome is None:
                self.caller.now = began + poll.within
                break
            if not failed:
                failed = (*self._failing(poll, history),)
            self.caller.now += poll.every
            history = self.caller.attempt(config, operation, service, poll.path)
        out = self.caller.faults.runs_out(poll.path, poll.otherwise)
        if isinstance(history.outcome, Ok) and not out:
            return Result((*failed, loop))
        self.caller.now = began + poll.within
        line = f"not within {duration(poll.within)}: {words.condition(poll.until)}"
        shown = failed if failed else (loop,)
        return self._otherwise(poll, poll.name, (*shown, _missed(line)), place)

    def _failing(self, poll: p.Poll, history: CallHistory) -> tuple[Item, ...]:
        """A question that fails means: not yet."""
        sent, answered = self._strokes.call(poll), self._strokes.reply(poll)
        timeout = poll.policy.timeout or p.DEFAULT_TIMEOUT
        items = tuple(exchange(history, Arrows(sent, answered, None, timeout)))
        return (*items, aside(f"not yet; again every {duration(poll.every)}", poll.span))

    def _otherwise(
        self, statement: p.Wait | p.Poll, name: str, items: tuple[Item, ...], place: Place
    ) -> Result:
        deadline = self._deadline
        if deadline is not None and self.caller.now >= deadline:
            note = Note(("the deadline passes first",), NoteKind.ABORT)
            return Result((*items, note), end=Raised(DEADLINE_EXCEEDED, self.caller.now, stop=True))
        match statement.otherwise:
            case p.Abort(error=error):
                note = aside(f"abort {error}", statement.span)
                open_ = Open(statement.path, name, error, matter=Matter.EVENT)
                return Result((*items, note), end=self.raised(error, place, open_))
            case p.Escalation(team=team):
                open_ = Open(statement.path, name, TIMEOUT, team, Matter.EVENT)
                note = aside(f"{team} takes over", statement.span)
                return Result((*items, note), end=Stuck((open_,)))
            case None:
                return Result((*items, aside(f"goes on without {statement.name}", statement.span)))


def _missed(line: str) -> Note:
    return Note((line,), NoteKind.ABORT)


def _name(outcome: Outcome) -> str:
    failure = calls.failure(outcome)
    return failure.name if failure is not None else ""
