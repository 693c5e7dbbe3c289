"""Undoing: starts what is due in an undo tree and takes in what became of it."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sagalang.machine import keys
from sagalang.machine.evaluate import BadValueError
from sagalang.machine.events import (
    CallEnded,
    ChildEnded,
    Compensated,
    Completed,
    Escalate,
    Escalated,
    How,
    Interrupt,
    OpenItem,
    Place,
    Purpose,
    RunCall,
    SagaOutcome,
    Settle,
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
from sagalang.machine.undo import (
    NOTHING,
    Entry,
    Fate,
    Status,
    Undo,
    become,
    change,
    entries,
    settled,
    start_due,
)
from sagalang.model import program as p
from sagalang.model.errors import CANCELLED, NOT_DONE, UNAVAILABLE
from sagalang.model.program import Ms


def prepare(
    turn: Turn, step: p.Step, place: Place, names: FrozenMap, sent: tuple[object, ...]
) -> Entry:
    """What the step will owe once its intent is recorded. Raises `BadValueError`.

    Arguments that do not need the result are captured now, before anything is sent.
    """
    kept, args = None, None
    if type(step.compensation) is p.Compensation:
        call = step.compensation.call
        if needs_result(call.args):
            kept = names
        else:
            args = turn.arguments(call, turn.scope(names, place))
    return Entry(place, Status.SETTLING, args=args, names=kept, sent=sent, started=turn.now)


def settle(turn: Turn, entry: Entry, outcome: Outcome, unanswered: Ms | None) -> Undo:
    """What is owed once the step's outcome is known: nothing if it certainly did not happen."""
    step = turn.definition.statements[entry.place.path]
    if type(step) is not p.Step or type(step.compensation) is not p.Compensation:
        return NOTHING
    if type(outcome) is not Ok and not isinstance(outcome, Unknown):
        return become(entry, Fate.OWES_NOTHING)
    if entry.args is None and type(outcome) is Ok:
        entry = _capture(turn, entry, step.compensation, outcome)
    return become(entry, Fate.OWES, outcome=outcome, unanswered=unanswered)


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
            step = turn.definition.statements[entry.place.path]
            kept = isinstance(step, p.ChildStep) and step.best_effort
            return become(entry, Fate.OWES_NOTHING if kept else Fate.OWES)
        case Compensated():
            return become(entry, Fate.OWES_NOTHING)
        case Escalated() as outcome:
            return _stuck(turn, entry, child_failure(outcome), Purpose.STEP)


CHILD_OPEN: Final = Failure(UNAVAILABLE, None, "the child saga is escalated")
CHILD_NOT_UNDONE: Final = Failure(NOT_DONE, None, "the child saga could not be compensated")
CHILD_WRITTEN_OFF: Final = Failure(
    NOT_DONE, None, "the child saga is over, and not all that it did is undone"
)


def child_failure(outcome: Escalated, is_open: Failure = CHILD_OPEN) -> Failure:
    """Why a child saga that ended escalated holds its parent up: it is open, or over for good."""
    return CHILD_WRITTEN_OFF if all(item.written_off for item in outcome.steps) else is_open


def work(turn: Turn, tree: Undo, error: Failure) -> Undo:
    """Start everything that is due. Nothing is, while a step of the tree is still in flight."""
    if not settled(tree):
        return tree
    return start_due(tree, lambda owed: _start(turn, owed, error))


def _start(turn: Turn, entry: Entry, error: Failure) -> Undo:
    step = turn.definition.statements[entry.place.path]
    if entry.failure is not None:
        return _stuck(turn, entry, entry.failure, Purpose.COMPENSATE)
    if isinstance(step, p.ChildStep):
        turn.emit(UndoChild(entry.place, step.saga, turn.key(entry.place), error))
        return become(entry, Fate.SENT)
    assert isinstance(step, p.Step)
    assert isinstance(step.compensation, p.Compensation)
    if entry.args is None:
        return _resolve(turn, entry, step, step.compensation)
    compensation = step.compensation
    undoing = turn.definition.program.operation(compensation.call)
    lands = turn.definition.program.operation(step.call).promises.lands_within
    if entry.unanswered is not None and lands is not None and not undoing.promises.fences_late:
        safe = entry.unanswered + lands
        if safe > turn.now:
            turn.emit(StartTimer(entry.place, Timer.LANDS, safe))
            return become(entry, Fate.HELD_OFF)
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
            first_attempt=entry.first_undo,
            unanswered=entry.undo_unanswered,
        )
    )
    _start_clock(turn, entry.place, compensation)
    if undoing.promises.idempotent or entry.first_undo is not None:
        return become(entry, Fate.SENT)
    return become(entry, Fate.SENT, first_undo=turn.now)


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
    return become(entry, Fate.ASKED)


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
        case (
            CallEnded(place=place)
            | ChildEnded(place=place)
            | TimerFired(place=place)
            | Settle(place=place)
        ):
            return change(tree, place, lambda entry: _take(turn, entry, event))
        case _:
            return tree


