"""What a person may answer to an open item of a compiled saga, and what comes of it.

The rules are those of `machine.settlement`. What that reads of the program is here read of what the
saga awaits: the contract of its call, and whether its text uses the answer.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.backward import CHILD_NOT_UNDONE, CHILD_OPEN, CHILD_WRITTEN_OFF
from sagalang.machine.events import How, OpenItem, Place, Purpose
from sagalang.machine.frozen import freeze
from sagalang.machine.outcomes import Failure, Ok, Rejected, Unknown
from sagalang.machine.settlement import BY_HAND, REFUSED
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, entries
from sagalang.model.errors import NOT_DONE
from sagalang.runtime import saga_back as back
from sagalang.runtime import saga_leaves as leaves
from sagalang.runtime.saga_calls import Call
from sagalang.runtime.saga_scope import ChildRequest, PollRequest, StepRequest, WaitRequest
from sagalang.runtime.saga_statements import answer_is_used
from sagalang.runtime.saga_strands import Broken, Catching, InCall, Leaf, Pivot, Strand, below
from sagalang.runtime.saga_undo import child_waited_for

if TYPE_CHECKING:
    from sagalang.runtime.saga_run import Run

# --- What may be answered ------------------------------------------------------------------


def refusal(run: Run, event: m.Settle) -> str | None:
    """Why this settlement is not taken, as a sentence; None: it is."""
    found = _find(run, event.place, event.purpose)
    match found:
        case None:
            return _not_open(run, event)
        case (_, Broken(item=OpenItem(failure=failure))) | Entry(failure=failure) if failure in (
            CHILD_OPEN,
            CHILD_NOT_UNDONE,
        ):
            return f"{event.place} is settled in its child saga, {run.key(event.place)}"
        case Entry():
            return _refuse_undo(run, found, event)
        case strand, broken:
            return _refuse_step(run, strand, broken, event)


def _find(run: Run, place: Place, purpose: Purpose) -> tuple[Strand, Broken] | Entry | None:
    for strand in below(run.root):
        match strand.wait:
            case Broken(item=item) as broken if (item.place, item.purpose) == (place, purpose):
                return strand, broken
            case _:
                pass
    for entry in (entry for tree in _trees(run) for entry in entries(tree)):
        if entry.status is Status.STUCK and (entry.place, entry.purpose) == (place, purpose):
            return entry
    return None


def _trees(run: Run) -> tuple[Undo, ...]:
    caught = (strand.wait for strand in below(run.root))
    return (run.tree, *(wait.tree for wait in caught if isinstance(wait, Catching)))


def _not_open(run: Run, event: m.Settle) -> str:
    waits = (strand.wait for strand in below(run.root))
    retried = [wait.place for wait in waits if isinstance(wait, InCall) and wait.overdue]
    retried += [each.place for tree in _trees(run) for each in entries(tree) if each.overdue]
    if event.place in retried:
        return f"{event.place} is still being retried: it can be settled once that has ended"
    return f"{event.place} is not open: there is nothing to settle"


def _refuse_step(run: Run, strand: Strand, broken: Broken, event: m.Settle) -> str | None:
    request = broken.request
    if event.how is How.RETRY:
        return _refuse_retry(run, broken, event)
    if request is None:
        return f"{event.place} is no call and no wait: it can only be tried once more"
    used = answer_is_used(strand.coroutine)
    if event.how is How.NOT_DONE:
        if used and run.pivot is not Pivot.AHEAD and not _is_pivot(request):
            return (
                f"{event.place} is past the point of no return and what it gives is used "
                "later: retry it, or give its value with `done`"
            )
        return None
    undo = request.undo if isinstance(request, StepRequest) else None
    used = used or (undo is not None and type(undo) is not Call)
    if used and event.value is None and not _may_be_null(_given(run, request)):
        return f"{event.place} needs a value: what follows uses it"
    return None


def _refuse_retry(run: Run, broken: Broken, event: m.Settle) -> str | None:
    if broken.item.failure == CHILD_WRITTEN_OFF:
        return f"{event.place} cannot be retried: its child saga is over"
    request, call = broken.request, broken.call
    if not (isinstance(request, StepRequest) and call is not None and _in_doubt(run, broken)):
        return None
    made = run.undoing.made[event.place].call
    assert made is not None
    assert request.policy is not None
    return _refuse_call(made.config(request.policy), call.started, call.unanswered, event)


def _refuse_undo(run: Run, entry: Entry, event: m.Settle) -> str | None:
    made = run.undoing.made[entry.place]
    if made.call is None:
        over = event.how is How.RETRY
        return f"{event.place} cannot be retried: only a person can undo it" if over else None
    if event.purpose is Purpose.RESOLVE:
        if event.how is How.DONE:
            if event.value is None and not _may_be_null(made.call.contract.result):
                return f"{event.place} needs a value: its compensation uses it"
            return None
        if event.how is How.RETRY:
            config = made.call.config(made.policy, resolve=True, patient=True)
            return _refuse_call(config, entry.started, entry.unanswered, event)
        return None
    if event.how is not How.RETRY:
        return None
    if made.undoing is None or entry.args is None:
        return f"{event.place} cannot be retried: what its compensation needs has no value"
    if entry.first_undo is not None and not entry.refused:
        config = made.undoing.config(made.policy, patient=True)
        return _refuse_call(config, entry.first_undo, entry.undo_unanswered, event)
    return None


def _refuse_call(
    config: calls.CallConfig, first: int, unanswered: int | None, event: m.Settle
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


def _is_pivot(request: Leaf) -> bool:
    return isinstance(request, StepRequest | ChildRequest) and request.pivot


def _given(run: Run, request: Leaf) -> Any:
    """The type of what the statement gives."""
    match request:
        case WaitRequest(event=event):
            return event
        case ChildRequest(best_effort=True):
            return None
        case ChildRequest(place=place):
            child = run.undoing.made[place].child
            assert child is not None
            return child.definition.result
        case StepRequest(place=place):
            made = run.undoing.made[place].call
            assert made is not None
            return made.contract.result
        case PollRequest():
            return leaves.question(run, request).contract.result


def _may_be_null(type_: Any) -> bool:
    return type_ in (None, NoneType) or NoneType in get_args(type_)


def _in_doubt(run: Run, broken: Broken) -> bool:
    """Whether what is broken is a call that may have happened."""
    if broken.call is None or not isinstance(broken.call.outcome, Unknown):
        return False
    made = run.undoing.made[broken.place].call
    return made is not None and not made.contract.is_query


# --- What comes of it ----------------------------------------------------------------------


def settle(run: Run, event: m.Settle) -> None:
    """Take in a person's word; one that does not fit changes nothing but raises an alert."""
    why = refusal(run, event)
    if why is not None:
        run.driver.alert(Failure(REFUSED), why)
        return
    back.reopen(run)
    run.deliver(replace(event, value=freeze(event.value)))


