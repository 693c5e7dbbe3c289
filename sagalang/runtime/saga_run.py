"""Runs a compiled saga: drives its coroutines by hand, and decides what follows an event.

It does what the machine does for the interpreter, with Python's own control flow in place of
frames: the same calls under the same keys in the same order, and the same journal. A failure is
raised in the saga only where an attempt there catches it; before the point of no return the saga
is otherwise closed and undone, after it the failed part stays where it is, left to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final
from weakref import ref

from sagalang.machine import events as m
from sagalang.machine.events import SAGA, OpenItem, Place, Purpose, Timer
from sagalang.machine.outcomes import Failure, NotSent, Ok, Outcome, Rejected, Unknown
from sagalang.machine.undo import NOTHING, Undo, entries, in_order
from sagalang.model.errors import CANCELLED, DEADLINE_EXCEEDED
from sagalang.model.program import Ms
from sagalang.runtime import saga_back as back
from sagalang.runtime import saga_leaves as leaves
from sagalang.runtime import saga_parallel as parallel
from sagalang.runtime import saga_settle as settling
from sagalang.runtime.saga_calls import SagaCall
from sagalang.runtime.saga_driver import Driver
from sagalang.runtime.saga_errors import failure_of, translated
from sagalang.runtime.saga_scope import (
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
    Fed,
    InCall,
    InChild,
    Joining,
    Phase,
    Pivot,
    Polling,
    Strand,
    Waiting,
    below,
    moving,
    rerun,
)
from sagalang.runtime.saga_traces import raised_at
from sagalang.runtime.saga_undo import Delivered, Undoing

# Bound once: a member of an enum is looked up the slow way in Python 3.11, and every call asks.
_STEP: Final = Purpose.STEP
_AHEAD: Final = Pivot.AHEAD
_BACKWARD: Final = Phase.BACKWARD
_OVER: Final = Phase.OVER


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
        self.failed_at = ""
        """Where in the saga's text it failed and nothing caught it, or was cancelled."""
        self.deadline: Ms | None = None
        self.tree: Undo = NOTHING
        self.root = Strand(None)
        self.inbox: list[m.EventReceived] = []
        self._seen: set[str] = set()
        self.waits: dict[Place, Strand] = {}
        """Who waits for what happens at a place."""
        self.attention = False
        """Whether anything is, or was, left to people: only then can a run stand still."""
        escalate = definition.escalate
        self.undoing = Undoing(driver, None if escalate is None else escalate.escalation)

    @property
    def now(self) -> Ms:
        return self.driver.now

    # --- Events --------------------------------------------------------------------------------

    def start(self, at: Ms) -> None:
        self.driver.now = at
        if self.definition.deadline is not None:
            self.deadline = self.now + self.definition.deadline
            self.driver.start_timer(SAGA, Timer.DEADLINE, self.deadline)
        function, args, this = self.definition.function, self.call.args, ref(self)

        def make() -> Coroutine[Any, Any, Any]:
            run = this()  # weakly, so that a run that has ended goes at once
            assert run is not None
            return function(Saga(run, run.root), **args)

        self.begin(self.root, make)
        self._look_around()

    def event(self, event: m.Event) -> None:
        """Take in an event. One that concerns nothing any more changes nothing."""
        self.driver.now = event.at
        if type(event) is m.CallEnded and self.phase is not _OVER:
            self.deliver(event)  # most events are; `match` asks each class in turn
        else:
            self._rarer(event)
        if self.attention:
            self._look_around()

    def _rarer(self, event: m.Event) -> None:
        match event:
            case m.UndoRequested(error=error):
                back.undo_completed(self, error)
            case m.Settle():
                settling.settle(self, event)
            case _ if self.phase is Phase.OVER:
                back.afterwards(self, event)
            case m.CancelRequested():
                back.request(self, Failure(CANCELLED))
            case m.TimerFired(timer=Timer.DEADLINE):
                back.request(self, Failure(DEADLINE_EXCEEDED))
            case m.EventReceived():
                self.receive(event)
            case m.CallEnded() | m.ChildEnded() | m.TimerFired():
                self.deliver(event)

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

    def deliver(self, event: Delivered) -> None:
        if self.phase is _BACKWARD:
            back.backward(self, self.undoing.deliver(self.tree, event))
            return
        strand = self.waits.get(event.place)
        if strand is not None:
            self._take(strand, event)
            return
        for strand in tuple(below(self.root)):
            wait = strand.wait
            if isinstance(wait, Catching) and _has(wait.tree, event.place):
                wait.tree = self.undoing.deliver(wait.tree, event)
                back.go_on_undoing(self, strand, wait)
                return

    def _take(self, strand: Strand, event: Delivered) -> None:
        wait = strand.wait
        if type(wait) is InCall and type(event) is m.CallEnded:
            if event.purpose is _STEP:
                leaves.step_ended(self, strand, wait, event)
            return
        match wait, event:
            case InCall() as wait, m.TimerFired(timer=Timer.ESCALATE):
                leaves.overdue(self, strand, wait)
            case InChild() as wait, m.ChildEnded(purpose=Purpose.STEP):
                leaves.child_ended(self, strand, wait.request, event.outcome)
            case Asleep(), m.TimerFired(timer=Timer.SLEEP):
                self.go_on(strand, None)
            case Waiting() as wait, m.TimerFired(timer=Timer.WAIT):
                leaves.nothing_came(self, strand, wait)
            case Polling() as wait, m.CallEnded() | m.TimerFired():
                leaves.polled(self, strand, wait, event)
            case Broken() as wait, m.ChildEnded(purpose=Purpose.STEP):
                settling.child_again(self, strand, wait, event.outcome)
            case Broken() as wait, m.Settle(purpose=Purpose.STEP):
                settling.take(self, strand, wait, event)
            case _:
                pass

    def receive(self, event: m.EventReceived) -> None:
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        self._offer(event)

    def _offer(self, event: m.EventReceived) -> None:
        """Give an event to the first wait, in text order, whose `where` it meets; else keep it."""
        if self.phase is Phase.FORWARD:
            for strand in tuple(below(self.root)):
                wait = strand.wait
                if not isinstance(wait, Waiting):
                    continue
                try:
                    taken = self.meets(wait.request, event)
                except Exception as raised:
                    self.driver.stop_timer(wait.place, Timer.WAIT)
                    self.spoiled(strand, wait.place, wait.request.event.__name__, raised)
                    # This wait failed; the event is still there for the others.
                    self._offer(event)
                    return
                if taken:
                    self.driver.stop_timer(wait.place, Timer.WAIT)
                    self.go_on(strand, event.value)
                    return
        self.inbox.append(event)

    def meets(self, request: WaitRequest[Any], event: m.EventReceived) -> bool:
        if event.event != leaves.event_name(request.event):
            return False
        where = request.where
        return where is None or bool(self.driver.exactly(where, event.value))

    # --- Driving a coroutine -------------------------------------------------------------------

    def go_on(self, strand: Strand, answer: Any, error: BaseException | None = None) -> None:
        """What the strand waited for is there, or `error` is raised instead."""
        self.waits.pop(getattr(strand.wait, "place", SAGA), None)
        strand.wait = None
        self.resume(strand, answer, error)

    def begin(self, strand: Strand, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        strand.make, strand.coroutine = make, make()
        self.resume(strand, None)

    def resume(self, strand: Strand, answer: Any, error: BaseException | None = None) -> None:
        """Run a coroutine until it waits for something or ends."""
        coroutine, exactly = strand.coroutine, self.driver.exactly
        assert coroutine is not None
        answered = True
        while answered:
            fed = Fed(self.driver.now, answer, error)
            strand.fed.append(fed)
            try:
                if error is None:
                    request = exactly(coroutine.send, answer)
                else:
                    fed.undone = next((n for n, a in enumerate(strand.attempts) if a.undone), None)
                    request = exactly(coroutine.throw, error)
            except StopIteration as stop:
                strand.done, strand.result = True, stop.value
                strand.make = None  # which knows the strand: it goes at once when nobody else does
                self._ended(strand)
                return
            except Exception as raised:
                strand.done = True
                self._raised(strand, raised)
                return
            answered, answer, error = self._begin(strand, request)

    def again(self, strand: Strand) -> None:
        """Begin anew the statement at which the strand stands, its arguments included."""
        now, strand.wait = self.driver.now, None
        try:
            request = rerun(strand, self.driver.exactly, self.driver.at)
        except Exception as raised:
            self.driver.at(now)
            self._raised(strand, raised)
            return
        self.driver.at(now)
        answered, answer, error = self._begin(strand, request)
        if answered:
            self.resume(strand, answer, error)

    def _begin(self, strand: Strand, request: Any) -> leaves.Begun:
        """Begin what a strand awaits."""
        if type(request) is StepRequest:
            return leaves.begin_step(self, strand, request)
        match request:
            case ChildRequest():
                return leaves.begin_child(self, strand, request)
            case SleepRequest():
                return leaves.begin_sleep(self, strand, request)
            case WaitRequest():
                return leaves.begin_wait(self, strand, request)
            case PollRequest():
                return leaves.begin_poll(self, strand, request)
            case ParallelRequest(branches=()):
                return True, (), None
            case ParallelRequest():
                strand.wait = Joining(request)
                parallel.begin(self, strand, strand.wait)
                return False, None, None
            case UndoRequest(attempt, raised_error):
                return back.leave(self, strand, attempt, failure_of(raised_error)), None, None
            case _:
                odd = TypeError("a saga awaits only what its `saga` object offers")
                return True, None, odd

    def _ended(self, strand: Strand) -> None:
        parent = strand.parent
        strand.fed.clear()
        if parent is not None:
            joining = parent.wait
            assert isinstance(joining, Joining)
            joining.done += 1
            parallel.begin(self, parent, joining)
            if self.attention and parent.wait is joining:
                parallel.make_room(self, parent)  # the others may all stand still
        elif self.phase is Phase.EPILOGUE:
            back.epilogue_over(self)
        else:
            self.tree = in_order(tuple(strand.undo))
            self.over(m.Completed(strand.result))

    def _raised(self, strand: Strand, raised: Exception) -> None:
        """An exception of the saga's own text ended the coroutine."""
        error = translated(raised)
        if error is None:
            raise raised
        failure = failure_of(error)
        strand.raised_at = raised_at(raised)
        place = Place("abort")
        item = OpenItem(place, Purpose.STEP, failure.name, failure)
        back.fail(self, strand, failure, Broken(item))

    # --- What leaves ask for ---

    @property
    def call_deadline(self) -> Ms | None:
        return self.deadline if self.pivot is _AHEAD else None

    def pivot_begins(self, strand: Strand | None) -> None:
        self.pivot = Pivot.HELD
        while strand is not None:
            for attempt in strand.attempts:
                attempt.has_pivot = True
            strand = strand.parent

    def certain(self, outcome: Outcome) -> bool:
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

    def spoiled(self, strand: Strand, place: Place, label: str, raised: Exception) -> None:
        """A condition on what came has no value."""
        error = translated(raised)
        if error is None:
            raise raised
        failure = failure_of(error)
        strand.raised_at = raised_at(raised)
        item = OpenItem(place, Purpose.STEP, label, failure)
        back.fail(self, strand, failure, Broken(item))

    def item(self, place: Place, failure: Failure) -> OpenItem:
        made = self.undoing.made[place]
        return OpenItem(place, Purpose.STEP, made.label, failure, made.team)

    # --- Standing still, and the end -----------------------------------------------------------

    def _look_around(self) -> None:
        """Where nothing but a person can move the run, it ends as escalated."""
        forward = self.phase in (Phase.FORWARD, Phase.EPILOGUE)
        if not self.attention or not forward or moving(self.root):
            return
        if self.phase is Phase.EPILOGUE:
            back.epilogue_over(self)
            return
        if not back.stop_overdue(self):
            self.over(m.Escalated(self.open_items()))

    def over(self, outcome: m.SagaOutcome) -> None:
        if self.phase is Phase.FORWARD and self.deadline is not None:
            self.driver.stop_timer(SAGA, Timer.DEADLINE)
        written_off = tuple(self.undoing.written_off)
        if written_off or isinstance(outcome, m.Escalated):
            still_open = outcome.steps if isinstance(outcome, m.Escalated) else ()
            outcome = m.Escalated((*written_off, *still_open))
        self.driver.finished(outcome)
        self.phase, self.outcome = Phase.OVER, outcome
        if not isinstance(outcome, m.Escalated):
            self.close()  # else it may go on


def _has(tree: Undo, place: Place) -> bool:
    return any(entry.place == place for entry in entries(tree))
