"""What a path comes to at the statements that wait for somebody: steps, child sagas, events."""

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
from sagalang.render.paths.attempts import Lines, exchange
from sagalang.render.paths.calling import Calling
from sagalang.render.paths.ends import Came, End, Ending, Raised, Stuck, task
from sagalang.render.paths.trial import Attempted, Service, Trial
from sagalang.render.strokes import Strokes, aside, poll_label


@dataclass(frozen=True, slots=True)
class Place:
    """The attempts around a statement, innermost first."""

    around: tuple[p.Attempt, ...] = ()
    epilogue: bool = False


@dataclass(slots=True)
class Leaves:
    """The calls of one path, and how far it is past the point of no return.

    `run_child`: what the child saga of a step comes to.
    """

    graph: g.SagaGraph
    calling: Calling
    run_child: Callable[[p.ChildStep], Ending]
    pivot: str = "ahead"

    @property
    def _program(self) -> p.Program:
        return self.graph.program

    @property
    def _strokes(self) -> Strokes:
        return self.calling.strokes

    @property
    def _deadline(self) -> p.Ms | None:
        return self.graph.saga.deadline if self.pivot == "ahead" else None

    def after(self, step: p.Step | p.ChildStep, came: Came, place: Place) -> Came:
        """What strikes as a step is over: a cancel, the deadline."""
        if came.end is not None or place.epilogue:
            return came
        notes, end = self._stopping(step)
        return Came((*came.items, *notes), came.undo, end)

    def awaited(self, leaf: p.Wait | p.Poll, place: Place) -> Came:
        notes, end = self._stopping(leaf)
        if end is not None:
            return Came(notes, end=end)
        came = self._wait(leaf, place) if isinstance(leaf, p.Wait) else self._poll(leaf, place)
        return replace(came, items=(*notes, *came.items))

    def _stopping(
        self, leaf: p.Step | p.ChildStep | p.Wait | p.Poll
    ) -> tuple[tuple[Item, ...], Raised | None]:
        stop = self.calling.luck.stops(leaf.path)
        if stop is None:
            return (), None
        told = "somebody cancels it" if stop.error == CANCELLED else "the deadline passes"
        if stop.waiting and isinstance(leaf, p.Wait | p.Poll):
            what = leaf.event if isinstance(leaf, p.Wait) else leaf.name
            told = f"while it waits for {what}, {told}"
        if self.pivot == "ahead":
            return (Note((told,), NoteKind.ABORT),), Raised(stop.error, self.calling.now, stop=True)
        what = "cancelling" if stop.error == CANCELLED else "the deadline"
        line = f"{what} has no effect: it is past the point of no return"
        return (Note((told, line), NoteKind.ABORT),), None

    def raised(self, error: str, place: Place, open_: Open | None = None) -> End:
        """A failure leaves a statement; past the point of no return it stays open."""
        if self.pivot == "ahead" or self._handler(error, place) is not None:
            return Raised(error, self.calling.now)
        return Stuck((open_ or Open("", error, error),))

    def _handler(self, error: str, place: Place) -> p.Attempt | None:
        for attempt in place.around:
            if self.pivot != "ahead" and has_pivot(attempt.body):
                continue  # there is no way back into it
            if any(error in handler.errors for handler in attempt.handlers):
                return attempt
        return None

    # --- Calls -----------------------------------------------------------------------------------

    def step(self, step: p.Step, place: Place) -> Came:
        items: list[Item] = [self._strokes.pivot(step)] if step.pivot else []
        operation = self._program.operation(step.call)
        memory = self.calling.begun(step)
        if self.calling.luck.quiet(step.path, operation):
            memory.service.happened = True
            self.pivot = "passed" if step.pivot else self.pivot
            owed = is_undone(step) and not (step.best_effort or place.epilogue)
            items += self._strokes.well(step)
            return Came(tuple(items), g.UndoCall(step) if owed else NOTHING)
        items += self._strokes.special(step)
        if step.pivot:
            self.pivot = "held"
        deadline = self._deadline
        config = calls.CallConfig.of(operation, step.policy, deadline=deadline)
        trial = self.calling.attempt(config, operation, memory.service, step.path)
        items += exchange(trial, self.calling.lines(step, operation))
        return self._ended(step, trial, tuple(items), place)

    def _ended(self, step: p.Step, trial: Trial, items: tuple[Item, ...], place: Place) -> Came:
        memory = self.calling.memory[step.path]
        outcome = trial.outcome
        memory.unanswered = trial.unanswered
        memory.unknown = outcome is None or isinstance(outcome, Unknown)
        owed: g.Undo = NOTHING
        if is_undone(step) and (memory.unknown or isinstance(outcome, Ok)):
            owed = g.UndoCall(step)
        if step.best_effort or place.epilogue:
            return Came((*items, *self.calling.strays(step, owed)))
        if isinstance(outcome, Ok):
            if step.pivot:
                self.pivot = "passed"
            return Came((*items, *self.calling.strays(step, owed)), owed)
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
        if self._overdue(trial):
            error = DEADLINE_EXCEEDED
            note = Note(("the deadline passes",), NoteKind.ABORT)
            return Came((*items, note), owed, Raised(error, self.calling.now, stop=True))
        doubtful_pivot = step.pivot and memory.unknown
        if outcome is None or step.escalate is not None or doubtful_pivot:
            if team:
                items += (aside(f"{team} takes over", step.span),)
            return Came(items, owed, Stuck((open_,)))
        strays = self.calling.strays(step, owed)
        return Came((*items, *strays), owed, self.raised(error, place, open_))

    def _overdue(self, trial: Trial) -> bool:
        """Whether the deadline struck while the last attempt was under way."""
        deadline = self._deadline
        last = trial.happenings[-1] if trial.happenings else None
        timed_out = isinstance(last, Attempted) and last.fault is not None
        return deadline is not None and self.calling.now > deadline and timed_out

    def child(self, step: p.ChildStep, place: Place) -> Came:
        items: list[Item] = [self._strokes.pivot(step)] if step.pivot else []
        items += [*self._strokes.special(step), self._strokes.call(step)]
        if step.pivot:
            self.pivot = "held"
        error = self.calling.luck.ends(step)
        child = self._program.sagas[step.saga]
        found: tuple[Open, ...] = ()
        if error is None and self.calling.luck.concerns_calls(child):
            ending = self.run_child(step)
            error = ending.error if ending.kind == "compensated" else None
            found = ending.open
        undo: g.Undo = g.UndoCall(step) if is_undone(step) else NOTHING
        team = step.escalate.team if step.escalate is not None else ""
        if found:
            lines = (f"saga {step.saga} is open", *(task(one) for one in found))
            items.append(Note(lines, NoteKind.MARK))
            return Came(tuple(items), undo, Stuck(found))
        if error is None:
            if step.pivot:
                self.pivot = "passed"
            items.append(self._strokes.reply(step))
            return Came(tuple(items), undo)
        if step.pivot:
            self.pivot = "ahead"
        items.append(self._strokes.rejection(step, error))
        if step.best_effort:
            return Came(tuple(items))
        open_ = Open(step.path, f"saga {step.saga}", error, team)
        if step.escalate is not None:
            return Came(tuple(items), NOTHING, Stuck((open_,)))
        return Came(tuple(items), NOTHING, self.raised(error, place, open_))

    # --- What is waited for ----------------------------------------------------------------------

    def _wait(self, wait: p.Wait, place: Place) -> Came:
        if not self.calling.luck.runs_out(wait.path, wait.otherwise):
            return Came((self._strokes.event(wait),))
        self.calling.now += wait.within
        line = f"no {wait.event} within {duration(wait.within)}"
        return self._otherwise(wait, wait.event, (_missed(line),), place)

    def _poll(self, poll: p.Poll, place: Place) -> Came:
        asked = (self._strokes.call(poll), self._strokes.reply(poll))
        loop = Fragment(FragmentKind.LOOP, (Arm(poll_label(poll), asked),), poll.span)
        operation = self._program.operation(poll.call)
        service = Service(operation)
        config = calls.CallConfig.of(operation, poll.policy, deadline=self._deadline)
        began, trial = self.calling.now, self.calling.attempt(config, operation, service, poll.path)
        failed: tuple[Item, ...] = ()
        while not isinstance(trial.outcome, Ok) and self.calling.now - began < poll.within:
            if trial.outcome is None:
                self.calling.now = began + poll.within
                break
            if not failed:
                failed = (*self._failing(poll, trial),)
            self.calling.now += poll.every
            trial = self.calling.attempt(config, operation, service, poll.path)
        out = self.calling.luck.runs_out(poll.path, poll.otherwise)
        if isinstance(trial.outcome, Ok) and not out:
            return Came((*failed, loop))
        self.calling.now = began + poll.within
        line = f"not within {duration(poll.within)}: {words.condition(poll.until)}"
        shown = failed if failed else (loop,)
        return self._otherwise(poll, poll.name, (*shown, _missed(line)), place)

    def _failing(self, poll: p.Poll, trial: Trial) -> tuple[Item, ...]:
        """A question that fails means: not yet."""
        sent, answered = self._strokes.call(poll), self._strokes.reply(poll)
        timeout = poll.policy.timeout or p.DEFAULT_TIMEOUT
        items = tuple(exchange(trial, Lines(sent, answered, None, timeout)))
        return (*items, aside(f"not yet; again every {duration(poll.every)}", poll.span))

    def _otherwise(
        self, statement: p.Wait | p.Poll, name: str, items: tuple[Item, ...], place: Place
    ) -> Came:
        deadline = self._deadline
        if deadline is not None and self.calling.now >= deadline:
            note = Note(("the deadline passes first",), NoteKind.ABORT)
            return Came((*items, note), end=Raised(DEADLINE_EXCEEDED, self.calling.now, stop=True))
        match statement.otherwise:
            case p.Abort(error=error):
                note = aside(f"abort {error}", statement.span)
                open_ = Open(statement.path, name, error, matter=Matter.EVENT)
                return Came((*items, note), end=self.raised(error, place, open_))
            case p.Escalation(team=team):
                open_ = Open(statement.path, name, TIMEOUT, team, Matter.EVENT)
                note = aside(f"{team} takes over", statement.span)
                return Came((*items, note), end=Stuck((open_,)))
            case None:
                return Came((*items, aside(f"goes on without {statement.name}", statement.span)))


def _missed(line: str) -> Note:
    return Note((line,), NoteKind.ABORT)


def _name(outcome: Outcome) -> str:
    failure = calls.failure(outcome)
    return failure.name if failure is not None else ""
