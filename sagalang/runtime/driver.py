"""The hands of a run: calls, timers, child sagas and records, on an engine's session.

Nothing here decides anything. While a run is being rebuilt, what it wants done is looked up in its
journal instead of being done; where the journal ends, what is under way there is taken up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from sagalang.machine import calls
from sagalang.machine import events as m
from sagalang.machine.outcomes import Failure
from sagalang.model.program import Ms
from sagalang.runtime import journal
from sagalang.runtime.activities import Activity
from sagalang.runtime.calls import Interruption
from sagalang.runtime.engine import Engine, Session, StepCall
from sagalang.runtime.journal_events import call_ended, child_ended, entry_of
from sagalang.runtime.replay import Family, Replay


class Child(Protocol):
    """A child saga as its parent's driver sees it."""

    undone_for: Failure | None
    """The error for which its parent asked to undo it."""

    @property
    def saga_id(self) -> str: ...

    @property
    def session(self) -> Session: ...

    @property
    def outcome(self) -> m.SagaOutcome | None: ...

    async def to_the_end(self) -> m.SagaOutcome: ...

    def rebuild(self, family: Family) -> None: ...

    async def stop(self) -> None: ...

    def cancel(self) -> None: ...


class _Flying(Struct):
    """A call in flight. `intent`: what stood on record when the run was rebuilt."""

    call: StepCall
    first_attempt: Ms | None
    unanswered: Ms | None
    interruption: Interruption
    intent: journal.Intent | None = None


class _Nothing:
    """What is under way while a run is rebuilt."""

    def cancel(self) -> None: ...


_NOTHING: Final = _Nothing()


