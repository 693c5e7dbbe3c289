"""Going forward: begins statements, and carries an event to the one it belongs to."""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter

from msgspec.structs import replace

from sagalang.machine import backward, leaves, settlement, undo
from sagalang.machine.definition import Definition, Ref
from sagalang.machine.evaluate import BadValueError, evaluate, known, scalar_identity
from sagalang.machine.events import AbortStarted, ChildEnded, Event, How, Place, Purpose, Settle
from sagalang.machine.frames import (
    Broken,
    CallLeaf,
    Done,
    Frame,
    Loop,
    Loops,
    Par,
    Raised,
    Result,
    Returned,
    Seq,
    Try,
    moving,
)
from sagalang.machine.frozen import EMPTY, FrozenMap
from sagalang.machine.keys import identities
from sagalang.machine.outcomes import Failure
from sagalang.machine.takedown import dismantle, loop_statement, loop_undo
from sagalang.machine.turn import Pivot, Turn
from sagalang.machine.undo import NOTHING
from sagalang.model import program as p

Happening = Event | leaves.Spoiled


def run(turn: Turn, seq: Seq) -> Result:
    """Go on with a block until something must be waited for."""
    statements = turn.definition.blocks[seq.block].statements
    while seq.index < len(statements):
        result = _begin(turn, Ref(seq.block, seq.index), seq.names, seq.loops)
        if type(result) is not Done:
            return _around(seq, result)
        seq = _past(seq, result)
    names = {name: seq.names.get(name) for name in turn.definition.exports[seq.block]}
    return Done(FrozenMap(names), undo.in_order(seq.undo))


def _past(seq: Seq, done: Done) -> Seq:
    return replace(
        seq,
        names=seq.names.plus(done.binds),
        index=seq.index + 1,
        child=None,
        undo=seq.undo if done.undo == NOTHING else (*seq.undo, done.undo),
    )


def _around(seq: Seq, result: Frame | Raised | Returned) -> Result:
    if type(result) is Raised or type(result) is Returned:
        return replace(result, frame=replace(seq, child=result.frame))
    return replace(seq, child=result)


def _block(turn: Turn, seq: Seq, result: Result) -> Result:
    """A block whose statement under way came to `result`."""
    return run(turn, _past(seq, result)) if type(result) is Done else _around(seq, result)


# --- Beginning statements ----------------------------------------------------------------------


def _begin(turn: Turn, ref: Ref, names: FrozenMap, loops: Loops) -> Result:
    statement = turn.definition.statement(ref)
    place = Place(getattr(statement, "path", type(statement).__name__.lower()), loops)
    try:
        if type(statement) is p.Step:  # most are
            return leaves.begin_step(turn, statement, place, names)
        return _begin_statement(turn, ref, statement, place, names)
    except BadValueError as error:
        if isinstance(statement, p.Step | p.ChildStep) and statement.best_effort:
            return leaves.bound(statement.name, None)
        return leaves.raised(turn, place, error.failure)


def _begin_statement(
    turn: Turn, ref: Ref, statement: p.Statement, place: Place, names: FrozenMap
) -> Result:
    scope = turn.scope(names, place)
    match statement:
        case p.Step():
            return leaves.begin_step(turn, statement, place, names)
        case p.ChildStep():
            return leaves.begin_child(turn, statement, place, scope)
        case p.Sleep():
            return leaves.begin_sleep(turn, statement, place, scope)
        case p.Wait():
            return leaves.begin_wait(turn, statement, place, names)
        case p.Poll():
            return leaves.begin_poll(turn, statement, place, names)
        case p.Let(name=name, value=value):
            return Done(FrozenMap({name: evaluate(value, scope)}))
        case p.Abort():
            return leaves.raised(turn, place, leaves.abort_error(turn, statement, scope))
        case p.Return(value=value):
            item = turn.item(place, leaves.NO_FAILURE)
            return Returned(Broken(item), evaluate(value, scope))
        case p.If(condition=condition):
            then, otherwise = turn.definition.children[ref]
            chosen = then if known(condition, scope) else otherwise
            return run(turn, Seq(chosen, names, place.loops))
        case p.Parallel():
            blocks = turn.definition.children[ref]
            branches = tuple(Seq(block, names, place.loops) for block in blocks)
            return _go_on_par(turn, Par(ref, branches))
        case p.For():
            return _begin_loop(turn, ref, statement, place, names)
        case p.Attempt():
            body = turn.definition.children[ref][0]
            frame = Try(ref, names, place.loops)
            return _attempt(turn, frame, run(turn, Seq(body, names, place.loops)))


# --- Parallel parts ----------------------------------------------------------------------------


def _unbegun(frame: Frame | Done) -> bool:
    return isinstance(frame, Seq) and frame.child is None


