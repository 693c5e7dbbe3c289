"""Runs a compiled saga: drives its coroutines by hand, and decides what follows an event.

It does what the machine does for the interpreter, with Python's own control flow in place of
frames: the same calls under the same keys in the same order, and the same journal. A failure is
raised in the saga only where an attempt there catches it; before the point of no return the saga
is otherwise closed and undone, after it the failed part stays where it is, left to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any

from sagalang.machine import events as m
from sagalang.machine.evaluate import milliseconds
from sagalang.machine.events import SAGA, OpenItem, Place, Purpose, Timer
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.undo import NOTHING, Entry, Status, Undo, entries, in_order, together
from sagalang.machine.undo import moving as undo_moving
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED, TIMEOUT, UNAVAILABLE
from sagalang.model.program import Ms
from sagalang.runtime.saga_calls import Call, SagaCall
from sagalang.runtime.saga_driver import Driver
from sagalang.runtime.saga_errors import exception, failure_of, translated
from sagalang.runtime.saga_scope import (
    Attempt,
    ChildRequest,
    ParallelRequest,
    PollRequest,
    Saga,
    SleepRequest,
    StepRequest,
    UndoRequest,
    WaitRequest,
)
from sagalang.runtime.saga_strands import (
    Asleep,
    Broken,
    Catching,
    InCall,
    InChild,
    Joining,
    Polling,
    Strand,
    Waiting,
    below,
    moving,
)
from sagalang.runtime.saga_undo import Made, Undoing, timed

POLL_SPREAD_PERCENT = 10
"""Polls are spread upwards by up to this share of their interval, as in the machine."""


class Pivot(Enum):
    AHEAD = "ahead"
    """Not reached, or it certainly did not happen."""
    HELD = "held"
    """Its intent is on record and its outcome is not certain."""
    PASSED = "passed"


class Phase(Enum):
    FORWARD = "forward"
    BACKWARD = "backward"
    EPILOGUE = "epilogue"
    """Everything is undone; `when compensated` runs."""
    OVER = "over"


class Run:
    """One run of a compiled saga; `event` moves it on. See `sagalang.runtime.saga.run`."""

    def __init__(self, call: SagaCall[Any], driver: Driver) -> None:
        definition = call.definition
        self.call = call
        self.definition = definition
        self.driver = driver
        self.saga_id = driver.session.saga_id
        self.key = driver.key
        self.phase = Phase.FORWARD
        self.outcome: m.SagaOutcome | None = None
        self.pivot = Pivot.AHEAD
        self.held: Failure | None = None
        self.aborting: Failure | None = None
        """A held cancel or deadline that is to be carried out."""
        self.error: Failure | None = None
        self.deadline: Ms | None = None
        self.tree: Undo = NOTHING
        self.root = Strand(None)
        self.inbox: list[m.EventReceived] = []
        self._seen: set[str] = set()
        self._waits: dict[Place, Strand] = {}
        """Who waits for what happens at a place."""
        self._attention = False
        """Whether anything is, or was, left to people: only then can a run stand still."""
        escalate = definition.escalate
        self.undoing = Undoing(driver, None if escalate is None else escalate.escalation)

    @property
    def now(self) -> Ms:
        return self.driver.now

    # --- Events --------------------------------------------------------------------------------

    def start(self) -> None:
        self.driver.now = self.driver.session.now()
        if self.definition.deadline is not None:
            self.deadline = self.now + self.definition.deadline
            self.driver.start_timer(SAGA, Timer.DEADLINE, self.deadline)
        self.root.coroutine = self.definition.function(Saga(self, self.root), **self.call.args)
        self._resume(self.root, None)
        self._look_around()

    def event(self, event: m.Event) -> None:
        """Take in an event. One that concerns nothing any more changes nothing."""
        self.driver.now = event.at
        match event:
            case m.UndoRequested(error=error):
                self._undo_completed(error)
            case _ if self.phase is Phase.OVER:
                return
            case m.CancelRequested():
                self._request(Failure(CANCELLED))
            case m.TimerFired(timer=Timer.DEADLINE):
                self._request(Failure(DEADLINE_EXCEEDED))
            case m.EventReceived():
                self._receive(event)
            case m.CallEnded() | m.ChildEnded() | m.TimerFired():
                self._deliver(event)
        self._look_around()

    def close(self) -> None:
        """Let go of the coroutines."""
        for strand in below(self.root):
            if strand.coroutine is not None:
                strand.coroutine.close()

    def open_items(self) -> tuple[OpenItem, ...]:
        """What a person must settle, in text order."""
        if self.phase is not Phase.FORWARD and self.error is not None:
            return self.undoing.open_items(self.tree)
        found: list[OpenItem] = []
        for strand in below(self.root):
            match strand.wait:
                case Broken(item):
                    found.append(item)
                case Catching(tree=tree):
                    found += self.undoing.open_items(tree)
                case _:
                    pass
        return tuple(found)

    def _deliver(self, event: m.CallEnded | m.ChildEnded | m.TimerFired) -> None:
        if self.phase is Phase.BACKWARD:
            self._backward(self.undoing.deliver(self.tree, event))
            return
        strand = self._waits.get(event.place)
        if strand is not None:
            self._take(strand, event)
            return
        for strand in tuple(below(self.root)):
            wait = strand.wait
            if isinstance(wait, Catching) and _has(wait.tree, event.place):
                wait.tree = self.undoing.deliver(wait.tree, event)
                self._go_on_undoing(strand, wait)
                return

    def _take(self, strand: Strand, event: m.CallEnded | m.ChildEnded | m.TimerFired) -> None:
        match strand.wait, event:
            case InCall() as wait, m.CallEnded(purpose=Purpose.STEP):
                self._step_ended(strand, wait, event)
            case InCall() as wait, m.TimerFired(timer=Timer.ESCALATE):
                self._overdue(strand, wait)
            case InChild() as wait, m.ChildEnded(purpose=Purpose.STEP):
                self._child_ended(strand, wait, event)
            case Asleep(), m.TimerFired(timer=Timer.SLEEP):
                self._go_on(strand, None)
            case Waiting(place, request), m.TimerFired(timer=Timer.WAIT):
                self._nothing_came(strand, place, request)
            case Polling() as wait, _:
                self._polled(strand, wait, event)
            case _:
                pass

    def _receive(self, event: m.EventReceived) -> None:
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        if self.phase is Phase.FORWARD:
            for strand in tuple(below(self.root)):
                wait = strand.wait
                if not isinstance(wait, Waiting):
                    continue
                try:
                    taken = self._meets(wait.request, event)
                except Exception as raised:
                    self.driver.stop_timer(wait.place, Timer.WAIT)
                    self._spoiled(strand, wait.place, wait.request.event.__name__, raised)
                    return
                if taken:
                    self.driver.stop_timer(wait.place, Timer.WAIT)
                    self._go_on(strand, event.value)
                    return
        self.inbox.append(event)

    def _meets(self, request: WaitRequest[Any], event: m.EventReceived) -> bool:
        if event.event != event_name(request.event):
            return False
        where = request.where
        return where is None or bool(self.driver.exactly(where, event.value))

    # --- Driving a coroutine -------------------------------------------------------------------

    def _go_on(self, strand: Strand, answer: Any) -> None:
        """What the strand waited for is there."""
        self._waits.pop(getattr(strand.wait, "place", SAGA), None)
        strand.wait = None
        self._resume(strand, answer)

    def _resume(self, strand: Strand, answer: Any, error: BaseException | None = None) -> None:
        """Run a coroutine until it waits for something or ends."""
        coroutine = strand.coroutine
        assert coroutine is not None
        while True:
            try:
                if error is not None:
                    request = self.driver.exactly(coroutine.throw, error)
                else:
                    request = self.driver.exactly(coroutine.send, answer)
            except StopIteration as stop:
                strand.done, strand.result = True, stop.value
                self._ended(strand)
                return
            except Exception as raised:
                strand.done = True
                self._raised(strand, raised)
                return
            error = None
            match request:
                case StepRequest():
                    answered, answer = self._begin_step(strand, request)
                case ChildRequest():
                    answered, answer = self._begin_child(strand, request)
                case SleepRequest():
                    answered, answer = self._begin_sleep(strand, request)
                case WaitRequest():
                    answered, answer, error = self._begin_wait(strand, request)
                case PollRequest():
                    answered, answer, error = self._begin_poll(strand, request)
                case ParallelRequest(branches=()):
                    answer = ()
                    continue
                case ParallelRequest():
                    strand.wait = Joining(request)
                    self._begin_strands(strand, strand.wait)
                    return
                case UndoRequest(attempt, raised_error):
                    answered, answer = self._leave(strand, attempt, failure_of(raised_error)), None
                case _:
                    error = TypeError("a saga awaits only what its `saga` object offers")
                    continue
            if not answered:
                return

    def _ended(self, strand: Strand) -> None:
        parent = strand.parent
        if parent is not None:
            joining = parent.wait
            assert isinstance(joining, Joining)
            joining.done += 1
            self._begin_strands(parent, joining)
        elif self.phase is Phase.EPILOGUE:
            self._epilogue_over()
        else:
            self.tree = in_order(tuple(strand.undo))
            self._over(m.Completed(strand.result))

    def _raised(self, strand: Strand, raised: Exception) -> None:
        """An exception of the saga's own text ended the coroutine."""
        error = translated(raised)
        if error is None:
            raise raised
        failure = failure_of(error)
        place = Place("abort")
        self._fail(strand, failure, OpenItem(place, Purpose.STEP, failure.name, failure))

    # --- Steps ---------------------------------------------------------------------------------

    def _begin_step(self, strand: Strand, request: StepRequest[Any]) -> tuple[bool, Any]:
        place, driver = request.place, self.driver
        call = request.call
        if not isinstance(call, Call):
            # A best-effort step whose arguments may have no value.
            try:
                call = driver.exactly(call)
            except Exception as raised:
                if translated(raised) is None:
                    raise
                return True, None
        policy = request.policy or call.policy
        escalation = None if request.escalate is None else request.escalate.escalation
        made = Made(
            call.contract.label,
            "" if escalation is None else escalation.team,
            call,
            undo=request.undo,
            policy=request.undo_policy or self.definition.compensate_with,
        )
        entry = self.undoing.prepare(place, made, call.args)
        if request.pivot:
            self._pivot_begins(strand)
        key = None if call.contract.is_query else driver.key(place)
        driver.start_call(
            place,
            Purpose.STEP,
            key,
            call,
            policy,
            probe=call.asking(driver.key(place)),
            deadline=self._call_deadline,
        )
        if escalation is not None and timed(escalation, policy):
            driver.start_timer(place, Timer.ESCALATE, self.now + escalation.after)
        request.policy = policy
        strand.wait = InCall(place, request, entry)
        self._waits[place] = strand
        return False, None

    @property
    def _call_deadline(self) -> Ms | None:
        return self.deadline if self.pivot is Pivot.AHEAD else None

    def _pivot_begins(self, strand: Strand | None) -> None:
        self.pivot = Pivot.HELD
        while strand is not None:
            for attempt in strand.attempts:
                attempt.has_pivot = True
            strand = strand.parent

    def _step_ended(self, strand: Strand, wait: InCall, event: m.CallEnded) -> None:
        request, outcome = wait.request, event.outcome
        if wait.overdue and isinstance(outcome, Ok):
            self.driver.settled(wait.place, Purpose.STEP)
        if not wait.overdue and _has_clock(request):
            self.driver.stop_timer(wait.place, Timer.ESCALATE)
        carried_out = self._certain(outcome) if request.pivot else False
        if request.best_effort:
            self._go_on(strand, outcome.value if isinstance(outcome, Ok) else None)
            return
        owed = self.undoing.settle(wait.entry, outcome, event.unanswered)
        if owed != NOTHING:
            strand.undo.append(owed)
        if isinstance(outcome, Ok):
            self._go_on(strand, outcome.value)
            return
        item = self._item(wait.place, outcome.error)
        doubtful_pivot = request.pivot and isinstance(outcome, Unknown)
        if not carried_out and (request.escalate is not None or doubtful_pivot):
            self._open(strand, item, told=wait.overdue)
        else:
            self._fail(strand, outcome.error, replace(item, team=""))

    def _item(self, place: Place, failure: Failure) -> OpenItem:
        made = self.undoing.made[place]
        return OpenItem(place, Purpose.STEP, made.label, failure, made.team)

    def _certain(self, outcome: Outcome) -> bool:
        """Take in a pivot's outcome; True where a held cancel or deadline is now carried out."""
        match outcome:
            case Ok():
                self.pivot, self.held = Pivot.PASSED, None
            case Rejected() | NotSent():
                self.pivot = Pivot.AHEAD
                self.aborting, self.held = self.held, None
                return self.aborting is not None
            case Unknown():
                pass
        return False

    def _overdue(self, strand: Strand, wait: InCall) -> None:
        failure = Failure(TIMEOUT, None, "still being retried")
        self.driver.escalate(self._item(wait.place, failure), retrying=True)
        self._attention = True
        wait.overdue = True
        self._make_room(strand)

    # --- Child sagas ---------------------------------------------------------------------------

    def _begin_child(self, strand: Strand, request: ChildRequest[Any]) -> tuple[bool, Any]:
        place = request.place
        team = "" if request.escalate is None else request.escalate.team
        self.undoing.made[place] = Made(request.call.definition.name, team, child=request.call)
        if request.pivot:
            self._pivot_begins(strand)
        self.driver.run_child(place, request.call)
        strand.wait = InChild(place, request)
        self._waits[place] = strand
        return False, None

    def _child_ended(self, strand: Strand, wait: InChild, event: m.ChildEnded) -> None:
        request, entry = wait.request, Entry(wait.place, Status.OWED, started=self.now)
        match event.outcome:
            case m.Completed(value):
                if request.pivot:
                    self._certain(Ok(value))
                elif not request.best_effort:
                    strand.undo.append(entry)
                self._go_on(strand, value)
            case m.Compensated(error):
                carried_out = request.pivot and self._certain(Rejected(error))
                item = self._item(wait.place, error)
                if request.best_effort:
                    self._go_on(strand, None)
                elif request.escalate is not None and not carried_out:
                    self._open(strand, item)
                else:
                    self._fail(strand, error, replace(item, team=""))
            case _:
                failure = Failure(UNAVAILABLE, None, "the child saga is escalated")
                strand.undo.append(replace(entry, status=Status.STUCK, failure=failure))
                self._open(strand, self._item(wait.place, failure))

    # --- Sleeps, waits, polls ------------------------------------------------------------------

    def _begin_sleep(self, strand: Strand, request: SleepRequest) -> tuple[bool, Any]:
        until = milliseconds(request.until)
        if not isinstance(request.until, datetime):
            until += self.now
        if until <= self.now:
            return True, None
        self.driver.start_timer(request.place, Timer.SLEEP, until)
        strand.wait = Asleep(request.place)
        self._waits[request.place] = strand
        return False, None

    def _begin_wait(
        self, strand: Strand, request: WaitRequest[Any]
    ) -> tuple[bool, Any, BaseException | None]:
        for event in self.inbox:
            try:
                taken = self._meets(request, event)
            except Exception as raised:
                return True, None, translated(raised) or raised
            if taken:
                self.inbox.remove(event)
                return True, event.value, None
        within = milliseconds(request.within)
        self.driver.start_timer(request.place, Timer.WAIT, self.now + within)
        strand.wait = Waiting(request.place, request)
        self._waits[request.place] = strand
        return False, None, None

    def _nothing_came(
        self, strand: Strand, place: Place, request: WaitRequest[Any] | PollRequest[Any]
    ) -> None:
        if request.otherwise is None:
            self._go_on(strand, None)
            return
        failure = Failure(TIMEOUT, None, "nothing came in time")
        label = place.path
        if isinstance(request, WaitRequest):
            label = event_name(request.event)
        elif isinstance(request.call, Call):
            label = request.call.contract.label
        self._open(strand, OpenItem(place, Purpose.STEP, label, failure, request.otherwise.team))

    def _begin_poll(
        self, strand: Strand, request: PollRequest[Any]
    ) -> tuple[bool, Any, BaseException | None]:
        within = milliseconds(request.within)
        self.driver.start_timer(request.place, Timer.WAIT, self.now + within)
        wait = Polling(request.place, request)
        try:
            self._ask(wait)
        except Exception as raised:
            return True, None, translated(raised) or raised
        strand.wait = wait
        self._waits[request.place] = strand
        return False, None, None

    def _ask(self, wait: Polling) -> None:
        made = wait.request.call
        call = made if isinstance(made, Call) else self.driver.exactly(made)
        self.driver.start_call(
            wait.place,
            Purpose.POLL,
            None,
            call,
            wait.request.policy or call.policy,
            deadline=self._call_deadline,
            number=wait.number,
        )

    def _polled(
        self, strand: Strand, wait: Polling, event: m.CallEnded | m.ChildEnded | m.TimerFired
    ) -> None:
        place, request = wait.place, wait.request
        match event:
            case m.TimerFired(timer=Timer.WAIT) if wait.asking:
                wait.expired = True
                return
            case m.TimerFired(timer=Timer.WAIT):
                self.driver.stop_timer(place, Timer.POLL)
                self._nothing_came(strand, place, request)
                return
            case m.TimerFired(timer=Timer.POLL):
                wait.number += 1
                wait.asking = True
                try:
                    self._ask(wait)
                except Exception as raised:
                    self.driver.stop_timer(place, Timer.WAIT)
                    self._spoiled(strand, place, place.path, raised)
                return
            case m.CallEnded(outcome=Ok(value)):
                try:
                    holds = self.driver.exactly(request.until, value)
                except Exception as raised:
                    self._stop_within(wait)
                    self._spoiled(strand, place, place.path, raised)
                    return
                if holds:
                    self._stop_within(wait)
                    self._go_on(strand, value)
                    return
            case m.CallEnded():
                pass
            case _:
                return
        if wait.expired:
            self._nothing_came(strand, place, request)
            return
        every = milliseconds(request.every)
        spread = every * POLL_SPREAD_PERCENT // 100
        self.driver.start_timer(place, Timer.POLL, self.now + every, spread)
        wait.asking = False

    def _stop_within(self, wait: Polling) -> None:
        if not wait.expired:
            self.driver.stop_timer(wait.place, Timer.WAIT)

    def _spoiled(self, strand: Strand, place: Place, label: str, raised: Exception) -> None:
        """A condition on what came has no value."""
        error = translated(raised)
        if error is None:
            raise raised
        failure = failure_of(error)
        self._fail(strand, failure, OpenItem(place, Purpose.STEP, label, failure))

    # --- Parallel parts ------------------------------------------------------------------------

    def _begin_strands(self, strand: Strand, joining: Joining) -> None:
        """Begin what is not begun while there is room, and go on when all have ended."""
        if joining.beginning:
            return  # called by a branch that ended at once: the loop below goes on
        joining.beginning = True
        branches = joining.request.branches
        while len(joining.strands) < len(branches) and self._room(joining):
            saga, function = branches[len(joining.strands)]
            inner = Strand(strand)
            saga._strand = inner
            joining.strands.append(inner)
            inner.coroutine = function(saga)
            self._resume(inner, None)
            if not strand.alive or strand.wait is not joining:
                return  # the saga, or an attempt around, is going back
        joining.beginning = False
        if joining.done < len(branches):
            return
        trees = tuple(in_order(tuple(inner.undo)) for inner in joining.strands)
        tree = together(trees, joining.request.at_once)
        if tree != NOTHING:
            strand.undo.append(tree)
        self._go_on(strand, tuple(inner.result for inner in joining.strands))

    def _room(self, joining: Joining) -> bool:
        limit = joining.request.at_once
        if limit is None:
            return True
        # An iteration that waits for a person holds no slot: its siblings run on.
        return sum(moving(inner) for inner in joining.strands if not inner.done) < limit

    def _make_room(self, strand: Strand) -> None:
        """A strand came to a standstill: what was held back for it may begin."""
        while strand.parent is not None:
            strand = strand.parent
            if isinstance(strand.wait, Joining):
                self._begin_strands(strand, strand.wait)

    # --- Failures ------------------------------------------------------------------------------

    def _fail(self, strand: Strand, failure: Failure, item: OpenItem) -> None:
        """Something in the strand failed: an attempt catches it, or the saga goes back, or (after
        the point of no return) it stays open and the others go on."""
        self._waits.pop(item.place, None)
        strand.wait = None
        if self.phase is Phase.EPILOGUE:
            self._epilogue_over()
            return
        if self.aborting is None:
            found = self._catcher(strand, failure.name)
            if found is not None:
                self._catch(*found, failure)
                return
        if self.aborting is not None or self.pivot is Pivot.AHEAD:
            self._abort(self.aborting or failure)
        else:
            self._open(strand, item)

    def _open(self, strand: Strand, item: OpenItem, *, told: bool = False) -> None:
        if not told:
            self.driver.escalate(item)
        self._attention = True
        self._waits.pop(item.place, None)
        strand.wait = Broken(item)
        self._make_room(strand)

    def _catcher(self, strand: Strand, name: str) -> tuple[Strand, Attempt] | None:
        """The innermost attempt that catches an error of this name."""
        around: Strand | None = strand
        while around is not None:
            for attempt in reversed(around.attempts):
                # Where the pivot in its body happened, or may have, there is no way back.
                passed = attempt.has_pivot and self.pivot is not Pivot.AHEAD
                if attempt.handles(name) and not passed:
                    return around, attempt
            around = around.parent
        return None

    def _catch(self, strand: Strand, attempt: Attempt, failure: Failure) -> None:
        """Undo the attempt's body; then the error is raised in it, and its handler runs."""
        self.driver.abort_began(attempt.place, failure)
        declared = (*self._declared(), *attempt.catches)
        inner = self._dismantle_wait(strand)
        tree = in_order((*strand.undo[attempt.start :], inner))
        del strand.undo[attempt.start :]
        attempt.undone = True
        self._go_on_undoing(strand, Catching(attempt, tree, failure, exception(failure, declared)))

    def _declared(self) -> Iterator[Any]:
        yield from self.definition.errors

    def _leave(self, strand: Strand, attempt: Attempt, failure: Failure) -> bool:
        """An exception of the saga's own text leaves the body of an attempt that catches it.

        True where nothing has to be undone.
        """
        if attempt.has_pivot and self.pivot is not Pivot.AHEAD:
            item = OpenItem(attempt.place, Purpose.STEP, failure.name, failure)
            self._open(strand, item)
            return False
        self.driver.abort_began(attempt.place, failure)
        tree = in_order(tuple(strand.undo[attempt.start :]))
        del strand.undo[attempt.start :]
        if tree == NOTHING:
            return True
        self._go_on_undoing(strand, Catching(attempt, tree, failure, None))
        return False

    def _go_on_undoing(self, strand: Strand, wait: Catching) -> None:
        strand.wait = wait
        self._attention = True  # a compensation may get stuck
        wait.tree = self.undoing.work(wait.tree, wait.failure)
        if wait.tree == NOTHING:
            strand.wait = None
            self._resume(strand, None, wait.error)

    # --- Going back ----------------------------------------------------------------------------

    def _request(self, error: Failure) -> None:
        """Cancel or deadline: before the pivot it aborts, while it is uncertain it is held, after
        it (and while undoing) it is only told."""
        driver = self.driver
        if self.phase is not Phase.FORWARD:
            if error.name == CANCELLED:
                driver.alert(error, "cancel has no effect: the saga is compensating already")
            return
        match self.pivot:
            case Pivot.AHEAD:
                self._abort(error)
            case Pivot.HELD:
                self.held = self.held or error
                driver.alert(error, "held until the outcome of the pivot is certain")
            case Pivot.PASSED:
                what = "cancel refused" if error.name == CANCELLED else "the deadline passed"
                driver.alert(error, f"{what} after the pivot")

    def _abort(self, error: Failure) -> None:
        self.driver.abort_began(SAGA, error)
        tree = self._dismantle(self.root)
        if self.deadline is not None and error.name != DEADLINE_EXCEEDED:
            self.driver.stop_timer(SAGA, Timer.DEADLINE)
        self.phase, self.error = Phase.BACKWARD, error
        self._backward(tree)

    def _dismantle(self, strand: Strand) -> Undo:
        """Nothing new starts in the strand, its sleeps and waits end, its calls are awaited: what
        is left is what has to be undone, in order."""
        inner = self._dismantle_wait(strand)
        strand.alive = False
        if strand.coroutine is not None:
            strand.coroutine.close()
        return in_order((*strand.undo, inner))

    def _dismantle_wait(self, strand: Strand) -> Undo:
        wait, strand.wait, driver = strand.wait, None, self.driver
        self._waits.pop(getattr(wait, "place", SAGA), None)
        match wait:
            case InCall(place=place, request=request, entry=entry):
                if not wait.stopping:
                    driver.interrupt(place, Purpose.STEP)
                if _has_clock(request):
                    driver.stop_timer(place, Timer.ESCALATE)
                return entry
            case InChild(place=place):
                driver.cancel_child(place)
                return Entry(place, Status.SETTLING, started=self.now)
            case Asleep(place=place):
                driver.stop_timer(place, Timer.SLEEP)
            case Waiting(place=place):
                driver.stop_timer(place, Timer.WAIT)
            case Polling(place=place):
                self._stop_within(wait)
                if wait.asking:
                    driver.interrupt(place, Purpose.POLL)
                    return Entry(place, Status.SETTLING, purpose=Purpose.POLL)
                driver.stop_timer(place, Timer.POLL)
            case Joining(request=request, strands=strands):
                trees = tuple(self._dismantle(inner) for inner in strands)
                return together(trees, request.at_once)
            case Catching(tree=tree):
                return tree
            case _:
                pass
        return NOTHING

    def _backward(self, tree: Undo) -> None:
        assert self.error is not None
        self.tree = self.undoing.work(tree, self.error)
        if self.tree == NOTHING:
            self._compensated()
        elif not undo_moving(self.tree):
            stopped = self.undoing.stop_overdue(self.tree)
            changed, self.tree = stopped != self.tree, stopped
            if not changed:
                self._over(m.Escalated(self.undoing.open_items(stopped)))

    def _compensated(self) -> None:
        assert self.error is not None
        after = self.definition.when_compensated
        if after is None:
            self._over(m.Compensated(self.error))
            return
        self.phase = Phase.EPILOGUE
        self.root = Strand(None)
        error = exception(self.error, self.definition.errors)
        self.root.coroutine = after(Saga(self, self.root), error, **self.call.args)
        self._resume(self.root, None)

    def _epilogue_over(self) -> None:
        """The outcome is settled; whatever happened in there cannot change it."""
        assert self.error is not None
        if self.phase is not Phase.OVER:
            self._over(m.Compensated(self.error))

    def _undo_completed(self, error: Failure) -> None:
        if self.phase is Phase.OVER and isinstance(self.outcome, m.Completed):
            self.driver.abort_began(SAGA, error)
            self.phase, self.error, self.outcome = Phase.BACKWARD, error, None
            self._backward(self.tree)

    # --- Standing still, and the end -----------------------------------------------------------

    def _look_around(self) -> None:
        """Where nothing but a person can move the run, it ends as escalated."""
        forward = self.phase in (Phase.FORWARD, Phase.EPILOGUE)
        if not self._attention or not forward or moving(self.root):
            return
        if self.phase is Phase.EPILOGUE:
            self._epilogue_over()
            return
        if not self._stop_overdue():
            self._over(m.Escalated(self.open_items()))

    def _stop_overdue(self) -> bool:
        """Interrupt what is escalated and still retrying, because nothing else can move."""
        stopped = False
        for strand in below(self.root):
            match strand.wait:
                case InCall(overdue=True, stopping=False) as wait:
                    self.driver.interrupt(wait.place, Purpose.STEP)
                    wait.stopping = stopped = True
                case Catching(tree=tree) as wait:
                    wait.tree = self.undoing.stop_overdue(tree)
                    stopped = stopped or wait.tree != tree
                case _:
                    pass
        return stopped

    def _over(self, outcome: m.SagaOutcome) -> None:
        if self.phase is Phase.FORWARD and self.deadline is not None:
            self.driver.stop_timer(SAGA, Timer.DEADLINE)
        self.driver.finished(outcome)
        self.phase, self.outcome = Phase.OVER, outcome
        self.close()


def event_name(event: type) -> str:
    """The name of an event in the language."""
    name: str = getattr(event, "__event_name__", event.__name__)
    return name


def _has(tree: Undo, place: Place) -> bool:
    return any(entry.place == place for entry in entries(tree))


def _has_clock(request: StepRequest[Any]) -> bool:
    """Whether people are told of the step while retrying goes on."""
    return (
        request.escalate is not None
        and request.policy is not None
        and timed(request.escalate.escalation, request.policy)
    )
