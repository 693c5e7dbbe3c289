"""Undoing: starts what is due in an undo tree and takes in what became of it."""

from __future__ import annotations

from msgspec.structs import replace

from sagalang.machine import keys
from sagalang.machine.evaluate import BadValueError
from sagalang.machine.events import (
    CallEnded,
    ChildEnded,
    Compensated,
    Completed,
    Escalate,
    Interrupt,
    OpenItem,
    Place,
    Purpose,
    RunCall,
    Settled,
    StartTimer,
    StopTimer,
    Timer,
    TimerFired,
    UndoChild,
)
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.turn import Turn, needs_result
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, change, due, entries, settled
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, NOT_DONE, UNAVAILABLE
from sagalang.model.program import Ms


def prepare(
    turn: Turn, step: p.Step, place: Place, names: FrozenMap, sent: tuple[object, ...]
) -> Entry:
    """What the step will owe once its intent is recorded. Raises `BadValueError`.

    Arguments that do not need the result are captured now, before anything is sent.
    """
    entry = Entry(place, Status.SETTLING, sent=sent, started=turn.now)
    if not isinstance(step.compensation, p.Compensation):
        return entry
    call = step.compensation.call
    if needs_result(call.args):
        return replace(entry, names=names)
    return replace(entry, args=turn.arguments(call, turn.scope(names, place)))


def settle(turn: Turn, entry: Entry, outcome: Outcome, unanswered: Ms | None) -> Undo:
    """What is owed once the step's outcome is known: nothing if it certainly did not happen."""
    step = turn.definition.statements[entry.place.path]
    if not (isinstance(step, p.Step) and isinstance(step.compensation, p.Compensation)):
        return NOTHING
    if not isinstance(outcome, Ok | Unknown):
        return NOTHING
    entry = replace(entry, status=Status.OWED, outcome=outcome, unanswered=unanswered)
    if entry.args is None and isinstance(outcome, Ok):
        return _capture(turn, entry, step.compensation, outcome)
    return entry


def _capture(turn: Turn, entry: Entry, compensation: p.Compensation, outcome: Ok) -> Entry:
    """The arguments that need the result. Where they have no value, nobody but a person can undo
    the step; that is told when its turn comes, for the saga may still complete."""
    assert entry.names is not None
    scope = turn.scope(entry.names, entry.place, result=outcome.value, now=entry.started)
    try:
        args = turn.arguments(compensation.call, scope)
    except BadValueError as error:
        return replace(entry, names=None, failure=error.failure)
    return replace(entry, names=None, args=args)


def settle_child(turn: Turn, entry: Entry, event: ChildEnded) -> Undo:
    match event.outcome:
        case Completed():
            return replace(entry, status=Status.OWED)
        case Compensated():
            return NOTHING
        case _:
            failure = Failure(UNAVAILABLE, None, "the child saga is escalated")
            return _stuck(turn, entry, failure, Purpose.STEP)


def work(turn: Turn, tree: Undo, error: Failure) -> Undo:
    """Start everything that is due. Nothing is, while a step of the tree is still in flight."""
    if not settled(tree):
        return tree
    while True:
        found = tuple(due(tree))
        if not found:
            return tree
        for entry in found:
            tree = change(tree, entry.place, lambda owed: _start(turn, owed, error))


