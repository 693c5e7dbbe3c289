"""What a person may answer to an open item, and what comes of it (language.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from sagalang.machine import backward, calls, leaves
from sagalang.machine.events import (
    ChildEnded,
    Escalated,
    How,
    OpenItem,
    Place,
    Purpose,
    SagaOutcome,
    Settle,
    Settled,
)
from sagalang.machine.frames import Broken, CallLeaf, Frame, Result
from sagalang.machine.frames import leaves as leaves_of
from sagalang.machine.frames import trees as trees_of
from sagalang.machine.outcomes import Failure, Ok, Rejected, Unknown
from sagalang.machine.turn import Pivot, Turn, needs_result
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, entries
from sagalang.model import program as p
from sagalang.model.errors import NOT_DONE
from sagalang.model.types import Null, Optional, Type

BY_HAND: Final = Failure(NOT_DONE, None, "it was done by hand, so only a person can undo it")

REFUSED: Final = "SettlementRefused"
"""Not an error of the language: what a person answered does not fit."""


# --- What may be answered ----------------------------------------------------------------------


def refusal(turn: Turn, frame: Frame | None, tree: Undo, event: Settle) -> str | None:
    """Why this settlement is not taken, as a sentence; None: it is."""
    found = _find(frame, tree, event.place, event.purpose)
    match found:
        case None:
            return _not_open(frame, tree, event)
        case Broken(item=OpenItem(failure=failure)) | Entry(failure=failure) if failure in (
            backward.CHILD_OPEN,
            backward.CHILD_NOT_UNDONE,
        ):
            return f"{event.place} is settled in its child saga, {turn.key(event.place)}"
        case Broken():
            return _refuse_step(turn, found, event)
        case Entry():
            return _refuse_undo(turn, found, event)


def _find(frame: Frame | None, tree: Undo, place: Place, purpose: Purpose) -> Broken | Entry | None:
    if frame is not None:
        for leaf in leaves_of(frame):
            if (
                isinstance(leaf, Broken)
                and leaf.item.place == place
                and leaf.item.purpose is purpose
            ):
                return leaf
    undoing = (tree,) if frame is None else trees_of(frame)
    for entry in (entry for tree in undoing for entry in entries(tree)):
        if entry.status is Status.STUCK and entry.place == place and entry.purpose is purpose:
            return entry
    return None


def _not_open(frame: Frame | None, tree: Undo, event: Settle) -> str:
    calls_ = () if frame is None else leaves_of(frame)
    retried = [leaf.place for leaf in calls_ if isinstance(leaf, CallLeaf) and leaf.overdue]
    undoing = (tree,) if frame is None else trees_of(frame)
    retried += [entry.place for tree in undoing for entry in entries(tree) if entry.overdue]
    if event.place in retried:
        return f"{event.place} is still being retried: it can be settled once that has ended"
    return f"{event.place} is not open: there is nothing to settle"


def _refuse_step(turn: Turn, broken: Broken, event: Settle) -> str | None:
    statement = turn.definition.statements.get(event.place.path)
    if event.how is How.RETRY:
        return _refuse_retry(turn, broken, statement, event)
    if not isinstance(statement, p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep):
        return f"{event.place} is no call and no wait: it can only be tried once more"
    if isinstance(statement, p.Sleep):
        return None
    used = statement.name is not None and _mentions(turn.definition.saga, statement.name)
    if event.how is How.NOT_DONE:
        pivot = isinstance(statement, p.Step | p.ChildStep) and statement.pivot
        if used and turn.pivot is not Pivot.AHEAD and not pivot:
            return (
                f"{event.place} is past the point of no return and `{statement.name}` is used "
                "later: retry it, or give its value with `done`"
            )
        return None
    if event.value is None and needs_value(turn.definition.saga, statement, event.purpose):
        return f"{event.place} needs a value: what follows uses it"
    return None


def needs_value(saga: p.Saga, statement: p.Statement | None, purpose: Purpose) -> bool:
    """Whether it cannot be settled as done without a value: what follows uses what it gave."""
    if purpose is Purpose.COMPENSATE or not isinstance(
        statement, p.Step | p.ChildStep | p.Wait | p.Poll
    ):
        return False
    compensation = statement.compensation if isinstance(statement, p.Step) else None
    used = (statement.name is not None and _mentions(saga, statement.name)) or (
        isinstance(compensation, p.Compensation) and needs_result(compensation.call.args)
    )
    return used and not _may_be_null(statement.type)


def _refuse_retry(
    turn: Turn, broken: Broken, statement: p.Statement | None, event: Settle
) -> str | None:
    if broken.item.failure == backward.CHILD_WRITTEN_OFF:
        return f"{event.place} cannot be retried: its child saga is over"
    if not (isinstance(statement, p.Step) and in_doubt(turn, broken)):
        return None
    assert broken.call is not None
    operation = turn.definition.program.operation(statement.call)
    config = calls.CallConfig.of(operation, statement.policy)
    return _refuse_call(config, broken.call.started, broken.call.unanswered, event)


def _refuse_undo(turn: Turn, entry: Entry, event: Settle) -> str | None:
    statement = turn.definition.statements[entry.place.path]
    if not isinstance(statement, p.Step):
        over = event.how is How.RETRY
        return f"{event.place} cannot be retried: only a person can undo it" if over else None
    assert isinstance(statement.compensation, p.Compensation)
    program, compensation = turn.definition.program, statement.compensation
    if event.purpose is Purpose.RESOLVE:
        if event.how is How.DONE:
            step = program.operation(statement.call)
            if event.value is None and not _may_be_null(step.result):
                return f"{event.place} needs a value: its compensation uses it"
            return None
        if event.how is How.RETRY:
            config = calls.CallConfig.of(
                program.operation(statement.call), compensation.policy, resolve=True, patient=True
            )
            return _refuse_call(config, entry.started, entry.unanswered, event)
        return None
    if event.how is not How.RETRY:
        return None
    if entry.args is None:
        return f"{event.place} cannot be retried: what its compensation needs has no value"
    if entry.first_undo is not None and not entry.refused:
        config = calls.CallConfig.of(
            program.operation(compensation.call), compensation.policy, patient=True
        )
        return _refuse_call(config, entry.first_undo, entry.undo_unanswered, event)
    return None


def _refuse_call(
    config: calls.CallConfig, first: int, unanswered: int | None, event: Settle
) -> str | None:
    """Asks the call's own machine whether it would do anything at all."""
    state = calls.recover(event.at, first, unanswered)
    _, (command, *_) = calls.advance(config, state, calls.Begin(), event.at, 0.0)
    if isinstance(command, calls.Done):
        return (
            f"{event.place} may have happened, and nothing can tell or repeat it safely: "
            "find out, and answer `done` or `not done`"
        )
    return None


