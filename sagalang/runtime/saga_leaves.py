"""What a compiled saga waits for: steps, child sagas, sleeps, events, polls.

Each begins here, and here is decided what its end means; the run goes on from there. Where a
beginning has an answer at once, nothing is waited for.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from sagalang.machine import events as m
from sagalang.machine.backward import child_failure
from sagalang.machine.evaluate import milliseconds
from sagalang.machine.events import OpenItem, Purpose, Timer
from sagalang.machine.outcomes import Failure, Ok, Rejected, Unknown
from sagalang.machine.undo import NOTHING, Entry, Status
from sagalang.model.errors import TIMEOUT
from sagalang.model.program import Ms
from sagalang.runtime import saga_back as back
from sagalang.runtime import saga_parallel as parallel
from sagalang.runtime.saga_calls import Call, Escalate, SagaCall
from sagalang.runtime.saga_errors import translated
from sagalang.runtime.saga_scope import (
    ChildRequest,
    PollRequest,
    SleepRequest,
    StepRequest,
    WaitRequest,
)
from sagalang.runtime.saga_strands import Asleep, Broken, InCall, InChild, Polling, Strand, Waiting
from sagalang.runtime.saga_undo import Made, timed

if TYPE_CHECKING:
    from sagalang.runtime.saga_run import Run

Begun = tuple[bool, Any, BaseException | None]
"""Whether there is an answer at once, the answer, and the exception that takes its place."""

_STEP: Final = Purpose.STEP

POLL_SPREAD_PERCENT = 10
"""Polls are spread upwards by up to this share of their interval, as in the machine."""


# --- Steps ---------------------------------------------------------------------------------


def begin_step(run: Run, strand: Strand, request: StepRequest[Any]) -> Begun:
    place, driver = request.place, run.driver
    made_by = request.call
    try:
        # A best-effort step whose arguments may have no value makes its call in a function.
        call = made_by if type(made_by) is Call else driver.exactly(made_by)
        probe = None if call.probe is None else driver.exactly(call.asking, driver.key(place))
    except Exception as raised:
        error = translated(raised)
        if error is not None and request.best_effort:
            return True, None, None
        return True, None, error or raised
    policy = request.policy or call.policy
    escalation = None if request.escalate is None else request.escalate.escalation
    made = Made(
        call.contract.label,
        "" if escalation is None else escalation.team,
        call,
        undo=request.undo,
        policy=request.undo_policy or run.definition.compensate_with,
    )
    entry = run.undoing.prepare(place, made, call.args)
    request.policy = policy
    _send(run, strand, request, call, probe, entry)
    return False, None, None


def send_again(run: Run, strand: Strand, request: StepRequest[Any], entry: Entry) -> None:
    """Repeat the call of a step that is in doubt."""
    call = run.undoing.made[request.place].call
    assert call is not None
    probe = None if call.probe is None else run.driver.exactly(call.asking, run.key(entry.place))
    _send(run, strand, request, call, probe, replace(entry, outcome=None), entry.started)


def _send(
    run: Run,
    strand: Strand,
    request: StepRequest[Any],
    call: Call[Any],
    probe: Call[Any] | None,
    entry: Entry,
    first_attempt: Ms | None = None,
) -> None:
    place, driver, policy = request.place, run.driver, request.policy
    assert policy is not None
    if request.pivot:
        run.pivot_begins(strand)
    driver.start_call(
        place,
        _STEP,
        None if call.contract.is_query else driver.key(place),
        call,
        policy,
        probe=probe,
        deadline=run.call_deadline,
        first_attempt=first_attempt,
        unanswered=entry.unanswered,
    )
    if request.escalate is not None and has_clock(request):
        driver.start_timer(place, Timer.ESCALATE, run.now + request.escalate.escalation.after)
    strand.wait = InCall(place, request, entry)
    run.waits[place] = strand


def step_ended(run: Run, strand: Strand, wait: InCall, event: m.CallEnded) -> None:
    request, outcome = wait.request, event.outcome
    ok = type(outcome) is Ok
    if wait.overdue and ok:
        run.driver.settled(wait.place, Purpose.STEP)
    if not wait.overdue and has_clock(request):
        run.driver.stop_timer(wait.place, Timer.ESCALATE)
    carried_out = run.certain(outcome) if request.pivot else False
    if request.best_effort:
        run.go_on(strand, outcome.value if type(outcome) is Ok else None)
        return
    owed = run.undoing.settle(wait.entry, outcome, event.unanswered)
    if type(outcome) is Ok:
        if owed != NOTHING:
            strand.undo.append(owed)
        run.go_on(strand, outcome.value)
        return
    item = run.item(wait.place, outcome.error)
    call = replace(wait.entry, outcome=outcome, unanswered=event.unanswered)
    broken = Broken(item, owed, request, call)
    doubtful_pivot = request.pivot and isinstance(outcome, Unknown)
    if not carried_out and (request.escalate is not None or doubtful_pivot):
        back.leave_open(run, strand, broken, told=wait.overdue)
    else:
        broken.item = replace(item, team="")
        back.fail(run, strand, outcome.error, broken)


def overdue(run: Run, strand: Strand, wait: InCall) -> None:
    failure = Failure(TIMEOUT, None, "still being retried")
    run.driver.escalate(run.item(wait.place, failure), retrying=True)
    run.attention = True
    wait.overdue = True
    parallel.make_room(run, strand)


# --- Child sagas ---------------------------------------------------------------------------


def begin_child(run: Run, strand: Strand, request: ChildRequest[Any]) -> Begun:
    place, made_by = request.place, request.call
    try:
        # As for a step: one whose arguments may have no value makes its call in a function.
        call = made_by if isinstance(made_by, SagaCall) else run.driver.exactly(made_by)
    except Exception as raised:
        error = translated(raised)
        if error is not None and request.best_effort:
            return True, None, None
        return True, None, error or raised
    team = "" if request.escalate is None else request.escalate.team
    run.undoing.made[place] = Made(
        call.definition.name, team, child=call, best_effort=request.best_effort
    )
    if request.pivot:
        run.pivot_begins(strand)
    run.driver.start_child(place, call)
    strand.wait = InChild(place, request)
    run.waits[place] = strand
    return False, None, None


def child_ended(
    run: Run, strand: Strand, request: ChildRequest[Any], outcome: m.SagaOutcome
) -> None:
    place = request.place
    entry = Entry(place, Status.OWED, started=run.now)
    match outcome:
        case m.Completed(value):
            if request.pivot:
                run.certain(Ok(value))
            elif not request.best_effort:
                strand.undo.append(entry)
            run.go_on(strand, value)
        case m.Compensated(error):
            carried_out = request.pivot and run.certain(Rejected(error))
            item = run.item(place, error)
            if request.best_effort:
                run.go_on(strand, None)
            elif request.escalate is not None and not carried_out:
                back.leave_open(run, strand, Broken(item, request=request))
            else:
                back.fail(run, strand, error, Broken(replace(item, team=""), request=request))
        case m.Escalated():
            failure = child_failure(outcome)
            stuck = replace(entry, status=Status.STUCK, failure=failure)
            back.leave_open(run, strand, Broken(run.item(place, failure), stuck, request))


# --- Sleeps, waits, polls ------------------------------------------------------------------


def begin_sleep(run: Run, strand: Strand, request: SleepRequest) -> Begun:
    until = milliseconds(request.until)
    if not isinstance(request.until, datetime):
        until += run.now
    if until <= run.now:
        return True, None, None
    run.driver.start_timer(request.place, Timer.SLEEP, until)
    strand.wait = Asleep(request.place)
    run.waits[request.place] = strand
    return False, None, None


def begin_wait(run: Run, strand: Strand, request: WaitRequest[Any]) -> Begun:
    for event in run.inbox:
        try:
            taken = run.meets(request, event)
        except Exception as raised:
            return True, None, translated(raised) or raised
        if taken:
            run.inbox.remove(event)
            return True, event.value, None
    within = milliseconds(request.within)
    run.driver.start_timer(request.place, Timer.WAIT, run.now + within)
    strand.wait = Waiting(request.place, request)
    run.waits[request.place] = strand
    return False, None, None


def nothing_came(run: Run, strand: Strand, wait: Waiting | Polling) -> None:
    place, request = wait.place, wait.request
    otherwise = request.otherwise
    if otherwise is None:
        run.go_on(strand, None)
        return
    if not isinstance(otherwise, Escalate):
        try:
            error: Exception = run.driver.exactly(otherwise)
        except Exception as raised:
            error = translated(raised) or raised
        run.go_on(strand, None, error)
        return
    failure = Failure(TIMEOUT, None, "nothing came in time")
    label = wait.label if isinstance(wait, Polling) else event_name(wait.request.event)
    item = OpenItem(place, Purpose.STEP, label, failure, otherwise.team)
    back.leave_open(run, strand, Broken(item, request=request))


def begin_poll(run: Run, strand: Strand, request: PollRequest[Any]) -> Begun:
    wait = Polling(request.place, request)
    try:
        call = question(run, request)
    except Exception as raised:
        return True, None, translated(raised) or raised
    within = milliseconds(request.within)
    run.driver.start_timer(request.place, Timer.WAIT, run.now + within)
    ask(run, wait, call)
    strand.wait = wait
    run.waits[request.place] = strand
    return False, None, None


def question(run: Run, request: PollRequest[Any]) -> Call[Any]:
    made = request.call
    return made if isinstance(made, Call) else run.driver.exactly(made)


def ask(run: Run, wait: Polling, call: Call[Any]) -> None:
    wait.label = call.contract.label
    run.driver.start_call(
        wait.place,
        Purpose.POLL,
        None,
        call,
        wait.request.policy or call.policy,
        deadline=run.call_deadline,
        number=wait.number,
    )


def polled(run: Run, strand: Strand, wait: Polling, event: m.CallEnded | m.TimerFired) -> None:
    place, request = wait.place, wait.request
    match event:
        case m.TimerFired(timer=Timer.WAIT) if wait.asking:
            wait.expired = True
            return
        case m.TimerFired(timer=Timer.WAIT):
            run.driver.stop_timer(place, Timer.POLL)
            nothing_came(run, strand, wait)
            return
        case m.TimerFired(timer=Timer.POLL):
            wait.number += 1
            wait.asking = True
            try:
                ask(run, wait, question(run, request))
            except Exception as raised:
                run.driver.stop_timer(place, Timer.WAIT)
                run.spoiled(strand, place, place.path, raised)
            return
        case m.CallEnded(outcome=Ok(value)):
            try:
                holds = run.driver.exactly(request.until, value)
            except Exception as raised:
                stop_within(run, wait)
                run.spoiled(strand, place, place.path, raised)
                return
            if holds:
                stop_within(run, wait)
                run.go_on(strand, value)
                return
        case m.CallEnded():
            pass
        case _:
            return
    if wait.expired:
        nothing_came(run, strand, wait)
        return
    every = milliseconds(request.every)
    spread = every * POLL_SPREAD_PERCENT // 100
    run.driver.start_timer(place, Timer.POLL, run.now + every, spread)
    wait.asking = False


def stop_within(run: Run, wait: Polling) -> None:
    if not wait.expired:
        run.driver.stop_timer(wait.place, Timer.WAIT)


def has_clock(request: StepRequest[Any]) -> bool:
    """Whether people are told of the step while retrying goes on."""
    return (
        request.escalate is not None
        and request.policy is not None
        and timed(request.escalate.escalation, request.policy)
    )


def event_name(event: type) -> str:
    """The name of an event in the language."""
    name: str = getattr(event, "__event_name__", event.__name__)
    return name