def _start(turn: Turn, entry: Entry, error: Failure) -> Undo:
    step = turn.definition.statements[entry.place.path]
    if isinstance(step, p.ChildStep):
        turn.emit(UndoChild(entry.place, step.saga, turn.key(entry.place), error))
        return replace(entry, status=Status.RUNNING)
    assert isinstance(step, p.Step)
    assert isinstance(step.compensation, p.Compensation)
    if entry.failure is not None:
        return _stuck(turn, entry, entry.failure, Purpose.COMPENSATE)
    if entry.args is None:
        return _resolve(turn, entry, step, step.compensation)
    compensation = step.compensation
    undoing = turn.definition.program.operation(compensation.call)
    lands = turn.definition.program.operation(step.call).promises.lands_within
    if entry.unanswered is not None and lands is not None and not undoing.promises.fences_late:
        safe = entry.unanswered + lands
        if safe > turn.now:
            turn.emit(StartTimer(entry.place, Timer.LANDS, safe))
            return replace(entry, status=Status.DELAYED)
    try:
        probe = turn.probe(undoing, entry.args, entry.place)
    except BadValueError as bad:
        return _stuck(turn, entry, bad.failure, Purpose.COMPENSATE)
    turn.emit(
        RunCall(
            place=entry.place,
            purpose=Purpose.COMPENSATE,
            key=turn.key(entry.place, keys.COMPENSATE),
            service=undoing.service,
            operation=undoing.name,
            args=entry.args,
            policy=compensation.policy,
            probe=probe,
        )
    )
    _start_clock(turn, entry.place, compensation)
    return replace(entry, status=Status.RUNNING)


def _resolve(turn: Turn, entry: Entry, step: p.Step, compensation: p.Compensation) -> Undo:
    operation = turn.definition.program.operation(step.call)
    try:
        probe = turn.probe(operation, entry.sent, entry.place)
    except BadValueError as bad:
        return _stuck(turn, entry, bad.failure, Purpose.RESOLVE)
    turn.emit(
        RunCall(
            place=entry.place,
            purpose=Purpose.RESOLVE,
            key=turn.key(entry.place),
            service=operation.service,
            operation=operation.name,
            args=entry.sent,
            policy=compensation.policy,
            probe=probe,
            first_attempt=entry.started,
            unanswered=entry.unanswered,
        )
    )
    _start_clock(turn, entry.place, compensation)
    return replace(entry, status=Status.RESOLVING)


def _start_clock(turn: Turn, place: Place, compensation: p.Compensation) -> None:
    if timed(compensation.escalate, compensation.policy):
        assert compensation.escalate is not None
        turn.emit(StartTimer(place, Timer.ESCALATE, turn.now + compensation.escalate.after))


def timed(escalate: p.Escalation | None, policy: p.Policy) -> bool:
    """Whether people are told while retrying goes on: only where it goes on for ever."""
    return escalate is not None and policy.retry is not None and policy.retry.retries is None


def deliver(turn: Turn, tree: Undo, event: object) -> Undo:
    """The tree after an event that belongs to one of its entries; others change nothing."""
    match event:
        case CallEnded(place=place) | ChildEnded(place=place) | TimerFired(place=place):
            return change(tree, place, lambda entry: _take(turn, entry, event))
        case _:
            return tree


def _take(turn: Turn, entry: Entry, event: CallEnded | ChildEnded | TimerFired) -> Undo:
    match entry.status, event:
        case Status.SETTLING, CallEnded(outcome=outcome, unanswered=unanswered):
            return settle(turn, entry, outcome, unanswered)
        case Status.SETTLING, ChildEnded():
            return settle_child(turn, entry, event)
        case Status.DELAYED, TimerFired(timer=Timer.LANDS):
            return replace(entry, status=Status.OWED)
        case ((Status.RUNNING | Status.RESOLVING), TimerFired(timer=Timer.ESCALATE)):
            return _overdue(turn, entry)
        case Status.RESOLVING, CallEnded(purpose=Purpose.RESOLVE, outcome=outcome):
            return _resolved(turn, entry, outcome)
        case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=Ok()):
            _stop_clock(turn, entry)
            return NOTHING
        case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=outcome):
            return _stuck(turn, entry, _error(outcome), Purpose.COMPENSATE)
        case Status.RUNNING, ChildEnded(purpose=Purpose.COMPENSATE, outcome=Compensated()):
            return NOTHING
        case Status.RUNNING, ChildEnded(purpose=Purpose.COMPENSATE):
            failure = Failure(NOT_DONE, None, "the child saga could not be compensated")
            return _stuck(turn, entry, failure, Purpose.COMPENSATE)
        case _:
            return entry