def _may_be_null(type_: Type) -> bool:
    return isinstance(type_, Optional | Null)


def _mentions(saga: p.Saga, name: str) -> bool:
    return any(isinstance(node, p.Ref) and node.name == name for node in _nodes(saga.body))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
    elif hasattr(value, "__struct_fields__"):
        yield value
        for field in value.__struct_fields__:
            yield from _nodes(getattr(value, field))


# --- What comes of it --------------------------------------------------------------------------


def in_doubt(turn: Turn, broken: Broken) -> bool:
    """Whether what is broken is a call that may have happened."""
    call, step = broken.call, turn.definition.statements.get(broken.item.place.path)
    return (
        call is not None
        and isinstance(call.outcome, Unknown)
        and isinstance(step, p.Step)
        and not turn.definition.program.operation(step.call).is_query
    )


def begin_again(turn: Turn, broken: Broken) -> None:
    """Before the statement is begun anew: a fresh key for what was certainly rejected."""
    place = broken.item.place
    turn.emit(Settled(place, Purpose.STEP))
    step = turn.definition.statements.get(place.path)
    rejected = broken.call is not None and isinstance(broken.call.outcome, Rejected)
    if rejected or isinstance(step, p.ChildStep):
        turn.renew(place)


def settle(turn: Turn, broken: Broken, event: Settle) -> Result:
    """What an open item comes to by a person's word, which was not refused."""
    place = broken.item.place
    statement = turn.definition.statements[place.path]
    assert isinstance(statement, p.Step | p.ChildStep | p.Wait | p.Poll | p.Sleep)
    name = None if isinstance(statement, p.Sleep) else statement.name
    pivot = isinstance(statement, p.Step | p.ChildStep) and statement.pivot
    turn.emit(Settled(place, Purpose.STEP))
    match event.how:
        case How.RETRY:
            assert isinstance(statement, p.Step)
            assert broken.call is not None
            entry = replace(broken.call, outcome=None)
            return leaves.make_call(turn, statement, entry, entry.started)
        case How.DONE:
            outcome = Ok(event.value)
            if pivot:
                leaves.certain(turn, outcome)
            return leaves.bound(name, event.value, _owed_by_hand(turn, statement, broken, outcome))
        case How.NOT_DONE:
            failure = Failure(NOT_DONE, None, "a person said so")
            if pivot:
                leaves.certain(turn, Rejected(failure))
            if turn.pivot is Pivot.AHEAD:
                return leaves.raised(turn, place, failure)
            return leaves.bound(name, None)


def _owed_by_hand(turn: Turn, statement: p.Statement, broken: Broken, outcome: Ok) -> Undo:
    match statement:
        case p.Step() if broken.call is not None:
            return backward.settle(turn, broken.call, outcome, broken.call.unanswered)
        case p.Step(compensation=p.Compensation()) | p.ChildStep(pivot=False):
            return Entry(broken.item.place, Status.OWED, failure=BY_HAND)
        case _:
            return NOTHING


def child_again(turn: Turn, broken: Broken, outcome: SagaOutcome) -> Result:
    """A child saga that was escalated came to another end."""
    place = broken.item.place
    step = turn.definition.statements[place.path]
    if broken.item.failure != backward.CHILD_OPEN or not isinstance(step, p.ChildStep):
        return broken
    if isinstance(outcome, Escalated) and backward.child_failure(outcome) == backward.CHILD_OPEN:
        return broken
    turn.emit(Settled(place, Purpose.STEP))
    return leaves.child_ended(turn, place, step, outcome)


def concerns(frame: Frame | None, tree: Undo, event: ChildEnded) -> bool:
    """Whether an open item waits for this child saga to end differently."""
    found = _find(frame, tree, event.place, event.purpose)
    match found:
        case Broken(item=OpenItem(failure=failure)) | Entry(failure=failure):
            return failure in (backward.CHILD_OPEN, backward.CHILD_NOT_UNDONE)
        case _:
            return False
