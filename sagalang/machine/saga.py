"""The saga machine: `start` and `advance`, pure; states are values that can be hashed and forked.

    definition = define(program, "PlaceOrder", build)
    state, commands = start(definition, "o-1", {"order": order}, now)
    state, commands = advance(definition, state, event)

The driver carries the commands out and answers with events; their order is the only thing that
matters, so that replaying recorded events leads to the same state and the same commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from sagalang.machine import backward, forward, leaves, settlement, takedown
from sagalang.machine.definition import ROOT, Definition, define
from sagalang.machine.evaluate import BadValueError, evaluate
from sagalang.machine.events import (
    SAGA,
    AbortStarted,
    Alert,
    CallEnded,
    CancelRequested,
    ChildEnded,
    Command,
    Compensated,
    Completed,
    Escalate,
    Escalated,
    Event,
    EventReceived,
    Finished,
    OpenItem,
    SagaOutcome,
    Settle,
    StartTimer,
    StopTimer,
    Timer,
    TimerFired,
    UndoRequested,
)
from sagalang.machine.frames import (
    Done,
    Frame,
    Raised,
    Result,
    Returned,
    Seq,
    moving,
    trees,
    waiting,
)
from sagalang.machine.frozen import FrozenMap, freeze
from sagalang.machine.outcomes import Failure
from sagalang.machine.state import Phase, State, Turning, enter
from sagalang.machine.turn import Pivot, Turn
from sagalang.machine.undo import NOTHING, Undo
from sagalang.machine.undo import moving as undo_moving
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.model.program import Ms, Wait

__all__ = [
    "Definition",
    "Phase",
    "State",
    "advance",
    "define",
    "held_back",
    "open_items",
    "refusal",
    "saga_id",
    "start",
]


# Bound once: a member of an enum is looked up the slow way in Python 3.11, and every call asks.
_BACKWARD: Final = Phase.BACKWARD
_EPILOGUE: Final = Phase.EPILOGUE
_OVER: Final = Phase.OVER

Transition = tuple[State, tuple[Command, ...]]


def saga_id(definition: Definition, args: Mapping[str, Any], now: Ms) -> str:
    """The id that the saga's `id` clause gives for these arguments.

    Raises `BadValueError` where it has no value, and ValueError where the saga has no such clause.
    """
    saga = definition.saga
    if saga.id is None:
        raise ValueError(f"saga {saga.name} has no id of its own")
    turn = Turn(definition, "", now, Pivot.AHEAD, None, None, [])
    return str(evaluate(saga.id, turn.scope(FrozenMap(freeze(dict(args))), SAGA)))


def start(definition: Definition, saga_id: str, args: Mapping[str, Any], now: Ms) -> Transition:
    """Begin a saga. `args`: a value for each of its parameters."""
    deadline = None if definition.saga.deadline is None else now + definition.saga.deadline
    state = State(saga_id, FrozenMap(freeze(dict(args))), Phase.FORWARD, deadline=deadline)
    turn = _turn(definition, state, now)
    if deadline is not None:
        turn.emit(StartTimer(SAGA, Timer.DEADLINE, deadline))
    result = forward.run(turn, Seq(ROOT, state.args, ()))
    return _close(turn, _forward(turn, state, result))


def advance(definition: Definition, state: State, event: Event) -> Transition:
    """The state after an event, and what is to be done. Events that concern nothing any more (a
    stopped timer that fired all the same, a repeated event) change nothing."""
    turn = _turn(definition, state, event.at)
    if type(event) is CallEnded and state.phase is not _OVER:
        # Most events are; `match` asks each class in turn.
        return _close(turn, _deliver(turn, state, event))
    match event:
        case UndoRequested(error=error):
            if state.phase is Phase.OVER and isinstance(state.outcome, Completed):
                state = _undo_completed(turn, state, error)
        case Settle():
            return _settle(turn, state, event)
        case _ if state.phase is Phase.OVER:
            return _afterwards(turn, state, event)
        case CancelRequested():
            state = _request(turn, state, Failure(CANCELLED))
        case TimerFired(timer=Timer.DEADLINE):
            state = _request(turn, state, Failure(DEADLINE_EXCEEDED))
        case EventReceived():
            state = _receive(turn, state, event)
        case CallEnded() | ChildEnded() | TimerFired():
            state = _deliver(turn, state, event)
    return _close(turn, state)


def refusal(definition: Definition, state: State, event: Settle) -> str | None:
    """Why a person's settlement is not taken, as a sentence; None: it is. A refused one changes
    nothing but raises an alert."""
    turn = _turn(definition, state, event.at)
    return settlement.refusal(turn, state.frame, state.tree, event)


def open_items(definition: Definition, state: State) -> tuple[OpenItem, ...]:
    """What a person must settle at the moment, in text order; empty: nothing is escalated."""
    turn = _turn(definition, state, 0)
    found = backward.open_items(turn, state.tree) if state.phase is not Phase.FORWARD else ()
    if state.frame is not None and state.phase in (Phase.FORWARD, Phase.OVER):
        found += takedown.open_items(turn, state.frame)
    return found


def held_back(definition: Definition, state: State) -> tuple[OpenItem, ...]:
    """The compensations that are still to come once a person has settled the open items."""
    turn = _turn(definition, state, 0)
    undoing = (state.tree,) if state.frame is None else trees(state.frame)
    return tuple(item for tree in undoing for item in backward.held_back(turn, tree))


# --- Inside ------------------------------------------------------------------------------------


def _turn(definition: Definition, state: State, now: Ms) -> Turn:
    return Turn(
        definition=definition,
        saga_id=state.saga_id,
        now=now,
        pivot=state.pivot,
        held=state.held,
        deadline=state.deadline,
        inbox=list(state.inbox),
        generations={(place, purpose): number for place, purpose, number in state.generations},
        written_off=list(state.written_off),
    )


def _close(turn: Turn, state: State) -> Transition:
    state = replace(
        state,
        pivot=turn.pivot,
        held=turn.held,
        inbox=tuple(turn.inbox),
        generations=frozenset((*what, number) for what, number in turn.generations.items()),
        written_off=tuple(turn.written_off),
    )
    return state, tuple(turn.commands)


def _deliver(
    turn: Turn, state: State, event: CallEnded | ChildEnded | TimerFired | Settle
) -> State:
    if state.phase is _BACKWARD:
        return _backward(turn, state, backward.deliver(turn, state.tree, event))
    if state.frame is None:
        return state
    result = forward.deliver(turn, state.frame, event.place, event)
    return state if result is None else _went(turn, state, result)


def _settle(turn: Turn, state: State, event: Settle) -> Transition:
    why = settlement.refusal(turn, state.frame, state.tree, event)
    if why is not None:
        turn.emit(Alert(Failure(settlement.REFUSED), why))
        return state, tuple(turn.commands)
    return _close(
        turn, _deliver(turn, _reopened(turn, state), replace(event, value=freeze(event.value)))
    )


def _afterwards(turn: Turn, state: State, event: Event) -> Transition:
    """A saga that ended escalated goes on: its child saga was settled, or it is to abort."""
    outcome = state.outcome
    if not isinstance(outcome, Escalated) or all(item.written_off for item in outcome.steps):
        return state, ()
    match event:
        case EventReceived():
            return _close(turn, _receive(turn, state, event))
        case ChildEnded():
            if not settlement.concerns(state.frame, state.tree, event):
                return state, ()
            after = _deliver(turn, _reopened(turn, state), event)
            if (after.frame, after.tree) == (state.frame, state.tree):
                return state, ()
            return _close(turn, after)
        case CancelRequested() | TimerFired(timer=Timer.DEADLINE):
            name = CANCELLED if isinstance(event, CancelRequested) else DEADLINE_EXCEEDED
            error = Failure(name)
            if state.error is None and turn.pivot is Pivot.AHEAD:
                return _close(turn, _request(turn, _reopened(turn, state), error))
            state = _request(turn, state, error)
            turn.emit(Finished(outcome))  # for a parent that asked and waits
            return _close(turn, state)
        case _:
            return state, ()


def _reopened(turn: Turn, state: State) -> State:
    if state.phase is not Phase.OVER:
        return state
    if state.error is not None:
        return enter(state, Turning.SETTLED_BACK, outcome=None)
    if state.deadline is not None:
        if turn.pivot is Pivot.AHEAD or state.deadline > turn.now:
            turn.emit(StartTimer(SAGA, Timer.DEADLINE, state.deadline))
        elif turn.pivot is Pivot.HELD:
            turn.held = turn.held or Failure(DEADLINE_EXCEEDED)
    return enter(state, Turning.SETTLED_AHEAD, outcome=None)


def _went(turn: Turn, state: State, result: Result) -> State:
    if state.phase is _EPILOGUE:
        return _epilogue(turn, state, result)
    return _forward(turn, state, result)


def _forward(turn: Turn, state: State, result: Result) -> State:
    """Take in what the whole body came to."""
    while type(result) is Raised:
        error = turn.abort or (result.failure if turn.pivot is Pivot.AHEAD else None)
        if error is not None:
            return _abort(turn, state, result.frame, error)
        # Past the point of no return nothing aborts: the failure stays open, the others go on.
        turn.emit(Escalate(result.item))
        result = forward.resume(turn, result.frame)
    if type(result) is Seq and moving(result):
        return replace(state, frame=result)
    match result:
        case Done(undo=tree):
            return _over(turn, replace(state, frame=None, tree=tree), Turning.ENDED, Completed())
        case Returned(frame=frame, value=value):
            tree = takedown.dismantle(turn, frame)
            return _over(
                turn, replace(state, frame=None, tree=tree), Turning.ENDED, Completed(value)
            )
        case frame if moving(frame):
            return replace(state, frame=frame)
        case frame:
            stopped = takedown.stop_overdue(turn, frame)
            state = replace(state, frame=stopped)
            if stopped != frame:
                return state
            return _over(turn, state, Turning.STUCK, Escalated(takedown.open_items(turn, stopped)))


def _abort(turn: Turn, state: State, frame: Frame, error: Failure) -> State:
    turn.emit(AbortStarted(SAGA, error))
    tree = takedown.dismantle(turn, frame)
    if state.deadline is not None and error.name != DEADLINE_EXCEEDED:
        turn.emit(StopTimer(SAGA, Timer.DEADLINE))
    state = enter(state, Turning.ABORTED, frame=None, error=error)
    return _backward(turn, state, tree)


def _backward(turn: Turn, state: State, tree: Undo) -> State:
    assert state.error is not None
    tree = backward.work(turn, tree, state.error)
    if tree == NOTHING:
        return _compensated(turn, replace(state, tree=tree))
    if undo_moving(tree):
        return replace(state, tree=tree)
    stopped = backward.stop_overdue(turn, tree)
    state = replace(state, tree=stopped)
    if stopped != tree:
        return state
    return _over(turn, state, Turning.STUCK, Escalated(backward.open_items(turn, stopped)))


def _compensated(turn: Turn, state: State) -> State:
    assert state.error is not None
    after, block = turn.definition.saga.when_compensated, turn.definition.epilogue
    if after is None or block is None or turn.written_off:
        return _over(turn, state, Turning.UNDONE, Compensated(state.error))
    names = state.args
    if after.binder is not None:
        names = names.plus({after.binder: turn.caught(state.error)})
    state = enter(state, Turning.TOLD_NEXT)
    return _epilogue(turn, state, forward.run(turn, Seq(block, names, ())))


def _epilogue(turn: Turn, state: State, result: Result) -> State:
    """The outcome is settled; whatever happens in here cannot change it."""
    assert state.error is not None
    if isinstance(result, Done | Raised | Returned) or not moving(result):
        return _over(turn, replace(state, frame=None), Turning.TOLD, Compensated(state.error))
    return replace(state, frame=result)


def _over(turn: Turn, state: State, turning: Turning, outcome: SagaOutcome) -> State:
    if state.phase is Phase.FORWARD and state.deadline is not None:
        turn.emit(StopTimer(SAGA, Timer.DEADLINE))
    written_off = tuple(turn.written_off)
    if written_off or isinstance(outcome, Escalated):
        still_open = outcome.steps if isinstance(outcome, Escalated) else ()
        outcome = Escalated((*written_off, *still_open))
    turn.emit(Finished(outcome))
    return enter(state, turning, outcome=outcome)


def _request(turn: Turn, state: State, error: Failure) -> State:
    """Cancel or deadline: before the pivot it aborts, while it is uncertain it is held, after it
    (and while undoing) it is only told."""
    if state.phase in (Phase.BACKWARD, Phase.EPILOGUE) or state.error is not None:
        if error.name == CANCELLED:
            turn.emit(Alert(error, "cancel has no effect: the saga is compensating already"))
        return state
    match turn.pivot:
        case Pivot.AHEAD:
            assert state.frame is not None
            return _abort(turn, state, state.frame, error)
        case Pivot.HELD:
            turn.held = turn.held or error
            turn.emit(Alert(error, "held until the outcome of the pivot is certain"))
        case Pivot.PASSED:
            what = "cancel refused" if error.name == CANCELLED else "the deadline passed"
            turn.emit(Alert(error, f"{what} after the pivot"))
    return state


def _receive(turn: Turn, state: State, event: EventReceived) -> State:
    if event.id in state.seen:
        return state
    state = replace(state, seen=state.seen | {event.id})
    event = replace(event, value=freeze(event.value))
    return _offer(turn, state, event)


def _offer(turn: Turn, state: State, event: EventReceived) -> State:
    """Give an event to the first wait, in text order, whose `where` it meets; else keep it."""
    if state.phase is Phase.FORWARD and state.frame is not None:
        for leaf in waiting(state.frame):
            statement = turn.definition.statements[leaf.place.path]
            assert isinstance(statement, Wait)
            try:
                taken = leaves.meets(turn, statement, leaf.place, leaf.names, event)
            except BadValueError as error:
                spoiled = leaves.Spoiled(event.at, leaf.place, error.failure)
                result = forward.deliver(turn, state.frame, leaf.place, spoiled)
                assert result is not None
                # This wait failed; the event is still there for the others.
                return _offer(turn, _forward(turn, state, result), event)
            if taken:
                result = forward.deliver(turn, state.frame, leaf.place, event)
                assert result is not None
                return _forward(turn, state, result)
    turn.inbox.append(event)
    return state


def _undo_completed(turn: Turn, state: State, error: Failure) -> State:
    turn.emit(AbortStarted(SAGA, error))
    state = enter(state, Turning.REVOKED, error=error, outcome=None)
    return _backward(turn, state, state.tree)
