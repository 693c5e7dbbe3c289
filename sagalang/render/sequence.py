"""From a saga's graph to its sequence diagram: the way it goes well, with its failure branches.

A declared failure is a `break` beside the step that may fail so: the compensations the machine
would run, in its order, and how the saga ends. Inside a parallel part or a loop nothing is
undone before the part has come to rest, so there the breaks follow the part as a whole. All
other failures (a timeout, an open breaker) are one note: they are undone in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sagalang import graph as g
from sagalang.graph.durations import duration
from sagalang.graph.structure import goes_on
from sagalang.graph.undoing import (
    NOTHING,
    in_sequence,
    undo_of_statement,
    without,
)
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.compensation import Compensations
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Note,
    NoteKind,
    SequenceDiagram,
)
from sagalang.render.failing import caught, failures_at
from sagalang.render.strokes import (
    COMPLETED,
    SAFETY,
    Strokes,
    aside,
    compensated,
)
from sagalang.text import Span


def model(
    graph: g.SagaGraph,
    shown: words.Shown = words.NAMES,
    worst: Mapping[str, str] = {},
) -> SequenceDiagram:
    """The sequence diagram of a saga as it is written, not of one run.

    `worst`: for the details of a step, by its path: a line that says its worst case.
    """
    strokes = Strokes(graph, shown, worst)
    drawing = _Drawing(graph, strokes, Compensations(strokes))
    saga = graph.saga
    items = (*strokes.opening(), *drawing.block(saga.body, _Place()))
    if goes_on(saga.body):
        items += drawing.closing()
    return SequenceDiagram(saga.name, strokes.cast.participants, items, saga.doc)


@dataclass(frozen=True, slots=True)
class _Place:
    """What surrounds the statements being drawn.

    `before`: what is undone if the saga fails before them. `caught`: errors that an `attempt`
    around them handles. `inside`: in a parallel part or a loop, whose failures are drawn behind.
    """

    before: g.Undo = NOTHING
    caught: frozenset[str] = frozenset()
    inside: bool = False


class _Drawing:
    """One picture being made; remembers what has been said once and for all."""

    def __init__(self, graph: g.SagaGraph, strokes: Strokes, compensations: Compensations) -> None:
        self._program = graph.program
        self._saga = graph.saga
        self._strokes = strokes
        self._compensations = compensations
        self._undoes = any(node.undone_by is not None for node in graph.nodes)

    def closing(self) -> tuple[Item, ...]:
        return (*self._safety(), COMPLETED)

    def block(self, block: p.Block, place: _Place) -> tuple[Item, ...]:
        items: list[Item] = []
        before = place.before
        for statement in block.statements:
            items += self._statement(statement, replace(place, before=before))
            before = in_sequence((undo_of_statement(statement), before))
        return tuple(items)

    def _statement(self, statement: p.Statement, place: _Place) -> Iterable[Item]:
        match statement:
            case p.Step() | p.ChildStep():
                return self._step(statement, place)
            case p.Parallel() | p.For():
                return self._part(statement, place)
            case p.If():
                return self._if(statement, place)
            case p.Abort():
                return self._abort(statement, place)
            case p.Return():
                return (*self._safety(), COMPLETED)
            case p.Sleep():
                return (self._strokes.sleep(statement),)
            case p.Wait():
                return self._wait(statement, place)
            case p.Poll():
                return self._poll(statement, place)
            case p.Attempt():
                return self._attempt(statement, place)
            case p.Let():
                return ()

    # --- Calls -----------------------------------------------------------------------------------

    def _step(self, step: p.Step | p.ChildStep, place: _Place) -> Iterator[Item]:
        if step.pivot:
            yield from self._safety()
            yield self._strokes.pivot(step)
        yield from self._strokes.special(step)
        yield self._strokes.call(step)
        yield from self._breaks(step, place)
        yield self._strokes.reply(step)

    def _safety(self) -> tuple[Item, ...]:
        """Said once, at the first place from which nothing is undone any more."""
        if not self._undoes:
            return ()
        self._undoes = False
        return (Note(SAFETY, NoteKind.INFO),)

    # --- Failures --------------------------------------------------------------------------------

    def _breaks(self, statement: p.Statement, place: _Place) -> Iterator[Item]:
        """How the statement may fail, unless that is handled or drawn further out."""
        if place.inside:
            return
        for failure in without(failures_at(self._program, statement), place.caught):
            plan = in_sequence((failure.undo, place.before))
            items = (*self._refusal(failure), *self._ending(failure.errors, plan))
            arm = Arm(" or ".join(failure.errors) + _once_at_rest(statement), items)
            yield Fragment(FragmentKind.BREAK, (arm,), failure.at.span)

    def _refusal(self, failure: g.Failure) -> tuple[Item, ...]:
        match failure.at:
            case p.Step() | p.ChildStep() as step:
                return (self._strokes.rejection(step, " or ".join(failure.errors)),)
            case _:
                return ()

    def _ending(self, errors: tuple[str, ...], plan: g.Undo) -> tuple[Item, ...]:
        """From the failure to the end of the saga."""
        last = self._saga.when_compensated
        farewell = self.block(last.body, _Place(inside=True)) if last is not None else ()
        outcome = compensated(" or ".join(errors), nothing=plan == NOTHING)
        return (*self._compensations.phase(plan), *farewell, outcome)

    def _leaves(self, error: str, place: _Place) -> bool:
        """Whether the saga ends here with the error, so that the picture shows it here."""
        return not place.inside and error not in place.caught

    def _abort(self, abort: p.Abort, place: _Place) -> Iterable[Item]:
        if not self._leaves(abort.error, place):
            return (aside(f"abort {abort.error}", abort.span),)
        arm = Arm(f"abort {abort.error}", self._ending((abort.error,), place.before))
        return (Fragment(FragmentKind.BREAK, (arm,), abort.span),)

    def _otherwise(
        self, otherwise: p.Otherwise, name: str, span: Span, place: _Place
    ) -> tuple[Item, ...]:
        """What follows a wait or a poll that ran out."""
        match otherwise:
            case p.Abort(error=error) if self._leaves(error, place):
                return self._ending((error,), place.before)
            case p.Abort(error=error):
                return (aside(f"abort {error}", span),)
            case p.Escalation(team=team):
                return (aside(f"{team} takes over", span),)
            case None:
                return (aside(f"goes on without {name}", span),)

    # --- Compound statements ---------------------------------------------------------------------

    def _part(self, part: p.Parallel | p.For, place: _Place) -> Iterator[Item]:
        inside = replace(place, inside=True)
        if isinstance(part, p.Parallel):
            arms = tuple(Arm("", self.block(branch, inside)) for branch in part.branches)
            yield Fragment(FragmentKind.PAR, arms, part.span)
        else:
            arms = (Arm(words.loop(part), self.block(part.body, inside)),)
            yield Fragment(FragmentKind.LOOP, arms, part.span)
        yield from self._breaks(part, place)

    def _if(self, branch: p.If, place: _Place) -> tuple[Item, ...]:
        test = words.condition(branch.condition)
        match branch.then.statements, branch.otherwise.statements:
            case (p.Abort(error=error),), () if self._leaves(error, place):
                # The abort is the whole arm: the condition itself breaks the saga off.
                arm = Arm(test, self._ending((error,), place.before))
                return (Fragment(FragmentKind.BREAK, (arm,), branch.span),)
        then = self.block(branch.then, place)
        otherwise = self.block(branch.otherwise, place)
        if then and otherwise:
            arms = (Arm(test, then), Arm("otherwise", otherwise))
            return (Fragment(FragmentKind.ALT, arms, branch.span),)
        if then or otherwise:
            arm = Arm(test, then) if then else Arm(f"not ({test})", otherwise)
            return (Fragment(FragmentKind.OPT, (arm,), branch.span),)
        return ()

    def _wait(self, wait: p.Wait, place: _Place) -> tuple[Item, ...]:
        arrived = self._strokes.event(wait)
        missed = self._otherwise(wait.otherwise, wait.name, wait.span, place)
        match wait.otherwise:
            case p.Abort(error=error) if self._leaves(error, place):
                # Without it a strict reader would go on below the alternative.
                missed = (
                    Fragment(FragmentKind.BREAK, (Arm(f"abort {error}", missed),), wait.span),
                )
        within = duration(wait.within)
        arms = (
            Arm(f"{wait.event} within {within}", (arrived,)),
            Arm(f"none within {within}", missed),
        )
        return (Fragment(FragmentKind.ALT, arms, wait.span),)

    def _poll(self, poll: p.Poll, place: _Place) -> Iterator[Item]:
        asked = (self._strokes.call(poll), self._strokes.reply(poll))
        span = poll.span
        yield Fragment(FragmentKind.LOOP, (Arm(words.poll(poll), asked),), span)
        missed = self._otherwise(poll.otherwise, poll.name, span, place)
        kind = FragmentKind.BREAK if isinstance(poll.otherwise, p.Abort) else FragmentKind.OPT
        yield Fragment(kind, (Arm(f"not within {duration(poll.within)}", missed),), span)

    def _attempt(self, attempt: p.Attempt, place: _Place) -> tuple[Item, ...]:
        errors = frozenset(e for handler in attempt.handlers for e in handler.errors)
        body = self.block(attempt.body, replace(place, caught=place.caught | errors))
        arms = [Arm("attempt", body)]
        for handler in attempt.handlers:
            items = (*self._rollback(attempt, handler), *self.block(handler.body, place))
            arms.append(Arm(" or ".join(handler.errors), items))
        return (Fragment(FragmentKind.CRITICAL, tuple(arms), attempt.span),)

    def _rollback(self, attempt: p.Attempt, handler: p.Handler) -> tuple[Item, ...]:
        """What is undone before a handler runs; after each error where that differs."""
        cases = caught(self._program, attempt, handler)
        phases = [(case.label, self._compensations.phase(case.plan)) for case in cases]
        if len(cases) == 1:
            return phases[0][1]
        arms = tuple(Arm(label, phase) for label, phase in phases if phase)
        kind = FragmentKind.ALT if len(arms) > 1 else FragmentKind.OPT
        return (Fragment(kind, arms, handler.span),)


def _once_at_rest(statement: p.Statement) -> str:
    """What a failure in a part with several strands waits for before anything is undone."""
    match statement:
        case p.Parallel():
            return ", once the other branches are at rest"
        case p.For(at_once=at_once) if at_once > 1:
            return ", once the others are at rest"
        case _:
            return ""
