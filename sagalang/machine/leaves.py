"""The statements that wait for something outside: steps, child sagas, sleeps, waits, polls."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import backward
from sagalang.machine.evaluate import BadValueError, Scope, evaluate, known, milliseconds
from sagalang.machine.events import (
    CallEnded,
    CancelChild,
    ChildEnded,
    Compensated,
    Completed,
    Escalate,
    Escalated,
    Event,
    EventReceived,
    Interrupt,
    OpenItem,
    Place,
    Purpose,
    RunCall,
    RunChild,
    SagaOutcome,
    Settled,
    StartTimer,
    StopTimer,
    Timer,
    TimerFired,
)
from sagalang.machine.frames import (
    Broken,
    CallLeaf,
    ChildLeaf,
    Done,
    Leaf,
    PollLeaf,
    Raised,
    Result,
    SleepLeaf,
    WaitLeaf,
)
from sagalang.machine.frozen import FrozenMap
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.turn import Pivot, Turn
from sagalang.machine.undo import NOTHING, Entry, Status, Undo
from sagalang.model import program as p
from sagalang.model.errors import TIMEOUT
from sagalang.model.program import Ms
from sagalang.model.types import RecordRef

_STEP: Final = Purpose.STEP

NO_FAILURE: Final = Failure("")

POLL_SPREAD_PERCENT: Final = 10
"""Polls are spread upwards by up to this share of their interval."""


def bound(name: str | None, value: Any, tree: Undo = NOTHING) -> Done:
    return Done(FrozenMap({name: value}) if name else FrozenMap(), tree)


def raised(
    turn: Turn, place: Place, failure: Failure, tree: Undo = NOTHING, call: Entry | None = None
) -> Raised:
    item = turn.item(place, failure)
    return Raised(Broken(item, tree, call), failure, item)


def abort_error(turn: Turn, statement: p.Abort, scope: Scope) -> Failure:
    fields = {name: evaluate(value, scope) for name, value in statement.fields}
    value = scope.build.make(RecordRef(statement.error), fields) if fields else None
    return Failure(statement.error, value)


# --- Beginning ---------------------------------------------------------------------------------


def begin_step(turn: Turn, step: p.Step, place: Place, names: FrozenMap) -> Result:
    args = turn.arguments(step.call, turn.scope(names, place))
    entry = backward.prepare(turn, step, place, names, args)
    return make_call(turn, step, entry, None)


def make_call(turn: Turn, step: p.Step, entry: Entry, first_attempt: Ms | None) -> CallLeaf:
    """Make the step's call; where an earlier one is in doubt, `first_attempt` says since when."""
    operation = turn.definition.program.operation(step.call)
    probe = turn.probe(operation, entry.sent, entry.place)
    if step.pivot:
        turn.pivot = Pivot.HELD
    turn.emit(
        RunCall(
            place=entry.place,
            purpose=_STEP,
            key=None if operation.is_query else turn.key(entry.place),
            service=operation.service,
            operation=operation.name,
            args=entry.sent,
            policy=step.policy,
            probe=probe,
            deadline=turn.deadline if turn.pivot is Pivot.AHEAD else None,
            first_attempt=first_attempt,
            unanswered=entry.unanswered,
        )
    )
    if backward.timed(step.escalate, step.policy):
        assert step.escalate is not None
        turn.emit(StartTimer(entry.place, Timer.ESCALATE, turn.now + step.escalate.after))
    return CallLeaf(entry.place, entry)


def begin_child(turn: Turn, step: p.ChildStep, place: Place, scope: Scope) -> Result:
    args = tuple(None if arg is None else evaluate(arg, scope) for arg in step.args)
    if step.pivot:
        turn.pivot = Pivot.HELD
    saga_id = turn.key(place)
    turn.emit(RunChild(place, step.saga, saga_id, args))
    return ChildLeaf(place, saga_id)


def begin_sleep(turn: Turn, statement: p.Sleep, place: Place, scope: Scope) -> Result:
    value: timedelta | datetime = known(statement.value, scope)
    until = milliseconds(value) if isinstance(value, datetime) else turn.now + milliseconds(value)
    if until <= turn.now:
        return Done()
    turn.emit(StartTimer(place, Timer.SLEEP, until))
    return SleepLeaf(place)


def begin_wait(turn: Turn, statement: p.Wait, place: Place, names: FrozenMap) -> Result:
    for event in turn.inbox:
        if meets(turn, statement, place, names, event):
            turn.inbox.remove(event)
            return bound(statement.name, event.value)
    turn.emit(StartTimer(place, Timer.WAIT, turn.now + statement.within))
    return WaitLeaf(place, names)


def meets(
    turn: Turn, statement: p.Wait, place: Place, names: FrozenMap, event: EventReceived
) -> bool:
    """Whether the wait takes this event. Raises `BadValueError`."""
    if event.event != statement.event:
        return False
    if statement.where is None:
        return True
    scope = turn.scope(names.plus({statement.name: event.value}), place)
    return bool(known(statement.where, scope))


