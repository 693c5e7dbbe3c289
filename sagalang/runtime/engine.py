"""The seam between a saga and what it runs on, and the engine that keeps everything in memory.

A saga awaits only what a `Session` offers; it never knows which engine runs it. An engine's own
failure raises `EngineError`: it stops the run and is never an outcome of the saga.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from sagalang.machine import calls
from sagalang.machine.events import CancelRequested, Event, EventReceived, Place, Purpose
from sagalang.machine.outcomes import Outcome
from sagalang.model.program import Ms, Policy
from sagalang.runtime import journal
from sagalang.runtime.activities import Activities, Activity, Crash
from sagalang.runtime.call_log import CallLog
from sagalang.runtime.calls import Draw, Interruption, drive
from sagalang.runtime.clock import Clock
from sagalang.runtime.contract import Contract, Request
from sagalang.runtime.journal_events import Outside, entry_of
from sagalang.runtime.protection import UNGUARDED, Protections
from sagalang.runtime.transport import Transport


class EngineError(Exception):
    """The engine cannot go on with a run. It says nothing about what the saga did."""


class OtherInputError(EngineError):
    """A run of this id exists, of another saga or with other input."""


class EmptyIdError(EngineError):
    """A run needs an id: keys are made from it, and runs of one id are one run."""


class BadIdError(EngineError):
    """The id of a run is no text that can be written down."""


def named(saga_id: str) -> str:
    """The id of a run. Raises `EmptyIdError`, `BadIdError`."""
    if not saga_id.strip():
        raise EmptyIdError("an id cannot be empty: runs of one id are one run")
    try:
        saga_id.encode()
    except UnicodeEncodeError:
        raise BadIdError(f"{saga_id[:40]!a} cannot be an id: UTF-8 has no such character") from None
    return saga_id


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


class Session(Protocol):
    """One run on an engine."""

    saga_id: str
    owner: Any
    """Whoever drives the run keeps itself here; None in a fresh session."""
    begun: bool
    """Whether the run was on record when the session was opened."""

    def now(self) -> Ms: ...

    def random(self) -> float: ...

    async def step(self, call: StepCall, interruption: Interruption) -> journal.OutcomeRecorded:
        """Records the intent, makes the call, records its outcome."""
        ...

    async def sleep(self, until: Ms) -> None: ...

    def make(self, work: Coroutine[Any, Any, Event]) -> None:
        """Start a call; the event it ends with comes out of `next`. An exception does too.
        Where nothing else is under way, whoever awaits `next` may make the call itself."""
        ...

    def spawn(self, work: Coroutine[Any, Any, Event], not_before: Ms | None = None) -> Activity:
        """Start anything else; it ends as a call does. `not_before`: it only waits until then."""
        ...

    def put(self, event: Outside) -> None:
        """Take in an event from outside: it is recorded, and comes out of `next`."""
        ...

    def post(self, event: Event) -> None:
        """Let an event that is on record come out of `next`."""
        ...

    async def next(self) -> Event | Crash:
        """The next event: of an activity, or from outside. Every one is on record, and they come
        in the order of their entries."""
        ...

    def waiting(self) -> bool:
        """Whether `next` has something to give at once."""
        ...

    def drop(self) -> None:
        """Forget the events that wait: what is on record comes from there."""
        ...

    def record(self, entry: journal.Entry) -> None: ...

    async def history(self) -> Sequence[journal.Entry]:
        """What is on record of the run and its child sagas, in order."""
        ...

    async def committed(self) -> None:
        """Return when all that was recorded so far will be there after a crash."""
        ...

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
"""Told of each entry as it is recorded. It may send events; they come after that entry's own."""