def _take(turn: Turn, entry: Entry, event: CallEnded | ChildEnded | TimerFired | Settle) -> Undo:
    match entry.status, event:
        case Status.SETTLING, CallEnded(outcome=outcome, unanswered=unanswered):
            return settle(turn, entry, outcome, unanswered)
        case Status.SETTLING, ChildEnded():
            return settle_child(turn, entry, event)
        case Status.DELAYED, TimerFired(timer=Timer.LANDS):
            return become(entry, Fate.LANDED)
        case ((Status.RUNNING | Status.RESOLVING), TimerFired(timer=Timer.ESCALATE)):
            return _overdue(turn, entry)
        case Status.RESOLVING, CallEnded(purpose=Purpose.RESOLVE, outcome=outcome):
            return _resolved(turn, entry, outcome)
        case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=Ok()):
            _stop_clock(turn, entry)
            return become(entry, Fate.UNDONE)
        case Status.RUNNING, CallEnded(purpose=Purpose.COMPENSATE, outcome=outcome):
            return _stuck(turn, _tried(entry, event), _error(outcome), Purpose.COMPENSATE)
        case Status.RUNNING, ChildEnded(purpose=Purpose.COMPENSATE, outcome=outcome):
            return _child_undone(turn, entry, outcome)
        case Status.STUCK, ChildEnded(purpose=purpose) if purpose is entry.purpose:
            return _child_again(turn, entry, event)
        case Status.STUCK, Settle(purpose=purpose) if purpose is entry.purpose:
            return _settled(turn, entry, event)
        case _:
            return entry


def _child_undone(turn: Turn, entry: Entry, outcome: SagaOutcome) -> Undo:
    if isinstance(outcome, Compensated):
        return become(entry, Fate.UNDONE)
    failure = CHILD_NOT_UNDONE
    if isinstance(outcome, Escalated):
        failure = child_failure(outcome, CHILD_NOT_UNDONE)
    return _stuck(turn, entry, failure, Purpose.COMPENSATE)


def _child_again(turn: Turn, entry: Entry, event: ChildEnded) -> Undo:
    """A child saga that was escalated came to another end."""
    failure = entry.failure
    if failure not in (CHILD_OPEN, CHILD_NOT_UNDONE):
        return entry
    if isinstance(event.outcome, Escalated) and child_failure(event.outcome, failure) == failure:
        return entry
    turn.emit(Settled(entry.place, entry.purpose))
    entry = replace(entry, failure=None)
    if entry.purpose is Purpose.COMPENSATE:
        return _child_undone(turn, entry, event.outcome)
    return settle_child(turn, entry, event)


def _settled(turn: Turn, entry: Entry, event: Settle) -> Undo:
    """What comes of a person's word, which was not refused."""
    turn.emit(Settled(entry.place, entry.purpose))
    match event.how:
        case How.RETRY:
            if entry.refused:
                turn.renew(entry.place, keys.COMPENSATE)
                entry = replace(entry, refused=False, first_undo=None, undo_unanswered=None)
            return become(entry, Fate.RETRIED, failure=None, stopping=False)
        case How.DONE if entry.purpose is Purpose.RESOLVE:
            return _happened(turn, entry, Ok(event.value))
        case How.NOT_DONE if entry.purpose is not Purpose.RESOLVE:
            failure = entry.failure or Failure(NOT_DONE)
            item = turn.item(entry.place, failure, entry.purpose, _team(turn, entry.place))
            turn.written_off.append(replace(item, written_off=True))
    return become(entry, Fate.CLOSED)


def _tried(entry: Entry, event: CallEnded) -> Entry:
    if isinstance(event.outcome, Rejected):
        return replace(entry, refused=True)
    if entry.first_undo is None:
        return entry
    if isinstance(event.outcome, NotSent):
        return replace(entry, first_undo=None, undo_unanswered=None)
    return replace(entry, undo_unanswered=event.unanswered)


def _happened(turn: Turn, entry: Entry, outcome: Ok) -> Undo:
    """The step turned out to have happened: what went unanswered before is the same effect under
    the same key, now known."""
    step = turn.definition.statements[entry.place.path]
    assert isinstance(step, p.Step)
    assert isinstance(step.compensation, p.Compensation)
    entry = replace(entry, outcome=outcome, overdue=False, failure=None)
    return become(_capture(turn, entry, step.compensation, outcome), Fate.OWES)


def _resolved(turn: Turn, entry: Entry, outcome: Outcome) -> Undo:
    match outcome:
        case Ok():
            _stop_clock(turn, entry)
            return _happened(turn, entry, outcome)
        case Rejected() | NotSent():
            _stop_clock(turn, entry)
            return become(entry, Fate.OWES_NOTHING)
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


def _stuck(turn: Turn, entry: Entry, failure: Failure, purpose: Purpose) -> Undo:
    if not entry.overdue:
        turn.emit(Escalate(turn.item(entry.place, failure, purpose, _team(turn, entry.place))))
        if entry.status in (Status.RUNNING, Status.RESOLVING):
            _stop_clock(turn, entry)
    return become(entry, Fate.FAILED, failure=failure, purpose=purpose, overdue=False)


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
