"""The hands of a compiled saga: calls, timers, child sagas and records, on an engine's session.

Nothing here decides anything; `saga_run` does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from sagalang.machine import calls, keys
from sagalang.machine import events as m
from sagalang.machine.frozen import freeze
from sagalang.machine.outcomes import Failure, Ok
from sagalang.model.program import Ms, Policy
from sagalang.runtime import journal
from sagalang.runtime.calls import Interruption
from sagalang.runtime.engine import (
    BACKWARDS,
    Activity,
    Engine,
    Question,
    Session,
    StepCall,
)
from sagalang.runtime.saga_calls import Call, SagaCall
from sagalang.runtime.saga_values import exact_context

T = TypeVar("T")


class Child(Protocol):
    """A child saga as its parent's driver sees it."""

    @property
    def saga_id(self) -> str: ...

    async def to_the_end(self) -> m.SagaOutcome: ...

    async def undo(self, error: Failure) -> m.SagaOutcome: ...

    async def resumed(self, undo: Failure | None) -> m.SagaOutcome: ...

    async def stop(self) -> None: ...

    def cancel(self) -> None: ...


@dataclass(slots=True)
class _Flying:
    """A call in flight, as it would be found in the journal after a crash."""

    place: m.Place
    purpose: m.Purpose
    call: StepCall
    since: Ms
    first_attempt: Ms | None
    unanswered: Ms | None
    interruption: Interruption