def take(run: Run, strand: Strand, broken: Broken, event: m.Settle) -> None:
    """What an open statement comes to by a person's word, which was not refused."""
    place, request = broken.place, broken.request
    run.driver.settled(place, Purpose.STEP)
    run.failed_at = ""
    match event.how:
        case How.RETRY:
            _retry(run, strand, broken)
        case How.DONE:
            assert request is not None
            if _is_pivot(request):
                run.certain(Ok(event.value))
            owed = _owed_by_hand(run, request, broken, Ok(event.value))
            if owed != NOTHING:
                strand.undo.append(owed)
            run.go_on(strand, event.value)
        case How.NOT_DONE:
            assert request is not None
            failure = Failure(NOT_DONE, None, "a person said so")
            if _is_pivot(request):
                run.certain(Rejected(failure))
            if run.pivot is Pivot.AHEAD:
                item = replace(broken.item, failure=failure, team="")
                back.fail(run, strand, failure, Broken(item, request=request))
            else:
                run.go_on(strand, None)


def _retry(run: Run, strand: Strand, broken: Broken) -> None:
    request, call = broken.request, broken.call
    if isinstance(request, StepRequest) and call is not None and _in_doubt(run, broken):
        leaves.send_again(run, strand, request, call)
        return
    rejected = call is not None and isinstance(call.outcome, Rejected)
    if rejected or isinstance(request, ChildRequest):
        run.driver.renew(broken.place)
    run.waits.pop(broken.place, None)
    run.again(strand)


def _owed_by_hand(run: Run, request: Leaf, broken: Broken, outcome: Ok) -> Undo:
    match request:
        case StepRequest():
            assert broken.call is not None
            return run.undoing.settle(broken.call, outcome, broken.call.unanswered)
        case ChildRequest(pivot=False):
            return Entry(broken.place, Status.OWED, failure=BY_HAND)
        case _:
            return NOTHING


def child_again(run: Run, strand: Strand, broken: Broken, outcome: m.SagaOutcome) -> None:
    """A child saga that was escalated came to another end."""
    request = broken.request
    if isinstance(request, ChildRequest) and child_waited_for(broken.item.failure, outcome):
        run.driver.settled(broken.place, Purpose.STEP)
        leaves.child_ended(run, strand, request, outcome)


def concerns(run: Run, event: m.ChildEnded) -> bool:
    """Whether an open item waits for this child saga to end differently, and it did."""
    match _find(run, event.place, event.purpose):
        case (_, Broken(item=OpenItem(failure=failure))) | Entry(failure=failure):
            return child_waited_for(failure, event.outcome)
        case _:
            return False
