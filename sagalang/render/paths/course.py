"""One way through a saga: what goes well, what goes wrong, what is undone, how it ends.

A walk over the statements, without values. Of an `if` the arm is taken in which something is to go
wrong; else the arms that go well are drawn beside each other. A loop is drawn once, for the
iteration that something happens in. What a single call comes to is up to the call machine
(`trial`); what is undone, and in which order, follows the rules of `graph.undoing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sagalang import graph as g
from sagalang.graph.structure import blocks_of, goes_on, has_pivot
from sagalang.graph.undoing import NOTHING, in_sequence, undo_of
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED
from sagalang.render import words
from sagalang.render.cast import Cast
from sagalang.render.compensation import Open, Undone, label, perform
from sagalang.render.details import Details
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Note,
    NoteKind,
    Phase,
)
from sagalang.render.paths.calling import Calling
from sagalang.render.paths.ends import Came, End, Ending, Raised, Returned, Stuck, task
from sagalang.render.paths.leaves import Leaves, Place
from sagalang.render.paths.luck import aborts
from sagalang.render.paths.taking_back import take_back
from sagalang.render.strokes import (
    COMPLETED,
    Strokes,
    aside,
    compensated,
    for_label,
)


@dataclass(slots=True)
class Course:
    """Follows one path."""

    graph: g.SagaGraph
    calling: Calling
    _leaves: Leaves = field(init=False)
    _undone: list[g.Undo] = field(default_factory=list)
    _children: dict[str, Course] = field(default_factory=dict)
    _undo: g.Undo = NOTHING

    def __post_init__(self) -> None:
        self._leaves = Leaves(self.graph, self.calling, self._run_child)

    @property
    def _program(self) -> p.Program:
        return self.graph.program

    # --- The whole -------------------------------------------------------------------------------

    def run(self) -> Ending:
        """From the start to the end."""
        came = self._block(self.graph.saga.body, Place())
        self._undo = came.undo
        match came.end:
            case Raised(error=error):
                return self._back(error, came.items, came.undo)
            case Stuck(open=found, held=held):
                return self._stuck(came.items, found, held)
            case _:
                closing = () if isinstance(came.end, Returned) else (COMPLETED,)
                return Ending("completed", (*came.items, *closing), None, tuple(self._undone))

    def undo_completed(self, error: str) -> Ending:
        """What it did is undone, because its parent saga asks for it."""
        return self._back(error, (), self._undo)

    def _back(self, error: str, items: tuple[Item, ...], plan: g.Undo) -> Ending:
        phase, undone = self._take_back(plan)
        items += phase
        if undone.stuck:
            return self._stuck(items, undone.stuck, undone.held, error)
        last = self.graph.saga.when_compensated
        if last is not None:
            items += self._block(last.body, Place(epilogue=True)).items
        nothing = not self._undone
        items += (compensated(error, nothing=nothing),)
        return Ending("compensated", items, error, tuple(self._undone))

    def _stuck(
        self,
        items: tuple[Item, ...],
        found: tuple[Open, ...],
        held: tuple[g.UndoCall, ...] = (),
        error: str | None = None,
    ) -> Ending:
        told = [one for one in found if not one.forever]
        lines = ["escalated"] if told else ["it does not end by itself"]
        lines += [task(one) for one in found]
        if held:
            lines.append("waiting until then: " + ", ".join(label(one.step) for one in held))
        note = Note(tuple(lines), NoteKind.OUTCOME)
        kind = "escalated" if told else "endless"
        return Ending(kind, (*items, note), error, tuple(self._undone), found, held)

    def _take_back(self, plan: g.Undo) -> tuple[tuple[Item, ...], Undone]:
        """A plan as a phase of its own."""
        if plan == NOTHING:
            return (), Undone()
        self._undone.append(plan)
        undone = perform(plan, self._compensate)
        return (Phase(undone.items),), undone

    # --- Statements ------------------------------------------------------------------------------

    def _block(self, block: p.Block, place: Place) -> Came:
        items: list[Item] = []
        undo: g.Undo = NOTHING
        for statement in block.statements:
            came = self._statement(statement, place)
            items += came.items
            undo = in_sequence((came.undo, undo))
            if came.end is not None:
                return Came(tuple(items), undo, came.end)
        return Came(tuple(items), undo)

    def _statement(self, statement: p.Statement, place: Place) -> Came:
        leaves = self._leaves
        match statement:
            case p.Step():
                return leaves.after(statement, leaves.step(statement, place), place)
            case p.ChildStep():
                return leaves.after(statement, leaves.child(statement, place), place)
            case p.Wait() | p.Poll():
                return leaves.awaited(statement, place)
            case p.Parallel():
                return self._parallel(statement, place)
            case p.For():
                return self._for(statement, place)
            case p.If():
                return self._if(statement, place)
            case p.Attempt():
                return self._attempt(statement, place)
            case p.Abort():
                self.calling.luck.aborts(statement)
                note = aside(f"abort {statement.error}", statement.span)
                return Came((note,), end=leaves.raised(statement.error, place))
            case p.Return():
                return Came((COMPLETED,), end=Returned())
            case p.Sleep():
                return Came((self.calling.strokes.sleep(statement),))
            case p.Let():
                return Came()

    def _run_child(self, step: p.ChildStep) -> Ending:
        return self._inside(step).run()

    def _inside(self, step: p.ChildStep) -> Course:
        """The course of a child saga; only what it comes to is drawn."""
        graph = g.lower(self._program, step.saga)
        strokes = Strokes(graph, Cast(graph), self.calling.shown, Details(self._program))
        mine = self.calling
        calling = Calling(self._program, strokes, mine.luck, mine.shown, mine.now)
        child = Course(graph, calling)
        self._children[step.path] = child
        return child

    # --- Compensations ---------------------------------------------------------------------------

    def _compensate(self, one: g.UndoCall) -> Undone:
        if isinstance(one.step, p.ChildStep):
            return self._compensate_child(one.step)
        return take_back(self.calling, one.step)

    def _compensate_child(self, step: p.ChildStep) -> Undone:
        sent = self.calling.strokes.compensation(step)
        child = self._children.get(step.path)
        if child is None:
            if not self.calling.luck.concerns_calls(self._program.sagas[step.saga]):
                return Undone((sent,))
            child = self._inside(step)
            child.run()
        ending = child.undo_completed(CANCELLED)
        if not ending.open:
            return Undone((sent,))
        lines = (f"saga {step.saga} cannot be undone", *(task(one) for one in ending.open))
        return Undone((sent, Note(lines, NoteKind.MARK)), ending.open)

    # --- Compound statements ---------------------------------------------------------------------

    def _parallel(self, part: p.Parallel, place: Place) -> Came:
        began = self.calling.now
        found, ends = [], [began]
        for branch in part.branches:
            self.calling.now = began
            found.append(self._block(branch, place))
            ends.append(self.calling.now)
        raised = [came.end for came in found if isinstance(came.end, Raised)]
        first = min(raised, key=lambda end: end.at) if raised else None
        self.calling.now = first.at if first is not None else max(ends)
        arms = tuple(
            Arm(
                "as far as begun" if first is not None and came.end is not first else "", came.items
            )
            for came in found
        )
        fragment = Fragment(FragmentKind.PAR, arms, part.span)
        owed = [came.undo for came in found if came.undo != NOTHING]
        undo: g.Undo = NOTHING
        if len(owed) == 1:
            undo = owed[0]
        elif owed:
            undo = g.UndoTogether(tuple(owed), partly=first is not None)
        stuck = [came.end for came in found if isinstance(came.end, Stuck)]
        end: End = first
        if stuck and first is None:
            end = Stuck(
                tuple(one for part in stuck for one in part.open),
                tuple(one for part in stuck for one in part.held),
            )
        return Came((fragment,), undo, end)

    def _for(self, loop: p.For, place: Place) -> Came:
        before = len(self.calling.luck.struck)
        came = self._block(loop.body, place)
        one = came.end is not None or len(self.calling.luck.struck) > before
        text = f"{for_label(loop)}: one of them" if one else for_label(loop)
        fragment = Fragment(FragmentKind.LOOP, (Arm(text, came.items),), loop.span)
        each = undo_of(loop.body)
        undo = g.UndoEach(loop, each) if each != NOTHING else NOTHING
        return Came((fragment,), undo, came.end)

    def _if(self, branch: p.If, place: Place) -> Came:
        test = words.condition(branch.condition)
        arms = ((test, branch.then), (f"not ({test})", branch.otherwise))
        wanted = [arm for arm in arms if self.calling.luck.concerns(arm[1])]
        if not wanted and any(has_pivot(block) for _, block in arms):
            wanted = [arm for arm in arms if not aborts(arm[1])]
        if not wanted and all(aborts(block) for _, block in arms):
            wanted = [arms[0]]
        if wanted:
            text, block = wanted[0]
            came = self._block(block, place)
            if not came.items:
                return came
            fragment = Fragment(FragmentKind.OPT, (Arm(text, came.items),), branch.span)
            return replace(came, items=(fragment,))
        well = [(text, block) for text, block in arms if not aborts(block)]
        walked = [(text, block, self._block(block, place)) for text, block in well]
        drawn = tuple(Arm(text, came.items) for text, _, came in walked if came.items)
        if len(drawn) == 2:
            drawn = (drawn[0], replace(drawn[1], label="otherwise"))
        kind = FragmentKind.ALT if len(drawn) > 1 else FragmentKind.OPT
        items = (Fragment(kind, drawn, branch.span),) if drawn else ()
        goes = {id(block): came for _, block, came in walked if goes_on(block)}
        plans = tuple(
            goes[id(block)].undo if id(block) in goes else NOTHING for block in blocks_of(branch)
        )
        undo = g.UndoCase(branch, plans) if any(plan != NOTHING for plan in plans) else NOTHING
        end = None if goes else walked[0][2].end
        return Came(items, undo, end)

    def _attempt(self, attempt: p.Attempt, place: Place) -> Came:
        came = self._block(attempt.body, replace(place, around=(attempt, *place.around)))
        body = Arm("attempt", came.items)
        error = came.end.error if isinstance(came.end, Raised) and not came.end.stop else None
        handler = next((h for h in attempt.handlers if error in h.errors), None)
        if handler is None:
            fragment = Fragment(FragmentKind.CRITICAL, (body,), attempt.span)
            return replace(came, items=(fragment,))
        phase, undone = self._take_back(came.undo)
        label_ = error or ""
        if undone.stuck:
            arms = (body, Arm(label_, phase))
            fragment = Fragment(FragmentKind.CRITICAL, arms, attempt.span)
            return Came((fragment,), NOTHING, Stuck(undone.stuck, undone.held))
        after = self._block(handler.body, place)
        arms = (body, Arm(label_, (*phase, *after.items)))
        fragment = Fragment(FragmentKind.CRITICAL, arms, attempt.span)
        return Came((fragment,), after.undo, after.end)