def begin_poll(turn: Turn, statement: p.Poll, place: Place, names: FrozenMap) -> Result:
    leaf = PollLeaf(place, names)
    question = _question(turn, statement, leaf)
    turn.emit(StartTimer(place, Timer.WAIT, turn.now + statement.within))
    turn.emit(question)
    return leaf


def _question(turn: Turn, statement: p.Poll, leaf: PollLeaf) -> RunCall:
    """Raises `BadValueError`."""
    operation = turn.definition.program.operation(statement.call)
    return RunCall(
        place=leaf.place,
        purpose=Purpose.POLL,
        key=None,
        service=operation.service,
        operation=operation.name,
        args=turn.arguments(statement.call, turn.scope(leaf.names, leaf.place)),
        policy=statement.policy,
        deadline=turn.deadline if turn.pivot is Pivot.AHEAD else None,
        number=leaf.number,
    )


# --- Events ------------------------------------------------------------------------------------


class Spoiled(Struct, frozen=True, gc=False):
    """Inside the machine only: the `where` of a wait has no value for the event that came."""

    at: Ms
    place: Place
    failure: Failure


def deliver(turn: Turn, leaf: Leaf, place: Place, event: Event | Spoiled) -> Result | None:
    """What the leaf comes to; None if the event is not for it."""
    if type(leaf) is Broken or leaf.place != place:
        return None
    statement = turn.definition.statements[place.path]
    if type(leaf) is CallLeaf and type(event) is CallEnded and event.purpose is _STEP:
        assert type(statement) is p.Step
        return _step_ended(turn, leaf, statement, event)
    match leaf, statement, event:
        case CallLeaf(), p.Step(), TimerFired(timer=Timer.ESCALATE):
            return _overdue(turn, leaf, statement)
        case ChildLeaf(), p.ChildStep(), ChildEnded(purpose=Purpose.STEP):
            return child_ended(turn, place, statement, event.outcome)
        case SleepLeaf(), _, TimerFired(timer=Timer.SLEEP):
            return Done()
        case WaitLeaf(), p.Wait(), EventReceived():
            turn.emit(StopTimer(place, Timer.WAIT))
            return bound(statement.name, event.value)
        case WaitLeaf(), p.Wait(), Spoiled(failure=failure):
            turn.emit(StopTimer(place, Timer.WAIT))
            return raised(turn, place, failure)
        case WaitLeaf(), p.Wait(), TimerFired(timer=Timer.WAIT):
            return _otherwise(turn, place, statement, leaf.names)
        case PollLeaf(), p.Poll(), _:
            return _poll(turn, leaf, statement, event)
        case _:
            return leaf


def _error(outcome: Outcome) -> Failure:
    match outcome:
        case Ok():
            return NO_FAILURE
        case Rejected(error) | NotSent(error) | Unknown(error):
            return error


def _step_ended(turn: Turn, leaf: CallLeaf, step: p.Step, event: CallEnded) -> Result:
    outcome = event.outcome
    if leaf.overdue and type(outcome) is Ok:
        turn.emit(Settled(leaf.place, Purpose.STEP))
    if not leaf.overdue and backward.timed(step.escalate, step.policy):
        turn.emit(StopTimer(leaf.place, Timer.ESCALATE))
    carried_out = certain(turn, outcome) if step.pivot else False
    if step.best_effort:
        return bound(step.name, outcome.value if type(outcome) is Ok else None)
    tree = backward.settle(turn, leaf.entry, outcome, event.unanswered)
    if type(outcome) is Ok:
        return bound(step.name, outcome.value, tree)
    failure = _error(outcome)
    call = replace(leaf.entry, outcome=outcome, unanswered=event.unanswered)
    doubtful_pivot = step.pivot and isinstance(outcome, Unknown)
    if not carried_out and (step.escalate is not None or doubtful_pivot):
        team = step.escalate.team if step.escalate is not None else ""
        item = turn.item(leaf.place, failure, Purpose.STEP, team)
        return _open(turn, item, tree, call, told=leaf.overdue)
    return raised(turn, leaf.place, failure, tree, call)


def certain(turn: Turn, outcome: Outcome) -> bool:
    """Take in a pivot's outcome; True where a held cancel or deadline is now carried out."""
    match outcome:
        case Ok():
            turn.pivot, turn.held = Pivot.PASSED, None
        case Rejected() | NotSent():
            turn.pivot = Pivot.AHEAD
            turn.abort, turn.held = turn.held, None
            return turn.abort is not None
        case Unknown():
            pass
    return False


def _open(
    turn: Turn,
    item: OpenItem,
    tree: Undo = NOTHING,
    call: Entry | None = None,
    *,
    told: bool = False,
) -> Broken:
    if not told:
        turn.emit(Escalate(item))
    return Broken(item, tree, call)