def _resolved(turn: Turn, entry: Entry, outcome: Outcome) -> Undo:
    match outcome:
        case Ok():
            step = turn.definition.statements[entry.place.path]
            assert isinstance(step, p.Step)
            assert isinstance(step.compensation, p.Compensation)
            _stop_clock(turn, entry)
            # What went unanswered before is the same effect under the same key, now known.
            entry = replace(entry, status=Status.OWED, outcome=outcome, overdue=False)
            return _capture(turn, entry, step.compensation, outcome)
        case Rejected() | NotSent():
            _stop_clock(turn, entry)
            return NOTHING
        case Unknown(error):
            return _stuck(turn, entry, error, Purpose.RESOLVE)


def _team(turn: Turn, place: Place) -> str:
    match turn.definition.statements.get(place.path):
        case p.Step(compensation=p.Compensation(escalate=p.Escalation(team=team))):
            return team
        case _:
            escalate = turn.definition.saga.compensate_escalate
            return escalate.team if escalate is not None else ""


def _purpose(entry: Entry) -> Purpose:
    return Purpose.RESOLVE if entry.status is Status.RESOLVING else Purpose.COMPENSATE


def _overdue(turn: Turn, entry: Entry) -> Entry:
    purpose = _purpose(entry)
    failure = Failure(UNAVAILABLE, None, "still being retried")
    item = turn.item(entry.place, failure, purpose, _team(turn, entry.place))
    turn.emit(Escalate(item, retrying=True))
    return replace(entry, overdue=True, failure=failure)


def _stop_clock(turn: Turn, entry: Entry) -> None:
    if entry.overdue:
        turn.emit(Settled(entry.place, _purpose(entry)))
        return
    match turn.definition.statements[entry.place.path]:
        case p.Step(compensation=p.Compensation(policy=policy, escalate=escalate)):
            if timed(escalate, policy):
                turn.emit(StopTimer(entry.place, Timer.ESCALATE))


def _stuck(turn: Turn, entry: Entry, failure: Failure, purpose: Purpose) -> Entry:
    if not entry.overdue:
        turn.emit(Escalate(turn.item(entry.place, failure, purpose, _team(turn, entry.place))))
        if entry.status in (Status.RUNNING, Status.RESOLVING):
            _stop_clock(turn, entry)
    return replace(entry, status=Status.STUCK, failure=failure, purpose=purpose, overdue=False)


def stop_overdue(turn: Turn, tree: Undo) -> Undo:
    """Interrupt what is escalated and still retrying, because nothing else can move."""
    for entry in tuple(entries(tree)):
        if entry.overdue and not entry.stopping:
            turn.emit(Interrupt(entry.place, _purpose(entry)))
            tree = change(tree, entry.place, lambda found: replace(found, stopping=True))
    return tree


def open_items(turn: Turn, tree: Undo) -> tuple[OpenItem, ...]:
    """What a person must settle, in text order."""
    return tuple(
        turn.item(
            entry.place,
            entry.failure or Failure(CANCELLED),
            entry.purpose,
            _team(turn, entry.place),
        )
        for entry in entries(tree)
        if entry.status is Status.STUCK
    )


def held_back(turn: Turn, tree: Undo) -> tuple[OpenItem, ...]:
    """Compensations that wait for one a person must settle, in text order."""
    if not any(entry.status is Status.STUCK for entry in entries(tree)):
        return ()
    return tuple(
        turn.item(entry.place, Failure(HELD_BACK), Purpose.COMPENSATE, "")
        for entry in entries(tree)
        if entry.status is Status.OWED
    )


HELD_BACK = "HeldBack"
"""Not an error: the compensation's turn has not come."""


def _error(outcome: Outcome) -> Failure:
    return Failure(NOT_DONE) if isinstance(outcome, Ok) else outcome.error
