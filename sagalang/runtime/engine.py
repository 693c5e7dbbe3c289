"""The seam between a saga and what it runs on, and the engine that keeps everything in memory.

A saga awaits only what a `Session` offers; it never knows which engine runs it. An engine's own
failure raises `EngineError`: it stops the run and is never an outcome of the saga.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from msgspec import Struct

from sagalang.machine import calls
from sagalang.machine.events import CancelRequested, Event, EventReceived, Place, Purpose
from sagalang.machine.outcomes import Failure, Ok, Outcome, Rejected
from sagalang.model.program import Ms, Policy
from sagalang.runtime import journal
from sagalang.runtime.calls import Draw, Interruption, Queued, Told, drive
from sagalang.runtime.clock import Clock
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.protection import UNGUARDED, BreakerChanged, Protections
from sagalang.runtime.transport import Transport


class EngineError(Exception):
    """The engine cannot go on with a run. It says nothing about what the saga did."""


class OtherInputError(EngineError):
    """A run of this id exists, of another saga or with other input."""


class NoSuchRunError(EngineError):
    """There is no run of this id."""


class Question(Struct, frozen=True, gc=False):
    """The query that tells whether a call happened."""

    contract: Contract
    args: tuple[Any, ...]
    protected: Policy


class StepCall(Struct, frozen=True, gc=False):
    """One call as the saga wants it made. `protected`: the operation's policy, of which breaker,
    bulkhead, rate limit and retry budget apply (the rest stands in `config`). `known`: where it
    was made before, its state. `resumed`: its intent is on record already."""

    place: Place
    purpose: Purpose
    contract: Contract
    args: tuple[Any, ...]
    key: str | None
    config: calls.CallConfig
    protected: Policy
    probe: Question | None = None
    number: int = 1
    known: calls.CallState | None = None
    resumed: bool = False


BACKWARDS: Final = frozenset({Purpose.RESOLVE, Purpose.COMPENSATE})
"""What must get through: it waits for an open breaker instead of failing fast."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The orchestrator dies: everything under way is lost, only what is on record remains."""

    at: Ms


class Activity(Protocol):
    """Something under way in a session. Cancelling it is for timers only, never for calls."""

    def cancel(self) -> object: ...


class Session(Protocol):
    """One run on an engine."""

    saga_id: str
    owner: Any
    """Whoever drives the run keeps itself here; None in a fresh session."""

    def now(self) -> Ms: ...

    def random(self) -> float: ...

    async def step(self, call: StepCall, interruption: Interruption) -> calls.Done:
        """Records the intent, makes the call, records its outcome."""
        ...

    async def sleep(self, until: Ms) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, Event]) -> Activity:
        """Start work; the event it ends with comes out of `next`. An exception does too."""
        ...

    async def next(self) -> Event | Crash:
        """The next event: of an activity, or from outside (a signal, a cancel request)."""
        ...

    def record(self, entry: journal.Entry) -> None: ...

    async def close(self) -> None:
        """End all activities and wait for them."""
        ...


class Engine(Protocol):
    def open(self, saga_id: str, saga: str, args: Mapping[str, Any]) -> Session:
        """The session of this id, a fresh one if there is none. Raises `OtherInputError`."""
        ...

    def signal(self, saga_id: str, event: str, event_id: str, value: Any) -> None:
        """Deliver an event to a run. Raises `NoSuchRunError`."""
        ...

    def request_cancel(self, saga_id: str) -> None: ...

    def now(self) -> Ms: ...


Observer = Callable[[journal.Entry], None]