def _overdue(turn: Turn, leaf: CallLeaf, step: p.Step) -> CallLeaf:
    assert step.escalate is not None
    failure = Failure(TIMEOUT, None, "still being retried")
    item = turn.item(leaf.place, failure, Purpose.STEP, step.escalate.team)
    turn.emit(Escalate(item, retrying=True))
    return replace(leaf, overdue=True)


def child_ended(turn: Turn, place: Place, step: p.ChildStep, outcome: SagaOutcome) -> Result:
    team = step.escalate.team if step.escalate is not None else ""
    match outcome:
        case Completed(value):
            if step.pivot:
                certain(turn, Ok(value))
            owed = NOTHING if step.pivot or step.best_effort else Entry(place, Status.OWED)
            return bound(step.name, value, owed)
        case Compensated(error):
            carried_out = step.pivot and certain(turn, Rejected(error))
            if step.best_effort:
                return bound(step.name, None)
            if step.escalate is not None and not carried_out:
                return _open(turn, turn.item(place, error, Purpose.STEP, team))
            return raised(turn, place, error)
        case Escalated():
            failure = backward.child_failure(outcome)
            stuck = Entry(place, Status.STUCK, failure=failure)
            return _open(turn, turn.item(place, failure, Purpose.STEP, team), stuck)


def _otherwise(turn: Turn, place: Place, statement: p.Wait | p.Poll, names: FrozenMap) -> Result:
    match statement.otherwise:
        case None:
            return bound(statement.name, None)
        case p.Abort() as abort:
            try:
                failure = abort_error(turn, abort, turn.scope(names, place))
            except BadValueError as error:
                failure = error.failure
            return raised(turn, place, failure)
        case p.Escalation(team=team):
            failure = Failure(TIMEOUT, None, "nothing came in time")
            return _open(turn, turn.item(place, failure, Purpose.STEP, team))


def _poll(turn: Turn, leaf: PollLeaf, statement: p.Poll, event: Event | Spoiled) -> Result:
    match event:
        case TimerFired(timer=Timer.WAIT) if leaf.asking:
            return replace(leaf, expired=True)
        case TimerFired(timer=Timer.WAIT):
            turn.emit(StopTimer(leaf.place, Timer.POLL))
            return _otherwise(turn, leaf.place, statement, leaf.names)
        case TimerFired(timer=Timer.POLL):
            leaf = replace(leaf, number=leaf.number + 1, asking=True)
            try:
                turn.emit(_question(turn, statement, leaf))
            except BadValueError as error:
                turn.emit(StopTimer(leaf.place, Timer.WAIT))
                return raised(turn, leaf.place, error.failure)
            return leaf
        case CallEnded(outcome=Ok(value)):
            scope = turn.scope(leaf.names.plus({statement.name: value}), leaf.place)
            try:
                holds = known(statement.until, scope)
            except BadValueError as error:
                _stop_within(turn, leaf)
                return raised(turn, leaf.place, error.failure)
            if holds:
                _stop_within(turn, leaf)
                return bound(statement.name, value)
        case CallEnded():
            pass
        case _:
            return leaf
    if leaf.expired:
        return _otherwise(turn, leaf.place, statement, leaf.names)
    every: Ms = statement.every
    spread = every * POLL_SPREAD_PERCENT // 100
    turn.emit(StartTimer(leaf.place, Timer.POLL, turn.now + every, spread))
    return replace(leaf, asking=False)


def _stop_within(turn: Turn, leaf: PollLeaf) -> None:
    if not leaf.expired:
        turn.emit(StopTimer(leaf.place, Timer.WAIT))


# --- Interruption ------------------------------------------------------------------------------


def dismantle(turn: Turn, leaf: Leaf) -> Undo:
    """The leaf ends, or is awaited; what is left is what it owes."""
    match leaf:
        case Broken(item=OpenItem(place=place, failure=backward.CHILD_OPEN)):
            turn.emit(CancelChild(place))
            return Entry(place, Status.SETTLING)
        case Broken(undo=tree):
            return tree
        case CallLeaf(place=place, entry=entry):
            if not leaf.stopping:
                turn.emit(Interrupt(place, Purpose.STEP))
            step = turn.definition.statements[place.path]
            if isinstance(step, p.Step) and backward.timed(step.escalate, step.policy):
                turn.emit(StopTimer(place, Timer.ESCALATE))
            return entry
        case ChildLeaf(place=place):
            turn.emit(CancelChild(place))
            return Entry(place, Status.SETTLING)
        case SleepLeaf(place=place):
            turn.emit(StopTimer(place, Timer.SLEEP))
        case WaitLeaf(place=place):
            turn.emit(StopTimer(place, Timer.WAIT))
        case PollLeaf(place=place, asking=asking):
            _stop_within(turn, leaf)
            if asking:
                turn.emit(Interrupt(place, Purpose.POLL))
                return Entry(place, Status.SETTLING, purpose=Purpose.POLL)
            turn.emit(StopTimer(place, Timer.POLL))
    return NOTHING
