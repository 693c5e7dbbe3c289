"""Compensation plans without an orchestrator: each is started by the event of the one before it,
the first one by the failure."""

from __future__ import annotations

from sagalang import graph as g
from sagalang.graph.undoing import NOTHING, calls_of
from sagalang.model import program as p
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.choreography.events import Drawn, News, duty, told, until
from sagalang.render.compensation import DRAWN
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Message,
    MessageKind,
    Phase,
)
from sagalang.render.failing import loop_label


class Undoing:
    """Draws plans; remembers how much has been drawn, to be brief in the end."""

    def __init__(self, program: p.Program, cast: Cast) -> None:
        self._program = program
        self._cast = cast
        self._left = DRAWN

    def first(self, plan: g.Undo, otherwise: int) -> int:
        """Who undoes something first."""
        calls = calls_of(plan)
        return self._of(calls[0].step)[0] if calls else otherwise

    def phase(self, plan: g.Undo, news: News, after: int) -> Drawn:
        """The plan as a phase of its own; nothing where nothing is to be undone. `after`: who
        acts when all is undone."""
        if plan == NOTHING:
            return Drawn((), news)
        calls = calls_of(plan)
        if len(calls) > self._left and self._left < DRAWN:
            drawn = self._in_brief(calls, news)
        else:
            self._left -= len(calls)
            drawn = self._plan(plan, news, after)
        return Drawn((Phase(drawn.items),), drawn.news)

    def _in_brief(self, calls: tuple[g.UndoCall, ...], news: News) -> Drawn:
        (first, begun), (last, done) = self._of(calls[0].step), self._of(calls[-1].step)
        lines = (f"{len(calls)} compensations, from {begun} back to {done},", "each tells the next")
        return Drawn((*told(news, first), duty(first, lines)), News(last, f"{done} ok"))

    def _plan(self, plan: g.Undo, news: News, after: int) -> Drawn:
        match plan:
            case g.UndoCall(step=step):
                return self._call(step, news)
            case g.UndoSequence(items=plans):
                return self._in_order(plans, news, after)
            case g.UndoTogether(items=plans, partly=partly):
                arms = tuple(
                    Arm("as far as begun" if partly and index == 0 else "", items)
                    for index, items in enumerate(self._all(plans, news, after))
                )
                fragment = Fragment(FragmentKind.PAR, arms)
                note = duty(after, ("waits until all of these are undone",))
                return Drawn((fragment, note), News(after, "all undone"))
            case g.UndoEach(loop=loop, body=body):
                first = self.first(body, after)
                (items,) = self._all((body,), News(first, f"each {loop.variable}"), after)
                arms = (Arm(loop_label(plan), items),)
                fragment = Fragment(FragmentKind.LOOP, arms, loop.span)
                note = duty(after, ("waits until each of them is undone",))
                return Drawn((*told(news, first), fragment, note), News(after, "all undone"))
            case g.UndoCase(statement=statement, arms=plans):
                arms = tuple(
                    Arm(label, items)
                    for label, items in zip(
                        words.ways(statement), self._all(plans, news, after), strict=True
                    )
                    if items
                )
                kind = FragmentKind.OPT if len(arms) == 1 else FragmentKind.ALT
                return Drawn((Fragment(kind, arms, statement.span),), News(after, "all undone"))

    def _all(
        self, plans: tuple[g.Undo, ...], news: News, after: int
    ) -> tuple[tuple[Item, ...], ...]:
        """Plans beside each other: all begin with the same event, all report to the same one."""
        return tuple(until(self._plan(plan, news, after), after) for plan in plans)

    def _in_order(self, plans: tuple[g.Undo, ...], news: News, after: int) -> Drawn:
        items: list[Item] = []
        for index, plan in enumerate(plans):
            rest = g.UndoSequence(plans[index + 1 :])
            drawn = self._plan(plan, news, self.first(rest, after))
            items += drawn.items
            news = drawn.news
        return Drawn(tuple(items), news)

    def _call(self, step: p.Step | p.ChildStep, news: News) -> Drawn:
        who, name = self._of(step)
        kind = MessageKind.COMPENSATION
        if isinstance(step, p.ChildStep):
            done = Message(who, who, "compensate", kind, step.path, step.span)
        else:
            assert isinstance(step.compensation, p.Compensation)
            call = step.compensation.call
            text = words.call_text(self._program.operation(call), call, step)
            done = Message(who, who, text, kind, step.path, call.span)
        return Drawn((*told(news, who, done.span), done), News(who, f"{name} ok"))

    def _of(self, step: p.Step | p.ChildStep) -> tuple[int, str]:
        """Who undoes a step, and what that is called."""
        if isinstance(step, p.ChildStep):
            return self._cast.saga(step.saga), f"compensate {step.saga}"
        assert isinstance(step.compensation, p.Compensation)
        call = step.compensation.call
        return self._cast.service(call.service), call.operation