class MemoryEngine:
    """Nothing survives; takes any clock. `journal` has the entries of all runs, in order. All
    runs of the engine share its `protections`; several engines of a process may share them too."""

    def __init__(
        self,
        clock: Clock,
        transport: Transport,
        draw: Draw,
        observer: Observer | None = None,
        protections: Protections | None = None,
    ) -> None:
        self.clock = clock
        self.transport = transport
        self.draw = draw
        self.protections = protections or Protections()
        self.journal: list[journal.Entry] = []
        self._observer = observer
        self._sessions: dict[str, MemorySession] = {}

    def open(self, saga_id: str, saga: str, args: Mapping[str, Any]) -> MemorySession:
        session = self._sessions.get(saga_id)
        if session is None:
            session = MemorySession(self, saga_id, saga, args)
            self._sessions[saga_id] = session
        elif session.saga != saga or dict(session.args) != dict(args):
            raise OtherInputError(f"{saga_id} runs already, with other input")
        return session

    def signal(self, saga_id: str, event: str, event_id: str, value: Any) -> None:
        session = self._session(saga_id)
        session.put(EventReceived(self.now(), event, event_id, value))

    def request_cancel(self, saga_id: str) -> None:
        self._session(saga_id).put(CancelRequested(self.now()))

    def crash(self, saga_id: str) -> None:
        """Let the orchestrator of a run (and of its child sagas) die and start again, as soon as
        the caller awaits. A transport that wants its answer lost calls this and never returns."""
        self._session(saga_id).put(Crash(self.now()))

    def inspect(self, saga_id: str) -> tuple[journal.Entry, ...]:
        """The journal of one run. Raises `NoSuchRunError`."""
        self._session(saga_id)
        return tuple(entry for entry in self.journal if entry.saga_id == saga_id)

    def recorded(self) -> journal.Recorded:
        """What is on record now."""
        return journal.Recorded(self.journal, len(self.journal))

    def list(self) -> tuple[str, ...]:
        """The ids of all runs, in order of their start."""
        return tuple(self._sessions)

    def now(self) -> Ms:
        return self.clock.now()

    def record(self, entry: journal.Entry) -> None:
        self.journal.append(entry)
        if self._observer is not None:
            self._observer(entry)

    def _session(self, saga_id: str) -> MemorySession:
        try:
            return self._sessions[saga_id]
        except KeyError:
            raise NoSuchRunError(f"there is no run {saga_id}") from None


class MemorySession:
    def __init__(
        self, engine: MemoryEngine, saga_id: str, saga: str, args: Mapping[str, Any]
    ) -> None:
        self.saga_id = saga_id
        self.saga = saga
        self.args = args
        self.owner: Any = None
        self._engine = engine
        self._mailbox: asyncio.Queue[Event | Crash | BaseException] = asyncio.Queue()
        self._activities: set[asyncio.Task[None]] = set()

    def now(self) -> Ms:
        return self._engine.now()

    def random(self) -> float:
        return self._engine.draw()

    def record(self, entry: journal.Entry) -> None:
        self._engine.record(entry)

    def put(self, event: Event | Crash) -> None:
        self._mailbox.put_nowait(event)

    async def sleep(self, until: Ms) -> None:
        await self._engine.clock.sleep_until(until)

    def spawn(self, work: Coroutine[Any, Any, Event]) -> asyncio.Task[None]:
        async def body() -> None:
            try:
                event = await work
            except Exception as error:
                self._mailbox.put_nowait(error)
            else:
                self._mailbox.put_nowait(event)

        def ended(task: asyncio.Task[None]) -> None:
            self._activities.discard(task)
            # A task that is cancelled before its first turn leaves the coroutine unawaited.
            work.close()

        task = asyncio.create_task(body())
        self._activities.add(task)
        task.add_done_callback(ended)
        return task

    async def next(self) -> Event | Crash:
        event = await self._mailbox.get()
        if isinstance(event, BaseException):
            raise event
        return event

    async def close(self) -> None:
        activities = list(self._activities)
        for activity in activities:
            activity.cancel()
        await asyncio.gather(*activities, return_exceptions=True)

    async def step(self, call: StepCall, interruption: Interruption) -> calls.Done:
        log = _CallLog(self, call)
        if not call.resumed:
            log.intent()
        engine, contract, question = self._engine, call.contract, call.probe
        guards = engine.protections
        guard = guards.guard(contract.service, contract.operation, call.protected)
        probe, asking = None, UNGUARDED
        if question is not None:
            asked = question.contract
            asking = guards.guard(asked.service, asked.operation, question.protected)
            query = Request(asked, question.args, None)

            async def probe(number: int) -> Outcome:
                return await engine.transport.call(replace(query, attempt=number))

        async def attempt(number: int) -> Outcome:
            deadline = call.config.deadline
            remaining = None if deadline is None else max(0, deadline - engine.now())
            request = Request(contract, call.args, call.key, number, remaining)
            return await engine.transport.call(request)

        return await drive(
            call.config,
            call.known or calls.start(engine.now()),
            clock=engine.clock,
            draw=engine.draw,
            attempt=attempt,
            probe=probe,
            guard=guard,
            asking=asking,
            interruption=interruption,
            note=log.note,
        )


