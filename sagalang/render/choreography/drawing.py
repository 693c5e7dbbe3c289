"""The statements of a saga as a choreography; see the package for what that means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sagalang import graph as g
from sagalang.graph.durations import duration
from sagalang.graph.structure import goes_on
from sagalang.graph.undoing import (
    NOTHING,
    failures,
    in_sequence,
    undo_of_statement,
    without,
)
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.choreography.events import STARTER, Drawn, News, duty, told, until
from sagalang.render.choreography.turns import first_of, turns
from sagalang.render.choreography.undo import Undoing
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Note,
    NoteKind,
)
from sagalang.render.failing import Caught, caught, failures_at
from sagalang.render.strokes import COMPLETED, compensated
from sagalang.text import Span

_SAFETY: Final = (
    "any other failure up to here is undone likewise, once it is told;",
    "nobody notices an event that never comes",
)
_PIVOT: Final = (
    "point of no return",
    "from here on each repeats its own part until it is done;",
    "nobody else sees it give up",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What surrounds the statements being drawn; see `sequence.py`.

    `after`: who acts when the block has come to its end.
    """

    before: g.Undo = NOTHING
    caught: frozenset[str] = frozenset()
    inside: bool = False
    after: int = STARTER


class Drawing:
    """One picture being made; remembers what has been said once and for all, and who decides."""

    def __init__(self, graph: g.SagaGraph, cast: Cast) -> None:
        self._program = graph.program
        self._saga = graph.saga
        self._cast = cast
        self._undoing = Undoing(graph.program, cast)
        self._undoes = any(node.undone_by is not None for node in graph.nodes)
        self._deciders: dict[Span, int] = {}
        """Who finds out that an `abort`, a wait or a poll ends the saga, by its place."""
        self._judges: set[int] = set()

    def whole(self) -> tuple[Item, ...]:
        saga = self._saga
        asked = f"{saga.name}({', '.join(param.name for param in saga.params)})"
        drawn = self._block(saga.body, News(STARTER, asked), _Place())
        end = self._completed(drawn.news) if goes_on(saga.body) else ()
        return (*self._opening(), *drawn.items, *end)

    def _opening(self) -> tuple[Item, ...]:
        items: list[Item] = []
        if self._saga.id is not None:
            line = f"every event carries {words.condition(self._saga.id)}"
            items.append(Note((line,), NoteKind.INFO))
        if self._saga.deadline is not None:
            within = duration(self._saga.deadline)
            lines = (f"deadline {within}: nobody else knows when it began",)
            items.append(duty(STARTER, lines))
        if self._saga.compensate_escalate is not None:
            team = self._saga.compensate_escalate.team
            lines = (f"whoever cannot undo its part has to call {team}",)
            items.append(Note(lines, NoteKind.INFO))
        return tuple(items)

    def _completed(self, news: News) -> tuple[Item, ...]:
        return (*self._safety(), *told(news, STARTER), COMPLETED)

    def _block(self, block: p.Block, news: News, place: _Place) -> Drawn:
        items: list[Item] = []
        before = place.before
        for statement, after in zip(
            block.statements, turns(self._cast, block, place.after), strict=True
        ):
            here = replace(place, before=before, after=after)
            drawn = self._statement(statement, news, here)
            items += drawn.items
            news = drawn.news
            before = in_sequence((undo_of_statement(statement), before))
        return Drawn(tuple(items), news)

    def _statement(self, statement: p.Statement, news: News, place: _Place) -> Drawn:
        match statement:
            case p.Step() | p.ChildStep():
                return self._step(statement, news, place)
            case p.Parallel():
                return self._parallel(statement, news, place)
            case p.For():
                return self._for(statement, news, place)
            case p.If():
                return self._if(statement, news, place)
            case p.Abort():
                return self._abort(statement, news, place)
            case p.Return():
                return Drawn(self._completed(news), News(STARTER, "completed"))
            case p.Sleep():
                return self._sleep(statement, news, place)
            case p.Wait():
                return self._wait(statement, news, place)
            case p.Poll():
                return self._poll(statement, news, place)
            case p.Attempt():
                return self._attempt(statement, news, place)
            case p.Let():
                return Drawn((), news)

    # --- Calls -----------------------------------------------------------------------------------

    def _step(self, step: p.Step | p.ChildStep, news: News, place: _Place) -> Drawn:
        who, name = self._of(step)
        if isinstance(step, p.Step):
            text = words.call_text(self._program.operation(step.call), step.call)
        else:
            text = f"run({words.arguments(self._program.sagas[step.saga].params, step.args)})"
        pivot: tuple[Item, ...] = ()
        if step.pivot:
            pivot = (*self._safety(), Note(_PIVOT, NoteKind.PIVOT, None, step.span))
        items = (
            *told(news, who, step.span),
            *pivot,
            Message(who, who, text, MessageKind.CALL, step.path, step.span),
            *self._duties(step, who),
            *self._breaks(step, place),
        )
        return Drawn(items, News(who, f"{name} {'tried' if step.best_effort else 'ok'}"))

    def _of(self, step: p.Step | p.ChildStep) -> tuple[int, str]:
        if isinstance(step, p.Step):
            return self._cast.service(step.call.service), step.call.operation
        return self._cast.saga(step.saga), step.saga

    def _duties(self, step: p.Step | p.ChildStep, who: int) -> tuple[Item, ...]:
        if step.best_effort:
            return (duty(who, ("best effort: tells that it is over, well or not",), step.span),)
        if step.escalate is not None:
            lines = (f"has to call {step.escalate.team} itself if it fails",)
            return (duty(who, lines, step.span),)
        return ()

    def _safety(self) -> tuple[Item, ...]:
        """Said once, at the first place from which nothing is undone any more."""
        if not self._undoes:
            return ()
        self._undoes = False
        return (Note(_SAFETY, NoteKind.INFO),)

    # --- Failures --------------------------------------------------------------------------------

    def _breaks(self, statement: p.Statement, place: _Place) -> tuple[Item, ...]:
        """How the statement may fail, unless that is handled or drawn further out."""
        if place.inside:
            return ()
        found: list[Item] = []
        for failure in without(failures_at(self._program, statement), place.caught):
            plan = in_sequence((failure.undo, place.before))
            items = self._ending(failure.errors, plan, self._told_by(failure))
            arm = Arm(" or ".join(failure.errors), items)
            found.append(Fragment(FragmentKind.BREAK, (arm,), failure.at.span))
        return tuple(found)

    def _told_by(self, failure: g.Failure) -> News:
        """The event of a failure."""
        errors = " or ".join(failure.errors)
        if isinstance(failure.at, p.Step | p.ChildStep):
            who, name = self._of(failure.at)
            return News(who, f"{name}: {errors}")
        return News(self._deciders[failure.at.span], errors)

    def _ending(self, errors: tuple[str, ...], plan: g.Undo, news: News) -> tuple[Item, ...]:
        """From the failure to the end of the saga."""
        last = self._saga.when_compensated
        body = last.body if last is not None else p.Block(())
        undone = self._undoing.phase(plan, news, first_of(self._cast, body, STARTER))
        farewell = self._block(body, undone.news, _Place(inside=True))
        outcome = compensated(" or ".join(errors), nothing=plan == NOTHING)
        return (*undone.items, *until(farewell, STARTER), outcome)

    def _leaves(self, error: str, place: _Place) -> bool:
        """Whether the saga ends here with the error, so that the picture shows it here."""
        return not place.inside and error not in place.caught

    def _abort(self, abort: p.Abort, news: News, place: _Place) -> Drawn:
        who, error = news.source, abort.error
        self._deciders[abort.span] = who
        if not self._leaves(error, place):
            return Drawn((duty(who, (f"tells {error}",), abort.span),), News(who, error))
        ending = self._ending((error,), place.before, News(who, error))
        arm = Arm(f"abort {error}", ending)
        return Drawn((Fragment(FragmentKind.BREAK, (arm,), abort.span),), News(who, error))

    def _otherwise(self, missing: p.Wait | p.Poll, who: int, place: _Place) -> tuple[Item, ...]:
        """What follows where something did not come in time; `who` notices it."""
        self._deciders[missing.span] = who
        match missing.otherwise:
            case p.Abort(error=error) if self._leaves(error, place):
                return self._ending((error,), place.before, News(who, error))
            case p.Abort(error=error):
                line = f"tells {error}"
            case p.Escalation(team=team):
                line = f"has to call {team}"
            case None:
                line = f"goes on without {missing.name}"
        return (duty(who, (line,), missing.span),)

    # --- Compound statements ---------------------------------------------------------------------

    def _parallel(self, part: p.Parallel, news: News, place: _Place) -> Drawn:
        """All begin with the same event; whoever acts next needs all of theirs, so it joins."""
        arms = tuple(Arm("", self._inside(branch, news, place)) for branch in part.branches)
        lines = ("waits for all of these, and remembers which have come",)
        items = (
            Fragment(FragmentKind.PAR, arms, part.span),
            duty(place.after, lines, part.span),
            *self._breaks(part, place),
        )
        return Drawn(items, News(place.after, "all done"))

    def _for(self, loop: p.For, news: News, place: _Place) -> Drawn:
        first, one = first_of(self._cast, loop.body, place.after), loop.variable
        label = f"for {one} in {words.condition(loop.source)}"
        arm = Arm(label, self._inside(loop.body, News(first, f"each {one}"), place))
        pace = "one at a time" if loop.at_once == 1 else f"{loop.at_once} at once"
        lines = (f"waits for every {one}, and has to know how many there are, if any",)
        items = (
            *told(news, first, loop.span),
            duty(first, (f"does this {pace}",), loop.span),
            Fragment(FragmentKind.LOOP, (arm,), loop.span),
            duty(place.after, lines, loop.span),
            *self._breaks(loop, place),
        )
        return Drawn(items, News(place.after, f"every {one} done"))

    def _inside(self, block: p.Block, news: News, place: _Place) -> tuple[Item, ...]:
        return self._arm(block, news, replace(place, inside=True))

    def _arm(self, block: p.Block, news: News, place: _Place) -> tuple[Item, ...]:
        """A block, up to the event for whoever acts after it."""
        drawn = self._block(block, news, place)
        return until(drawn, place.after) if goes_on(block) else drawn.items

    def _if(self, branch: p.If, news: News, place: _Place) -> Drawn:
        """Whoever has the newest event decides: what the condition asks has to be known there."""
        who, after, span = news.source, place.after, branch.span
        test = words.condition(branch.condition)
        judges = self._judging(who, span)
        match branch.then.statements, branch.otherwise.statements:
            case (p.Abort(error=error) as abort,), () if self._leaves(error, place):
                # The abort is the whole arm: the condition itself breaks the saga off.
                self._deciders[abort.span] = who
                ending = self._ending((error,), place.before, News(who, error))
                return Drawn(
                    (*judges, Fragment(FragmentKind.BREAK, (Arm(test, ending),), span)), news
                )

        then = self._arm(branch.then, news, place)
        otherwise = self._arm(branch.otherwise, news, place)
        passed = News(after, "go on")
        if then and otherwise:
            arms = (Arm(test, then), Arm("otherwise", otherwise))
            return Drawn((*judges, Fragment(FragmentKind.ALT, arms, span)), passed)
        if then or otherwise:
            arm = Arm(test, then) if then else Arm(f"not ({test})", otherwise)
            return Drawn((*judges, Fragment(FragmentKind.OPT, (arm,), span)), passed)
        return Drawn((), news)

    def _judging(self, who: int, span: Span) -> tuple[Item, ...]:
        """Said once of everybody who decides something."""
        if who in self._judges:
            return ()
        self._judges.add(who)
        return (duty(who, ("decides, so it has to know what that takes",), span),)

    def _sleep(self, sleep: p.Sleep, news: News, place: _Place) -> Drawn:
        who = place.after
        lines = (f"{words.sleep(sleep)}: a timer of its own, which survives a restart",)
        return Drawn((*told(news, who), duty(who, lines, sleep.span)), News(who, "it is time"))

    def _wait(self, wait: p.Wait, news: News, place: _Place) -> Drawn:
        """Whoever needs the event keeps the saga open, and the time."""
        who, within = place.after, duration(wait.within)
        source, text = self._cast.event(wait.event), words.event(wait)
        arrived = Message(source, who, text, MessageKind.EVENT, wait.path, wait.span)
        lines = (f"keeps the {within} itself, and any {wait.event} that comes too early",)
        missed = self._otherwise(wait, who, place)
        arms = (
            Arm(f"{wait.event} within {within}", (arrived,)),
            Arm(f"none within {within}", missed),
        )
        items = (
            *told(news, who, wait.span),
            duty(who, lines, wait.span),
            Fragment(FragmentKind.ALT, arms, wait.span),
        )
        return Drawn(items, News(who, wait.name))

    def _poll(self, poll: p.Poll, news: News, place: _Place) -> Drawn:
        """Nobody asks: whoever has the answer watches it."""
        who, within, span = self._cast.service(poll.call.service), duration(poll.within), poll.span
        text = words.call_text(self._program.operation(poll.call), poll.call)
        asked = Message(who, who, text, MessageKind.CALL, poll.path, span)
        kind = FragmentKind.BREAK if isinstance(poll.otherwise, p.Abort) else FragmentKind.OPT
        missed = self._otherwise(poll, who, place)
        items = (
            *told(news, who, span),
            duty(who, (f"nobody asks it: it watches itself, and keeps the {within}",), span),
            Fragment(FragmentKind.LOOP, (Arm(words.poll(poll), (asked,)),), span),
            Fragment(kind, (Arm(f"not within {within}", missed),), span),
        )
        return Drawn(items, News(who, f"{poll.call.operation} ok"))

    def _attempt(self, attempt: p.Attempt, news: News, place: _Place) -> Drawn:
        after = place.after
        errors = frozenset(e for handler in attempt.handlers for e in handler.errors)
        inner = replace(place, caught=place.caught | errors)
        arms = [Arm("attempt", self._arm(attempt.body, news, inner))]
        for handler in attempt.handlers:
            acts = first_of(self._cast, handler.body, after)
            undone = self._rollback(attempt, handler, news, acts)
            items = (*undone.items, *self._arm(handler.body, undone.news, place))
            arms.append(Arm(" or ".join(handler.errors), items))
        fragment = Fragment(FragmentKind.CRITICAL, tuple(arms), attempt.span)
        return Drawn((fragment,), News(after, "go on"))

    def _rollback(self, attempt: p.Attempt, handler: p.Handler, begun: News, acts: int) -> Drawn:
        """What is undone before a handler runs; after each error where that differs."""
        cases = caught(self._program, attempt, handler)
        found = [self._case(attempt, case, begun, acts, handler.span) for case in cases]
        if len(cases) == 1:
            return found[0]
        labels = [case.label for case in cases]
        arms = tuple(Arm(one, until(drawn, acts)) for one, drawn in zip(labels, found, strict=True))
        alternatives = Fragment(FragmentKind.ALT, arms, handler.span)
        return Drawn((alternatives,), News(acts, " or ".join(handler.errors)))

    def _case(self, attempt: p.Attempt, case: Caught, begun: News, acts: int, span: Span) -> Drawn:
        heard = self._heard(attempt, case, begun, self._undoing.first(case.plan, acts), span)
        undone = self._undoing.phase(case.plan, heard.news, acts)
        return Drawn((*heard.items, *undone.items), undone.news)

    def _heard(self, attempt: p.Attempt, one: Caught, begun: News, who: int, span: Span) -> Drawn:
        """How a failure that is handled gets to `who`, the first to do something about it.

        `begun`: the event with which the attempt begins. To notice that nothing comes one must
        know that something should.
        """
        events: dict[News, None] = {}
        told_of: set[str] = set()
        for failure in failures(self._program, attempt.body):
            errors = tuple(error for error in failure.errors if error in one.errors)
            if errors and any(at is failure.at for at in one.at):
                events[self._told_by(g.Failure(failure.at, errors, failure.undo))] = None
                told_of.update(errors)
        items = [item for news in events for item in told(news, who)]
        if len(events) > 1:
            items.append(duty(who, ("whichever of these comes",), span))
        silent = [error for error in one.errors if error not in told_of]
        if silent:
            lines = (f"nobody tells {' or '.join(silent)}: it has to notice by itself",)
            items += (*told(begun, who, span), duty(who, lines, span))
        if len(events) == 1 and not silent:
            (only,) = events
            return Drawn((), only)
        return Drawn(tuple(items), News(who, " or ".join(one.errors)))