class Driver:
    """Carries out what a run decides."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self.engine = engine
        self.session = session
        self._saga_id = session.saga_id
        self._flying: dict[tuple[m.Place, m.Purpose], _Flying] = {}
        self._timers: dict[tuple[m.Place, m.Timer], tuple[Activity, Ms]] = {}
        self.children: dict[m.Place, Child] = {}
        self.running_children: set[m.Place] = set()
        self.cut_off = False
        """Whether `stop` ended something that would have gone on: only the journal knows how."""
        self._stopping = False
        self._outside: list[tuple[Ms, m.EventReceived | m.CancelRequested]] = []
        """What the world will send; it comes whether the orchestrator lives or not."""
        self._replay: Replay | None = None

    def record(self, entry: type[journal.Entry], **fields: Any) -> None:
        if self._found(entry, fields) is None:
            session = self.session
            session.record(entry(at=session.now(), saga_id=self._saga_id, **fields))

    # --- Calls ---------------------------------------------------------------------------------

    def make_call(
        self, call: StepCall, first_attempt: Ms | None = None, unanswered: Ms | None = None
    ) -> None:
        """Make a call; `CallEnded` follows. `first_attempt`, `unanswered`: of one in doubt."""
        flying = _Flying(call, first_attempt, unanswered, Interruption())
        self._flying[call.place, call.purpose] = flying
        if self._replay is None:
            self.session.make(self._make(flying))
        else:
            found = self._replay.intent(call.place, call.purpose, call.contract.label)
            flying.intent = found

    async def _make(self, flying: _Flying) -> m.Event:
        call, intent, first = flying.call, flying.intent, flying.first_attempt
        if intent is not None:
            # After a crash the last attempt may have been running until now. The input goes with
            # the key, so it is the one that was sent.
            known = calls.recover(self.session.now(), intent.at if first is None else first)
            call = replace(call, args=intent.args, known=known, resumed=True)
        elif first is not None:
            known = calls.recover(self.session.now(), first, flying.unanswered)
            call = replace(call, known=known)
        ended = await self.session.step(call, flying.interruption)
        del self._flying[call.place, call.purpose]
        return call_ended(ended)

    @property
    def calling(self) -> bool:
        return bool(self._flying)

    def interrupt(self, place: m.Place, purpose: m.Purpose) -> None:
        """Start nothing new in this call; what is in flight is awaited, and `CallEnded` comes."""
        found = self._flying.get((place, purpose))
        if found is None:
            return  # it has just ended, and its outcome is on its way
        if self._replay is not None:
            if self._replay.interrupted(place, purpose):
                found.interruption.set()
                return
            self._go_live()
        self.record(journal.Interrupted, place=place, purpose=purpose)
        found.interruption.set()

    # --- Timers and what the world sends -------------------------------------------------------

    def start_timer(self, place: m.Place, timer: m.Timer, at: Ms, spread: Ms = 0) -> None:
        """`TimerFired` comes at `at`, or up to `spread` ms later, drawn at random."""
        started = self._found(journal.TimerStarted, {"place": place, "timer": timer})
        if isinstance(started, journal.TimerStarted):
            self._timers[place, timer] = (_NOTHING, started.until)
            return
        until = at + round(spread * self.session.random()) if spread else at
        self.record(journal.TimerStarted, place=place, timer=timer, until=until)
        self._sleep(place, timer, until)

    def _sleep(self, place: m.Place, timer: m.Timer, until: Ms) -> None:
        async def sleep() -> m.Event:
            await self.session.sleep(until)
            now = self.session.now()
            self.record(journal.TimerEnded, place=place, timer=timer)
            return m.TimerFired(now, place, timer)

        self._timers[place, timer] = (self.session.spawn(sleep(), until), until)

    def stop_timer(self, place: m.Place, timer: m.Timer) -> None:
        started = self._timers.pop((place, timer), None)
        if started is not None:
            started[0].cancel()
            self.record(journal.TimerEnded, place=place, timer=timer, stopped=True)

    def expect(self, events: Sequence[tuple[Ms, m.EventReceived | m.CancelRequested]]) -> None:
        """Events that the world will send, and when."""
        self._outside += events
        self._await_outside()

    def _await_outside(self) -> None:
        for due, event in self._outside:
            self.session.spawn(self._arrive(due, event), due)

    async def _arrive(self, due: Ms, event: m.EventReceived | m.CancelRequested) -> m.Event:
        await self.session.sleep(due)
        self._outside.remove((due, event))
        event = replace(event, at=self.session.now())
        self.session.record(entry_of(event, self._saga_id))
        return event

    def accepts(self, event: m.Event) -> bool:
        """False for a timer that fired in the moment it was stopped."""
        if type(event) is m.TimerFired:
            return self._timers.pop((event.place, event.timer), None) is not None
        if self._replay is not None:
            self._is_over(event)
        return True

    # --- Child sagas ---------------------------------------------------------------------------

    def run_child(self, place: m.Place, saga: str, child: Child) -> None:
        """Run a saga; `ChildEnded` follows."""
        self.children[place] = child
        self._begin(place, saga, child, undo=False)

    def undo_child(self, place: m.Place, saga: str, error: Failure) -> None:
        """Compensate a completed child; `ChildEnded` follows, with purpose COMPENSATE."""
        child = self.children[place]
        child.undone_for = error
        self._begin(place, saga, child, undo=True)

    def _begin(self, place: m.Place, saga: str, child: Child, undo: bool) -> None:
        fields: dict[str, Any] = {
            "place": place,
            "saga": saga,
            "child_id": child.saga_id,
            "undo": undo,
        }
        if self._found(journal.ChildStarted, fields) is not None:
            self.running_children.add(place)
            return
        now = self.session.now()
        self.session.record(journal.ChildStarted(at=now, saga_id=self._saga_id, **fields))
        if undo:
            assert child.undone_for is not None
            child.session.post(m.UndoRequested(now, child.undone_for))
        self._drive(place, child)

    def cancel_child(self, place: m.Place) -> None:
        """Ask a child to abort, also one that ended escalated; `ChildEnded` follows."""
        child = self.children[place]
        if self._replay is not None:
            if self._replay.cancelled(child.saga_id):
                return
            self._go_live()
        child.cancel()
        if isinstance(child.outcome, m.Escalated):
            self.wake_child(place)

    def wake_child(self, place: m.Place) -> None:
        """Let a child that has ended go on; its end comes as an event once more."""
        if place not in self.running_children:
            self._drive(place, self.children[place])

    def _drive(self, place: m.Place, child: Child) -> None:
        self.running_children.add(place)
        if self._stopping:
            self.cut_off = True
        else:
            self.session.spawn(self._child(place, child))

    async def _child(self, place: m.Place, child: Child) -> m.Event:
        outcome = await child.to_the_end()
        self.running_children.remove(place)
        entry = journal.ChildFinished(
            at=self.session.now(),
            saga_id=self._saga_id,
            place=place,
            child_id=child.saga_id,
            kind=outcome_kind(outcome),
            undo=child.undone_for is not None,
        )
        self.session.record(entry)
        return child_ended(entry, outcome)

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

    # --- Death and resurrection ----------------------------------------------------------------

    async def stop(self) -> None:
        """End everything under way."""
        self._stopping = True
        self.cut_off = self.cut_off or bool(self.running_children)
        try:
            # From the outside in: a child that still ran could start something new.
            await self.session.close()
            for child in self.children.values():
                await child.stop()
        finally:
            self._stopping = False

    def forget(self) -> None:
        """Lose what stands in memory, as a process that died does. The world forgets nothing."""
        self._flying, self._timers = {}, {}
        self.children, self.running_children = {}, set()
        self.cut_off = False
        self.session.drop()

    def replay(self, replay: Replay) -> None:
        """From now on, look up what is to be done in the journal, as far as that goes."""
        self._replay = replay

    @property
    def replaying(self) -> bool:
        return self._replay is not None

    def _found(self, entry: type[journal.Entry], fields: dict[str, Any]) -> journal.Entry | None:
        """What is on record about something that is to be done; None: do it."""
        if self._replay is None:
            return None
        found = self._replay.done(entry, fields)
        if found is None:
            self._go_live()
        return found

    def _go_live(self) -> None:
        """The journal ends amid the work on an event."""
        assert self._replay is not None
        self.take_up(self._replay, restarted=True)

    def take_up(self, replay: Replay, restarted: bool) -> None:
        """Go on by oneself: a call without a recorded outcome is unknown, timers, child sagas and
        what the world sends are found where they were."""
        events, self._replay = replay.end(), None
        fired = set()
        for event in events:
            self._is_over(event)
            if isinstance(event, m.TimerFired):
                fired.add((event.place, event.timer))
        if restarted:
            self.record(journal.Restarted)
        for flying in self._flying.values():
            self.session.make(self._make(flying))
        for (place, timer), (_, until) in tuple(self._timers.items()):
            if (place, timer) not in fired:
                self._sleep(place, timer, until)
        self._await_outside()
        for place, child in self.children.items():
            child.rebuild(replay.family)
            if place in self.running_children or replay.family.woken(child.saga_id):
                self._drive(place, child)
        for event in events:
            self.session.post(event)

    def _is_over(self, event: m.Event) -> None:
        """What ended is not under way any more."""
        match event:
            case m.CallEnded(place=place, purpose=purpose):
                self._flying.pop((place, purpose), None)
            case m.ChildEnded(place=place):
                self.running_children.discard(place)
            case _:
                pass


def outcome_kind(outcome: m.SagaOutcome) -> str:
    match outcome:
        case m.Completed():
            return "completed"
        case m.Compensated():
            return "compensated"
        case m.Escalated():
            return "escalated"