class _CallLog:
    """Writes what happens in one call to the journal."""

    __slots__ = ("_attempt", "_call", "_fields", "_session")

    def __init__(self, session: MemorySession, call: StepCall) -> None:
        self._session = session
        self._call = call
        self._attempt = 0
        self._fields: dict[str, Any] = {
            "saga_id": session.saga_id,
            "place": call.place,
            "purpose": call.purpose,
            "label": call.contract.label,
            "key": call.key,
            "number": call.number,
        }

    def _record(self, entry: type[journal.CallEntry], **fields: Any) -> None:
        session = self._session
        session.record(entry(at=session.now(), **self._fields, **fields))

    def _record_probe(self, entry: type[journal.CallEntry], **fields: Any) -> None:
        question, session = self._call.probe, self._session
        assert question is not None
        common = {**self._fields, "label": question.contract.label}
        session.record(entry(at=session.now(), **common, **fields))

    def intent(self) -> None:
        self._record(journal.Intent, args=self._call.args)

    def note(self, what: Told) -> None:
        # Those of every call come first.
        match what:
            case calls.Begin():
                pass
            case calls.Attempt(number=number):
                self._attempt = number
                self._record(journal.AttemptStarted, attempt=number)
            case calls.AttemptEnded(outcome):
                kind, failure = _told(outcome)
                self._record(
                    journal.AttemptEnded,
                    attempt=self._attempt,
                    kind=kind,
                    error=failure.name if failure else None,
                    detail=failure.detail if failure else "",
                    replayed=isinstance(outcome, Ok | Rejected) and outcome.replayed,
                )
            case calls.Done(outcome, unanswered):
                kind, failure = _told(outcome)
                self._record(
                    journal.OutcomeRecorded,
                    kind=kind,
                    error=failure.name if failure else None,
                    value=outcome,
                    unanswered=unanswered,
                )
            case calls.Probe(number=number):
                self._attempt = number
                self._record_probe(journal.ProbeStarted, attempt=number)
            case calls.ProbeEnded(outcome):
                failure = calls.failure(outcome)
                self._record_probe(
                    journal.ProbeEnded,
                    attempt=self._attempt,
                    kind=_answered(outcome),
                    error=failure.name if failure else None,
                )
            case calls.Sleep(until=until, delay=delay, reason=reason):
                self._record(journal.Waiting, reason=reason, delay=delay, until=until)
            case Queued(until):
                self._record(journal.Queued, until=until)
            case calls.Woke(budget=False):
                self._record(journal.RetryRefused)
            case BreakerChanged(scope, before, after, until):
                self._record(
                    journal.BreakerChanged,
                    scope=scope,
                    before=before.value,
                    after=after.value,
                    until=until,
                )
            case _:
                pass


_KIND = {
    calls.Kind.OK: "ok",
    calls.Kind.REJECTED: "rejected",
    calls.Kind.NOT_SENT: "not sent",
    calls.Kind.UNSENDABLE: "not sent",
    calls.Kind.UNKNOWN: "unknown",
    calls.Kind.MISMATCH: "unknown",
}


def _told(outcome: Outcome) -> tuple[str, Failure | None]:
    return _KIND[calls.kind(outcome)], calls.failure(outcome)


def _answered(probed: Outcome) -> str:
    if not isinstance(probed, Ok):
        return "no answer"
    return "no" if probed.value is None else "yes"
