"""What is undone when a saga fails at a given place, and in which order.

The static counterpart of what the machine does: a sequence is undone from its end, the members
of a parallel part independently, each iteration of a loop on its own. What stands in a plan is
undone as far as it happened: a parallel sibling may not have come that far, and a call without
an answer counts as happened.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sagalang.graph.structure import blocks_of, goes_on, has_pivot
from sagalang.model import program as p
from sagalang.model.errors import BUILT_IN_ERRORS


class UndoCall(Struct, frozen=True):
    """The compensation of one step, or a child saga's own compensations."""

    step: p.Step | p.ChildStep


class UndoSequence(Struct, frozen=True):
    """One after the other, in this order."""

    items: tuple[Undo, ...] = ()


class UndoTogether(Struct, frozen=True):
    """Independently of each other. `partly`: a member failed, the others may not be complete."""

    items: tuple[Undo, ...]
    partly: bool = False


class UndoEach(Struct, frozen=True):
    """Once for every iteration; from the last to the first unless the loop runs several at once."""

    loop: p.For
    body: Undo


class UndoCase(Struct, frozen=True):
    """What is undone depends on the way taken: the arms of an `if`, or the body and the handlers
    of an `attempt`, in text order."""

    statement: p.If | p.Attempt
    arms: tuple[Undo, ...]


Undo = UndoCall | UndoSequence | UndoTogether | UndoEach | UndoCase

NOTHING = UndoSequence()


class Failure(Struct, frozen=True):
    """A declared way to fail: where, with one of which errors, and what is then undone.

    `undo` reaches back to the start of the block that was asked about.
    """

    at: p.Step | p.ChildStep | p.Abort | p.Wait | p.Poll
    errors: tuple[str, ...]
    undo: Undo


def is_undone(statement: p.Statement) -> bool:
    """Whether the statement is a step that owes a compensation once it was begun."""
    match statement:
        case p.Step(compensation=compensation):
            return isinstance(compensation, p.Compensation)
        case p.ChildStep():
            return not (statement.pivot or statement.best_effort)
        case _:
            return False


def calls_of(plan: Undo) -> tuple[UndoCall, ...]:
    """The compensations of a plan, in its order."""
    match plan:
        case UndoCall():
            return (plan,)
        case UndoEach(body=body):
            return calls_of(body)
        case UndoCase(arms=items) | UndoSequence(items=items) | UndoTogether(items=items):
            return tuple(call for item in items for call in calls_of(item))


def in_sequence(items: Iterable[Undo]) -> Undo:
    """One plan after the other, without needless nesting."""
    flat: list[Undo] = []
    for item in items:
        flat.extend(item.items if isinstance(item, UndoSequence) else (item,))
    return flat[0] if len(flat) == 1 else UndoSequence(tuple(flat))


def undo_of(block: p.Block) -> Undo:
    """What undoes the block once all of it has happened, its pivots excepted."""
    return in_sequence(undo_of_statement(s) for s in reversed(block.statements))


def undo_of_statement(statement: p.Statement) -> Undo:
    match statement:
        case p.Step() | p.ChildStep():
            return UndoCall(statement) if is_undone(statement) else NOTHING
        case p.Parallel(branches=branches):
            return _together(undo_of(branch) for branch in branches)
        case p.For(body=body):
            return _each(statement, undo_of(body))
        case p.If() | p.Attempt():
            # An arm that ends the saga, or passes its pivot, is none that is undone later.
            arms = tuple(
                undo_of(arm) if goes_on(arm) and not has_pivot(arm) else NOTHING
                for arm in blocks_of(statement)
            )
            return UndoCase(statement, arms) if any(arm != NOTHING for arm in arms) else NOTHING
        case _:
            return NOTHING


def failures(program: p.Program, block: p.Block) -> tuple[Failure, ...]:
    """The declared failures that leave the block, in text order.

    Declared are the rejections of services, `abort`, and the `else abort` of waits and polls.
    Everything else (a timeout, an open breaker) can strike anywhere and is undone likewise.
    """
    found: list[Failure] = []
    before: Undo = NOTHING
    for statement in block.statements:
        for failure in failures_of(program, statement):
            undo = in_sequence((failure.undo, before))
            found.append(Failure(failure.at, failure.errors, undo))
        before = in_sequence((undo_of_statement(statement), before))
    return tuple(found)


def failures_of(program: p.Program, statement: p.Statement) -> tuple[Failure, ...]:
    """The declared failures that leave one statement; their plans begin with it."""
    match statement:
        case p.Parallel(branches=branches):
            return _in_parallel(program, branches)
        case p.For(body=body):
            # Iterations before this one, or beside it, may have come to their end.
            whole = _each(statement, undo_of(body))
            return tuple(Failure(f.at, f.errors, whole) for f in failures(program, body))
        case p.If():
            return tuple(f for arm in blocks_of(statement) for f in failures(program, arm))
        case p.Attempt(body=body, handlers=handlers):
            caught = {error for handler in handlers for error in handler.errors}
            inner = without(failures(program, body), caught)
            return inner + tuple(f for h in handlers for f in failures(program, h.body))
        case p.Abort(error=error):
            return (Failure(statement, (error,), NOTHING),)
        case p.Wait(otherwise=p.Abort(error=error)) | p.Poll(otherwise=p.Abort(error=error)):
            return (Failure(statement, (error,), NOTHING),)
        case p.Step() | p.ChildStep():
            errors = (
                () if statement.best_effort or statement.escalate else _refusals(program, statement)
            )
            return (Failure(statement, errors, NOTHING),) if errors else ()
        case _:
            return ()


def without(found: Iterable[Failure], caught: Iterable[str]) -> tuple[Failure, ...]:
    """The failures that are left where `caught` is handled."""
    left = (
        Failure(f.at, tuple(error for error in f.errors if error not in caught), f.undo)
        for f in found
    )
    return tuple(failure for failure in left if failure.errors)


def _refusals(program: p.Program, step: p.Step | p.ChildStep) -> tuple[str, ...]:
    if isinstance(step, p.Step):
        return tuple(rejection.error for rejection in program.operation(step.call).rejects)
    return tuple(e for e in program.sagas[step.saga].errors if e not in BUILT_IN_ERRORS)


def _in_parallel(program: p.Program, branches: tuple[p.Block, ...]) -> tuple[Failure, ...]:
    """Beside a branch that fails, the others are undone as far as they came."""
    whole = [undo_of(branch) for branch in branches]
    return tuple(
        Failure(
            failure.at,
            failure.errors,
            _together((*whole[:index], failure.undo, *whole[index + 1 :]), partly=True),
        )
        for index, branch in enumerate(branches)
        for failure in failures(program, branch)
    )


def _together(items: Iterable[Undo], *, partly: bool = False) -> Undo:
    left = tuple(item for item in items if item != NOTHING)
    if not left:
        return NOTHING
    return left[0] if len(left) == 1 else UndoTogether(left, partly)


def _each(loop: p.For, body: Undo) -> Undo:
    return NOTHING if body == NOTHING else UndoEach(loop, body)