class Driver:
    """Carries out what a run decides. `now` is the instant of the event being worked on."""

    def __init__(
        self,
        saga: str,
        engine: Engine,
        session: Session,
        begin_child: Callable[[SagaCall[Any], str], Child],
    ) -> None:
        self.saga = saga
        self.engine = engine
        self.session = session
        self.now: Ms = session.now()
        self._begin_child = begin_child
        self._exact = exact_context()
        self._flying: dict[tuple[m.Place, m.Purpose], _Flying] = {}
        self._timers: dict[tuple[m.Place, m.Timer], tuple[Activity, Ms]] = {}
        self._children: dict[m.Place, Child] = {}
        self._running_children: dict[m.Place, Failure | None] = {}
        """Of a child under way: the error for which it is being undone, None if it is not."""
        self._outside: list[tuple[Ms, m.Event]] = []
        """What the world will send; it comes whether the orchestrator lives or not."""

    def exactly(self, work: Callable[..., T], *args: Any) -> T:
        """Run code of the saga, with exact decimals."""
        return self._exact.run(work, *args)

    def key(self, place: m.Place, purpose: str = keys.STEP) -> str:
        return keys.key(self.saga, self.session.saga_id, place.path, place.loops, purpose)

    def record(self, entry: type[journal.Entry], **fields: Any) -> None:
        session = self.session
        session.record(entry(at=session.now(), saga_id=session.saga_id, **fields))

    # --- Calls ---------------------------------------------------------------------------------

    def start_call(
        self,
        place: m.Place,
        purpose: m.Purpose,
        key: str | None,
        call: Call[Any],
        policy: Policy,
        *,
        probe: Call[Any] | None = None,
        deadline: Ms | None = None,
        number: int = 1,
        first_attempt: Ms | None = None,
        unanswered: Ms | None = None,
    ) -> None:
        """Make a call; `CallEnded` follows."""
        step = StepCall(
            place=place,
            purpose=purpose,
            contract=call.contract,
            args=call.args,
            key=key,
            config=call.config(
                policy,
                deadline=deadline,
                resolve=purpose is m.Purpose.RESOLVE,
                patient=purpose in BACKWARDS,
            ),
            protected=call.policy,
            probe=None if probe is None else Question(probe.contract, probe.args, probe.policy),
            number=number,
        )
        flying = _Flying(
            place, purpose, step, self.session.now(), first_attempt, unanswered, Interruption()
        )
        self._flying[place, purpose] = flying
        self.session.spawn(self._make(flying))

    async def _make(self, flying: _Flying, resumed: bool = False) -> m.Event:
        step = flying.call
        if resumed or flying.purpose is m.Purpose.RESOLVE:
            first = flying.since if flying.first_attempt is None else flying.first_attempt
            # After a crash the last attempt may have been running until now.
            ended = None if resumed else flying.unanswered
            known = calls.recover(self.session.now(), first, ended)
            step = replace(step, known=known, resumed=resumed)
        done = await self.session.step(step, flying.interruption)
        del self._flying[flying.place, flying.purpose]
        outcome = done.outcome
        if isinstance(outcome, Ok):
            outcome = Ok(freeze(outcome.value), outcome.replayed)
        now = self.session.now()
        return m.CallEnded(now, flying.place, flying.purpose, outcome, done.unanswered)

    def interrupt(self, place: m.Place, purpose: m.Purpose) -> None:
        """Start nothing new in this call; what is in flight is awaited, and `CallEnded` comes."""
        found = self._flying.get((place, purpose))
        if found is not None:  # else it has just ended, and its outcome is on its way
            self.record(journal.Interrupted, place=place, purpose=purpose)
            found.interruption.set()

    # --- Timers and what the world sends --------------------------------------------------------

    def start_timer(self, place: m.Place, timer: m.Timer, at: Ms, spread: Ms = 0) -> None:
        """`TimerFired` comes at `at`, or up to `spread` ms later, drawn at random."""
        until = at + round(spread * self.session.random()) if spread else at
        self.record(journal.TimerStarted, place=place, timer=timer, until=until)
        self._sleep(place, timer, until)

    def _sleep(self, place: m.Place, timer: m.Timer, until: Ms) -> None:
        async def sleep() -> m.Event:
            await self.session.sleep(until)
            self.record(journal.TimerEnded, place=place, timer=timer)
            return m.TimerFired(self.session.now(), place, timer)

        self._timers[place, timer] = (self.session.spawn(sleep()), until)

    def stop_timer(self, place: m.Place, timer: m.Timer) -> None:
        started = self._timers.pop((place, timer), None)
        if started is not None:
            started[0].cancel()
            self.record(journal.TimerEnded, place=place, timer=timer, stopped=True)

    def expect(self, events: Sequence[tuple[Ms, m.Event]]) -> None:
        """Events that the world will send, and when."""
        self._outside += events
        self._await_outside()

    def _await_outside(self) -> None:
        for due, event in self._outside:
            self.session.spawn(self._arrive(due, event))

    async def _arrive(self, due: Ms, event: m.Event) -> m.Event:
        await self.session.sleep(due)
        self._outside.remove((due, event))
        return event

    def accepts(self, event: m.Event) -> bool:
        """Record an event that came; False for a timer that fired in the moment it was stopped."""
        match event:
            case m.TimerFired(place=place, timer=timer):
                return self._timers.pop((place, timer), None) is not None
            case m.EventReceived(event=name, id=id_, value=value):
                self.record(journal.EventAccepted, event=name, id=id_, value=value)
            case m.CancelRequested():
                self.record(journal.CancelAsked)
            case _:
                pass
        return True

    # --- Child sagas ---------------------------------------------------------------------------

    def run_child(self, place: m.Place, call: SagaCall[Any]) -> None:
        """Run a saga under this step's key; `ChildEnded` follows."""
        child = self._begin_child(call, self.key(place))
        self._children[place] = child
        self._record_child(place, call, undo=False)
        self._running_children[place] = None
        self.session.spawn(self._child(place, child.to_the_end(), child, undo=False))

    def cancel_child(self, place: m.Place) -> None:
        self._children[place].cancel()

    def undo_child(self, place: m.Place, call: SagaCall[Any], error: Failure) -> None:
        """Compensate a completed child; `ChildEnded` follows, with purpose COMPENSATE."""
        child = self._children[place]
        self._record_child(place, call, undo=True)
        self._running_children[place] = error
        self.session.spawn(self._child(place, child.undo(error), child, undo=True))

    def _record_child(self, place: m.Place, call: SagaCall[Any], undo: bool) -> None:
        self.record(
            journal.ChildStarted,
            place=place,
            saga=call.definition.name,
            child_id=self.key(place),
            undo=undo,
        )

    async def _child(
        self, place: m.Place, work: Coroutine[Any, Any, m.SagaOutcome], child: Child, undo: bool
    ) -> m.Event:
        outcome = await work
        del self._running_children[place]
        self.record(
            journal.ChildFinished,
            place=place,
            child_id=child.saga_id,
            kind=outcome_kind(outcome),
            undo=undo,
        )
        purpose = m.Purpose.COMPENSATE if undo else m.Purpose.STEP
        return m.ChildEnded(self.session.now(), place, purpose, outcome)

    # --- Telling -------------------------------------------------------------------------------

    def escalate(self, item: m.OpenItem, retrying: bool = False) -> None:
        self.record(journal.EscalationRaised, item=item, retrying=retrying)

    def settled(self, place: m.Place, purpose: m.Purpose) -> None:
        self.record(journal.EscalationSettled, place=place, purpose=purpose)

    def abort_began(self, place: m.Place, failure: Failure) -> None:
        self.record(journal.AbortBegan, place=place, error=failure.name, detail=failure.detail)

    def alert(self, failure: Failure, text: str) -> None:
        self.record(journal.Alerted, error=failure.name, text=text)

    def finished(self, outcome: m.SagaOutcome) -> None:
        error = outcome.error.name if isinstance(outcome, m.Compensated) else None
        self.record(journal.SagaFinished, kind=outcome_kind(outcome), error=error, value=outcome)

    # --- Crashes -------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End everything under way."""
        # From the outside in: a child that still ran could start something new.
        await self.session.close()
        for child in self._children.values():
            await child.stop()

    def resume(self) -> None:
        """Go on from what is on record: a call without a recorded outcome is unknown, timers and
        what the world sends are found where they were."""
        self.record(journal.Restarted)
        for flying in self._flying.values():
            renewed = Interruption()
            if flying.interruption.is_set():
                renewed.set()
            flying.interruption = renewed
            self.session.spawn(self._make(flying, resumed=True))
        for (place, timer), (_, until) in tuple(self._timers.items()):
            self._sleep(place, timer, until)
        self._await_outside()
        for place, error in self._running_children.items():
            child = self._children[place]
            work = child.resumed(error)
            self.session.spawn(self._child(place, work, child, undo=error is not None))


def outcome_kind(outcome: m.SagaOutcome) -> str:
    match outcome:
        case m.Completed():
            return "completed"
        case m.Compensated():
            return "compensated"
        case m.Escalated():
            return "escalated"