class MemoryEngine:
    """Nothing survives; takes any clock. `journal` has the entries of all runs, in order. All
    runs of the engine share its `protections`; several engines of a process may share them too.
    `found`: what is on record already, left by an engine that died."""

    def __init__(
        self,
        clock: Clock,
        transport: Transport,
        draw: Draw,
        observer: Observer | None = None,
        protections: Protections | None = None,
        found: Sequence[journal.Entry] = (),
    ) -> None:
        self.clock = clock
        self.transport = transport
        self.draw = draw
        self.protections = protections or Protections()
        self.journal: list[journal.Entry] = list(found)
        self._found = frozenset(entry.saga_id for entry in found)
        starts = (entry for entry in found if isinstance(entry, journal.SagaStarted))
        self._starts = {started.saga_id: started for started in starts}
        self.telling = False
        self._observer = observer
        self._sessions: dict[str, MemorySession] = {}

    def open(self, saga_id: str, saga: str, args: Mapping[str, Any]) -> MemorySession:
        known = self._sessions.get(saga_id) or self._starts.get(saga_id)
        if known is not None and (known.saga != saga or dict(known.args) != dict(args)):
            raise OtherInputError(f"{saga_id} runs already, with other input")
        session = self._sessions.get(saga_id)
        if session is None:
            session = MemorySession(self, saga_id, saga, args, saga_id in self._found)
            self._sessions[saga_id] = session
        return session

    def signal(self, saga_id: str, event: str, event_id: str, value: Any) -> None:
        self._put(saga_id, EventReceived(self.now(), event, event_id, value))

    def request_cancel(self, saga_id: str) -> None:
        self._put(saga_id, CancelRequested(self.now()))

    def _put(self, saga_id: str, event: Outside) -> None:
        if saga_id in self._found and saga_id not in self._sessions:
            self.record(entry_of(event, saga_id))  # the run finds it when it is gone on with
        else:
            self._session(saga_id).put(event)

    def crash(self, saga_id: str) -> None:
        """Let the orchestrator of a run (and of its child sagas) die and start again, as soon as
        the caller awaits. A transport that wants its answer lost calls this and never returns."""
        self._session(saga_id).post(Crash(self.now()))

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
            self.telling = True
            try:
                self._observer(entry)
            finally:
                self.telling = False

    def _session(self, saga_id: str) -> MemorySession:
        try:
            return self._sessions[saga_id]
        except KeyError:
            raise NoSuchRunError(f"there is no run {saga_id}") from None


class Means(Protocol):
    """What sessions of one process share."""

    clock: Clock
    transport: Transport
    draw: Draw
    protections: Protections
    telling: bool
    """Whether an observer is being told of an entry, whose event has not joined its queue yet."""

    def now(self) -> Ms: ...


class LocalSession:
    """What every session has whose calls are made in this process; where they are recorded is for
    others to say."""

    record: Observer

    def __init__(
        self,
        engine: Means,
        saga_id: str,
        saga: str,
        args: Mapping[str, Any],
        begun: bool,
    ) -> None:
        self.begun = begun
        self.saga_id = saga_id
        self.saga = saga
        self.args = args
        self.owner: Any = None
        # Asked for several times in every step, so without a detour.
        self.now = engine.clock.now
        self.random = engine.draw
        self._means = engine
        self._activities = activities = Activities(self.now)
        self.post = activities.post
        self.waiting = activities.waiting
        self.drop = activities.drop
        self.make = activities.make
        self.spawn = activities.spawn
        self.next = activities.next

    async def sleep(self, until: Ms) -> None:
        await self._means.clock.sleep_until(until)

    async def close(self) -> None:
        await self._activities.close()

    def put(self, event: Outside) -> None:
        if self._means.telling:
            # It would come before the event of the entry that the observer is told of.
            asyncio.get_running_loop().call_soon(self.put, event)
            return
        self.record(entry_of(event, self.saga_id))
        self.post(event)

    async def step(self, call: StepCall, interruption: Interruption) -> journal.OutcomeRecorded:
        log = CallLog(call, self.saga_id, self.now, self.record)
        if not call.resumed:
            log.intent()
        return await self.made(call, interruption, log)

    async def made(
        self, call: StepCall, interruption: Interruption, log: CallLog
    ) -> journal.OutcomeRecorded:
        """Make a call whose intent is on record."""
        engine, contract, question = self._means, call.contract, call.probe
        guard = engine.protections.guard(contract.service, contract.operation, call.protected)
        probe, asking = None, UNGUARDED
        if question is not None:
            asked = question.contract
            asking = engine.protections.guard(asked.service, asked.operation, question.protected)

            def probe(number: int) -> Coroutine[Any, Any, Outcome]:
                return engine.transport.call(Request(asked, question.args, None, number))

        def attempt(number: int) -> Coroutine[Any, Any, Outcome]:
            deadline = call.config.deadline
            remaining = None if deadline is None else max(0, deadline - engine.now())
            request = Request(contract, call.args, call.key, number, remaining)
            return engine.transport.call(request)

        await drive(
            call.config,
            call.known or calls.start(self.now()),
            clock=engine.clock,
            draw=engine.draw,
            attempt=attempt,
            probe=probe,
            guard=guard,
            asking=asking,
            interruption=interruption,
            note=log.note,
        )
        return log.ended


class MemorySession(LocalSession):
    def __init__(
        self,
        engine: MemoryEngine,
        saga_id: str,
        saga: str,
        args: Mapping[str, Any],
        begun: bool,
    ) -> None:
        super().__init__(engine, saga_id, saga, args, begun)
        self.record = engine.record
        self._engine = engine

    async def history(self) -> Sequence[journal.Entry]:
        return self._engine.recorded().of(self.saga_id)

    async def committed(self) -> None:
        pass