def _go_on_par(turn: Turn, par: Par) -> Result:
    """Begin the branches that are not begun, up to the first that fails at once."""
    for index, branch in enumerate(par.branches):
        if isinstance(branch, Seq) and branch.child is None:
            result = run(turn, branch)
            par = _with_branch(par, index, result)
            if isinstance(result, Raised):
                return replace(result, frame=par)
    return _joined(par)


def _with_branch(par: Par, index: int, result: Result) -> Par:
    assert not isinstance(result, Returned), "no return in a parallel part"
    branch = result.frame if isinstance(result, Raised) else result
    return replace(par, branches=(*par.branches[:index], branch, *par.branches[index + 1 :]))


def _joined(par: Par) -> Par | Done:
    ended = [branch for branch in par.branches if isinstance(branch, Done)]
    if len(ended) < len(par.branches):
        return par
    binds = EMPTY
    for branch in ended:
        binds = binds.plus(branch.binds)
    return Done(binds, undo.together(tuple(branch.undo for branch in ended)))


# --- Loops -------------------------------------------------------------------------------------


def _begin_loop(turn: Turn, ref: Ref, statement: p.For, place: Place, names: FrozenMap) -> Result:
    items = tuple(known(statement.source, turn.scope(names, place)))
    if statement.by is None:
        found = tuple(str(index) for index in range(len(items)))
    else:
        by = statement.by
        values = [
            known(by, turn.scope(names.plus({statement.variable: item}), place)) for item in items
        ]
        found = identities([scalar_identity(value) for value in values])
    return _go_on_loop(turn, Loop(ref, names, place.loops, items, found))


def _go_on_loop(turn: Turn, loop: Loop) -> Result:
    """Begin iterations while there is room, up to the first that fails at once."""
    statement = loop_statement(turn, loop)
    (block,) = turn.definition.children[loop.ref]
    while loop.next < len(loop.items) and _room(loop, statement.at_once):
        index = loop.next
        names = loop.names.plus({statement.variable: loop.items[index]})
        around = (*loop.loops, (statement.path, loop.identities[index]))
        result = run(turn, Seq(block, names, around))
        loop = _with_iteration(replace(loop, next=index + 1), index, result)
        if isinstance(result, Raised | Returned):
            return replace(result, frame=loop)
    if loop.active or loop.next < len(loop.items):
        return loop
    ended = [done for _, done in loop.done]
    binds = {
        name: tuple(done.binds.get(name) for done in ended)
        for name in turn.definition.exports[block]
    }
    return Done(FrozenMap(binds), loop_undo(loop, statement.at_once))


def _room(loop: Loop, at_once: int) -> bool:
    if at_once == 1:
        return not loop.active
    if len(loop.active) < at_once:
        return True
    # An iteration that waits for a person holds no slot: its siblings run on.
    return sum(moving(frame) for _, frame in loop.active) < at_once


def _with_iteration(loop: Loop, index: int, result: Result) -> Loop:
    at = bisect_left(loop.active, index, key=itemgetter(0))
    known = at < len(loop.active) and loop.active[at][0] == index
    before, after = loop.active[:at], loop.active[at + known :]
    match result:
        case Done():
            into = bisect_left(loop.done, index, key=itemgetter(0))
            done = (*loop.done[:into], (index, result), *loop.done[into:])
            return replace(loop, active=before + after, done=done)
        case Raised(frame=frame) | Returned(frame=frame):
            return replace(loop, active=(*before, (index, frame), *after))
        case _:
            return replace(loop, active=(*before, (index, result), *after))


# --- Attempts ----------------------------------------------------------------------------------


def _attempt(turn: Turn, frame: Try, result: Result) -> Result:
    """An attempt whose body, or handler, came to `result`."""
    match result:
        case Done():
            return result
        case Raised():
            handler = _handler(turn, frame, result.failure)
            if handler is None:
                return replace(result, frame=replace(frame, child=result.frame))
            statement = turn.definition.statement(frame.ref)
            assert isinstance(statement, p.Attempt)
            turn.emit(AbortStarted(Place(statement.path, frame.loops), result.failure))
            tree = dismantle(turn, result.frame)
            caught = replace(frame, child=None, tree=tree, failure=result.failure, handler=handler)
            return _undo_attempt(turn, caught)
        case Returned():
            return replace(result, frame=replace(frame, child=result.frame))
        case _:
            return replace(frame, child=result)


def _handler(turn: Turn, frame: Try, failure: Failure) -> int | None:
    statement = turn.definition.statement(frame.ref)
    assert isinstance(statement, p.Attempt)
    if frame.handler is not None or turn.abort is not None:
        return None
    if turn.pivot is not Pivot.AHEAD and turn.definition.has_pivot(
        turn.definition.children[frame.ref][0]
    ):
        return None  # the pivot in its body happened, or may have: there is no way back
    for index, handler in enumerate(statement.handlers):
        if failure.name in handler.errors:
            return index
    return None


