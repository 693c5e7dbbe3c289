"""One way through a saga: what goes well, what goes wrong, what is undone, how it ends.

A walk over the statements, without values. Of an `if` the arm is taken in which something is to go
wrong; else the arms that go well are drawn beside each other. A loop is drawn once, for the
iteration that something happens in. What a single call comes to is up to the call machine
(`call_history`), what a step or a wait comes to stands in `simple_statements`; what is undone, and
in which order, follows the rules of `graph.undoing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sagalang import graph as g
from sagalang.graph.structure import blocks_of, goes_on, has_pivot, statements
from sagalang.graph.undoing import NOTHING, in_sequence, undo_of
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED
from sagalang.render import words
from sagalang.render.compensation import Open, Undone, label, perform
from sagalang.render.diagram import (
    Arm,
    Fragment,
    FragmentKind,
    Item,
    Note,
    NoteKind,
    Phase,
)
from sagalang.render.failing import begun, together, undo_of_loop
from sagalang.render.paths.caller import Caller
from sagalang.render.paths.compensating import compensate
from sagalang.render.paths.results import End, Ending, Raised, Result, Returned, Stuck, task
from sagalang.render.paths.simple_statements import Place, SimpleStatements
from sagalang.render.strokes import (
    COMPLETED,
    Strokes,
    aside,
    compensated,
)


@dataclass(slots=True)
class Walk:
    """Follows one path through one saga. `_children`: the walks through its child sagas, by step.
    `_owed`: what undoes the saga once it is completed. `_turned`: it went back, at least once;
    `_handled`: and then forwards again."""

    graph: g.SagaGraph
    caller: Caller
    _simple: SimpleStatements = field(init=False)
    _undone: list[g.Undo] = field(default_factory=list)
    _stuck_at: list[g.UndoCall] = field(default_factory=list)
    _kept: list[p.Step] = field(default_factory=list)
    _turned: bool = False
    _handled: bool = False
    _children: dict[str, Walk] = field(default_factory=dict)
    _owed: g.Undo = NOTHING

    def __post_init__(self) -> None:
        self._simple = SimpleStatements(self.graph, self.caller, self._run_child)

    @property
    def _program(self) -> p.Program:
        return self.graph.program

    # --- The whole -------------------------------------------------------------------------------

    def run(self) -> Ending:
        """From the start to the end."""
        result = self._block(self.graph.saga.body, Place())
        self._owed = result.undo
        match result.end:
            case Raised(error=error):
                return self._back(error, result.items, result.undo)
            case Stuck(open=found, held=held):
                return self._stuck(result.items, found, held)
            case _:
                closing = () if isinstance(result.end, Returned) else (COMPLETED,)
                return self._ending("completed", (*result.items, *closing))

    def _ending(
        self,
        kind: str,
        items: tuple[Item, ...],
        error: str | None = None,
        found: tuple[Open, ...] = (),
        held: tuple[g.UndoCall, ...] = (),
    ) -> Ending:
        undone, owed, kept = tuple(self._undone), tuple(self._stuck_at), tuple(self._kept)
        return Ending(kind, items, error, undone, found, held, owed, kept, self._handled)

    def undo_completed(self, error: str) -> Ending:
        """What it did is undone, because its parent saga asks for it."""
        return self._back(error, (), self._owed)

    def _back(self, error: str, items: tuple[Item, ...], plan: g.Undo) -> Ending:
        phase, undone = self._undo_plan(plan, self.graph.saga.body)
        items += phase
        if undone.stuck:
            return self._stuck(items, undone.stuck, undone.held, error)
        last = self.graph.saga.when_compensated
        if last is not None:
            items += self._block(last.body, Place(epilogue=True)).items
        items += (compensated(error, nothing=not self._turned),)
        return self._ending("compensated", items, error)

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
        return self._ending(kind, (*items, note), error, found, held)

    def _undo_plan(self, plan: g.Undo, body: p.Block) -> tuple[tuple[Item, ...], Undone]:
        """The plan of a block as a phase of its own."""
        self._kept += (step for step in self._happened(body) if step not in self._kept)
        if plan == NOTHING:
            return (), Undone()
        self._turned = True
        undone = perform(plan, self._compensate)
        if undone.done != NOTHING:
            self._undone.append(undone.done)
        return (Phase(undone.items),), undone

    def _happened(self, block: p.Block) -> Iterator[p.Step]:
        """The steps that happened, or may have, and that nothing undoes."""
        for statement in statements(block):
            if isinstance(statement, p.Step) and isinstance(
                statement.compensation, p.NoCompensation
            ):
                memory = self.caller.memory.get(statement.path)
                if memory is not None and (memory.service.happened or memory.unknown):
                    yield statement

    # --- Statements ------------------------------------------------------------------------------

    def _block(self, block: p.Block, place: Place) -> Result:
        items: list[Item] = []
        undo: g.Undo = NOTHING
        for statement in block.statements:
            result = self._statement(statement, place)
            items += result.items
            undo = in_sequence((result.undo, undo))
            if result.end is not None:
                return Result(tuple(items), undo, result.end)
        return Result(tuple(items), undo)

    def _statement(self, statement: p.Statement, place: Place) -> Result:
        simple = self._simple
        match statement:
            case p.Step():
                return simple.after(statement, simple.step(statement, place), place)
            case p.ChildStep():
                return simple.after(statement, simple.child(statement, place), place)
            case p.Wait() | p.Poll():
                return simple.awaited(statement, place)
            case p.Parallel():
                return self._parallel(statement, place)
            case p.For():
                return self._for(statement, place)
            case p.If():
                return self._if(statement, place)
            case p.Attempt():
                return self._attempt(statement, place)
            case p.Abort():
                self.caller.faults.reached(statement)
                note = aside(f"abort {statement.error}", statement.span)
                return Result((note,), end=simple.raised(statement.error, place))
            case p.Return():
                return Result((COMPLETED,), end=Returned())
            case p.Sleep():
                return Result((self.caller.strokes.sleep(statement),))
            case p.Let():
                return Result()

    def _run_child(self, step: p.ChildStep) -> Ending:
        child = self._inside(step)
        ending = child.run()
        self.caller.now = child.caller.now
        return ending

    def _inside(self, step: p.ChildStep) -> Walk:
        """The walk through a child saga; only what it comes to is drawn."""
        mine = self.caller
        graph = g.lower(self._program, step.saga)
        child = Walk(graph, Caller(Strokes(graph, mine.strokes.shown), mine.faults, mine.now))
        self._children[step.path] = child
        return child

    # --- Compensations ---------------------------------------------------------------------------

    def _compensate(self, one: g.UndoCall) -> Undone:
        if isinstance(one.step, p.ChildStep):
            undone = self._compensate_child(one, one.step)
        else:
            undone = compensate(self.caller, one)
        if undone.stuck:
            self._stuck_at.append(one)
        return undone

    def _compensate_child(self, one: g.UndoCall, step: p.ChildStep) -> Undone:
        sent = self.caller.strokes.compensation(step)
        child = self._children.get(step.path)
        if child is None:
            if not self.caller.faults.concerns_calls(self._program.sagas[step.saga]):
                return Undone((sent,), done=one)
            child = self._inside(step)
            child.run()
        before = self.caller.faults.count
        ending = child.undo_completed(CANCELLED)
        told = self._simple.inside(step, before, ending)
        if not ending.open:
            return Undone((sent, *told), done=one)
        lines = (f"saga {step.saga} cannot be undone", *(task(each) for each in ending.open))
        return Undone((sent, *told, Note(lines, NoteKind.MARK)), ending.open)

    # --- Compound statements ---------------------------------------------------------------------

    def _parallel(self, part: p.Parallel, place: Place) -> Result:
        began = self.caller.now
        found, ends = [], [began]
        for branch in part.branches:
            self.caller.now = began
            found.append(self._block(branch, place))
            ends.append(self.caller.now)
        raised = [result.end for result in found if isinstance(result.end, Raised)]
        first = min(raised, key=lambda end: end.at) if raised else None
        self.caller.now = first.at if first is not None else max(ends)
        arms = tuple(
            Arm("as far as begun" if first is not None and one.end is not first else "", one.items)
            for one in found
        )
        fragment = Fragment(FragmentKind.PAR, arms, part.span)
        owed = [
            begun(one.undo) if first is not None and one.end is not first else one.undo
            for one in found
        ]
        undo = together(owed, partly=first is not None)
        stuck = [result.end for result in found if isinstance(result.end, Stuck)]
        end: End = first
        if stuck and first is None:
            end = Stuck(
                tuple(one for part in stuck for one in part.open),
                tuple(one for part in stuck for one in part.held),
            )
        return Result((fragment,), undo, end)

    def _for(self, loop: p.For, place: Place) -> Result:
        before = self.caller.faults.count
        result = self._block(loop.body, place)
        one = result.end is not None or self.caller.faults.count > before
        text = f"{words.loop(loop)}: one of them" if one else words.loop(loop)
        fragment = Fragment(FragmentKind.LOOP, (Arm(text, result.items),), loop.span)
        if result.end is not None:
            return Result((fragment,), undo_of_loop(loop, result.undo), result.end)
        each = undo_of(loop.body)
        return Result((fragment,), g.UndoEach(loop, each) if each != NOTHING else NOTHING)

    def _if(self, branch: p.If, place: Place) -> Result:
        test = words.condition(branch.condition)
        arms = ((test, branch.then), (f"not ({test})", branch.otherwise))
        wanted = [arm for arm in arms if self.caller.faults.concerns(arm[1])]
        if not wanted and any(has_pivot(block) for _, block in arms):
            wanted = [arm for arm in arms if not _ends_in_abort(arm[1])]
        if not wanted and all(_ends_in_abort(block) for _, block in arms):
            wanted = [arms[0]]
        if wanted:
            text, block = wanted[0]
            result = self._block(block, place)
            if not result.items:
                return result
            fragment = Fragment(FragmentKind.OPT, (Arm(text, result.items),), branch.span)
            return replace(result, items=(fragment,))
        well = [(text, block) for text, block in arms if not _ends_in_abort(block)]
        walked = [(text, block, self._block(block, place)) for text, block in well]
        drawn = tuple(Arm(text, result.items) for text, _, result in walked if result.items)
        if len(drawn) == 2:
            drawn = (drawn[0], replace(drawn[1], label="otherwise"))
        kind = FragmentKind.ALT if len(drawn) > 1 else FragmentKind.OPT
        items = (Fragment(kind, drawn, branch.span),) if drawn else ()
        goes = {id(block): result for _, block, result in walked if goes_on(block)}
        plans = tuple(
            goes[id(block)].undo if id(block) in goes else NOTHING for block in blocks_of(branch)
        )
        undo = g.UndoCase(branch, plans) if any(plan != NOTHING for plan in plans) else NOTHING
        end = None if goes else walked[0][2].end
        return Result(items, undo, end)

    def _attempt(self, attempt: p.Attempt, place: Place) -> Result:
        result = self._block(attempt.body, replace(place, around=(attempt, *place.around)))
        body = Arm("attempt", result.items)
        error = result.end.error if isinstance(result.end, Raised) and not result.end.stop else None
        handler = next((h for h in attempt.handlers if error in h.errors), None)
        if handler is None:
            fragment = Fragment(FragmentKind.CRITICAL, (body,), attempt.span)
            return replace(result, items=(fragment,))
        phase, undone = self._undo_plan(result.undo, attempt.body)
        self._handled = True
        label_ = error or ""
        if undone.stuck:
            arms = (body, Arm(label_, phase))
            fragment = Fragment(FragmentKind.CRITICAL, arms, attempt.span)
            return Result((fragment,), NOTHING, Stuck(undone.stuck, undone.held))
        after = self._block(handler.body, place)
        arms = (body, Arm(label_, (*phase, *after.items)))
        fragment = Fragment(FragmentKind.CRITICAL, arms, attempt.span)
        return Result((fragment,), after.undo, after.end)


def _ends_in_abort(block: p.Block) -> bool:
    """Whether the block, when all goes well, comes to an `abort`."""
    for statement in block.statements:
        match statement:
            case p.Abort():
                return True
            case p.Return():
                return False
            case p.If():
                if all(_ends_in_abort(arm) for arm in blocks_of(statement)):
                    return True
            case p.Parallel(branches=branches):
                if any(_ends_in_abort(branch) for branch in branches):
                    return True
            case _:
                pass
    return False