def _undo_attempt(turn: Turn, frame: Try) -> Result:
    """Go on undoing the body; once nothing is left, the handler runs."""
    assert frame.tree is not None
    assert frame.failure is not None
    assert frame.handler is not None
    tree = backward.work(turn, frame.tree, frame.failure)
    if tree != NOTHING:
        return replace(frame, tree=tree)
    statement = turn.definition.statement(frame.ref)
    assert isinstance(statement, p.Attempt)
    handler = statement.handlers[frame.handler]
    names = frame.names
    if handler.binder is not None:
        names = names.plus({handler.binder: turn.caught(frame.failure, handler.errors)})
    block = turn.definition.children[frame.ref][frame.handler + 1]
    handling = replace(frame, tree=None)
    return _attempt(turn, handling, run(turn, Seq(block, names, frame.loops)))


# --- Events ------------------------------------------------------------------------------------


def deliver(turn: Turn, frame: Frame, place: Place, event: Happening) -> Result | None:
    """What the frame becomes by an event for the statement at `place`; None if it is not here."""
    if type(frame) is Seq:
        inner = frame.child
        if type(inner) is Broken:
            return _mended(turn, frame, inner, event) if inner.item.place == place else None
        if inner is None or not _inside(turn.definition, place.path, frame.block):
            return None
        result = deliver(turn, inner, place, event)
        return None if result is None else _block(turn, frame, result)
    if type(frame) is CallLeaf:
        return leaves.deliver(turn, frame, place, event)
    match frame:
        case Par():
            return _deliver_par(turn, frame, place, event)
        case Loop():
            return _deliver_loop(turn, frame, place, event)
        case Try(tree=None, child=child):
            result = deliver(turn, child, place, event) if child is not None else None
            return None if result is None else _attempt(turn, frame, result)
        case Try(tree=tree):
            assert tree is not None
            if not any(entry.place == place for entry in undo.entries(tree)):
                return None
            return _undo_attempt(turn, replace(frame, tree=backward.deliver(turn, tree, event)))
        case leaf:
            return leaves.deliver(turn, leaf, place, event)


def _inside(definition: Definition, path: str, block: int) -> bool:
    """Whether a statement may be in a block; those without a path of their own may be anywhere."""
    return path in definition.paths[block] or path not in definition.statements


def _mended(turn: Turn, seq: Seq, broken: Broken, event: Happening) -> Result | None:
    """A block whose statement under way is open, after an event for it."""
    match event:
        case Settle(purpose=Purpose.STEP, how=How.RETRY) if not settlement.in_doubt(turn, broken):
            settlement.begin_again(turn, broken)
            return run(turn, replace(seq, child=None))
        case Settle(purpose=Purpose.STEP):
            return _block(turn, seq, settlement.settle(turn, broken, event))
        case ChildEnded(purpose=Purpose.STEP, outcome=outcome):
            return _block(turn, seq, settlement.child_again(turn, broken, outcome))
        case _:
            return None


def _deliver_par(turn: Turn, par: Par, place: Place, event: Happening) -> Result | None:
    for index, branch in enumerate(par.branches):
        if isinstance(branch, Done):
            continue
        result = deliver(turn, branch, place, event)
        if result is not None:
            par = _with_branch(par, index, result)
            return replace(result, frame=par) if isinstance(result, Raised) else _joined(par)
    return None


def _deliver_loop(turn: Turn, loop: Loop, place: Place, event: Happening) -> Result | None:
    identity = dict(place.loops).get(loop_statement(turn, loop).path)
    for index, frame in loop.active:
        if loop.identities[index] != identity:
            continue
        result = deliver(turn, frame, place, event)
        if result is None:
            return None
        loop = _with_iteration(loop, index, result)
        if isinstance(result, Raised | Returned):
            return replace(result, frame=loop)
        return _go_on_loop(turn, loop)
    return None


def resume(turn: Turn, frame: Frame) -> Result:
    """Begin what was held back when a sibling failed and the failure then stayed open."""
    match frame:
        case Seq(child=None):
            return run(turn, frame)
        case Seq(child=child):
            assert child is not None
            return _block(turn, frame, resume(turn, child))
        case Par(branches=branches):
            for index, branch in enumerate(branches):
                if not isinstance(branch, Done) and not _unbegun(branch):
                    result = resume(turn, branch)
                    frame = _with_branch(frame, index, result)
                    if isinstance(result, Raised):
                        return replace(result, frame=frame)
            return _go_on_par(turn, frame)
        case Loop(active=active):
            for index, inner in active:
                result = resume(turn, inner)
                frame = _with_iteration(frame, index, result)
                if isinstance(result, Raised | Returned):
                    return replace(result, frame=frame)
            return _go_on_loop(turn, frame)
        case Try(tree=None, child=child) if child is not None:
            return _attempt(turn, frame, resume(turn, child))
        case _:
            return frame
